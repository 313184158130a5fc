"""Two builds side by side: this checkout and, where ``--former`` names it, another with an environment of its own.

They are measured in pairs, each pair in an order drawn by lot, so that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from _pty import ROOT, python_of

T = TypeVar("T")
RESAMPLES = 4000


def arguments(about: str | None, what: str, default: int, **switches: str) -> argparse.Namespace:
    """``repeats``, ``former`` and switches, each with its help, of a benchmark's command line."""
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    parser.add_argument("repeats", nargs="?", type=int, default=default, help=f"{what} of each build")
    parser.add_argument("--former", type=Path, metavar="PATH", help="a checkout of another build, with a .venv")
    for name, words in switches.items():
        parser.add_argument(f"--{name}", action="store_true", help=words)
    found = parser.parse_args()
    if found.former is not None:
        found.former = found.former.resolve()
        python_of(found.former)  # told before anything is measured
    return found


def side_by_side(
    measure: Callable[[Path], T], former: Path | None, repeats: int, warm_up: int = 0
) -> dict[Path, list[T]]:
    """What was measured of each build; the first ``warm_up`` of each are dropped."""
    builds = [ROOT] if former is None else [ROOT, former]
    chance = random.Random(0)
    found: dict[Path, list[T]] = {build: [] for build in builds}
    for _ in range(warm_up + repeats):
        for build in chance.sample(builds, len(builds)):
            found[build].append(measure(build))
    return {build: values[warm_up:] for build, values in found.items()}


def spread(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    """The median, the middle half's ends, the least and the largest."""
    low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    named = {"median": statistics.median(values), "quarter": low, "three_quarters": high}
    return {k: round(v, digits) for k, v in {**named, "least": min(values), "worst": max(values)}.items()}


def ratio(ours: Sequence[float], former: Sequence[float]) -> dict[str, float | list[float]]:
    """The ratio of the medians, ours to the former build's, and 95 % of it by bootstrap over the pairs."""
    chance = random.Random(0)
    pairs = list(zip(ours, former, strict=True))
    found = []
    for _ in range(RESAMPLES):
        mine, theirs = zip(*chance.choices(pairs, k=len(pairs)), strict=True)
        found.append(statistics.median(mine) / statistics.median(theirs))
    found.sort()
    low, high = found[RESAMPLES // 40], found[-RESAMPLES // 40 - 1]
    return {
        "ratio": round(statistics.median(ours) / statistics.median(former), 3),
        "interval_95": [round(low, 3), round(high, 3)],
    }
