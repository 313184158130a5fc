"""The twin with two hands: a chain whose shape at each knob is known in closed form (docs/theory.md; ours).

The input's hand pulls by w, the linear network's separation, the output's hand by the rest of the total separation
Λ = D_0 - D_H; each has pulled for a time of its own, and there is no friction. With p = w/Λ,

    ln τ_w = T - (t - c ν^0.7) (s - s_0),    ln τ_h = T_h + h (N - N_0),    ν = 1 - α,

N is the strength of the noise: q, the probability of dropout, lr/.01, or 100/batch size; s is N, or N/(N + n) for
learning rate and batch size; s_0 and N_0 are those of the calm network. 17 numbers for all four diagrams. Where no
separation is measured, as at a slider, p = 1/(1 + ν (a + b z + c z²)), z the coordinate of ``noise_coordinate``:
total separation is linear in nonlinearity, Λ = w + h ν, and the bracket is h/w. That takes three more numbers for
each kind of noise.

The maps were fitted to networks of 7 hidden layers. For H of them times are multiplied by (H/7)², which keeps a
shape as a function of l/H; the diagrams do not test that. No torch, and no NumPy at import.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..errors import ConfigError
from .axis import noise_coordinate

if TYPE_CHECKING:
    from ..arrays import Floats

LOG_INPUT_TIME = 1.564
"""T: ln τ_w of the calm network."""
LOG_OUTPUT_TIME = 0.914
"""T_h: ln τ_h of the calm network."""
EXPONENT = 0.7
"""Of the nonlinearity in ln τ_w."""
LAYERS = 7
"""Hidden layers of the networks that the maps were fitted to."""
_SHORTEST, _LONGEST = 1e-3, 1e4
"""Bounds of a time: a chain beyond either does not change any more."""


class TwoHands(NamedTuple):
    """The state of a chain that was pulled at both ends."""

    input_share: float
    """p: part of the chain's length that the input's hand pulls, in [0, 1]."""
    input_time: float
    """τ_w: for which the input's hand has pulled, in units of 1/(k M)."""
    output_time: float
    """τ_h: for which the output's hand has pulled, in the same unit."""


class TwoHandsMap(msgspec.Struct, frozen=True, kw_only=True):
    """A map from a network's two knobs to a chain with two hands, and the errors of its fit."""

    noise_axis: str
    """The setting that is the noise."""
    calm: float
    """Its value in the calm network, in the setting's own unit."""
    last: float
    """Its noisiest value at which networks follow the map and repeat between seeds, in the setting's own unit."""
    input_slowing: float
    """t."""
    shielding: float
    """c of ln τ_w: how much nonlinearity takes off t."""
    output_hastening: float
    """h."""
    saturation: float | None = None
    """n; None where s is N."""
    length: tuple[float, float, float]
    """a, b, c of h/w, for where no length is measured."""
    rms: float
    """Root mean square error of the scaled curves where the length is measured."""
    asymmetry_correlation: float
    """Pearson's, of the chains' asymmetries with the networks', likewise."""
    left_out_rms: float
    """The same error with each cell predicted from the others."""
    slider_rms: float
    """Root mean square error where no length is measured, with the three numbers of ``length``."""
    slider_correlation: float
    """Pearson's, of the asymmetries, likewise."""
    cells: int
    """Cells that it was fitted to, up to ``last``."""

    def times(self, nonlinearity: float, noise: float, layers: int = LAYERS) -> tuple[float, float]:
        """τ_w and τ_h of a network.

        Args:
            nonlinearity: 1 - α, in [0, 1].
            noise: in the setting's own unit.
            layers: H, the number of hidden layers.
        """
        strength, calm = _strength(self.noise_axis, noise), _strength(self.noise_axis, self.calm)
        into = self._saturated(strength) - self._saturated(calm)
        scale = (layers / LAYERS) ** 2
        slowing = self.input_slowing - self.shielding * nonlinearity**EXPONENT
        at_input = math.exp(_within(LOG_INPUT_TIME - slowing * into)) * scale
        at_output = math.exp(_within(LOG_OUTPUT_TIME + self.output_hastening * (strength - calm))) * scale
        return at_input, at_output

    def _saturated(self, strength: float) -> float:
        return strength if self.saturation is None else strength / (strength + self.saturation)

    def input_share(self, nonlinearity: float, noise: float) -> float:
        """p where no length is measured, in [0, 1]; arguments as ``times``."""
        a, b, c = self.length
        z = noise_coordinate(self.noise_axis, noise)
        return 1.0 / (1.0 + nonlinearity * max(0.0, a + b * z + c * z * z))

    def state(self, nonlinearity: float, noise: float, layers: int = LAYERS) -> TwoHands:
        """The chain for a network whose separation is not measured; arguments as ``times``."""
        return TwoHands(self.input_share(nonlinearity, noise), *self.times(nonlinearity, noise, layers))

    def applies(self, noise: float) -> bool:
        """Whether networks at this noise follow the map; noisier ones mix the classes again between the layers."""
        return _strength(self.noise_axis, noise) <= _strength(self.noise_axis, self.last) * (1.0 + 1e-9)


