"""The regime of a load curve, and a run's numbers, in words."""

from __future__ import annotations

import math

from engine.loads import LoadStatistics

from .state import RunState

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


def number(value: float | None, digits: int = 3) -> str:
    """A number of a few digits, or a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}g}"


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
