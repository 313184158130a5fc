"""Compares our networks with the authors': load curves and test accuracy of each cell of the data-noise diagram.

    python benchmarks/agreement.py                  every cell, a table on standard output
    python benchmarks/agreement.py --cells 12       12 cells, spread over the table
    python benchmarks/agreement.py --write          every cell, and writes docs/agreement.md

The images are MNIST's test file as IDX: --data-dir, else SPRINGTUI_DATA, else ../shared/data/mnist beside the
checkout. Without them nothing is compared, a line says so, and the exit status is 0.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

REFERENCE = ROOT / "tests" / "data" / "load_curves_data_noise.json"
DOCUMENT = ROOT / "docs" / "agreement.md"
SEEDS = (0, 1, 2)
SLACK = 0.1
"""Allowed difference of a point, natural log, in addition to three combined standard errors."""
POINTS = 1.5
"""Allowed difference of test accuracy, in percentage points."""


class Agreement(NamedTuple):
    """The comparison of one cell with the authors'."""

    negative_slope: float
    noise: float
    ours: list[float]
    """D_0 … D_L by ``trace_ratio``, mean over our seeds."""
    gap: float
    """Largest |ours - theirs| along the curve."""
    used: float
    """Largest difference of a point as a fraction of the allowed one; the cell agrees up to 1."""
    accuracy: float
    """Our mean test accuracy."""
    accuracy_gap: float
    """Ours - theirs in percentage points."""

    @property
    def agrees(self) -> bool:
        return self.used <= 1.0 and abs(self.accuracy_gap) <= POINTS


def read_reference() -> list[dict[str, Any]]:
    """The authors' 54 cells."""
    cells: list[dict[str, Any]] = json.loads(REFERENCE.read_text(encoding="utf-8"))["cells"]
    return cells


def default_data_dir() -> Path:
    """Folder where MNIST's files are expected."""
    return Path(os.environ.get("SPRINGTUI_DATA", ROOT.parent / "shared" / "data" / "mnist"))


def spread(cells: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """``count`` cells at even distances in the table, with its first and last."""
    picks = np.linspace(0, len(cells) - 1, min(max(count, 1), len(cells)))
    return [cells[round(float(i))] for i in picks]


def compare(cell: dict[str, Any], data_dir: Path, seeds: Iterable[int] = SEEDS) -> Agreement:
    """Train one cell's networks and compare them with the authors'."""
    import torch

    from engine.datasets.load import load_dataset
    from engine.networks.trainer import Trainer
    from engine.settings.train import TrainConfig

    torch.set_num_threads(1)
    knobs = {"negative_slope": float(cell["negative_slope"]), "data_noise": float(cell["noise"])}
    dataset = load_dataset(TrainConfig(dataset="mnist", data_dir=str(data_dir)))
    curves, accuracies = [], []
    for seed in seeds:
        config = TrainConfig(dataset="mnist", data_dir=str(data_dir), seed=seed, **knobs)
        trainer = Trainer(config, dataset)
        while trainer.epoch < config.epochs and not trainer.converged:
            for _ in trainer.run_epoch():
                pass
        measured = trainer.measure()
        curves.append(measured.curves["trace_ratio"])
        accuracies.append(measured.scalars["test_accuracy"])
    return judge(cell, np.array(curves), np.array(accuracies))


def judge(cell: dict[str, Any], curves: np.ndarray, accuracies: np.ndarray) -> Agreement:
    """Compare our curves, [seeds, L+1], and accuracies, [seeds], with a cell of the authors'."""
    n = len(curves)
    theirs, sd = np.array(cell["log_trace_ratio_mean"]), np.array(cell["log_trace_ratio_sd"])
    error = np.sqrt(sd**2 / cell["seeds"] + curves.std(0, ddof=1) ** 2 / n)
    gap = np.abs(curves.mean(0) - theirs)
    return Agreement(
        negative_slope=float(cell["negative_slope"]),
        noise=float(cell["noise"]),
        ours=[float(d) for d in curves.mean(0)],
        gap=float(gap.max()),
        used=float((gap / (3.0 * error + SLACK)).max()),
        accuracy=float(accuracies.mean()),
        accuracy_gap=100.0 * float(accuracies.mean() - cell["test_accuracy_mean"]),
    )


def run(cells: Sequence[dict[str, Any]], data_dir: Path, jobs: int) -> list[Agreement]:
    """Compare all cells, ``jobs`` at once, in processes of one thread each."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        results = []
        for result in pool.map(compare, cells, [data_dir] * len(cells)):
            results.append(result)
            print(f"{len(results)}/{len(cells)} {row(result)}", file=sys.stderr, flush=True)
        return results


HEADER = """\
| α | noise | largest gap along the curve | of the allowed | test accuracy | minus the authors' | agrees |
| --- | --- | --- | --- | --- | --- | --- |"""


def row(a: Agreement) -> str:
    return (
        f"| {a.negative_slope:g} | {a.noise:g} | {a.gap:.3f} | {a.used:.0%} | {a.accuracy:.2%} | "
        f"{a.accuracy_gap:+.2f} points | {'yes' if a.agrees else '**no**'} |"
    )


def report(results: Sequence[Agreement]) -> str:
    """The text of docs/agreement.md."""
    agree, gap = sum(a.agrees for a in results), max(a.gap for a in results)
    rms = math.sqrt(sum(a.gap**2 for a in results) / len(results))
    used, points = max(a.used for a in results), max(abs(a.accuracy_gap) for a in results)
    return f"""# Agreement with the authors' networks

The `data-noise` diagram of Shi, Pan, Dokmanić (arXiv:2407.19353): MNIST at 10×10, 2560 training images, depth 8,
width 100, Adam, learning rate 1e-3, full batch, 100 epochs. In each cell our mean `trace_ratio` curve over seeds
{", ".join(map(str, SEEDS))} lies beside the authors' over three (`tests/data/load_curves_data_noise.json`).
A cell agrees where every point D_0 … D_8 is within 3 combined standard errors + {SLACK} and the test accuracy
within {POINTS} points.

**{agree} of {len(results)} cells agree.** The largest gap of a point is {gap:.3f} (r.m.s. over cells {rms:.3f});
no point uses more than {used:.0%} of what is allowed; the largest difference in accuracy is {points:.2f} points.

`python benchmarks/agreement.py --write` makes this page anew; `tests/engine/test_agreement.py` checks two cells.

{HEADER}
{chr(10).join(row(a) for a in results)}
"""


def main() -> int:
    """Exit status 1 where a cell disagrees."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", type=Path, default=default_data_dir(), help="folder of MNIST's IDX files")
    parser.add_argument("--cells", type=int, default=54, help="how many cells, spread over the table")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)} too")
    options = parser.parse_args()
    if not options.data_dir.is_dir():
        print(f"skipped: {options.data_dir} is not there; name the folder of MNIST's IDX files with --data-dir")
        return 0
    began = time.monotonic()
    results = run(spread(read_reference(), options.cells), options.data_dir, options.jobs)
    print("\n".join([HEADER, *(row(a) for a in results)]))
    summary = {
        "benchmark": "agreement",
        "cells": len(results),
        "agree": sum(a.agrees for a in results),
        "largest_gap": max(a.gap for a in results),
        "largest_part_of_allowed": max(a.used for a in results),
        "largest_accuracy_gap_points": max(abs(a.accuracy_gap) for a in results),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(summary))
    if options.write:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(report(results), encoding="utf-8")
    return 0 if all(a.agrees for a in results) else 1


if __name__ == "__main__":
    sys.exit(main())
