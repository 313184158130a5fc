"""The regime of a load curve, and a run's numbers, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.measures.load_curve import LoadStatistics, statistics
from engine.measures.registry import DEFAULT_MEASURE, DISTANCE, HEALTH, MEASURES, PROBES
from engine.runs.records import Curve
from engine.runs.status import Status
from engine.runs.towers import towers_of

from .run_state import RunState, has_logits, signed_curve


def shown_measure(measure: str) -> str:
    """The measure whose regime is shown while this one is drawn; linear probes have no regime."""
    return DEFAULT_MEASURE if measure == PROBES else measure


def shape_of(state: RunState | None, measure: str, at: Curve | None = None) -> LoadStatistics | None:
    """Statistics of a run's load curve in a measure; None before there is one.

    Args:
        state: of the run.
        measure: ``distance`` for a chain.
        at: which of its curves; by default the newest.
    """
    curve = at or (state.latest if state is not None else None)
    if state is None or curve is None:
        return None
    shown = shown_measure(measure)
    return statistics(
        signed_curve(curve, shown),
        logits=has_logits(state, shown),
        error=curve.scalars.get("curve_error") if shown == DEFAULT_MEASURE else None,
        ended=curve is state.latest and _is_trained(state, curve),
        chain=shown == DISTANCE,
        joins=any(tower.joins for tower in towers_of(state.facts) if tower.path == curve.path),
    )


def _is_trained(state: RunState, newest: Curve) -> bool:
    """Whether training is over, or waits at the epoch that it was to reach."""
    return state.is_over or bool(newest.scalars.get("held"))


def measure_label(name: str) -> str:
    """A measure of separation or of layer health as the screens show it; the name itself where it is not known."""
    known = MEASURES.get(name) or HEALTH.get(name)
    return known.label if known is not None else name.replace("_", " ")


_SHORT_UNITS = {
    "natural logarithm of a dimensionless ratio": "log ratio",
    "fraction of the units, in [0, 1]": "fraction of units",
    "fraction of the activations, in [0, 1]": "fraction of activations",
    "the unit of the loss over that of the parameters": "loss / parameters",
    "the unit of the activations": "activations",
}
"""Units as they stand in titles."""


def measure_unit(name: str) -> str:
    """The unit of a measure of separation or of layer health, in short; empty where it is not known."""
    known = MEASURES.get(name) or HEALTH.get(name)
    return _SHORT_UNITS.get(known.unit, known.unit) if known is not None else ""


def number(value: float | None, digits: int = 3) -> str:
    """A number of a few digits, or a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}g}"


def value_in_words(value: float | None) -> str:
    """A number, or the word for one that is not finite; a dash where there is none."""
    if value is None or math.isfinite(value):
        return number(value, 4)
    return "NaN" if math.isnan(value) else str(value)


def decimals(value: float | None, places: int = 2, *, sign: bool = False) -> str:
    """A number of fixed width, so that it does not jump while it changes; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:{'+' if sign else ''}z.{places}f}" if abs(value) < 1000 else f"{value:.2g}"


def joined(*parts: str) -> str:
    """The parts that are not empty, with commas between them."""
    return ", ".join(part for part in parts if part)


STEADY = 0.02
"""Change of an asymmetry below which it is steady."""


def trend(state: RunState, measure: str) -> str:
    """How the asymmetry changes from curve to curve: rising, falling or steady; empty where it is unknown."""
    now = shape_of(state, measure)
    before = shape_of(state, measure, state.echoes[0]) if state.echoes else None
    if now is None or before is None or now.reason or before.reason:
        return ""
    change = now.asymmetry - before.asymmetry
    return "steady" if abs(change) < STEADY else "rising" if change > 0 else "falling"


def shape_line(statistics: LoadStatistics) -> str:
    """CV and asymmetry of a load curve in words; dashes where there is no load."""
    if statistics.regime == "unclear":
        return f"CV {decimals(None)} · asymmetry {decimals(None)}"
    return f"CV {decimals(statistics.cv)} · asymmetry {decimals(statistics.asymmetry, sign=True)}"


def with_error(value: float, error: float | None) -> str:
    """A number rounded to the first digit of its error: +0.0123 ± 0.0008."""
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
    at = state.at
    rate = state.latest.scalars.get("rate") if state.latest else None
    pace = f" · {number(rate)}/s" if rate and not state.is_over else ""
    if state.is_held:
        pace = " · held"
    return f"{unit} {at}/{state.goal}{pace}" if state.goal else f"{unit} {at}{pace}"


def age_in_words(seconds: float) -> str:
    """One number and one unit: 5s, 12m, 3h, 4d."""
    for unit, seconds_each in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= seconds_each:
            return f"{int(seconds // seconds_each)}{unit}"
    return f"{int(seconds)}s"


def lost_workers(count: int) -> str:
    """How many workers an executor lost, in words."""
    return f"{count} worker{'s' if count != 1 else ''} lost"


def process_of(kind: str) -> str:
    """What the process that fills a run is called: a probe's is a person's own script."""
    return "process" if kind == "probe" else "worker"


def status_in_words(status: Status, *, is_foreign: bool) -> str:
    """A status as screens show it: of another tool's run nobody can know more than that it is quiet."""
    return "quiet" if is_foreign and status is Status.UNKNOWN else status.value


UNITS = {"train": "epoch", "chain": "step", "probe": "step"}


def fitting(parts: Sequence[str], width: int) -> str:
    """The first part, cut if necessary, and those of the others that fit into ``width``."""
    shown = parts[0] if parts else ""
    if len(shown) > width > 1:
        return shown[: width - 1] + "…"
    for part in parts[1:]:
        if len(shown) + 3 + len(part) > width:
            continue
        shown += f" · {part}"
    return shown


def columns(items: Sequence[str], width: int) -> list[str]:
    """Lines of short texts side by side, as many as fit; none is cut."""
    if not items:
        return []
    cell = max(len(item) for item in items) + 2
    across = max(1, width // cell)
    return [
        "".join(item.ljust(cell) for item in items[i : i + across]).rstrip() for i in range(0, len(items), across)
    ]


AWAY = 10.0
"""Seconds from which an absence is mentioned."""


def away(seconds: float, records: int) -> str:
    """The text on an absence of so many seconds and the records that came; empty for short ones."""
    if records <= 0 or seconds < AWAY:
        return ""
    return f"away {duration(seconds)}: {records} records caught up"
