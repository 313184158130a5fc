"""Advice on a network whose layers share the load unevenly: which setting to change, and how that is known.

Measured by a trial where there is one (``twin.trial``); else predicted by a map, where that describes this
network; else none, with the experiment that would tell. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from ..chain import mean_field
from ..measures.load_curve import LoadStatistics
from ..settings.train import TrainConfig
from . import two_hands
from .axis import noise_coordinate
from .comparison import (
    ACCURACY_COST,
    LEAST_SEEDS,
    Change,
    asymmetries_of,
    changes,
    choice,
    shape_of,
    trained_of,
    trouble_of,
)
from .maps import TwinMap
from .trial import SEEDS, Trial, Turn, config_in_force, turns

_WORDS = {"concave": "the shallow layers are lazy", "convex": "the deep layers are lazy"}
LAZY = frozenset(_WORDS)
"""The regimes in which a knob may help."""
_CURVATURE = 2.74
"""Asymmetry of a parabola for each unit of its r.m.s. distance from the straight line, 2 √(15/8): what a map's
r.m.s. error of the scaled curve means for the asymmetry, at most."""

Source = Literal["measured", "map", "none"]


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence, and the numbers in it; what is not known is None."""

    sentence: str
    knob: str | None = None
    """Name of the setting to change."""
    before: float | None = msgspec.field(default=None, name="from")
    after: float | None = msgspec.field(default=None, name="to")
    predicted_change: float | None = None
    """Of the asymmetry, by the fitted map."""
    measured_change: float | None = None
    """Of the asymmetry, by the trial."""
    error: float | None = None
    """Standard error of the measured change, over seeds."""
    accuracy_change: float | None = None
    """Of the test accuracy, a fraction, by the trial."""
    source: Source = "none"


class Outlook(NamedTuple):
    """What a map predicts of a network, now and after one step of each setting that it knows."""

    noise_axis: str
    now: float
    """Asymmetry at the settings in force."""
    error: float
    """How far the map is off in asymmetry (r.m.s.) on the networks that it was fitted to."""
    steps: tuple[tuple[Turn, float], ...]
    """Each step, and the predicted change of asymmetry."""
    beyond: str = ""
    """Why the map does not hold for these settings, whatever it predicts; empty where it may."""


def map_asymmetry(
    noise_axis: str, nonlinearity: float, noise: float, hidden: int, own: TwinMap | None = None
) -> float:
    """The asymmetry of a network's load curve that the map for a kind of noise predicts.

    Args:
        noise_axis: the setting that makes the noise, one of ``two_hands.TWO_HANDS``.
        nonlinearity: 1 - α, 0 … 1.
        noise: value of that setting, in its own unit.
        hidden: hidden layers, at least 2.
        own: a person's own map; it is used where it is of this noise, else the shipped chain with two hands.
    """
    if own is not None and own.noise_axis == noise_axis:
        chain = own.chain_of(nonlinearity, noise_coordinate(noise_axis, noise))
        return mean_field.predicted_asymmetry(*chain, springs=hidden)
    return two_hands.predicted_asymmetry(nonlinearity, noise_axis, noise, hidden)


def outlook(
    settings: Mapping[str, Any], noise_axis: str, hidden: int, samples: int = 0, own: TwinMap | None = None
) -> Outlook | None:
    """What the map for this kind of noise predicts; None where there is none, or these are no network's settings.

    Args:
        settings: in force.
        noise_axis: the setting that makes the noise.
        hidden: hidden layers.
        samples: of the training set; 0 where that is not known.
        own: as of ``map_asymmetry``.
    """
    config = config_in_force(settings)
    if config is None or noise_axis not in two_hands.TWO_HANDS or hidden < 2:
        return None
    slope, noise = config.negative_slope, float(getattr(config, noise_axis))
    is_own = own is not None and own.noise_axis == noise_axis
    shipped = two_hands.TWO_HANDS[noise_axis]
    now = map_asymmetry(noise_axis, 1.0 - slope, noise, hidden, own)
    steps = []
    for turn in turns(config, samples or config.batch_size):
        if turn.knob in {"negative_slope", noise_axis}:
            at = (turn.after, noise) if turn.knob == "negative_slope" else (slope, turn.after)
            steps.append((turn, map_asymmetry(noise_axis, 1.0 - at[0], at[1], hidden, own) - now))
    others = [_NAMES[name] for name in _noises(config, samples) if name != noise_axis]
    beyond = f"does not know {' and '.join(others)}" if others else ""
    if not beyond and not is_own and not shipped.applies(noise):
        beyond = f"ends at {shipped.last:g}: beyond it networks mix the classes again between the layers"
    rms = own.rms if own is not None and is_own else shipped.slider_rms
    return Outlook(noise_axis, now, _CURVATURE * rms, tuple(steps), beyond)


