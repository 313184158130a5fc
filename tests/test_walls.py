"""The walls of the house: what may import what.

``LAYERS`` is the one list of layers; CONTRIBUTING shows the same. A folder or module may import itself and what
stands on an earlier line of its list; never what stands on a later line or beside it on its own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from support.imports import HEAVY, modules_after

ROOT = Path(__file__).parents[1]
ENGINE = sorted((ROOT / "engine").rglob("*.py"))
RUN_FILES = {
    "config.json", "events.jsonl", "control.jsonl", "checkpoint.safetensors", "worker.log", "console.log", "lock",
    "twin.json", "label.json", "trial.json",
}  # fmt: skip
"""Names of files in a run directory; engine/runs alone spells them in code."""
APP_ONLY = {"springtui", "textual", "rich", "plotext", "click"}
LAYERS = {
    "engine": """
        arrays, cores, errors, jit, version
        measures.registry
        settings
        measures
        datasets, runs
        logs, networks, probe
        ensemble
        chain
        twin
        sweep
        formats, workers
    """,
    "springtui": """
        terminal
        state
        widgets, follow, screen, dialogs
        export, alerts, recording, serve
        preferences
        lab, phase, runs, watch, help, doctor
        app_base, leaving
        app, adapters, _engine
        commands
        cli
        __main__
    """,
}
FEATURES = ("lab", "phase", "runs", "watch", "help")
"""Folders of screens."""
SHEETS = sorted(path for name in FEATURES for path in (ROOT / "springtui" / name).glob("*.tcss"))
SCREENS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in (*FEATURES, "widgets", "terminal", "state", "follow", "alerts", "preferences")
    for path in (ROOT / "springtui" / folder).glob("*.py")
    if path.stem != "__init__"
)


def imported_by(path: Path) -> list[tuple[int, str]]:
    """(level, module) of every import statement in a file, also those inside functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or ""))
    return found


def layers(house: str) -> list[list[str]]:
    """The names on each line of a list of layers, the lowest first."""
    return [line.strip().split(", ") for line in LAYERS[house].strip().splitlines()]


def module_imports(house: str) -> dict[str, set[str]]:
    """By module of a house, the modules of that house that it imports, also inside functions."""
    files = {}
    for path in sorted((ROOT / house).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                source = ".".join([*base, *([node.module] if node.module else [])])
                names = [f"{source}.{a.name}" if f"{source}.{a.name}" in files else source for a in node.names]
            found.setdefault(module, set()).update(name for name in names if name.split(".")[0] == house)
    return found


def unit_of(module: str, known: Iterable[str]) -> str:
    """The name in the list of layers that a module belongs to; empty for the package itself.

    Raises:
        AssertionError: the list does not name it.
    """
    parts = module.split(".")[1:]
    for length in range(len(parts), 0, -1):
        if (name := ".".join(parts[:length])) in known:
            return name
    assert not parts, f"{module} is in no layer: add it to LAYERS and to CONTRIBUTING"
    return ""


@pytest.mark.parametrize("house", sorted(LAYERS))
def test_imports_go_down_the_layers(house: str) -> None:
    level = {name: number for number, line in enumerate(layers(house)) for name in line}
    wrong = [
        f"{module} imports {target}"
        for module, targets in module_imports(house).items()
        for target in targets
        if (own := unit_of(module, level)) != (other := unit_of(target, level))
        and other
        and level[other] >= (level[own] if own else 1)
    ]
    assert not wrong, "; ".join(wrong)


@pytest.mark.parametrize("house", sorted(LAYERS))
def test_no_circle_of_modules(house: str) -> None:
    """Also none that is broken by an import inside a function."""
    imports = module_imports(house)
    done: set[str] = set()

    def follow(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " imports ".join([*above[above.index(module) :], module])
        if module not in done:
            for target in sorted(imports.get(module, ())):
                follow(target, (*above, module))
            done.add(module)

    for module in sorted(imports):
        follow(module, ())


def test_contributing_shows_the_same_layers() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    page = [line.strip().split("  ")[0] for line in text.splitlines()]
    for house in LAYERS:
        lines = [", ".join(line) for line in layers(house)]
        start = page.index(lines[0])
        assert page[start : start + len(lines)] == lines


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_engine_module_imports_nothing_of_the_app(path: Path) -> None:
    names = {module.split(".")[0] for level, module in imported_by(path) if level == 0}
    assert not names & APP_ONLY


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_engine_module_imports_its_own_package_relatively(path: Path) -> None:
    """A user's script may stand beside a file named engine.py."""
    assert "engine" not in {module.split(".")[0] for level, module in imported_by(path) if level == 0}
    depth = len(path.relative_to(ROOT / "engine").parts)
    assert all(level <= depth for level, _ in imported_by(path))


def test_engine_loads_without_the_app() -> None:
    light = (
        "errors", "settings.run", "settings.recipes", "measures.load_curve", "runs.listing", "runs.records",
        "runs.files", "runs.launch",
    )  # fmt: skip
    names = modules_after("\n".join(f"import engine.{name}" for name in light))
    assert not names & (APP_ONLY | HEAVY)


def test_importing_springtui_pulls_in_neither_app_nor_torch() -> None:
    assert not modules_after("import springtui") & ({"textual", "rich", "plotext"} | HEAVY)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["runs"], ["--version"]])
