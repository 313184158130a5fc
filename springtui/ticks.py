"""Round numbers along an axis."""

from __future__ import annotations

import math


def round_ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[tuple[float, str]]:
    """At most ``most`` multiples of 1, 2 or 5 × 10ⁿ within [low, high], with their labels.

    ``whole`` keeps to whole numbers, for axes that count.
    """
    span = high - low
    if not (math.isfinite(span) and span > 0 and most > 0):
        return [(low, _label(low, 2))] if math.isfinite(low) else []
    decade = math.floor(math.log10(span / most)) if span / most > 0 else 0
    for step in (mantissa * 10.0**power for power in range(decade, decade + 3) for mantissa in (1, 2, 5)):
        if whole and step < 1:
            continue
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            digits = max(0, -math.floor(math.log10(step) + 1e-9))
            return [(k * step, _label(k * step, digits)) for k in range(first, last + 1)]
    return []


def log_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """At most ``most`` round numbers between 10**low and 10**high: powers of ten, or between two of them 1-2-5.

    The places are logarithms, as ``low`` and ``high`` are.
    """
    decades = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    if len(decades) >= 2:
        every = -(-len(decades) // max(1, most))
        return [(float(k), _power(k)) for k in decades[::every]]
    if not (math.isfinite(low) and math.isfinite(high)) or high > 300 or low < -300:
        return []
    values = round_ticks(10.0**low, 10.0**high, most)
    return [(math.log10(value), label) for value, label in values if value > 0]


def _power(k: int) -> str:
    return f"{10.0**k:g}" if -3 <= k <= 4 else f"1e{k}"


def _label(value: float, digits: int) -> str:
    if abs(value) >= 1e5:
        return f"{value:.0e}".replace("e+0", "e").replace("e+", "e")
    return f"{value:.{digits}f}" if value else f"{0:.{digits}f}"
