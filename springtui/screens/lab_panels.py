"""From plain states to what the lab's panels show. No state of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.dom import DOMNode

from engine.chain.mean_field import TWIN_TIME
from engine.errors import DataError
from engine.measures.friction import CurveFit, fit_curve, hidden
from engine.measures.load_curve import loads, statistics
from engine.runs.records import Curve

from ..absent import WAITING, why_empty
from ..laboratory import RESUMABLE, SYSTEMS, Panel
from ..measures import PROBES
from ..regime import decimals, duration, in_words, number, percent, progress_line, shape_line, shape_of, with_error
from ..state import RunState, signed_curve
from ..terminal import ascii_only, plain_text
from ..widgets.canvas import Canvas
from ..widgets.chain_view import ChainView
from ..widgets.load_bars import LoadBars
from ..widgets.plot import Plot, Series

TITLES = {
    "#network-curve": "Network · load curve",
    "#chain-curve": "Chain · load curve",
    "#loads": "Network · load of each layer",
    "#chain-view": "Chain · blocks and springs",
    "#loss": "Training loss",
    "#accuracy": "Accuracy",
}


def legends() -> dict[str, str]:
    """Below the plots: each curve's colour and its name, as markup."""
    return {
        "#network-curve": legend_of("network", ("map", "$success")),
        "#chain-curve": legend_of("chain"),
        "#accuracy": legend(("train", "$secondary"), ("test", "$success")),
    }


def legend_of(system: str, *more: tuple[str, str]) -> str:
    """Below a load curve: what it was, what it is, and what is reckoned."""
    past = (("start", "$secondary 60%"), ("before", "$foreground 40%"))
    if system == "chain":
        return legend(*past, ("now", "$accent"), ("theory", "$theory"), *more)
    return legend(*past, ("now", "$primary"), ("twin", "$theory"), *more)


def legend(*curves: tuple[str, str]) -> str:
    """A piece of line in each curve's colour; names in one that can be read."""
    line = "-" if ascii_only() else "━"
    gap = " " if len(curves) > 4 else "  "  # five must fit beside each other at 120 columns
    return gap.join(f"[{color}]{line}[/] [$secondary]{name}[/]" for name, color in curves)


NAMES = {
    "trace_ratio": "trace ratio",
    "fuzziness": "fuzziness",
    "inverse_fuzziness": "inverse fuzziness",
    PROBES: "linear probes",
}
_FADES = ("fade3", "fade2", "fade1")


def show_states(
    owner: DOMNode,
    states: Mapping[Panel, RunState],
    measure: str,
    predicted: Sequence[float] = (),
    trouble: Mapping[Panel, str] | None = None,
) -> None:
    """Hand every plot what it should show; ``predicted`` is the map's curve from 1 to 0."""
    train, chain = states.get("train"), states.get("chain")
    for panel in SYSTEMS:
        nothing = _why_empty(panel, states.get(panel), (trouble or {}).get(panel, ""))
        for canvas in owner.query(".chain" if panel == "chain" else ".network, .training").results(Canvas):
            canvas.say_empty(nothing)
    plot = owner.query_one("#network-curve", Plot)
    title = f"Network · load curve · {NAMES[measure]}"
    if plot.border_title != title:  # setting it repaints the whole plot
        plot.border_title = title
    plot.show([*twin_series(train, measure, predicted), *curves_of(train, measure, "primary")])
    theory = theory_of(chain)
    owner.query_one("#chain-curve", Plot).show([*theory, *curves_of(chain, "distance", "accent")])
    if chain is None or chain.latest is None:
        owner.query_one(ChainView).show([], 1.0)
    _show_loads(owner.query_one(LoadBars), train, measure)
    owner.query_one("#loss", Plot).show(_histories(train, [("train_loss", "train", "primary")]))
    wanted = [("train_accuracy", "train", "muted"), ("test_accuracy", "test", "good")]
    owner.query_one("#accuracy", Plot).show(_histories(train, wanted))


def _why_empty(panel: Panel, state: RunState | None, trouble: str) -> str:
    if state is None:
        return trouble or WAITING
    return why_empty(state.status, state.note, what=f"the {SYSTEMS[panel]}", remedy=_ways(state))


def show_chain(view: ChainView, state: RunState) -> None:
    """The chain as it stands: of its first replica where one is told, else the mean."""
    curve = state.latest
    if curve is not None and curve.positions is not None:
        view.show(curve.positions, float(state.settings.get("target", 1.0)), curve.scalars.get("target"))


