"""What the lab's panels show, computed from the states of the two runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual.dom import DOMNode

from engine.measures.load_curve import loads
from engine.measures.registry import DEFAULT_MEASURE, DISTANCE, MEASURES
from engine.runs.status import Status
from engine.settings.chain import TWIN_TIME, is_past_the_map

from ..state.curves import curves_of, legend, legend_of, theory_of, twin_of, twin_series
from ..state.empty import WAITING, why_empty
from ..state.pictures import Series
from ..state.run_state import RunState, signed_curve
from ..state.wording import (
    decimals,
    duration,
    joined,
    number,
    percent,
    progress_line,
    shape_line,
    shape_of,
    shown_measure,
    trend,
    with_error,
)
from ..terminal.text import plain_text
from ..widgets.canvas import Canvas
from ..widgets.chain_view import ChainView
from ..widgets.load_bars import LoadBars
from ..widgets.plot import Plot
from .session import SYSTEMS, Panel

TITLES = {
    "#network-curve": "Network · load curve",
    "#chain-curve": "Chain · load curve",
    "#loads": "Network · load of each layer",
    "#chain-view": "Chain · blocks and springs",
    "#loss": "Training loss",
    "#accuracy": "Accuracy",
}


def legends() -> dict[str, str]:
    """By plot, the legend below it: each curve's colour and name, as markup."""
    return {
        "#network-curve": legend_of("network", ("map", "$success")),
        "#chain-curve": legend_of("chain"),
        "#accuracy": legend(("train", "$secondary"), ("test", "$success")),
    }


def show_states(
    owner: DOMNode,
    states: Mapping[Panel, RunState],
    measure: str,
    predicted: Sequence[float] = (),
    trouble: Mapping[Panel, str] | None = None,
) -> None:
    """Give every plot its curves; ``predicted`` is the map's load curve, scaled from 1 to 0."""
    train, chain = states.get("train"), states.get("chain")
    for panel in SYSTEMS:
        nothing = _why_empty(panel, states.get(panel), (trouble or {}).get(panel, ""))
        for canvas in owner.query(".chain" if panel == "chain" else ".network, .training").results(Canvas):
            canvas.say_empty(nothing)
    plot = owner.query_one("#network-curve", Plot)
    title = f"Network · load curve · {MEASURES[measure].label}"
    if plot.border_title != title:  # setting it repaints the whole plot
        plot.border_title = title
    runs = [state and state.run_id for state in (train, chain)]  # a new run's axes are made anew
    plot.show([*twin_series(train, measure, predicted), *curves_of(train, measure, "primary")], (runs[0], measure))
    theory = theory_of(chain)
    owner.query_one("#chain-curve", Plot).show([*theory, *curves_of(chain, DISTANCE, "accent")], (runs[1],))
    if chain is None or chain.latest is None:
        owner.query_one(ChainView).show([], 1.0)
    _show_loads(owner.query_one(LoadBars), train, measure)
    owner.query_one("#loss", Plot).show(_histories(train, [("train_loss", "train", "primary")]), (runs[0],))
    wanted = [("train_accuracy", "train", "muted"), ("test_accuracy", "test", "good")]
    owner.query_one("#accuracy", Plot).show(_histories(train, wanted), (runs[0],))


def _why_empty(panel: Panel, state: RunState | None, trouble: str) -> str:
    if state is None:
        return trouble or WAITING
    return why_empty(state.status, state.note, what=f"the {SYSTEMS[panel]}", remedy=_ways(state))


def words(
    states: Mapping[Panel, RunState],
    trouble: Mapping[Panel, str],
    measure: str,
    *,
    chain_first: bool = False,
    beyond: str = "",
) -> tuple[str, str]:
    """The text of the regime, and the text of both runs' numbers.

    ``beyond`` says why no chain applies to the network; empty where one does.
    """
    train, chain = states.get("train"), states.get("chain")
    absent: dict[Panel, str] = {panel: "not started" if panel in trouble else "starting" for panel in SYSTEMS}
    facts = [_train_facts(train, absent["train"]), _chain_facts(chain, absent["chain"], beyond)]
    first, second = reversed(facts) if chain_first else facts
    return _regime(train, measure), "\n".join([*_trouble_lines(trouble), *first, "", *second])


def _histories(state: RunState | None, wanted: Sequence[tuple[str, str, str]]) -> list[Series]:
    if state is None:
        return []
    found = [(state.history[key], name, role) for key, name, role in wanted if key in state.history]
    return [Series(list(history.x), list(history.y), name, role) for history, name, role in found]


