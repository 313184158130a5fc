"""Advice in one sentence: which layers are lazy, and which knob moves a network towards balance (ours). No torch.

The sentence calls itself fairly sure where the fitted map misses this network's asymmetry by less than the change
that it predicts for the turn of the knob; else a guess. How well the map fits other networks does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..chain.mean_field import predicted_asymmetry
from ..measures.load_curve import LoadStatistics, statistics
from .axis import noise_coordinate
from .maps import PRESETS, TwinMap

NAMES = {"data_noise": "data noise", "lr": "learning rate", "dropout": "dropout", "batch_size": "batch size"}
_STEP = 0.2
"""The turn of a knob whose effect is predicted, as a fraction of its axis."""
_WORDS = {"concave": "the shallow layers are lazy", "convex": "the deep layers are lazy"}
LAZY = frozenset(_WORDS)
"""The regimes in which a knob may help."""


class Outlook(NamedTuple):
    """The asymmetry of the load curve that a fitted map predicts, now and after turns of the knobs."""

    now: float
    """At the knobs in force."""
    turns: tuple[tuple[str, float], ...]
    """For each turn of a knob by a fifth of its axis: the turn in words, and the change of asymmetry."""


def advise(
    curve: Sequence[float | None],
    nonlinearity: float,
    noise_axis: str,
    noise: float,
    maps: Mapping[str, TwinMap] = PRESETS,
) -> str:
    """One sentence on which layers are lazy, and on the knob that the fitted map predicts to help.

    Args:
        curve: D_0 … D_L, [L + 1], natural logs, the logits last.
        nonlinearity: 1 - α in force, 0 … 1.
        noise_axis: the setting that makes the noise, as ``data_noise``.
        noise: its value in force, in the setting's own unit.
        maps: by noise axis.
    """
    shape = statistics(curve, logits=True)
    return sentence(shape, noise_axis, outlook(nonlinearity, noise_axis, noise, maps))


def outlook(
    nonlinearity: float, noise_axis: str, noise: float, maps: Mapping[str, TwinMap] = PRESETS
) -> Outlook | None:
    """What the fitted map predicts, without regard to the loads; None where no map is fitted for this noise.

    Args:
        nonlinearity: 1 - α in force, 0 … 1.
        noise_axis: the setting that makes the noise, as ``data_noise``.
        noise: its value in force, in the setting's own unit.
        maps: by noise axis.
    """
    if noise_axis not in maps:
        return None
    twin = maps[noise_axis]
    at, name_of_noise = noise_coordinate(twin.noise_axis, noise), NAMES[twin.noise_axis]

    def predicted(alpha: float, q: float) -> float:
        return predicted_asymmetry(*twin.chain_of(alpha, q))

    now = predicted(nonlinearity, at)
    turns = (
        (f"more {name_of_noise}", predicted(nonlinearity, min(1.0, at + _STEP)) - now),
        (f"less {name_of_noise}", predicted(nonlinearity, max(0.0, at - _STEP)) - now),
        ("more nonlinearity", predicted(min(1.0, nonlinearity + _STEP), at) - now),
        ("less nonlinearity", predicted(max(0.0, nonlinearity - _STEP), at) - now),
    )
    return Outlook(now, turns)


def sentence(shape: LoadStatistics, noise_axis: str, seen: Outlook | None) -> str:
    """The sentence for loads of this shape and the prediction of the map, None where there is none."""
    if shape.regime not in _WORDS:
        return f"{what_loads_say(shape)}."
    if seen is None:
        name = NAMES.get(noise_axis, noise_axis)
        return f"{what_loads_say(shape)}; cannot tell which way {name} works: no map was fitted for it."
    return f"{what_loads_say(shape)}; {_turn(shape.asymmetry, seen)}."


def what_loads_say(shape: LoadStatistics) -> str:
    """Which layers are lazy, without a full stop."""
    if shape.regime == "unclear":
        return shape.reason[:1].upper() + shape.reason[1:]
    if shape.regime == "balanced":
        return f"The layers share the load (coefficient of variation {shape.cv:.2f}): nothing to mend"
    if shape.regime == "uneven":
        return "The halves share the load, but single layers do not: neither knob evens that out"
    return f"{_WORDS[shape.regime].capitalize()} (asymmetry {shape.asymmetry:+.2f})"


def _turn(asymmetry: float, seen: Outlook) -> str:
    now = seen.now
    best, change = min(seen.turns, key=lambda turn: abs(asymmetry + turn[1]))
    if abs(change) < 0.02 or change * asymmetry >= 0:
        return "cannot tell which knob would help: the fitted map predicts next to no change from here"
    believed = abs(now - asymmetry) < abs(change)
    sure = "fairly sure: it puts this network at" if believed else "a guess: it misses this network by more, with"
    return (
        f"{best} moves towards balance (the fitted map predicts {change:+.2f} for a fifth of the axis; "
        f"{sure} {now:+.2f})"
    )
