"""The same training in several formats: what one training wrote through several loggers is shown once.

Runs of different formats are one training where scalars of like names have the same values at the same steps, or
in the same order, to the digits that the coarser log has; where both tell times, these agree; and where their
folders lie near each other. Learning rates, epochs and counters are no evidence, since other trainings share them.
It is told from a ``Sketch`` of each run, a few hundred of its points, so that no log is read twice.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .batch import Batch
from .series import Series

_POINTS = 24
"""Points kept of a scalar from its beginning, and about as many from all over it."""
_TAGS = 32
_KEYS = 8
"""Points of a scalar, and scalars of a run, by which runs that may be the same are looked up."""
_FEWEST = 3
"""Different values of a scalar that must agree."""
_DIGITS = 6
"""Significant digits that single precision keeps."""
_APART = 60.0
"""Seconds by which two loggers may date the same point differently: some date a batch of rows."""
_NEAR = 3
"""Folders to go up from a run to one that holds the other run as well."""
_SPLIT = re.compile(r"[^a-z0-9]+")
_TRAINING = ("train", "training")
_ALIKE = {"valid": "eval", "validation": "eval", "val": "eval", "evaluation": "eval", "accuracy": "acc"}
_NO_EVIDENCE = re.compile(
    r"(^|_)(lr|learning_rate|epochs?|steps?|global_step|iter|iterations?|time|timestamp|runtime|flos|seconds?|index|"
    r"percentage|momentum|wd|weight_decay)(_|$)|^system_|^lr|_per_second"
)
PRINTED = "console"
"""The format of what was printed: rounded, and thinned as a progress bar is drawn."""
_Floats = npt.NDArray[np.float64]


def short_name(tag: str) -> str:
    """A tag without what loggers put differently: ``train/loss``, ``train_loss`` and ``Loss`` are ``loss``."""
    words = [_ALIKE.get(word, word) for word in _SPLIT.split(tag.lower()) if word]
    return "_".join(words[1:] if len(words) > 1 and words[0] in _TRAINING else words)


class _Sample:
    """Points of one scalar: the first ones, and those whose steps, hashed, come out smallest.

    Two logs of one scalar pick the same steps, whatever part of them each holds.
    """

    def __init__(self) -> None:
        self.first = np.empty((3, 0))
        """[3, n]: steps, values and times of the first points."""
        self.spread = np.empty((3, 0))
        """[3, n]: the same of points with small hashes, by step."""
        self._below = np.uint64(2**64 - 1)

    def take(self, points: Series) -> None:
        """Take further points."""
        if self.first.shape[1] < _POINTS:
            self.first = np.hstack([self.first, _stacked(points, slice(_POINTS - self.first.shape[1]))])
        chosen = np.flatnonzero(_hashed(points.step) <= self._below)
        if len(chosen):
            self.spread = np.hstack([self.spread, _stacked(points, chosen)])
            self._thin()

    def cut(self, step: int) -> None:
        """Leave out the points from a step on."""
        self.first = self.first[:, self.first[0] < step]
        self.spread = self.spread[:, self.spread[0] < step]

    def _thin(self) -> None:
        """Keep the last point of each step, and of these at most twice ``_POINTS``."""
        steps, last = np.unique(self.spread[0][::-1], return_index=True)
        self.spread = self.spread[:, self.spread.shape[1] - 1 - last]
        if len(steps) > 2 * _POINTS:
            hashed = _hashed(steps.astype(np.int64))
            self._below = np.uint64(np.partition(hashed, _POINTS)[_POINTS])
            self.spread = self.spread[:, hashed <= self._below]


def _stacked(points: Series, chosen: slice | npt.NDArray[np.int64]) -> _Floats:
    return np.vstack([points.step[chosen].astype(np.float64), points.value[chosen], points.time[chosen]])


def _hashed(steps: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Steps by multiplicative hashing: neighbours come out far from each other."""
    return steps.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)


