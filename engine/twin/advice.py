"""Advice on a network whose layers share the load unevenly: which setting to change, and how that is known. No torch.

Measured by a trial where there is one (``twin.trial``); else predicted by a fitted map, where that map describes this
network; else none, with the experiment that would tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from ..chain.mean_field import predicted_asymmetry
from ..measures.load_curve import LoadStatistics, statistics
from .axis import noise_coordinate
from .maps import PRESETS, TwinMap
from .trial import Change, Trial, Turn, asymmetries_of, changes, choice, config_in_force, mean_curve, turns

_WORDS = {"concave": "the shallow layers are lazy", "convex": "the deep layers are lazy"}
LAZY = frozenset(_WORDS)
"""The regimes in which a knob may help."""
_CURVATURE = 2.74
"""Asymmetry of a parabola per r.m.s. distance from the straight line, √(15/8) · 2: what a map's r.m.s. error of the
scaled curve means for the asymmetry, at most."""
_CALM = {"data_noise": 0.0, "dropout": 0.0, "lr": 1e-3}
"""Values at which a noise counts as off where another one is mapped."""

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
    """What a fitted map predicts of a network, now and after one step of each setting that it knows."""

    noise_axis: str
    now: float
    """Asymmetry at the settings in force."""
    error: float
    """How far the map is off in asymmetry (r.m.s.) on the networks that it was fitted to."""
    steps: tuple[tuple[Turn, float], ...]
    """Each step, and the predicted change of asymmetry."""
    other_noise: tuple[str, ...] = ()
    """Further kinds of noise in force, which the map does not know."""


def map_asymmetry(
    noise_axis: str,
    nonlinearity: float,
    noise: float,
    hidden: int,
    maps: Mapping[str, TwinMap] = PRESETS,
) -> float:
    """The asymmetry of a network's load curve that the map for a kind of noise predicts.

    Args:
        noise_axis: the setting that makes the noise; a key of ``maps``.
        nonlinearity: 1 - α, 0 … 1.
        noise: value of that setting, in its own unit.
        hidden: hidden layers.
        maps: by noise axis.
    """
    chain = maps[noise_axis].chain_of(nonlinearity, noise_coordinate(noise_axis, noise))
    return predicted_asymmetry(*chain, springs=hidden)


def outlook(
    settings: Mapping[str, Any], noise_axis: str, hidden: int, samples: int, maps: Mapping[str, TwinMap] = PRESETS
) -> Outlook | None:
    """What the map for this kind of noise predicts; None where there is none, or these are no network's settings.

    Args:
        settings: in force.
        noise_axis: the setting that makes the noise.
        hidden: hidden layers.
        samples: of the training set; 0 where that is not known.
        maps: by noise axis.
    """
    config = config_in_force(settings)
    if config is None or noise_axis not in maps or hidden < 2:
        return None

    def predicted(slope: float, noise: float) -> float:
        return map_asymmetry(noise_axis, 1.0 - slope, noise, hidden, maps)

    slope, noise = config.negative_slope, float(getattr(config, noise_axis))
    now = predicted(slope, noise)
    steps = []
    for turn in turns(config, samples or config.batch_size):
        if turn.knob == "negative_slope":
            steps.append((turn, predicted(turn.after, noise) - now))
        elif turn.knob == noise_axis:
            steps.append((turn, predicted(slope, turn.after) - now))
    others = tuple(name for name, calm in _CALM.items() if name != noise_axis and getattr(config, name) != calm)
    return Outlook(noise_axis, now, _CURVATURE * maps[noise_axis].rms, tuple(steps), others)


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
        return Advice(sentence=f"{what_loads_say(shape)}.", source="none" if trial is None else "measured")
    if trial is not None:
        return _measured(shape, trial)
    return _by_map(shape, seen, experiment)


def what_loads_say(shape: LoadStatistics) -> str:
    """Which layers are lazy, without a full stop."""
    if shape.regime == "unclear":
        return "Cannot tell: the layers do not separate the classes yet"
    if shape.regime == "balanced":
        return f"The layers share the load (coefficient of variation {shape.cv:.2f}): nothing to mend"
    if shape.regime == "uneven":
        return "The halves share the load, but single layers do not: no setting is known to even that out"
    return f"{_WORDS[shape.regime].capitalize()} (asymmetry {_signed(shape.asymmetry)})"


def _measured(shape: LoadStatistics, trial: Trial) -> Advice:
    """What the trial says to a network that is not balanced."""
    says, base = f"{what_loads_say(shape)}.", statistics(mean_curve(trial.base), logits=True)
    known = [value for value in asymmetries_of(trial.base) if value == value]
    networks = f"{len(known)} network{'s' if len(known) != 1 else ''} trained anew for {_epochs(trial)}"
    if not known or base.regime == "unclear":
        return Advice(sentence=f"{says} Of {networks} with these settings no load can be told.")
    now = sum(known) / len(known)
    if base.regime not in LAZY:
        return Advice(
            sentence=f"{says} But {networks} with these settings come to asymmetry {_signed(now)}: "
            "nothing to mend in the settings.",
            source="measured",
        )
    found = changes(trial)
    best = choice(found)
    if best is None:
        return Advice(
            sentence=f"{says} None of the {len(found)} changes that were tried brings it nearer to balance by more "
            f"than its error ({_seeds(trial)}, {_epochs(trial)}).",
            source="measured",
        )
    return Advice(
        sentence=f"{says} {in_words(Turn(best.knob, best.before, best.after)).capitalize()}, moves towards balance: "
        f"measured from {_signed(now)} to {_signed(best.asymmetry)}, a change of {_signed(best.change)} ± "
        f"{best.error:.2f}; test accuracy {100 * best.accuracy_change:+z.1f} ± {100 * best.accuracy_error:.1f} "
        f"points ({best.seeds} seeds, {_epochs(trial)}).",
        knob=best.knob,
        before=best.before,
        after=best.after,
        measured_change=best.change,
        error=best.error,
        accuracy_change=best.accuracy_change,
        source="measured",
    )


def _by_map(shape: LoadStatistics, seen: Outlook | None, experiment: str) -> Advice:
    """What the map says to a network that is not balanced."""
    says, tried = what_loads_say(shape), f" {experiment}." if experiment else ""
    if seen is None:
        return Advice(sentence=f"{says}. No map knows which setting helps.{tried}")
    noise = _NAMES.get(seen.noise_axis, seen.noise_axis)
    if seen.other_noise:
        others = " and ".join(_NAMES[name] for name in seen.other_noise)
        return Advice(
            sentence=f"{says}. The map for {noise} does not know {others}, so it names no setting.{tried}"
        )
    off = abs(seen.now - shape.asymmetry)
    fits = (
        f"it puts it at {_signed(seen.now)}, off by {off:.2f}, and elsewhere it is off by {seen.error:.2f} r.m.s."
    )
    if not off <= seen.error:
        return Advice(sentence=f"{says}. The map for {noise} does not describe this network ({fits}).{tried}")
    falls = [(turn, change, abs(seen.now) - abs(seen.now + change)) for turn, change in seen.steps]
    turn, change, fall = max(falls, key=lambda one: one[2], default=(None, 0.0, 0.0))
    if turn is None or fall <= seen.error / 2:
        return Advice(
            sentence=f"{says}. The map for {noise} describes this network ({fits}), and predicts that no single step "
            f"of it helps much.{tried}",
            source="map",
        )
    return Advice(
        sentence=f"{says}. {in_words(turn).capitalize()}, is predicted to change that by {_signed(change)}, not "
        f"measured; the map for {noise} describes this network ({fits}).{tried}",
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


def _seeds(trial: Trial) -> str:
    return f"{len(trial.seeds)} seeds"


def _epochs(trial: Trial) -> str:
    plural = "" if trial.wanted_epochs == 1 else "s"
    short = "" if trial.epochs == trial.wanted_epochs else f"{trial.epochs} of "
    return f"{short}{trial.wanted_epochs} epoch{plural}"