def _noises(config: TrainConfig, samples: int) -> list[str]:
    """The kinds of noise that are not at their calm values, of a training set of ``samples``, 0 if not known."""
    full = samples or two_hands.TWO_HANDS["batch_size"].calm
    values = {name: float(getattr(config, name)) for name in two_hands.TWO_HANDS}
    values["batch_size"] = (
        two_hands.TWO_HANDS["batch_size"].calm if config.batch_size >= full else config.batch_size
    )
    return [name for name, value in values.items() if value != two_hands.TWO_HANDS[name].calm]


def advise(
    shape: LoadStatistics, *, trial: Trial | None = None, seen: Outlook | None = None, experiment: str = ""
) -> Advice:
    """Advice for loads of this shape: by the trial, else by the map, else none.

    Args:
        shape: of the network's newest load curve.
        trial: made for the settings in force; None where there is none.
        seen: what the map predicts; None where there is no map for this network.
        experiment: what measures it, as "springtui twin RUN --try measures each setting".
    """
    if shape.regime not in LAZY:
        known = trial is not None and shape.regime != "unclear"
        return Advice(sentence=f"{what_loads_say(shape)}.", source="measured" if known else "none")
    if trial is not None:
        return _measured(shape, trial)
    return _by_map(shape, seen, experiment)


def what_loads_say(shape: LoadStatistics) -> str:
    """Which layers are lazy, without a full stop."""
    if shape.regime == "unclear":
        return shape.reason[:1].upper() + shape.reason[1:]
    if shape.regime == "balanced":
        return f"The layers share the load (coefficient of variation {shape.cv:.2f}): nothing to mend"
    if shape.regime == "uneven":
        return "The halves share the load, but single layers do not: no setting is known to even that out"
    return f"{_WORDS[shape.regime].capitalize()} (asymmetry {_signed(shape.asymmetry)})"


def _measured(shape: LoadStatistics, trial: Trial) -> Advice:
    """What the trial says to a network that is not balanced; the asymmetries are those of its own networks."""
    says, base = _WORDS[shape.regime].capitalize(), shape_of(trial.base)
    known = [value for value in asymmetries_of(trial.base) if math.isfinite(value)]
    anew = f"networks trained anew from {trained_of(trial.base)} seeds to epoch {trial.epochs}"
    trouble = trouble_of(trial.base)
    if len(known) < min(LEAST_SEEDS, len(trial.seeds)) or base.regime == "unclear":
        return Advice(sentence=f"{says}. {anew.capitalize()} do not tell what helps: {trouble or base.reason}.")
    if base.regime not in LAZY:
        return Advice(
            sentence=f"{says} (asymmetry {_signed(shape.asymmetry)}). But {anew} with its settings come to "
            f"{_signed(sum(known) / len(known))}: nothing to mend in the settings.",
            source="measured",
        )
    found = changes(trial)
    best, lack = choice(found), _lack(trial)
    own = f" With its own settings: {trouble}." if trouble else ""
    if best is None:
        lost = sum(bool(change.trouble) for change in found)
        left_out = f" {lost} of them failed with some seed, and are not advised." if lost else ""
        return Advice(
            sentence=f"{says}. None of the {len(found)} changes that were tried in {anew} brings it nearer to "
            f"balance by more than twice its error.{left_out}{own}{lack}",
            source="measured",
        )
    return Advice(
        sentence=f"{says}. {_capitalised(change_in_words(best))}, moves it towards balance: in networks trained "
        f"anew from {best.seeds} seeds to epoch {trial.epochs}, asymmetry {_moved(best)} and test accuracy "
        f"changed by {_points(best)}.{_others(best, found)}{own}{lack}",
        knob=best.knob,
        before=best.before,
        after=best.after,
        measured_change=best.change,
        error=best.error,
        accuracy_change=best.accuracy_change,
        source="measured",
    )


def _moved(change: Change) -> str:
    """The asymmetry over the seeds that a change was measured on, before and after, and the difference of these.

    The difference is that of the rounded numbers, so that the three add up.
    """
    then = round(change.asymmetry, 2)
    now = round(change.asymmetry - change.change, 2)
    return f"{_signed(now)} became {_signed(then)} ({_signed(then - now)} ± {change.error:.2f})"