class Sketch:
    """What is kept of a run to tell whether another is the same training; it is handed the run's batches."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.points = 0
        """Points of all scalars; those that were cut later are counted too."""
        self.has_times = False
        """Whether any point tells when it was logged."""
        self.samples: dict[str, _Sample] = {}
        """By tag."""

    def take(self, batch: Batch) -> None:
        """Fold the news of a run."""
        if batch.anew:
            self._forget()
        for tag, step in batch.cuts.items():
            if tag in self.samples:
                self.samples[tag].cut(step)
        for tag, points in batch.points.items():
            self.points += len(points)
            self.has_times = self.has_times or bool(len(points) and math.isfinite(points.time[0]))
            if tag in self.samples or self._has_room(tag):
                self.samples.setdefault(tag, _Sample()).take(points)

    def _has_room(self, tag: str) -> bool:
        """Whether a new tag is kept; among many, each run keeps the same ones, and one that is none gives way."""
        if _NO_EVIDENCE.search(short_name(tag)):
            return False
        if len(self.samples) < _TAGS:
            return True
        last = max(self.samples, key=_order)
        if _order(tag) >= _order(last):
            return False
        del self.samples[last]
        return True

    def keys(self) -> Iterator[tuple[str, float, float]]:
        """What runs that are the same training share: names, steps or places, and values to four digits."""
        for tag in sorted(self.samples, key=_order)[:_KEYS]:
            name, sample = short_name(tag), self.samples[tag]
            by_hash = np.argsort(_hashed(sample.spread[0].astype(np.int64)))[:_KEYS]
            for step, value in sample.spread[:2, by_hash].T.tolist():
                yield name, step, _rounded(value)
            for place, value in enumerate(sample.first[1, :_KEYS].tolist()):
                yield f"{name} in order", place, _rounded(value)


def _order(tag: str) -> int:
    return zlib.crc32(short_name(tag).encode("utf-8", "replace"))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


class Candidate(NamedTuple):
    """A run that is compared with others."""

    format: str
    folder: Path
    sketch: Sketch


def same_trainings(runs: Mapping[int, Candidate], shown: Collection[int] = ()) -> dict[int, int]:
    """By number of a run that is the same training as another: the number of that one, which is the richest.

    ``shown``: runs that were kept before, beside others of the same training; they are kept again.

    Of the runs of one training a log is kept before what was printed; then the one that is the same as the most
    others (a log that spans a resume beside those of its parts), then that with the most points, then one that
    tells times.
    """
    alike: dict[int, set[int]] = defaultdict(set)
    for left, right in _candidates(runs):
        if _is_same(runs[left], runs[right]):
            alike[left].add(right)
            alike[right].add(left)
    kept: dict[int, int] = {}
    order = sorted(
        alike,
        key=lambda n: (runs[n].format == PRINTED, -len(alike[n]), n not in shown, *_poverty(runs[n].sketch), n),
    )
    for number in order:
        if number not in kept:
            kept |= {other: number for other in alike[number] if other not in kept and other not in kept.values()}
    return kept


def _poverty(sketch: Sketch) -> tuple[int, bool]:
    """Smaller for richer runs."""
    return -sketch.points, not sketch.has_times


def _candidates(runs: Mapping[int, Candidate]) -> list[tuple[int, int]]:
    """Pairs of runs of different formats, near each other, that share a few values."""
    holders: dict[tuple[str, float, float], list[int]] = defaultdict(list)
    for number, run in runs.items():
        for key in set(run.sketch.keys()):
            holders[key].append(number)
    shared = Counter(pair for numbers in holders.values() for pair in _pairs(runs, numbers))
    return sorted(pair for pair, count in shared.items() if count >= _FEWEST)


def _pairs(runs: Mapping[int, Candidate], numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs among the runs that share a value; where hundreds do, only those in the same folder."""
    groups: Sequence[Sequence[int]] = [numbers]
    if len(numbers) > _POINTS:
        by_folder = defaultdict(list)
        for number in numbers:
            by_folder[runs[number].folder].append(number)
        groups = [group[:_POINTS] for group in by_folder.values()]
    for group in groups:
        for left, right in combinations(group, 2):
            if runs[left].format != runs[right].format and _is_near(runs[left], runs[right]):
                yield left, right


