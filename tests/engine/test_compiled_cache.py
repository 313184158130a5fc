"""Compiled code on disk is never older than the source of what it calls."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.jit import COMPILED

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "engine"
DECORATORS = {"jit", "jit_step", "jit_sums", "inlined"}
JIT = "jit"
CALLER, CALLEE = "ensemble/products.py", "ensemble/random.py"


def imported_names(path: Path) -> list[tuple[Path, str]]:
    """Every name that a module of the engine imports from another, with that module's file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1]
            target = folder.joinpath(*(node.module or "").split("."))
            for alias in node.names:
                for file in (target / f"{alias.name}.py", target.with_suffix(".py"), target / "__init__.py"):
                    if file.is_file():
                        found.append((file, alias.name))
                        break
    return found


def test_every_module_with_compiled_functions_is_listed() -> None:
    using = {
        path.relative_to(ENGINE).as_posix()
        for path in ENGINE.rglob("*.py")
        for file, name in imported_names(path)
        if file.stem == JIT and name in DECORATORS
    }
    assert len(using) >= 8
    assert using <= set(COMPILED)


def test_every_number_built_into_compiled_code_comes_from_a_listed_module() -> None:
    """numba copies the value of a module's constant into machine code."""
    unlisted = []
    for name in COMPILED:
        for file, imported in imported_names(ENGINE / name):
            module = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
            value = getattr(module, imported, None)
            if isinstance(value, (int, float)) and file.relative_to(ENGINE).as_posix() not in COMPILED:
                unlisted.append((name, imported))
    assert unlisted == []


def test_the_makefile_reads_the_same_list(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    rule = "show:\n\t@echo $(COMPILED)\n"
    done = subprocess.run(
        ["make", "--no-print-directory", "-f", "Makefile", "-f", "-", "show"],
        input=rule, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [f"engine/{name}" for name in COMPILED]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The engine with a compiled function that calls one of another file, both made for this test."""
    shutil.copytree(ENGINE, tmp_path / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    engine = tmp_path / "engine"
    relative = "." * (1 + CALLEE.count("/"))
    with (engine / CALLEE).open("a") as file:
        file.write("\n\n@jit_step\ndef seven() -> int:\n    return 7\n")
    with (engine / CALLER).open("a") as file:
        module = CALLEE.removesuffix(".py").replace("/", ".")
        file.write(
            f"\n\nfrom {relative}{module} import seven\n\n\n"
            "@jit_step\ndef twice_seven() -> int:\n    return 2 * seven()\n"
        )
    return engine


def test_a_changed_callee_recompiles_its_callers(copy: Path, tmp_path: Path) -> None:
    module = f"engine.{CALLER.removesuffix('.py').replace('/', '.')}"
    script = (
        f"from engine.{JIT} import is_kept; from {module} import twice_seven\n"
        "print(is_kept(twice_seven), twice_seven())"
    )

    def run() -> list[str]:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "-P", "-c", script],
            env=environment, capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        return done.stdout.split()

    assert run() == ["False", "14"]
    assert run() == ["True", "14"]
    source = (copy / CALLEE).read_text()
    (copy / CALLEE).write_text(source.replace("return 7\n", "return 8\n"))
    assert run() == ["False", "16"]
