"""The registry of measures is the only place that names them, and what it says of each is true."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch
from support.imports import HEAVY, modules_after
from support.paths import ROOT

from engine.errors import ConfigError
from engine.measures.registry import (
    DEFAULT_MEASURE,
    DISTANCE,
    MEASURE_OF,
    MEASURES,
    NETWORK_MEASURES,
    PROBES,
    SEPARATIONS,
    Measure,
    Need,
    rises,
)
from engine.measures.separation import ratio_of, separation_measures
from engine.measures.separation_wide import GramSeparation
from engine.settings import probe
from engine.settings.fields import make
from engine.settings.probe import ProbeConfig
from springtui.help.glossary import NETWORK

pytestmark = pytest.mark.usefixtures("one_thread")
REGISTRY = ROOT / "engine" / "measures" / "registry.py"
ALLOWED = {
    ("engine/settings/train.py", PROBES): "the name of a setting, which switches the measure on",
}
"""Where else a measure's name stands as a string, and why."""


def strings_of(path: Path) -> list[tuple[int, str]]:
    """Line and value of every string constant of a file that is one word or path, parts of f-strings included."""
    return [
        (node.lineno, node.value)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not re.search(r"\s", node.value)
    ]


def test_no_other_module_writes_a_measures_name_as_a_string() -> None:
    """Neither alone (a key, a default), nor in a tuple or ``Literal``, nor as a part of a tag; prose is free."""
    found = {
        (path.relative_to(ROOT).as_posix(), name): line
        for house in ("engine", "springtui")
        for path in sorted((ROOT / house).rglob("*.py"))
        if path != REGISTRY
        for line, text in strings_of(path)
        for name in MEASURES.keys() & set(re.findall(r"\w+", text))
    }
    wrong = [
        f"{file}:{line} writes {name!r}" for (file, name), line in found.items() if (file, name) not in ALLOWED
    ]
    assert not wrong, "; ".join(wrong) + ": import the name from engine.measures.registry"
    assert found.keys() >= ALLOWED.keys()


def test_the_registry_imports_the_standard_library_alone() -> None:
    names = modules_after("import engine.measures.registry")
    assert not names & (HEAVY | {"numpy", "msgspec", "click", "textual"})
    imports = [n for n in ast.walk(ast.parse(REGISTRY.read_text("utf-8"))) if isinstance(n, ast.ImportFrom)]
    assert all(node.level == 0 for node in imports)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=list(MEASURES))
def test_a_record_is_whole(measure: Measure) -> None:
    assert all(measure._replace(rises=True)), "an empty field"
    assert measure.name.isidentifier()


def test_groups_are_of_registered_measures() -> None:
    assert MEASURES.keys() == {*SEPARATIONS, PROBES, DISTANCE}
    assert (*SEPARATIONS, PROBES) == NETWORK_MEASURES
    assert DEFAULT_MEASURE in SEPARATIONS
    assert {"network": DEFAULT_MEASURE, "chain": DISTANCE} == MEASURE_OF
    assert not rises("mean_field")


def clouds(distance: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes of Gaussians, [60, 5], whose means are so far apart."""
    draw = torch.Generator().manual_seed(0)
    y_N = torch.arange(60) % 3
    means_CD = distance * torch.randn(3, 5, generator=draw, dtype=torch.float64)
    return means_CD[y_N] + torch.randn(60, 5, generator=draw, dtype=torch.float64), y_N


def test_every_measure_of_separation_is_computed() -> None:
    x_ND, y_N = clouds(1.0)
    measures = separation_measures(x_ND, y_N)
    assert tuple(measures) == SEPARATIONS
    gram = GramSeparation(y_N, 3)
    gram.add(x_ND)
    assert gram.measures() == pytest.approx(measures, rel=1e-6)
    assert tuple(gram.measures()) == SEPARATIONS


@pytest.mark.parametrize("name", SEPARATIONS)
def test_the_sign_is_that_of_the_curve(name: str) -> None:
    mixed, separated = (separation_measures(*clouds(distance), measures=(name,))[name] for distance in (0.3, 3.0))
    assert (separated > mixed) == MEASURES[name].rises


@pytest.mark.parametrize("name", SEPARATIONS)
def test_what_needs_a_pseudo_inverse_takes_an_eigendecomposition(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, eigh = [], torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda x: taken.append(x) or eigh(x))
    separation_measures(*clouds(1.0), measures=(name,))
    assert bool(taken) == (Need.INVERSE in MEASURES[name].needs)


@pytest.mark.parametrize("name", SEPARATIONS)
def test_a_measure_of_separation_has_a_module(name: str) -> None:
    assert ratio_of(name) is sys.modules[f"engine.measures.{name}"]


def test_the_settings_of_a_probe_take_the_registered_measures_alone() -> None:
    assert get_args(probe.SeparationName) == SEPARATIONS
    assert ProbeConfig().measures == SEPARATIONS
    assert make(ProbeConfig, {"measures": [DEFAULT_MEASURE]}).measures == (DEFAULT_MEASURE,)
    for name in ("spread", PROBES, DISTANCE):
        with pytest.raises(ConfigError, match="measures"):
            make(ProbeConfig, {"measures": [name]})


def test_the_glossary_has_each_measure_of_a_network() -> None:
    terms = {term.name.lower(): term.formula for term in NETWORK}
    for name in NETWORK_MEASURES:
        assert terms[MEASURES[name].label] == MEASURES[name].formula


def test_the_table_of_the_theory_is_the_registry() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", (ROOT / "docs" / "theory.md").read_text("utf-8"), re.M)
    assert tuple(name for name, _, _ in rows) == NETWORK_MEASURES
    for name, value, source in rows:
        assert source == MEASURES[name].source
        assert name == PROBES or value == MEASURES[name].formula


def test_a_measure_is_added_by_one_file_and_one_entry(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "engine", tmp_path / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "engine" / "measures"
    (folder / "total.py").write_text(
        "def from_factors(scatter): return scatter.within + scatter.between\n"
        "def from_grams(scatter): return scatter.within + scatter.between\n"
    )
    text = (folder / "registry.py").read_text("utf-8")
    entry = 'Measure(name="total", label="t", formula="f", axis="a", words="w", source="s"),'
    (folder / "registry.py").write_text(
        text.replace("_SEPARATIONS = (", f"_SEPARATIONS = (\n    {entry}", 1), "utf-8"
    )
    code = """
        import torch
        from engine.measures.separation import separation_measures
        from engine.measures.separation_wide import GramSeparation
        from engine.settings.probe import ProbeConfig
        from engine.settings.fields import make
        x, y = torch.eye(6), torch.arange(6) % 2
        gram = GramSeparation(y, 2)
        gram.add(x)
        config = make(ProbeConfig, {"measures": ["total"]})
        print("total" in separation_measures(x, y), "total" in gram.measures(), config.measures)
    """
    code = "\n".join(line.strip() for line in code.splitlines())
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True,
        text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "True True ('total',)"