def test_light_verb_imports_nothing_heavy(arguments: list[str], home: Path) -> None:
    names = modules_after(f"from springtui.cli import main\nmain({arguments!r})")
    assert not names & (HEAVY | {"textual", "plotext"})


def test_doctor_looks_at_torch_without_importing_it(home: Path) -> None:
    assert not modules_after("from springtui.cli import main\nmain(['doctor'])") & HEAVY


def test_app_process_imports_no_torch() -> None:
    modules = ("springtui.cli", "springtui.app", *SCREENS, "engine.sweep.diagrams")  # this one inside a function
    imports = "\n".join(f"import {name}" for name in modules)
    names = modules_after(f"{imports}\nspringtui.lab.screen.preload()")
    assert names >= {"textual", "numpy", "plotext"}
    assert not names & HEAVY


FIRST_FRAME = """
import asyncio, sys
from pathlib import Path
import springtui.commands.opening
from springtui.app import SpringApp
from springtui.lab.screen import LabScreen

async def main():
    drawn = asyncio.Event()
    LabScreen._open = lambda _: drawn.set()  # what comes after the first frame
    async with SpringApp(Path({home!r})).run_test(size=(120, 40)):
        await drawn.wait()

asyncio.run(main())
"""


def test_the_first_frame_waits_for_neither_numpy_nor_a_verb(home: Path) -> None:
    names = modules_after(FIRST_FRAME.format(home=str(home)), whole=True)
    assert "springtui.lab.screen" in names
    assert not names & {"numpy", "plotext", "hashlib", "springtui.commands.options", "springtui.commands.train"}


def file_names_in(path: Path) -> list[str]:
    """String constants of a module that end in the name of a run's file, alone or after a slash.

    Sentences that name a file, docstrings among them, hold other words before it or after it.
    """
    constants = [
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
    ]
    return [
        text
        for text in constants
        if isinstance(text, str) and text.rpartition("/")[2] in RUN_FILES and " " not in text
    ]


def test_only_engine_runs_names_the_files_of_a_run() -> None:
    files = [*ENGINE, *sorted((ROOT / "springtui").rglob("*.py"))]
    spelled = {path.relative_to(ROOT).as_posix(): names for path in files if (names := file_names_in(path))}
    assert list(spelled) == ["engine/runs/names.py"]
    assert set(spelled["engine/runs/names.py"]) == RUN_FILES - {"console.log"}


@pytest.mark.parametrize("path", SHEETS, ids=lambda path: path.stem)
def test_a_screen_styles_only_itself(path: Path) -> None:
    """Textual applies the sheets of all screens that were ever shown: an id is often another screen's too."""
    rules = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    selectors = [one.strip() for rule in re.findall(r"([^{}]+){", rules) for one in rule.split(",")]
    own = f"{path.stem.capitalize()}Screen"
    assert [one for one in selectors if not re.match(rf"{own}(?![\w-])", one)] == []
    assert selectors
