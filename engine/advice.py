"""One honest sentence: which layers are lazy, and which knob moves a network towards balance. Light (ours).

How sure it is follows from one rule: the fitted map is believed where it misses the asymmetry of this very network
by less than the change that it predicts for the turn of the knob. How well it fits other networks does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .loads import statistics
from .mean_field import predicted_asymmetry
from .twin_axis import noise_coordinate
from .twin_map import PRESETS, TwinMap

NAMES = {"data_noise": "data noise", "lr": "learning rate", "dropout": "dropout", "batch_size": "batch size"}
_STEP = 0.2
"""How far a knob is turned in thought: a fifth of its axis."""
_WORDS = {"concave": "the shallow layers are lazy", "convex": "the deep layers are lazy"}


def advise(
    curve: Sequence[float | None],
    nonlinearity: float,
    noise_axis: str,
    noise: float,
    maps: Mapping[str, TwinMap] = PRESETS,
) -> str:
    """What the loads say and what the fitted map predicts.

    Args:
        curve: D_0 … D_L, [L + 1], natural logs, the logits last.
        nonlinearity: 1 - α in force, 0 … 1.
        noise_axis: the setting that makes the noise, as ``data_noise``.
        noise: its value in force, in the setting's own unit.
        maps: by noise axis.
    """
    shape = statistics(curve, logits=True)
    if shape.regime == "unclear":
        return "Cannot tell: the layers do not separate the classes yet."
    if shape.regime == "balanced":
        return f"The layers share the load (coefficient of variation {shape.cv:.2f}): nothing to mend."
    if shape.regime == "uneven":
        return "The halves share the load, but single layers do not: neither knob evens that out."
    says = f"{_WORDS[shape.regime].capitalize()} (asymmetry {shape.asymmetry:+.2f})"
    if noise_axis not in maps:
        return (
            f"{says}; cannot tell which way {NAMES.get(noise_axis, noise_axis)} works: no map was fitted for it."
        )
    return f"{says}; {_turn(shape.asymmetry, nonlinearity, noise, maps[noise_axis])}."


def _turn(asymmetry: float, nonlinearity: float, noise: float, twin: TwinMap) -> str:
    at, name_of_noise = noise_coordinate(twin.noise_axis, noise), NAMES[twin.noise_axis]

    def predicted(alpha: float, q: float) -> float:
        right, left, sd = (float(value) for value in twin.chain(alpha, q))
        return predicted_asymmetry(right, left, sd)

    now = predicted(nonlinearity, at)
    turns = [
        (f"{word} {name}", predicted(a, q) - now)
        for word, name, a, q in (
            ("more", name_of_noise, nonlinearity, min(1.0, at + _STEP)),
            ("less", name_of_noise, nonlinearity, max(0.0, at - _STEP)),
            ("more", "nonlinearity", min(1.0, nonlinearity + _STEP), at),
            ("less", "nonlinearity", max(0.0, nonlinearity - _STEP), at),
        )
    ]
    best, change = min(turns, key=lambda turn: abs(asymmetry + turn[1]))
    if abs(change) < 0.02 or change * asymmetry >= 0:
        return "cannot tell which knob would help: the fitted map predicts next to no change from here"
    believed = abs(now - asymmetry) < abs(change)
    sure = "fairly sure: it puts this network at" if believed else "a guess: it misses this network by more, with"
    return (
        f"{best} moves towards balance (the fitted map predicts {change:+.2f} for a fifth of the axis; "
        f"{sure} {now:+.2f})"
    )