def words(
    states: Mapping[Panel, RunState], trouble: Mapping[Panel, str], measure: str, *, chain_first: bool = False
) -> tuple[str, str]:
    """The regime, and the runs' numbers, as text."""
    train, chain = states.get("train"), states.get("chain")
    absent: dict[Panel, str] = {panel: "not started" if panel in trouble else "starting" for panel in SYSTEMS}
    facts = [_train_facts(train, absent["train"]), _chain_facts(chain, absent["chain"])]
    first, second = reversed(facts) if chain_first else facts
    return _regime(train, measure), "\n".join([*_said(trouble), *first, "", *second])


def curves_of(state: RunState | None, measure: str, role: str) -> list[Series]:
    """Oldest first, so that the newest is drawn on top."""
    if state is None or state.latest is None:
        return []
    past: list[tuple[Curve | None, str, str]] = [(state.initial, "start", "initial")]
    echoes = list(state.echoes)
    past += [(echo, "", fade) for echo, fade in zip(echoes, _FADES[-len(echoes) :], strict=False)]
    past.append((state.latest, "now", role))
    return [_series(curve, measure, name, tone) for curve, name, tone in past if curve is not None]


def theory_of(state: RunState | None) -> list[Series]:
    """The chain's mean field beside it, where the worker reckons it."""
    if state is None or state.latest is None or "mean_field" not in state.latest.curves:
        return []
    return [_series(state.latest, "mean_field", "theory", "theory")]


def twin_of(state: RunState | None) -> CurveFit | None:
    """The chain that the newest curve behaves like; none before the classes part."""
    if state is None or state.latest is None:
        return None
    try:
        error = state.latest.scalars.get("friction_error")
        return fit_curve(hidden(state.latest.curves.get("trace_ratio", [])), error=error)
    except DataError:
        return None


def twin_series(state: RunState | None, measure: str, predicted: Sequence[float] = ()) -> list[Series]:
    """The twin's parabola, and the fitted map's prediction, over the measure that they are made for."""
    fit = twin_of(state) if measure == "trace_ratio" else None
    if fit is None:
        return []
    layers, last = list(range(len(fit.curve))), fit.curve[-1]
    series = [Series(layers, fit.curve, "twin", "theory")]
    if len(predicted) == len(layers):
        series.insert(0, Series(layers, [last + (fit.curve[0] - last) * p for p in predicted], "map", "good"))
    return series


def _series(curve: Curve, measure: str, name: str, role: str) -> Series:
    found = curve.linear_probes or [] if measure == PROBES else curve.curves.get(measure, [])
    values = [float("nan") if v is None else v for v in found]
    return Series(list(range(len(values))), values, name, role)


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
    if shape is None:
        return "no curve was made" if state is not None and state.is_over else "waiting for the first curve"
    words = "nothing is separated yet" if shape.regime == "unclear" else in_words(shape)
    return f"{words}\n{shape_line(shape)}"


def _train_facts(state: RunState | None, absent: str) -> list[str]:
    lines = ["NETWORK  " + (state.status if state else absent)]
    if state is None or state.latest is None:
        return [*lines, *_before_curves(state)]
    scalars = state.latest.scalars
    left = "" if state.is_over else f" · left {duration(state.seconds_left)}"
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
    """What a run's worker says of it before there is a curve, or why there will be none."""
    if state is None:
        return []
    return [plain_text(state.note)] if state.note and state.ended is None else _asides(state)


def _chain_facts(state: RunState | None, absent: str) -> list[str]:
    lines = ["CHAIN  " + (state.status if state else absent)]
    if state is None or state.latest is None:
        return [*lines, *_before_curves(state)]
    settings = state.settings
    lines += [*_asides(state), progress_line(state, "step")]
    if eta := settings.get("eta"):
        lines.append(f"time {state.latest.at * eta:.0f} · map: {TWIN_TIME:.0f}")
    lines.append(
        f"μ→ {_small(settings.get('mu_right'))} · μ← {_small(settings.get('mu_left'))} · "
        f"ε {_small(settings.get('noise'))}"
    )
    shape = statistics(state.latest.curves.get("distance", []), logits=False)
    lines.append(f"{in_words(shape)} · CV {decimals(shape.cv)}")
    return lines


def _small(value: float | None) -> str:
    """As on the springs, without the zero before the point: three fit beside each other at 80 columns."""
    return decimals(value, 3).removeprefix("0")


def _asides(state: RunState) -> list[str]:
    lines = []
    if state.refused:
        lines.append("refused: " + plain_text(state.refused))
    if state.ended is not None:
        lines.append(plain_text(state.ended.text or state.ended.reason) + f" · {_ways(state)}")
    return lines


def _ways(state: RunState) -> str:
    return "g resumes, r starts anew" if state.status in RESUMABLE else "r starts anew"


def _said(trouble: Mapping[Panel, str]) -> list[str]:
    said = [f"! {SYSTEMS[panel]}: {text}" for panel, text in trouble.items()]
    return [*said, ""] if said else []
