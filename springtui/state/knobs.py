"""The values of the lab's two sliders, as settings of a network and, by a fitted map, of a chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.twin.axis import noise_coordinate
from engine.twin.maps import PRESETS, TwinMap
from engine.twin.two_hands import TWO_HANDS

Q_MAX = 0.8
"""Data noise at the end of the paper's axis."""
START_NONLINEARITY = 0.8


@dataclass(frozen=True)
class NoiseKind:
    """One of the four knobs that make training noisy."""

    key: str
    """The setting's name."""
    label: str
    minimum: float
    maximum: float
    default: float
    """The slider's value when the kind is chosen."""
    calm: float
    """The setting's value when another kind is chosen, and in a training without noise."""
    noisy: float
    """A value at which the deep layers are lazy, in a network and in the chain."""
    nonlinearity: float
    """Nonlinearity at which they are so, and at which the shallow layers are lazy at the calm value."""
    scale: Literal["linear", "log"]
    integer: bool
    description: str


NOISE_KINDS: tuple[NoiseKind, ...] = (
    NoiseKind(
        "data_noise", "Data noise", 0.0, Q_MAX, 0.2, 0.0, 0.8, 0.8, "linear", False,
        "fraction of labels replaced, and noise added to the inputs",
    ),
    NoiseKind("lr", "Learning rate", 1e-4, 0.5, 1e-3, 1e-3, 0.1, 0.8, "log", False, "step size of Adam"),
    NoiseKind(
        "dropout", "Dropout", 0.0, 0.3, 0.1, 0.0, 0.3, 0.8, "linear", False, "fraction of activations dropped"
    ),
    NoiseKind(
        "batch_size", "Batch size", 5, 2560, 128, 2560, 20, 0.6, "log", True,
        "samples per step; small batches are noisy",
    ),
)  # fmt: skip


def noise_of(settings: Mapping[str, Any]) -> tuple[NoiseKind, float]:
    """The first kind of noise that is not at its calm value, and its value."""
    kind = next((k for k in NOISE_KINDS if k.key in settings and settings[k.key] != k.calm), NOISE_KINDS[0])
    return kind, float(settings.get(kind.key, kind.calm))


def start_of(settings: Mapping[str, Any], *, chosen: bool, noise: str = "") -> tuple[float, NoiseKind, float]:
    """The sliders' start for a network: nonlinearity, kind of noise, and its value.

    A network that a person chose starts at its own settings; the lab's starts where there is something to see.
    ``noise`` is the setting that the second slider moves; empty: as the settings say.
    """
    if not chosen:
        return START_NONLINEARITY, NOISE_KINDS[0], NOISE_KINDS[0].default
    kind, value = noise_of(settings)
    if (wanted := next((one for one in NOISE_KINDS if one.key == noise), None)) is not None:
        kind, value = wanted, float(settings.get(noise, wanted.calm))
    return 1.0 - float(settings.get("negative_slope", 0.0)), kind, value


def two_hands_settings(nonlinearity: float, kind: NoiseKind, noise: float, layers: int) -> dict[str, float]:
    """Shares and times of the chain with two hands for the two sliders, and how much it trembles.

    Beyond the noise up to which networks follow the map, it stays as it is there.
    """
    made = TWO_HANDS[kind.key]
    noise = noise if made.applies(noise) else made.last
    state = made.state(nonlinearity, noise, layers)
    shape = {name: round(value, 6) for name, value in state._asdict().items()}
    return shape | {"noise": round(0.02 + 0.04 * min(1.0, max(0.0, noise_coordinate(kind.key, noise))), 4)}


def mixing(kind: NoiseKind, noise: float) -> str:
    """Why no chain applies at this noise, in words; empty where one does."""
    made = TWO_HANDS[kind.key]
    if made.applies(noise):
        return ""
    side = "below" if made.last < made.calm else "above"
    return f"{kind.label.lower()} {side} {made.last:g}: layers mix the classes again, no chain applies"


def friction_settings(
    nonlinearity: float, kind: NoiseKind, noise: float, maps: Mapping[str, TwinMap] = PRESETS
) -> dict[str, float]:
    """Friction and noise of the friction chain for the two sliders, by the map fitted for this kind of noise."""
    right, left, sd = maps[kind.key].chain_of(nonlinearity, noise_coordinate(kind.key, noise))
    return {"mu_right": round(right, 6), "mu_left": left, "noise": round(sd, 6)}
