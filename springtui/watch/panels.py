"""What the Watch screen's panels show, computed from a view of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textual.markup import escape

from engine.measures.load_curve import loads
from engine.measures.registry import DISTANCE
from engine.runs.status import Observation, Status
from engine.settings.chain import PAST_THE_MAP, is_past_the_map
from engine.settings.run import RunConfig, kind_of

from ..state.curves import curves_of, legend, theory_of, twin_of, twin_series
from ..state.empty import why_empty
from ..state.pictures import Series
from ..state.run_state import RunState, points_of, signed_curve
from ..state.timeline import Points, View
from ..state.wording import (
    UNITS,
    columns,
    duration,
    fitting,
    joined,
    number,
    shape_line,
    shape_of,
    trend,
    with_error,
)
from ..terminal.text import plain_text
from ..widgets.lines import bars

if TYPE_CHECKING:
    from ..follow.usage import Sample

GO_ON = "Esc, then g in the list of runs, goes on with it"
_VALUE_WIDTH = 26
_ROLES = ("primary", "good", "accent", "warn", "muted")
_MISSING = "–"
_SHOW_REASON = {Status.CRASHED, Status.FAILED, Status.DIVERGED, Status.UNKNOWN, Status.WAITING}
"""Statuses for which the Watch screen shows the reason."""


def kind_in_words(config: RunConfig | None) -> str:
    """The kind of the run; empty while its configuration is not known."""
    return kind_of(config.settings) if config is not None else ""


def curve_series(view: View, measure: str) -> list[Series]:
    """The newest load curve, the first and a few before the newest, and the twin's or the mean field's."""
    state = view.state
    if measure == DISTANCE:
        return [*theory_of(state), *curves_of(state, measure, "accent")]
    return [*twin_series(state, measure), *curves_of(state, measure, "primary")]


TOWER_ROLES = (("accent", "$accent"), ("good", "$success"), ("warn", "$warning"), ("muted", "$secondary"))
"""Roles and colours of the towers that are not selected, by their place among all."""


def tower_series(state: RunState, path: str, measure: str) -> list[Series]:
    """The newest load curves of the towers other than the selected one; empty where the model has one tower."""
    found = []
    for i, tower in enumerate(state.towers):
        curve = state.of_tower(tower.path).latest
        if tower.path == path or curve is None:
            continue
        values = [float("nan") if v is None else v for v in points_of(curve, measure)]
        role = TOWER_ROLES[i % len(TOWER_ROLES)][0]
        found.append(Series(list(range(len(values))), values, plain_text(tower.path), role))
    return found


def towers_legend(paths: Sequence[str], selected: str) -> str:
    """The legend of a load curve with those of all towers, as markup."""
    colors = [TOWER_ROLES[i % len(TOWER_ROLES)][1] for i in range(len(paths))]
    return legend(
        *((escape(plain_text(path)), "$primary" if path == selected else color)
          for path, color in zip(paths, colors, strict=True))
    )  # fmt: skip


def loads_of(state: RunState, measure: str) -> tuple[list[float], list[str]]:
    """The load of each layer, [L], and the layers' names as plain text."""
    if state.latest is None:
        return [], []
    found = [float(d) for d in loads(signed_curve(state.latest, measure))]
    names = [plain_text(name) for name in state.layers[1:]]
    names += [str(i + 1) for i in range(len(names), len(found))]
    return found, names


def groups_of(names: Iterable[str]) -> dict[str, list[str]]:
    """Names of scalars by group; a group, such as training and test accuracy, shares a plot."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.removeprefix("train_").removeprefix("test_"), []).append(name)
    return {key: sorted(found, reverse=True) for key, found in groups.items()}


def history_series(
    whole: Mapping[str, Points], until: Mapping[str, Points] | None, names: Sequence[str]
) -> list[Series]:
    """Curves over epochs or steps; in a replay the whole curves stand faint behind them."""
    series = []
    if until is not None:
        series += [Series(*whole[name], "", "fade3") for name in names if name in whole]
    known = whole if until is None else until
    for name, role in zip(names, _ROLES * (1 + len(names) // len(_ROLES)), strict=False):
        if name in known:
            series.append(Series(*known[name], plain_text(name), role))
    return series


def header(view: View, name: str, run: str, kind: str, *, replayed: bool, width: int) -> str:
    """The run's name, kind, status, progress and id; parts that do not fit into ``width`` are left out.

    Without a name the id stands in its place.
    """
    state = view.state
    unit = UNITS.get(kind, "step")
    total = f"/{state.goal}" if state.goal > 0 else ""
    parts = [name or run, kind, "replay" if replayed else state.status, f"{unit} {state.at}{total}"]
    if view.read < 1.0:
        parts.append(f"reading {100 * view.read:.0f}%")
    if not replayed and not state.is_over and state.status is not Status.GONE and state.latest is not None:
        if rate := state.latest.scalars.get("rate"):
            parts.append(f"{number(rate)}/s")
        if round(state.seconds_left or 0.0) > 0:
            parts.append(f"left {duration(state.seconds_left)}")
    if view.damaged:
        parts.append(f"{view.damaged} damaged lines skipped")
    if name:
        parts.append(run)
    return plain_text(fitting([part for part in parts if part], width))


def warning_lines(state: RunState) -> list[str]:
    """The worker's warnings, oldest first, each with the time since the run began."""
    return [
        f"after {duration(max(0.0, note.time - state.started))}: {note.level}: {note.text}"
        for note in state.warnings
    ]


