"""Documentation keeps its word: docstrings are there, links lead somewhere, commands in it are commands."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
import runpy
import shlex
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from engine import __version__, errors
from engine.logs.registry import FORMATS
from engine.settings.chain import ChainConfig
from engine.settings.fields import parse_assignments
from engine.settings.recipes import find_recipe
from engine.settings.train import TrainConfig
from engine.sweep.diagrams import DIAGRAMS
from engine.twin.maps import PRESETS
from springtui.cli import cli
from springtui.preferences import preferences

ROOT = Path(__file__).parents[1]
MANUAL = runpy.run_path(str(ROOT / "docs" / "manual.py"))
escape, manual = MANUAL["escape"], MANUAL["manual"]
SOURCES = sorted(path for name in ("engine", "springtui") for path in (ROOT / name).rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
HOOKS = re.compile(
    r"on_|watch_|compose$|render_line$|get_system_commands$|get_content_|get_component_|control$|forward$"
)
"""Methods that Textual or torch ask for by name, and document."""
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions(body: list[ast.stmt], above: str = "") -> Iterator[tuple[str, Definition]]:
    """Public classes and functions, and those of public classes, by their dotted names."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.name.startswith(
            "_"
        ):
            yield above + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from definitions(node.body, f"{above}{node.name}.")


def declared() -> set[str]:
    """Methods that a protocol or an abstract class documents: who implements them need not again."""
    names = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and {"Protocol", "ABC"} & {ast.unparse(base) for base in node.bases}:
                names |= {d.name for _, d in definitions(node.body) if ast.get_docstring(d)}
    return names


DECLARED = declared()


def inherits_words(path: Path, name: str) -> bool:
    """Whether a method has its docstring from the class that it overrides, as one of Textual's."""
    found = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for part in name.split("."):
        found = getattr(found, part)
    return bool(inspect.getdoc(found))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_public_has_a_docstring(path: Path) -> None:
    module = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(module) or not module.body
    bare = [
        name
        for name, node in definitions(module.body)
        if not ast.get_docstring(node)
        and not ("." in name and (HOOKS.match(node.name) or node.name in DECLARED or inherits_words(path, name)))
    ]
    assert not bare, f"without a docstring: {', '.join(bare)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_raises_says_so(path: Path) -> None:
    """A public function that raises one of our errors names it, or one above it, under Raises.

    A verb's text is its help, and names none.
    """
    if path.parent.name == "commands":
        return
    silent = []
    for name, node in definitions(ast.parse(path.read_text("utf-8")).body):
        if isinstance(node, ast.ClassDef) or (node.name in DECLARED and not ast.get_docstring(node)):
            continue
        said = re.findall(r"\w+Error", (ast.get_docstring(node) or "").partition("Raises:")[2])
        for statement in ast.walk(node):
            if isinstance(statement, ast.Raise) and isinstance(statement.exc, ast.Call):
                error = getattr(errors, ast.unparse(statement.exc.func), None)
                if error is not None and not {above.__name__ for above in error.__mro__} & set(said):
                    silent.append(f"{name} raises {error.__name__}")
    assert not silent, "; ".join(silent)


ARRAYS = re.compile(r"\b(Tensor|NDArray|ndarray|ArrayLike|Floats|Labels|Wholes)\b")


@pytest.mark.parametrize("path", sorted((ROOT / "engine").rglob("*.py")), ids=lambda path: path.name)
def test_arrays_have_shapes(path: Path) -> None:
    """A public function that takes or gives arrays tells their shapes, as [N, D], or that they may have any."""
    silent = []
    for name, node in definitions(ast.parse(path.read_text("utf-8")).body):
        said = ast.get_docstring(node)
        if isinstance(node, ast.ClassDef) or not said or HOOKS.match(node.name):
            continue
        given = [*node.args.args, *node.args.kwonlyargs]
        types = [ast.unparse(a.annotation) for a in given if a.annotation]
        types += [ast.unparse(node.returns)] if node.returns else []
        if any(map(ARRAYS.search, types)) and not re.search(r"\[[^\]`]*\]|shape", said):
            silent.append(name)
    assert not silent, f"arrays without shapes: {', '.join(silent)}"