def _within(log_time: float) -> float:
    return min(math.log(_LONGEST), max(math.log(_SHORTEST), log_time))


def _strength(noise_axis: str, noise: float) -> float:
    """N, which grows with the noise."""
    if noise_axis == "lr":
        return noise / 0.01
    return 100.0 / noise if noise_axis == "batch_size" else noise


def predicted_curve(
    nonlinearity: float, noise_axis: str, noise: float, layers: int, input_share: float | None = None
) -> Floats:
    """The scaled load curve of a network, 1 … 0 over its hidden layers, [H + 1], by the shipped map.

    Args:
        nonlinearity: 1 - α, in [0, 1].
        noise_axis: the setting that is the noise, one of ``TWO_HANDS``.
        noise: in its own unit.
        layers: H, the number of hidden layers; at least 2.
        input_share: w/Λ, where the linear network's separation w and the network's own, Λ, are measured.

    Raises:
        ConfigError: no map is shipped for this noise.
    """
    from ..chain.hands import pulled_by_both  # needs NumPy, which no first frame waits for

    state = two_hands_for(noise_axis).state(nonlinearity, noise, layers)
    share = state.input_share if input_share is None else input_share
    return 1.0 - pulled_by_both(share, state.input_time, state.output_time, layers)


def predicted_asymmetry(nonlinearity: float, noise_axis: str, noise: float, layers: int = LAYERS) -> float:
    """(load of the shallow half - load of the deep half) / total of ``predicted_curve``; the same arguments."""
    from ..measures.friction import asymmetries  # as in predicted_curve

    return float(asymmetries(predicted_curve(nonlinearity, noise_axis, noise, layers)[None])[0])


def two_hands_for(noise_axis: str) -> TwoHandsMap:
    """The shipped map for a kind of noise.

    Raises:
        ConfigError: there is none.
    """
    if noise_axis not in TWO_HANDS:
        raise ConfigError(
            f"no map with two hands was fitted for {noise_axis!r}; for these: {', '.join(TWO_HANDS)}"
        )
    return TWO_HANDS[noise_axis]


_SHIPPED = (
    TwoHandsMap(
        noise_axis="data_noise",
        calm=0.0,
        last=0.8,
        input_slowing=0.906,
        shielding=0.242,
        output_hastening=2.429,
        length=(1.664, -1.488, 0.486),
        rms=0.024,
        asymmetry_correlation=0.973,
        left_out_rms=0.025,
        slider_rms=0.0275,
        slider_correlation=0.961,
        cells=54,
    ),
    TwoHandsMap(
        noise_axis="dropout",
        calm=0.0,
        last=0.3,
        input_slowing=6.400,
        shielding=3.156,
        output_hastening=9.286,
        length=(1.994, -4.886, 3.626),
        rms=0.028,
        asymmetry_correlation=0.989,
        left_out_rms=0.028,
        slider_rms=0.0352,
        slider_correlation=0.973,
        cells=96,
    ),
    TwoHandsMap(
        noise_axis="lr",
        calm=1e-3,
        last=0.2,
        input_slowing=6.371,
        shielding=4.685,
        output_hastening=1.427,
        saturation=0.086,
        length=(1.097, 8.496, -9.930),
        rms=0.037,
        asymmetry_correlation=0.983,
        left_out_rms=0.041,
        slider_rms=0.0403,
        slider_correlation=0.980,
        cells=66,
    ),
    TwoHandsMap(
        noise_axis="batch_size",
        calm=2560,
        last=20,
        input_slowing=2.429,
        shielding=3.841,
        output_hastening=0.448,
        saturation=0.478,
        length=(2.331, 4.649, -9.413),
        rms=0.038,
        asymmetry_correlation=0.979,
        left_out_rms=0.041,
        slider_rms=0.0343,
        slider_correlation=0.987,
        cells=48,
    ),
)
TWO_HANDS: dict[str, TwoHandsMap] = {shipped.noise_axis: shipped for shipped in _SHIPPED}
"""The shipped maps by noise axis; fitted to docs/data, our networks on MNIST, 3 seeds a cell."""