def _points(change: Change) -> str:
    """The change of test accuracy with its error, in points."""
    return f"{100 * change.accuracy_change:+z.1f} ± {100 * change.accuracy_error:.1f} points"


def _others(best: Change, found: Sequence[Change]) -> str:
    """Other steps to be named beside the best, as further sentences; empty where there are none.

    Where it costs test accuracy: the best one that does not. Where it is depth: the best one of another setting.
    """
    said, named = "", best
    if best.accuracy_change < -ACCURACY_COST:
        other = choice(found, accurate=True)
        if other is None:
            said = " Every step that was tried and helps costs test accuracy."
        else:
            said, named = f" Without such a loss: {_in_short(other)}.", other
    if best.knob == "depth" and named.knob == "depth":
        other = choice(found, without="depth")
        said += " No other setting helps." if other is None else f" With the same depth: {_in_short(other)}."
    return said


def _in_short(change: Change) -> str:
    """A step of a setting and what it did, in few words."""
    return f"{change_in_words(change)}: asymmetry {_moved(change)}, test accuracy {_points(change)}"


def _by_map(shape: LoadStatistics, seen: Outlook | None, experiment: str) -> Advice:
    """What the map says to a network that is not balanced."""
    says, then = f"{what_loads_say(shape)}.", f" {experiment}." if experiment else ""
    if seen is None:
        return Advice(sentence=f"{says} No map knows which setting helps.{then}")
    the_map = f"The map for {_NAMES[seen.noise_axis]}"
    if seen.beyond:
        return Advice(sentence=f"{says} {the_map} {seen.beyond}, so it names no setting.{then}")
    off = abs(seen.now - shape.asymmetry)
    fit = f"predicted {_signed(seen.now)}, off by {off:.2f}; on its own networks off by {seen.error:.2f} r.m.s."
    if not off <= seen.error:
        return Advice(sentence=f"{says} {the_map} does not describe this network ({fit}).{then}")
    turn, change = max(seen.steps, key=lambda step: -abs(seen.now + step[1]), default=(None, 0.0))
    if turn is None or abs(seen.now) - abs(seen.now + change) <= seen.error / 2:
        return Advice(
            sentence=f"{says} {the_map} describes this network ({fit}) and predicts that no single step of "
            f"nonlinearity or {_NAMES[seen.noise_axis]} helps much.{then}",
            source="map",
        )
    return Advice(
        sentence=f"{says} {_capitalised(in_words(turn))}, is predicted to change that by {_signed(change)}; this "
        f"was not tried. {the_map} describes this network ({fit}).{then}",
        knob=turn.knob,
        before=turn.before,
        after=turn.after,
        predicted_change=change,
        source="map",
    )


_NAMES = {
    "negative_slope": "nonlinearity",
    "data_noise": "data noise",
    "dropout": "dropout",
    "lr": "learning rate",
    "batch_size": "batch size",
    "depth": "depth",
}
"""Settings in words."""


def in_words(turn: Turn) -> str:
    """A step of a setting: its direction in words, its new value and its old one."""
    up = turn.after > turn.before
    values = f"{turn.after:g} instead of {turn.before:g}"
    return {
        "negative_slope": f"{'less' if up else 'more'} nonlinearity, negative_slope {values}",
        "batch_size": f"a {'larger' if up else 'smaller'} batch size, {values}",
        "lr": f"a {'larger' if up else 'smaller'} learning rate, {values}",
        "depth": f"{'more' if up else 'fewer'} layers, depth {values}",
    }.get(turn.knob, f"{'more' if up else 'less'} {_NAMES.get(turn.knob, turn.knob)}, {values}")


def change_in_words(change: Change) -> str:
    """The step of a change, in words."""
    return in_words(Turn(change.knob, change.before, change.after))


def _signed(value: float) -> str:
    return f"{value:+z.2f}"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lack(trial: Trial) -> str:
    """For what there was no time, as a further sentence; empty where there was enough."""
    fewer = sum(None in tried.curves[:SEEDS] and not tried.diverged and not tried.refused for tried in trial.tried)
    cut = []
    if trial.epochs < trial.wanted_epochs:
        cut.append(f"these networks trained for {trial.epochs} epochs instead of {trial.wanted_epochs}")
    if fewer:
        cut.append(f"{fewer} of the {len(trial.tried)} changes were tried with fewer than {SEEDS} seeds")
    return f" For lack of time {', and '.join(cut)}." if cut else ""