def test_formulas_have_sources() -> None:
    """What stands in the design as a measure, a law or a method names where it comes from."""
    cited = {
        "measures/trace_ratio": "arXiv:2407.19353",
        "measures/fuzziness": "He & Su",
        "measures/inverse_fuzziness": "arXiv:2407.19353",
        "measures/load_curve": "arXiv:2407.19353",
        "chain/chain": "arXiv:2407.19353",
        "chain/kernels": "arXiv:2407.19353",
        "networks/network": "arXiv:2407.19353",
        "chain/mean_field": "ours",
        "twin/fit": "ours",
        "twin/maps": "ours",
        "measures/friction": "Efron",
        "networks/optimisers": "Welling & Teh",
        "measures/hessian": "Hutchinson",
        "measures/linear_probes": "Alain & Bengio",
        "chain/gaussians": "Box & Muller",
        "ensemble/random": "Blackman & Vigna",
        "chain/pulling": "arXiv:2407.19353",
        "sweep/diagrams": "arXiv:2407.19353",
    }
    for module, source in cited.items():
        tree = ast.parse((ROOT / "engine" / f"{module}.py").read_text("utf-8"))
        documented = [tree, *(node for _, node in definitions(tree.body))]
        assert any(source in (ast.get_docstring(node) or "") for node in documented), f"{module} cites no {source}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_something(page: Path) -> None:
    text = page.read_text("utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    for target in targets:
        if not target.startswith(("http://", "https://", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name} links to {target}"
    for named in re.findall(r"`((?:tests|benchmarks|docs|engine|springtui)/[\w/.-]+\.\w+)`", text):
        assert (ROOT / named).exists(), f"{page.name} names {named}"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    missing = [path.name for path in ROOT.glob("docs/*.md") if path.name != "README.md" and path.name not in index]
    assert not missing


def commands_in(text: str) -> Iterator[list[str]]:
    """Every ``springtui …`` that stands in a block or between backticks, up to a pipe or a comment."""
    blocks = re.findall(r"^(?:    |\t)(.*springtui .*)$", text, re.MULTILINE)
    for code in [*blocks, *re.findall(r"`([^`\n]*springtui [^`\n]*)`", text)]:
        found = re.search(r"(?:^|\s)springtui( [^|#>&;)…]*)", code.replace("\\|", "|").rstrip("\\"))
        if found:
            typed, *_explained = re.split(r"\s{3,}", found[1].replace("'", "").split(" -- ")[0])
            yield shlex.split(typed)


def shown() -> dict[str, str]:
    """Whatever shows commands, by its name: the pages, what --help ends with, and the examples' own words."""
    texts = {str(page.relative_to(ROOT)): page.read_text("utf-8") for page in PAGES}
    for name, command in {"": cli, **cli.commands}.items():
        texts[f"springtui {name} --help"] = textwrap.indent(f"{command.help}\n{command.epilog}", "  ")
    for path in sorted((ROOT / "examples").glob("*.py")):
        texts[f"examples/{path.name}"] = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return texts


SHOWN = shown()


@pytest.mark.parametrize("name", SHOWN)
def test_commands_are_commands(name: str) -> None:
    for words in commands_in(SHOWN[name]):
        verb = next((word for word in words if not word.startswith(("-", "["))), None)
        if verb is None or verb in {"VERB", "COMMAND"}:
            continue
        command = cli.commands.get(verb.rstrip(".,:"))
        assert command is not None, f"{name}: springtui {verb} is no verb"
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for word in words:
            option = word.strip("[]").partition("=")[0]
            if option.startswith("-") and option != "-":  # standard input
                assert option in options | {"--help", "--ascii"}, f"{name}: springtui {verb} has no {option}"
        check_values(name, verb, words)


@pytest.mark.parametrize("name", SHOWN)
def test_what_jq_takes_is_told_of(name: str) -> None:
    """The field that a shown command takes out of ``--json`` is among those that the verb's help names."""
    for verb, key in re.findall(r"springtui (\w+)[^|`\n]*--json \\?\| jq (?:-\w+ )?'?\.(\w+)", SHOWN[name]):
        told = cli.commands[verb].help or ""
        assert re.search(rf"\b{key}\b", told) or verb == "watch", f"{name}: springtui {verb} --json tells no {key}"


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_help_tells_what_json_holds(verb: str) -> None:
    command = cli.commands[verb]
    if any("--json" in parameter.opts for parameter in command.params):
        assert "--json" in (command.help or ""), f"springtui {verb} --help does not say what --json prints"


def check_values(page: str, verb: str, words: list[str]) -> None:
    """Recipes and settings that are named exist."""
    pairs = list(itertools.pairwise(words))
    for option, value in pairs:
        if option == "--recipe" and value.islower():
            assert value in DIAGRAMS if verb == "sweep" else find_recipe(value), page
        if option == "--set" and "=" in value and not value.startswith("k="):
            recipe = next((v for o, v in pairs if o == "--recipe"), "")
            chain = verb == "chain" or (verb == "sweep" and DIAGRAMS[recipe].system == "chain")
            parse_assignments(ChainConfig if chain else TrainConfig, [value])


def test_the_commands_of_the_pages_were_found() -> None:
    """The test above looks at something."""
    found = [words for text in SHOWN.values() for words in commands_in(text)]
    assert {words[0] for words in found if words} >= {
        "train",
        "chain",
        "sweep",
        "twin",
        "export",
        "serve",
        "doctor",
    }
    assert len(found) > 120


def test_python_in_the_pages_is_python() -> None:
    """Every block compiles, and what it imports of ours is there."""
    blocks = [block for text in SHOWN.values() for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
    assert len(blocks) >= 4
    for block in blocks:
        tree = ast.parse(block.replace("…, ", ""))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in {"engine", "springtui"}:
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, alias.name) for alias in node.names), block


def test_the_messages_of_the_page_on_troubles_are_the_programs() -> None:
    """What stands in bold between backticks there is what is said; the names in it differ."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    said = " ".join(path.read_text("utf-8") for path in SOURCES)
    said = re.sub(r'"\s*f?"', "", said)  # texts over several lines
    quoted = [
        quote
        for line in re.findall(r"^\*\*(.*?)\*\*", page, re.MULTILINE)
        for quote in re.findall("`(.+?)`", line)
    ]
    pieces = [piece.strip() for quote in quoted for piece in quote.removeprefix("standard output").split("…")]
    sentences = [piece for piece in pieces if len(piece.split()) > 2]
    assert len(sentences) > 6
    assert not [piece for piece in sentences if piece not in said]


def test_the_table_of_preferences_is_the_preferences() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    told = {key.strip("[]") for key in re.findall(r"^\| `(\[*\w+\]*)` \|", page, re.MULTILINE)}
    assert told == set(preferences.names())
    known = {
        f"SPRINGTUI_{key.upper()}" for key in (*preferences.names(), "config", "run", "event", "value", "text")
    }
    for variable in set(re.findall(r"\bSPRINGTUI_[A-Z_]+", page + manual(cli))):
        assert variable in known, f"{variable} is none that is looked at"


def test_the_table_of_formats_is_the_formats() -> None:
    page = (ROOT / "docs" / "other-logs.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \|.* \| (.*) \| .* \|$", page, re.MULTILINE)
    assert rows == [(kind.name, kind.habit or "at once") for kind in FORMATS]


def test_the_page_on_scripts_says_which_verbs_print_several_objects() -> None:
    """Each verb once; those whose help says so print an object a line."""
    page = (ROOT / "docs" / "scripting.md").read_text("utf-8")
    rows = re.findall(r"^\| (one object.*?) \| (`.*`) \|$", page, re.MULTILINE)
    told = {name: kind for kind, verbs in rows for name in re.findall(r"`(\w+)`", verbs)}
    assert told.keys() == cli.commands.keys() - {"lab"}
    assert sum(len(re.findall("`", verbs)) // 2 for _, verbs in rows) == len(told)
    for name, kind in told.items():
        several = "object a line" in " ".join(cli.commands[name].help.split())
        assert several == kind.startswith("one object a line"), name


class TestManual:
    def test_the_page_is_the_commands(self) -> None:
        page = (ROOT / "docs" / "man" / "springtui.1").read_text("ascii")
        assert page == manual(cli), "the manual is out of date: make manual"

    def test_every_verb_and_exit_status_is_told_of(self) -> None:
        page = manual(cli)
        for verb, command in cli.commands.items():
            assert f".SS springtui {escape(verb)}" in page
            for parameter in command.params:
                if (
                    isinstance(parameter, click.Option)
                    and parameter.help
                    and parameter.name not in {"home", "debug"}
                ):
                    assert escape(parameter.opts[0]) in page
        for heading in ("EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES", "SHELL COMPLETION"):
            assert f".SH {heading}\n" in page

    @pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff here")
    def test_roff_has_nothing_to_complain_of(self) -> None:
        done = subprocess.run(
            ["groff", "-man", "-ww", "-Tutf8", str(ROOT / "docs" / "man" / "springtui.1")],
            capture_output=True, timeout=60, check=True,
        )  # fmt: skip
        assert not done.stderr.decode()
        assert "springtui train" in re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout.decode())

    def test_text_is_printed_as_it_stands(self) -> None:
        assert escape("--set a\\b 'x' √") == "\\-\\-set a\\eb \\(aqx\\(aq \\[u221A]"
        assert escape(".5 and more").startswith("\\&.")


def test_the_citation_names_paper_and_version() -> None:
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"version: {__version__}\n" in text
    for word in ("cff-version: 1.2.0", "arXiv:2407.19353", "Physical Review Letters", "Shi", "Pan", "Dokmanić"):
        assert word in text


def test_the_table_of_maps_is_the_maps() -> None:
    page = (ROOT / "docs" / "reproduction.md").read_text("utf-8")
    for axis, made in PRESETS.items():
        assert f"| `{axis}` | {made.rms:.3f} | {made.asymmetry_correlation:.2f} |" in page, "make figures"


def test_the_figures_of_the_theory_are_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn anew they have the same lines; processors differ in the last digits."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import theory_figures

    from springtui.export.figures import encode

    for name, figure in theory_figures.FIGURES.items():
        kept = (ROOT / "docs" / "figures" / f"theory-{name}.svg").read_text("utf-8")
        drawn = encode(figure(), "svg").decode()
        assert numbers(drawn) == pytest.approx(numbers(kept), rel=1e-3, abs=0.05), f"{name}: make figures"


def numbers(svg: str) -> list[float]:
    """Every coordinate of the lines in a picture."""
    paths = re.findall(r' d="([^"]*)"', svg)
    return [float(number) for path in paths for number in re.findall(r"-?\d+(?:\.\d+)?", path)]
