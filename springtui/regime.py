"""The regime of a load curve, and a run's numbers, in words."""

from __future__ import annotations

import math

from engine.measures.load_curve import LoadStatistics, statistics

from .measures import PROBES
from .state import RunState, signed_curve

_WORDS = {
    "concave": "shallow layers lazy",
    "convex": "deep layers lazy",
    "balanced": "balanced",
    "uneven": "uneven, neither end lazy",
    "unclear": "not separating",
}


def in_words(statistics: LoadStatistics) -> str:
    """Which layers carry the load."""
    return _WORDS[statistics.regime]


def shown_measure(measure: str) -> str:
    """The measure whose regime is told while one is drawn: probes have none of their own."""
    return "trace_ratio" if measure == PROBES else measure


def shape_of(state: RunState | None, measure: str) -> LoadStatistics | None:
    """Of a network's newest curve, in a measure as it is drawn; None before there is one."""
    if state is None or state.latest is None:
        return None
    return statistics(signed_curve(state.latest, shown_measure(measure)), logits=True)


def number(value: float | None, digits: int = 3) -> str:
    """A number of a few digits, or a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}g}"


def decimals(value: float | None, places: int = 2, *, sign: bool = False) -> str:
    """A number of fixed width, so that it does not jump while it changes; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:{'+' if sign else ''}z.{places}f}" if abs(value) < 1000 else f"{value:.2g}"


def shape_line(statistics: LoadStatistics) -> str:
    """The two numbers of a load curve's shape; dashes where there is no load to be shared."""
    if statistics.regime == "unclear":
        return f"CV {decimals(None)} · asymmetry {decimals(None)}"
    return f"CV {decimals(statistics.cv)} · asymmetry {decimals(statistics.asymmetry, sign=True)}"


def with_error(value: float, error: float | None) -> str:
    """A number to the place of its error's first digit: +0.0123 ± 0.0008."""
    if error is None or not math.isfinite(error) or error <= 0.0:
        return f"{value:+z.3f}"
    places = min(6, max(3, -math.floor(math.log10(error))))
    return f"{value:+z.{places}f} ± {error:.{places}f}"


def percent(value: float | None) -> str:
    """A fraction as a percentage, or a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{100 * value:.1f}%"


def duration(seconds: float | None) -> str:
    """Seconds as 4s, 2m05s or 1h02m, or a dash."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def progress_line(state: RunState, unit: str) -> str:
    """How far a run has come, and how fast."""
    at = state.latest.at if state.latest else 0
    rate = state.latest.scalars.get("rate") if state.latest else None
    pace = f" · {number(rate)}/s" if rate and not state.is_over else ""
    return f"{unit} {at}/{state.total}{pace}" if state.total else f"{unit} {at}{pace}"
