"""Cells whose load curve means nothing: said and drawn as such, and counted nowhere."""

from __future__ import annotations

import csv
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.measures.load_curve import LARGEST_ERROR
from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Cell, Ended
from engine.settings.sweep import SweepConfig
from engine.sweep.diagrams import make_sweep
from engine.sweep.grid import cell_count, cell_values
from engine.sweep.summary import accuracy_cv_correlation, summarise, with_accuracy_and_cv
from engine.twin.fit import predict
from engine.twin.maps import TwinMap
from springtui.cli import main
from springtui.state.diagram import COLOURS, correlation_text, facts_of, grid_of

MIXED = [1.81, 1.45, 1.11, 1.18, 1.6, 2.28, 3.01, 3.36, 3.39]
LOGITS = [0.4, 0.9, 0.5, 0.8, 0.6, 0.9, 0.5, 0.38, -6.0]
FLAT = [0.34, 0.45, 0.57, 0.61, 0.61, 0.56, 0.5, 0.55, 0.47]
STRAIGHT = [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0, -1.0]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def unguarded(curve: list[float]) -> tuple[float, float]:
    """CV and asymmetry of the hidden layers' loads, whatever they mean."""
    d = -np.diff(curve[:-1])
    half = len(d) // 2
    return float(d.std() / abs(d.mean())), float((d[:half].sum() - d[-half:].sum()) / d.sum())


