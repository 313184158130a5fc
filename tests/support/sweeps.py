"""Settings of small sweeps, and comparison of sweeps."""

from __future__ import annotations

from engine.runs.directory import Run
from engine.runs.records import Cell

SMALL = {"epochs": 3, "width": 16, "depth": 4, "train_size": 200, "batch_size": 50}


def finals(run: Run) -> dict[tuple[int, int], Cell]:
    """Final cells by (cell, member); AssertionError where a member was recorded twice."""
    cells = [event for event in run.events() if isinstance(event, Cell) and event.final]
    by_member = {(cell.cell, cell.member): cell for cell in cells}
    assert len(by_member) == len(cells), "a member was made twice"
    return by_member


def same(a: Run, b: Run) -> bool:
    ours, theirs = finals(a), finals(b)
    return ours.keys() == theirs.keys() and all(
        ours[key].curves == theirs[key].curves and ours[key].scalars == theirs[key].scalars for key in ours
    )