def _is_near(left: Candidate, right: Candidate) -> bool:
    """Whether two folders are near enough for one training.

    Where one log tells no times, one folder is in the other, or both have the same name: ``csv/version_0`` and
    ``tb/version_0``.
    """
    mine, theirs = left.folder.parts, right.folder.parts
    shared = next((n for n, (one, other) in enumerate(zip(mine, theirs, strict=False)) if one != other), None)
    if shared is None:
        return abs(len(mine) - len(theirs)) <= _NEAR
    are_dated = left.sketch.has_times and right.sketch.has_times
    return max(len(mine), len(theirs)) - shared <= _NEAR and (are_dated or mine[-1] == theirs[-1])


def _is_same(left: Candidate, right: Candidate) -> bool:
    """Whether some scalar of both agrees in enough different values, dated alike where both are dated."""
    names = defaultdict(list)
    for tag in right.sketch.samples:
        names[short_name(tag)].append(tag)
    for tag, sample in left.sketch.samples.items():
        for other in names[short_name(tag)]:
            theirs = right.sketch.samples[other]
            if _agree(*_at_common_steps(sample.spread, theirs.spread)) or _agree(*_in_order(sample, theirs)):
                return True
    return False


def _at_common_steps(left: _Floats, right: _Floats) -> tuple[_Floats, _Floats]:
    _, mine, theirs = np.intersect1d(left[0], right[0], return_indices=True)
    return left[:, mine], right[:, theirs]


def _in_order(left: _Sample, right: _Sample) -> tuple[_Floats, _Floats]:
    """The first points of both, where their steps count different things and may not be compared."""
    count = min(left.first.shape[1], right.first.shape[1])
    if np.array_equal(left.first[0, :count], right.first[0, :count]):
        count = 0
    return left.first[:, :count], right.first[:, :count]


def _agree(left: _Floats, right: _Floats) -> bool:
    """Whether points that correspond have the same values, from the first to the last or to some point.

    A resumed training may have gone another way from the point on at which it was taken up.
    """
    values: set[float] = set()
    wrong = 0
    for (_, mine, my_time), (_, theirs, their_time) in zip(left.T.tolist(), right.T.tolist(), strict=True):
        if not _is_equal(mine, theirs) or abs(my_time - their_time) > _APART:  # False where one is not dated
            wrong += 1
        elif _is_telling(mine, theirs):
            if wrong:
                return False
            values.add(_rounded(mine))
    return len(values) >= _FEWEST and wrong <= len(values)


def _is_telling(left: float, right: float) -> bool:
    """Whether it would be a chance if two trainings had this value: it is no whole number and has three digits."""
    return math.isfinite(left) and left != round(left) and min(_digits(left), _digits(right)) >= _FEWEST


def _digits(value: float) -> int:
    """Significant digits that a value is written with."""
    return len(repr(value).partition("e")[0].replace(".", "").lstrip("-0").rstrip("0"))


def _is_equal(left: float, right: float) -> bool:
    """Whether two values are equal to the digits of the one that has fewer, or of single precision."""
    if not (math.isfinite(left) and math.isfinite(right)):
        return left == right or (math.isnan(left) and math.isnan(right))
    digits = max(1, min(_digits(left), _digits(right), _DIGITS))
    largest = max(abs(left), abs(right))
    if largest == 0.0:
        return True
    unit = 10.0 ** (math.floor(math.log10(largest)) + 1 - digits) if largest > 1e-300 else largest
    return abs(left - right) <= 0.51 * unit
