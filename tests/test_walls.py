"""The walls of DESIGN.md, section 2: what may import what."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGINE = sorted((ROOT / "engine").rglob("*.py"))
APP_ONLY = {"springtui", "textual", "rich", "plotext", "click"}
HEAVY = {"torch", "numba", "sklearn", "scipy"}
SHEETS = sorted((ROOT / "springtui" / "screens").glob("*.tcss"))
SCREENS = sorted(
    f"springtui.{'.'.join(path.relative_to(ROOT / 'springtui').with_suffix('').parts)}"
    for folder in ("screens", "widgets")
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


def modules_after(code: str) -> set[str]:
    """Top-level names in sys.modules once a fresh interpreter has run the code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=ROOT, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


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
    modules = ("springtui.cli", "springtui.app", *SCREENS)
    names = modules_after("\n".join(f"import {name}" for name in modules))
    assert "textual" in names
    assert not names & HEAVY


@pytest.mark.parametrize(
    "path", sorted((ROOT / "springtui" / "screens").glob("*.tcss")), ids=lambda path: path.stem
)
def test_a_screen_styles_only_itself(path: Path) -> None:
    """Textual applies the sheets of all screens that were ever shown: an id is often another screen's too."""
    rules = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    selectors = [one.strip() for rule in re.findall(r"([^{}]+){", rules) for one in rule.split(",")]
    own = f"{path.stem.capitalize()}Screen"
    assert [one for one in selectors if not re.match(rf"{own}(?![\w-])", one)] == []
    assert selectors
