"""Round numbers along an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

MOST_EMPTY = 1.35
"""Most length of an axis, as a multiple of the data's range."""
FEW, ENOUGH = 3, 5
"""Numbers of labels: each up to the first counts much for an axis, up to the second a little, more not at all."""
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_LONG = 8
"""Characters from which on a label is written with a power of ten, where that is shorter."""


class Axis(NamedTuple):
    """The values at the first and the last cell of an axis, and its labels with their values."""

    low: float
    high: float
    ticks: list[tuple[float, str]]


def even_axis(
    low: float, high: float, cells: int, *, least: int = 2, whole: bool = False, beside: bool = False
) -> Axis | None:
    """An axis over [low, high] whose labels are all equally many cells apart, ``least`` or more.

    A cell is a label's step divided by a whole number, so the axis reaches a little beyond the data; of all such
    axes the one that wastes least and labels its first cell is taken. None where no such axis can be.

    Args:
        low, high: of the data.
        cells: lines or columns of the axis.
        least: cells from label to label.
        whole: keeps to whole numbers, for axes that count.
        beside: labels stand beside each other, with a blank between them at least.
    """
    span = high - low
    if not (math.isfinite(span) and span > 0 and cells > least > 0):
        return None
    best: tuple[float, Axis] | None = None
    decade = math.floor(math.log10(span * least / cells))
    for step in (mantissa * 10.0**power for power in range(decade, decade + 4) for mantissa in (1, 2, 5)):
        longest = step * (cells - 1) / span
        for parts in range(max(least, math.ceil(longest / MOST_EMPTY)), min(cells - 1, int(longest + 1e-9)) + 1):
            found = None if whole and step < 1 else _placed(low, high, cells, step, parts)
            if found is not None and beside and max(len(label) for _, label in found[1].ticks) >= parts:
                continue
            if found is not None and (best is None or found[0] > best[0] + 1e-9):
                best = found
    return best[1] if best is not None else None


def _placed(low: float, high: float, cells: int, step: float, parts: int) -> tuple[float, Axis] | None:
    """The axis of one step and so many cells to it, and how good it is."""
    cell = step / parts
    first, within = math.floor(low / cell + 1e-9), math.ceil(high / cell - 1e-9)
    if first + cells - 1 < within:
        return None
    room = first + cells - 1 - within
    if first % parts <= room:  # then it can begin with a label
        first -= first % parts
    numbers = range(-(-first // parts), (first + cells - 1) // parts + 1)
    if len(numbers) < 2:
        return None
    unlabelled = min(3, numbers[0] * parts - first)
    labels = 0.1 * min(FEW, len(numbers)) + 0.02 * min(ENOUGH, len(numbers))
    worth = (high - low) / (cell * (cells - 1)) + labels - 0.02 * unlabelled
    ticks = _labelled([k * step for k in numbers], step)
    return worth, Axis(first * cell, (first + cells - 1) * cell, ticks)


def round_ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[tuple[float, str]]:
    """At most ``most`` multiples of 1, 2 or 5 × 10ⁿ within [low, high], with their labels.

    ``whole`` keeps to whole numbers, for axes that count.
    """
    span = high - low
    if not (math.isfinite(span) and span > 0 and most > 0):
        return [(low, f"{low:.0f}" if whole and abs(low) < 1e15 else f"{low:.6g}")] if math.isfinite(low) else []
    decade = math.floor(math.log10(span / most)) if span / most > 0 else 0
    for step in (mantissa * 10.0**power for power in range(decade, decade + 3) for mantissa in (1, 2, 5)):
        if whole and step < 1:
            continue
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return _labelled([k * step for k in range(first, last + 1)], step)
    return []


def log_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """At most ``most`` round numbers between 10**low and 10**high: powers of ten, or between two of them 1-2-5.

    Where fewer than two lie there, the values at both ends; a power where a value is out of a float's range. The
    places are logarithms, as ``low`` and ``high`` are.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return []
    decades = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    if len(decades) >= 2:
        every = -(-len(decades) // max(1, most))
        return [(float(k), _power(k)) for k in decades[::every]]
    if high > 300 or low < -300:
        return [(end, f"10^{end:.4g}") for end in dict.fromkeys((low, high))]
    values = round_ticks(10.0**low, 10.0**high, most)
    found = [(math.log10(value), label) for value, label in values if value > 0]
    return found if len(found) > 1 else [(end, f"{10.0**end:.3g}") for end in dict.fromkeys((low, high))]


def log_axis(low: float, high: float, cells: int) -> Axis | None:
    """As ``even_axis`` for logarithms, labelled at powers of ten; None where they span less than two."""
    if not math.isfinite(high - low) or math.floor(high + 1e-9) - math.ceil(low - 1e-9) < 1:
        return None
    axis = even_axis(low, high, cells, whole=True)
    return axis and axis._replace(ticks=[(k, _power(round(k))) for k, _ in axis.ticks])


def _power(k: int) -> str:
    return f"{10.0**k:g}" if -3 <= k <= 4 else f"1e{k}"


def _labelled(values: Sequence[float], step: float) -> list[tuple[float, str]]:
    """Multiples of a step with their labels, all written alike: 0.25, from 1e5 on also 250k, 2.5M or 2.5e20.

    The shortest form is taken in which each label is the true value.
    """
    largest = max(map(abs, values), default=0.0)
    plain = [f"{value:z.{_places(step)}f}" for value in values]
    forms = [plain]
    if 1e5 <= largest < 1e15:
        unit, name = next((unit, name) for unit, name in _UNITS if unit <= largest)
        places = _places(step / unit)
        forms.insert(0, [f"{value / unit:z.{places}f}{name}" if value else "0" for value in values])
    if largest >= 1e15 or _width(plain) > _LONG:
        power = math.floor(math.log10(largest) + 1e-9) if largest > 0 else 0
        places = _places(step / 10.0**power) if power > -300 else 3
        forms.append([f"{value / 10.0**power:z.{places}f}e{power}" if value else "0" for value in values])
    return list(zip(values, min(forms, key=lambda labels: _width(labels)), strict=True))


def _places(step: float) -> int:
    """Decimal places in which multiples of a step differ."""
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _width(labels: Iterable[str]) -> int:
    return max(map(len, labels), default=0)