@pytest.mark.slow
def test_a_sweep_of_five_epochs_tells_no_number_without_meaning(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newcomer's: it showed a CV of 10.56, asymmetries of -3.48 and +7.24, and a correlation of them."""
    axes = ["--x", "data_noise=0:0.8:4", "--y", "negative_slope=0,1"]
    made = told(capsys, "sweep", "--recipe", "data-noise", "--seeds", "2", *axes, "--set", "epochs=5")
    wild = [cell for cell in made["cells"] if unguarded(cell["load_curve"])[0] > 3.0]
    assert wild
    assert all(cell["cv"] is None and cell["asymmetry"] is None for cell in wild)
    for cell in made["cells"]:
        assert (cell["cv"] is None) == (cell["asymmetry"] is None) == bool(cell["regime_reason"])
        if cell["cv"] is not None:
            assert (cell["cv"], cell["asymmetry"]) == pytest.approx(unguarded(cell["load_curve"]))
            assert cell["cv"] < 3.0
            assert abs(cell["asymmetry"]) < 3.0
            assert cell["curve_error"] <= LARGEST_ERROR
    clear = [cell for cell in made["cells"] if not cell["regime_reason"]]
    assert made["spearman_cells"] == len(clear) < 8
    assert main(["export", made["run"], "--format", "csv,json", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    rows = list(csv.DictReader((tmp_path / f"{made['run']}.csv").read_text().splitlines()))
    cells = json.loads((tmp_path / f"{made['run']}.json").read_text())["cells"]
    for row, cell, known in zip(rows, cells, made["cells"], strict=True):
        assert cell["cv"] == known["cv"]
        assert row["cv"] == ("" if known["cv"] is None else str(known["cv"]))
        assert row["regime_reason"] == cell["regime_reason"] == known["regime_reason"]
    events = [event for event in Run(home / "runs" / made["run"]).events() if isinstance(event, Ended)]
    assert events[-1].summary["spearman_cells"] == len(clear)


def planted(home: Path, slopes: tuple[float, ...], noises: tuple[float, ...], odd: dict[int, list[Any]]) -> Run:
    """A diagram of dropout whose networks behave as a map says, but for the curves of some cells; one seed."""
    axes = {"x": ("dropout", noises), "y": ("negative_slope", slopes)}
    config = make_sweep("dropout", {}, axes=axes, seeds=1)
    run = Run.create(open_home(home), config)
    twin = TwinMap(friction=0.05, friction_per_nonlinearity=0.08, mu_left=0.12, noise=0.03, noise_per_noise=0.1)
    writer = run.writer()
    for index in range(cell_count(config)):
        x, y = cell_values(config, index)
        (curve,) = predict(twin, [1.0 - float(y)], [float(x)], 7)
        values, error = odd.get(index, [[*(3.0 * curve - 2.0).tolist(), -9.0], 0.01])
        writer.write(
            Cell(
                cell=index, member=0, final=True, at=1, curves={"trace_ratio": values} if values else {},
                scalars={"test_accuracy": 0.5 + 0.01 * index, "curve_error": error, "friction_error": 0.003},
            )
        )  # fmt: skip
    writer.release()
    return run


ODD: dict[int, list[Any]] = {
    1: [FLAT, None],
    3: [MIXED, 0.01],
    4: [LOGITS, 0.01],
    6: [STRAIGHT, 0.2],
    8: [[], None],
}
REASONS = {
    1: "no layer separates the classes",
    3: "the hidden layers mix the classes again",
    4: "only the logits separate the classes",
    6: "the error of the curve is too large",
    8: "every member diverged",
}


def test_a_map_lists_the_cells_it_leaves_out(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = planted(home, (0.0, 0.5, 1.0), (0.0, 0.1, 0.2, 0.3), ODD)
    found = told(capsys, "twin", run.id)
    places = list(itertools.product((1.0, 0.5, 0.0), (0.0, 0.1, 0.2, 0.3)))
    assert found["cells"] == len(found["effective_frictions"]) == 7
    assert "5 of 12 cells are left out" in found["note"]
    assert found["left_out"] == [
        {"nonlinearity": places[i][0], "noise": places[i][1], "reason": reason} for i, reason in REASONS.items()
    ]
    assert found["rms"] < 0.01
    assert found["left_out_rms"] is not None
    assert all(cell["standard_error"] == pytest.approx(0.003) for cell in found["effective_frictions"])
    assert main(["twin", run.id]) == 0
    assert "only the logits separate the classes" in capsys.readouterr().out


def test_too_few_rows_leave_no_error_of_a_row_left_out(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = planted(home, (0.0, 1.0), (0.0, 0.1, 0.2, 0.3), {})
    found = told(capsys, "twin", run.id)
    assert found["left_out_rms"] is None
    assert "left_out_rms needs 3 rows of cells, here are 2" in found["note"]
    assert main(["twin", run.id]) == 0
    out = capsys.readouterr().out
    assert " nan" not in out
    assert "left_out_rms               -" in out


def test_too_few_cells_are_refused_with_their_reasons(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = planted(home, (0.0, 0.5), (0.0, 0.1, 0.2), {0: [FLAT, None], 3: [FLAT, None], 4: [LOGITS, 0.01]})
    assert main(["twin", run.id]) == 2
    said = capsys.readouterr().err
    assert f"{run.id} has 3 of 6 cells whose load curve means something" in said
    assert "2 no layer separates the classes, 1 only the logits separate the classes" in said
    assert "a map has 5 numbers" in said


def test_they_are_marked_and_explained_and_not_correlated(home: Path) -> None:
    run = planted(home, (0.0, 0.5, 1.0), (0.0, 0.1, 0.2, 0.3), ODD)
    config = run.config().settings
    assert isinstance(config, SweepConfig)
    summaries = summarise(config, [event for event in run.events() if isinstance(event, Cell)])
    assert {s.cell: s.reason for s in summaries if s.reason} == REASONS
    known = with_accuracy_and_cv(summaries)
    assert [s.cell for s in known] == [i for i in range(12) if i not in REASONS]
    assert math.isfinite(accuracy_cv_correlation(summaries))
    assert correlation_text(summaries).endswith(" over 7/12 cells")
    assert "cells" not in correlation_text(known)
    for colour in COLOURS[:3]:
        grid = grid_of(config, summaries, colour)
        assert grid is not None
        assert [i for i, unclear in enumerate(grid.unclear) if unclear] == list(REASONS)
        assert not any(grid.curves[i] for i in REASONS)
        assert all(grid.curves[i] for i in range(12) if i not in REASONS)
        assert math.isfinite(grid.values[1]) == (colour.key == "test_accuracy")
    for index, reason in REASONS.items():
        facts = facts_of(config, summaries, index)
        assert reason in facts
        assert not any("CV" in line for line in facts)


def test_pictures_say_how_many_there_are_and_why(home: Path) -> None:
    pytest.importorskip("matplotlib")
    from springtui.export import figures

    run = planted(home, (0.0, 0.5, 1.0), (0.0, 0.1, 0.2, 0.3), ODD)
    config = run.config().settings
    assert isinstance(config, SweepConfig)
    summaries = summarise(config, [event for event in run.events() if isinstance(event, Cell)])
    axes = figures.phase(config, summaries, COLOURS[1]).axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert texts.count(figures.UNCLEAR) == 5
    assert "–" not in texts
    below = texts[-1].replace("\n", " ")
    assert below.startswith("× the load curve means nothing: ")
    assert all(f"1 {reason}" in below for reason in REASONS.values())
    clear = planted(home, (0.0, 1.0), (0.0, 0.1), {})
    config = clear.config().settings
    assert isinstance(config, SweepConfig)
    summaries = summarise(config, [event for event in clear.events() if isinstance(event, Cell)])
    assert not any("nothing" in t.get_text() for t in figures.phase(config, summaries, COLOURS[1]).axes[0].texts)