def what_went_wrong(observation: Observation | None) -> str:
    """Status and reason of a run that did not end well or cannot be observed; else empty."""
    if observation is None or observation.status not in _SHOW_REASON:
        return ""
    return f"{observation.status}: {observation.text}"


def why_no_curve(state: RunState) -> str:
    """The text in place of the curves of a run that has none."""
    return why_empty(state.status, state.note, remedy=GO_ON)


def facts(state: RunState, measure: str, observation: Observation | None) -> list[str]:
    """Lines on the load curve's regime, its twin, and how the run ended."""
    problem = [plain_text(text)] if (text := what_went_wrong(observation)) else []
    if observation is not None and (observation.status.went_wrong or observation.status is Status.WAITING):
        problem.append(f"{GO_ON}.")
    if state.latest is None:
        note = plain_text(state.note) or "no curve yet"
        return problem if problem and (not state.note or note in problem[0]) else [*problem, note]
    lines = [" · ".join(regime)] if (regime := regime_parts(state, measure)) else []
    if measure != DISTANCE and (fit := twin_of(state)) is not None:
        lines.append(f"twin F* {with_error(fit.effective_friction, fit.standard_error)}")
    if "friction" in state.latest.scalars and is_past_the_map(state.latest.scalars.get("time")):
        lines.append(f"{PAST_THE_MAP}.")
    if problem:
        lines += problem
    elif state.ended is not None:
        lines.append(plain_text(state.ended.text or state.ended.reason))
    elif state.note:
        lines.append(plain_text(state.note))
    return lines


def regime_parts(state: RunState, measure: str) -> list[str]:
    """Regime of the newest load curve, then its numbers with their trend; empty before there is a curve."""
    shape = shape_of(state, measure)
    if shape is None or shape.reason:
        return [] if shape is None else [shape.words]
    return [shape.words, joined(shape_line(shape), trend(state, measure))]


def settings_lines(state: RunState, config: RunConfig | None, width: int) -> list[str]:
    """The settings in force, in columns: those that can change while it runs, then those that are not defaults."""
    if not state.settings:
        return []
    cls = type(config.settings) if config is not None else None
    live: frozenset[str] = getattr(cls, "live", frozenset())
    defaults = cls() if cls is not None else None
    names = sorted(name for name in state.settings if name in live)
    for name, value in state.settings.items():
        if (
            name not in live
            and not isinstance(value, (list, dict))
            and (defaults is None or getattr(defaults, name, None) != value)
        ):
            names.append(name)
    return columns(
        [f"{plain_text(name)} {plain_text(setting_in_words(state.settings[name]))}" for name in names], width
    )


def setting_in_words(value: Any) -> str:
    """A setting's value, cut at the left where it is long."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "none" if value is None else str(value)
    return text if len(text) <= _VALUE_WIDTH else "…" + text[1 - _VALUE_WIDTH :]


def usage_lines(
    samples: Sequence[Sample],
    gpu_note: str,
    observation: Observation | None,
    *,
    width: int,
    process: str = "worker",
) -> list[str]:
    """Lines on processor, memory and GPU use of the process that fills the run, and of this machine."""
    if observation is not None and not observation.in_sight and observation.live is not False:
        return [
            f"The {process} is on {plain_text(observation.host) or 'another host'};",
            "its use can be measured there only.",
        ]
    if not samples:
        measurable = observation is None or observation.in_sight
        return ["measuring …" if measurable else f"no live {process}, so nothing to measure"]
    last = samples[-1]
    rows: list[tuple[str, list[float | None], str, str, float]] = [
        (process, [s.worker_cpu for s in samples], _percent(last.worker_cpu), _mib(last.worker_memory), 1.0),
        (
            "machine", [s.machine_cpu for s in samples], _percent(last.machine_cpu),
            f"{_mib(last.machine_memory)} of {_mib(last.machine_memory_total)}", 1.0,
        ),
    ]  # fmt: skip
    lines = []
    for name, values, processor, memory, highest in rows:
        words = f"{name:<8}{processor:>5}  {memory}"
        lines.append(words)
        lines.append(bars(values, width, max(highest, *(v or 0.0 for v in values))))
    if last.gpu is None:
        lines.append(f"GPU     {gpu_note}")
    else:
        own = f" · {process} {_mib(last.worker_gpu_memory)}" if last.worker_gpu_memory is not None else ""
        memory = f"{_mib(last.gpu_memory)} of {_mib(last.gpu_memory_total)}"
        lines += [f"GPU     {_percent(last.gpu):>5}  {memory}{own}", bars([s.gpu for s in samples], width, 1.0)]
    return lines


def _percent(part: float | None) -> str:
    return _MISSING if part is None else f"{100 * part:.0f}%"


def _mib(size: float | None) -> str:
    if size is None:
        return _MISSING
    return f"{size:.0f} MiB" if size < 1000 else f"{size / 1024:.1f} GiB"


def bar_words(view: View, position: int | None, whole: View, *, playing: bool, speed: int) -> tuple[str, str]:
    """The texts below the time bar: the moment shown, at the left, and the replay's state, at the right."""
    state = view.state
    if not whole.curves:
        return "nothing to replay yet", ""
    at = whole.curves if position is None else position + 1
    seconds = _seconds(state) if view.seconds is None else view.seconds
    left = f"record {at}/{whole.curves}"
    if math.isfinite(seconds):
        left += f" · {duration(max(0.0, seconds))}"
    if position is None:
        return left, "live" if state.status.is_live else "end"
    return left, f"playing ×{speed}" if playing else f"paused at ×{speed} · End goes to the end"


def _seconds(state: RunState) -> float:
    first, last = state.initial, state.latest
    return last.time - first.time if first is not None and last is not None else 0.0