def _show_loads(bars: LoadBars, state: RunState | None, measure: str) -> None:
    if state is None or state.latest is None:
        bars.show([], [])
        return
    names = [plain_text(name) for name in state.layers[1:]]
    bars.show([float(d) for d in loads(signed_curve(state.latest, measure))], names)


def _regime(state: RunState | None, measure: str) -> str:
    shape = shape_of(state, measure)
    if state is not None and state.is_behind and not state.is_over:
        return "no curve at these settings yet" + (": paused" if state.status is Status.PAUSED else "")
    if shape is None:
        return "no curve was made" if state is not None and state.is_over else "waiting for the first curve"
    shown = shown_measure(measure)
    by = "" if shown == DEFAULT_MEASURE else f" by {MEASURES[shown].label}"
    return f"{shape.words}{by}\n{joined(shape_line(shape), trend(state, measure) if state is not None else '')}"


def _train_facts(state: RunState | None, absent: str) -> list[str]:
    lines = ["NETWORK  " + ("held" if state and state.is_held else state.status if state else absent)]
    if state is None or state.latest is None:
        return [*lines, *_before_curves(state)]
    scalars = state.latest.scalars
    left = f" · left {duration(state.seconds_left)}" if state.seconds_left is not None else ""
    lines += [
        *_asides(state),
        progress_line(state, "epoch"),
        f"elapsed {duration(state.elapsed)}{left}",
        f"loss {number(scalars.get('train_loss'))}",
        *_twin_fact(state),
        f"train {percent(scalars.get('train_accuracy'))} · test {percent(scalars.get('test_accuracy'))}",
    ]
    return lines


def _twin_fact(state: RunState) -> list[str]:
    fit = twin_of(state)
    if fit is None:
        return []
    return [
        f"twin F* {with_error(fit.effective_friction, fit.standard_error)}",
        f"residual {percent(fit.residual)} of the drop",
    ]


def _before_curves(state: RunState | None) -> list[str]:
    """The worker's note before the first curve, or why there will be no curve."""
    if state is None:
        return []
    return [plain_text(state.note)] if state.note and state.ended is None else _asides(state)


def _chain_facts(state: RunState | None, absent: str, beyond: str) -> list[str]:
    lines = ["CHAIN  " + (state.status if state else absent)]
    if state is None or state.latest is None:
        return [*lines, *_before_curves(state)]
    settings = state.settings
    lines += _asides(state)
    if settings.get("hands") == "both":
        lines += _two_hands_facts(settings)
    else:
        lines += [progress_line(state, "step"), *_friction_facts(state)]
    if beyond:
        return [*lines, beyond]
    if (shape := shape_of(state, DISTANCE)) is not None:
        lines.append(f"{shape.words} · CV {decimals(shape.cv)}")
    return lines


def _two_hands_facts(settings: Mapping[str, Any]) -> list[str]:
    share, at_input, at_output = (settings.get(name) for name in ("input_share", "input_time", "output_time"))
    return [
        f"two hands · input's {_small(share)}",
        f"times {number(at_input, 2)} in · {number(at_output, 2)} out",
    ]


def _friction_facts(state: RunState) -> list[str]:
    settings, time = state.settings, state.latest.scalars.get("time") if state.latest else None
    lines = []
    if time is not None:
        hold = settings.get("hold")
        held = f"held at {hold:.0f}: O pulls on" if hold and time >= hold else f"its map is for {TWIN_TIME:.0f}"
        if is_past_the_map(time):
            held = f"past {TWIN_TIME:.0f} the map says nothing"
        lines.append(f"friction · time {time:.0f}")
        lines.append(held)
    lines.append(
        f"μ→ {_small(settings.get('mu_right'))} · μ← {_small(settings.get('mu_left'))} · "
        f"ε {_small(settings.get('noise'))}"
    )
    return lines


def _small(value: float | None) -> str:
    """A number with three decimals without the zero before the point, so that three fit into 80 columns."""
    return decimals(value, 3).removeprefix("0")


def _asides(state: RunState) -> list[str]:
    lines = []
    if state.refused:
        lines.append("refused: " + plain_text(state.refused))
    if state.ended is not None:
        lines.append(plain_text(state.ended.text or state.ended.reason) + f" · {_ways(state)}")
    return lines


def _ways(state: RunState) -> str:
    return "g resumes, r starts anew" if state.status.is_resumable else "r starts anew"


def _trouble_lines(trouble: Mapping[Panel, str]) -> list[str]:
    lines = [f"! {SYSTEMS[panel]}: {text}" for panel, text in trouble.items()]
    return [*lines, ""] if lines else []
