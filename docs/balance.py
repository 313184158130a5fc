"""The table of docs/theory.md on accuracy and balance, from the diagrams in docs/data; no training is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from engine.arrays import Floats
from engine.measures.load_curve import statistics
from engine.sweep.summary import spearman

DATA = Path(__file__).parent / "data"
DIAGRAMS = ("data-noise", "dropout", "learning-rate", "batch-size")
LEAST_CELLS = 4
"""Least number of cells of a row or column that is correlated."""


def cells_of(diagram: str) -> dict[str, Floats]:
    """x, y, test_accuracy, cv and total, the hidden layers' separation, of cells that mean something, [C] each."""
    cells: list[dict[str, Any]] = json.loads((DATA / f"{diagram}.json").read_text("utf-8"))["cells"]
    shapes = [statistics(cell["load_curve"], logits=True, error=cell.get("curve_error")) for cell in cells]
    known = [(cell, shape) for cell, shape in zip(cells, shapes, strict=True) if not shape.reason]
    columns = {name: np.array([float(cell[name]) for cell, _ in known]) for name in ("x", "y", "test_accuracy")}
    total = np.array([cell["load_curve"][0] - cell["load_curve"][-2] for cell, _ in known])
    return columns | {"cv": np.array([shape.cv for _, shape in known]), "total": total}


def within(cells: dict[str, Floats], axis: str) -> str:
    """Median and weakest of the correlations of accuracy and CV among cells of one value on an axis."""
    found = []
    for value in np.unique(cells[axis]):
        same = cells[axis] == value
        if same.sum() >= LEAST_CELLS:
            found.append(spearman(cells["test_accuracy"][same].tolist(), cells["cv"][same].tolist()))
    return f"{signed(float(np.median(found)))} ({signed(max(found))})"


def signed(value: float) -> str:
    """A number with two decimals and its sign."""
    return f"{value:+.2f}".replace("-", "−")


def balance_table() -> str:
    """The table as Markdown."""
    lines = [
        "| diagram | cells | all cells | at the same noise | at the same nonlinearity | "
        "accuracy and total separation |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in DIAGRAMS:
        cells = cells_of(name)
        accuracy = cells["test_accuracy"].tolist()
        overall = signed(spearman(accuracy, cells["cv"].tolist()))
        total = signed(spearman(accuracy, cells["total"].tolist()))
        parts = (name, str(len(accuracy)), overall, within(cells, "x"), within(cells, "y"), total)
        lines.append(f"| {' | '.join(parts)} |")
    return "\n".join(lines)
