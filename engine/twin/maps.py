"""Fitted maps from a network's knobs to its mechanical twin (ours). No torch: the app reads them too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..errors import ConfigError, RunDirectoryError
from ..runs.directory import Run
from ..runs.files import read_file, replace_file

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..arrays import Floats

_FILE_LIMIT = 1 << 16
NUMBERS = ("friction", "friction_per_nonlinearity", "mu_left", "noise", "noise_per_noise")
"""The fields of a map that determine the chain."""


class TwinMap(msgspec.Struct, frozen=True, kw_only=True):
    """A map from a network's two knobs to a chain's friction and noise, and the errors of its fit.

    μ→ = a + b (1 - α), μ← fixed, ε̄ = c + d q (docs/theory.md), of a chain with k = 1 and unit length.
    """

    friction: float
    """a: μ→ of a linear network."""
    friction_per_nonlinearity: float
    """b."""
    mu_left: float
    noise: float
    """c: ε̄ of a calm network."""
    noise_per_noise: float
    """d: per unit of the noise axis, in the diagram's own coordinate."""
    noise_axis: str = "data_noise"
    """The setting that the noise q is; its coordinate is ``twin.axis.noise_coordinate``."""
    provenance: str = ""
    """Which networks it was fitted to."""
    rms: float = float("nan")
    """Root mean square error of the scaled curves."""
    asymmetry_correlation: float = float("nan")
    """Pearson's, of the chains' asymmetries with the networks'."""
    left_out_rms: float = float("nan")
    """The same error on each row of equal nonlinearity, predicted by a fit to the other rows; NaN for few rows."""
    converged: bool = True
    """Whether the two best of several fits agreed."""

    def chain(self, nonlinearity: ArrayLike, noise: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """μ→, μ← and ε̄ for a network's knobs; none is negative.

        Args:
            nonlinearity: 1 - α.
            noise: q, in the axis' own coordinate; the two broadcast, and what comes back has their shape.
        """
        import numpy as np  # not at import: the app's first frame would wait for it

        right = self.friction + self.friction_per_nonlinearity * np.asarray(nonlinearity, np.float64)
        sd = self.noise + self.noise_per_noise * np.asarray(noise, np.float64)
        right, sd = np.broadcast_arrays(np.maximum(right, 0.0), np.maximum(sd, 0.0))
        return np.array(right), np.full(right.shape, self.mu_left), np.array(sd)

    def chain_of(self, nonlinearity: float, noise: float) -> tuple[float, float, float]:
        """μ→, μ← and ε̄ as ``chain`` gives them, for one network and without NumPy."""
        right = self.friction + self.friction_per_nonlinearity * nonlinearity
        return max(right, 0.0), self.mu_left, max(self.noise + self.noise_per_noise * noise, 0.0)


def save_map(folder: Path, twin: TwinMap) -> None:
    """Keep a map in its sweep's directory.

    Raises:
        OSError: it cannot be written.
    """
    replace_file(Run(folder).twin_map_path, msgspec.json.format(msgspec.json.encode(twin), indent=2) + b"\n")


def load_map(folder: Path) -> TwinMap:
    """The map that was fitted to a sweep.

    Raises:
        ConfigError: none was, or it cannot be used.
    """
    how = f"springtui twin {folder.name} fits one"
    try:
        fields = msgspec.json.decode(read_file(Run(folder).twin_map_path, _FILE_LIMIT), type=dict[str, object])
        found = msgspec.convert({k: v for k, v in fields.items() if v is not None}, TwinMap)  # null for NaN
    except RunDirectoryError as error:
        raise ConfigError(f"{folder.name} has no fitted map; {how} if it is a diagram of networks") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{Run(folder).twin_map_path} is damaged ({error}); {how} anew") from error
    if found.noise_axis not in PRESETS:
        raise ConfigError(
            f"the map of {folder.name} is over {found.noise_axis!r}, which is none of the lab's noises: "
            f"{', '.join(PRESETS)}"
        )
    return found


_SHIPPED = (
    TwinMap(
        friction=0.030,
        friction_per_nonlinearity=0.055,
        mu_left=0.138,
        noise=0.029,
        noise_per_noise=0.042,
        noise_axis="data_noise",
        provenance="fitted to 54 cells x 3 seeds of the authors' network on MNIST, full batch, 100 epochs",
        rms=0.037,
        asymmetry_correlation=0.94,
        left_out_rms=0.048,
    ),
    TwinMap(
        friction=0.0731,
        friction_per_nonlinearity=0.0786,
        mu_left=0.224,
        noise=0.0550,
        noise_per_noise=0.1624,
        noise_axis="dropout",
        provenance="fitted to 96 cells x 3 seeds of our networks on MNIST, recipe dropout",
        rms=0.049,
        asymmetry_correlation=0.988,
        left_out_rms=0.051,
    ),
    TwinMap(
        friction=0.3558,
        friction_per_nonlinearity=0.0884,
        mu_left=1.0,
        noise=0.1652,
        noise_per_noise=0.0794,
        noise_axis="lr",
        provenance="fitted to our networks on MNIST, recipe learning-rate; errors on 69 of 72 cells x 3 seeds, "
        "since three at lr = .5 do not repeat between seeds (without that lr .088 and .95); mu_left at its bound",
        rms=0.099,
        asymmetry_correlation=0.937,
        left_out_rms=0.098,
    ),
    TwinMap(
        friction=0.2843,
        friction_per_nonlinearity=0.1158,
        mu_left=1.0,
        noise=0.1469,
        noise_per_noise=0.0545,
        noise_axis="batch_size",
        provenance="fitted to our networks on MNIST, recipe batch-size; errors on 56 of 60 cells x 3 seeds, since "
        "the curves of four mean nothing (for batches of 20 and more, .079 and .90); mu_left at its bound",
        rms=0.098,
        asymmetry_correlation=0.906,
        left_out_rms=0.108,
    ),
)
PRESETS: dict[str, TwinMap] = {shipped.noise_axis: shipped for shipped in _SHIPPED}
"""Fitted maps by noise axis; the axis' coordinate is ``twin.axis.noise_coordinate``.

At the noisy end of the paper's learning rates and batch sizes, networks mix the classes again half-way; no chain
pulled from rest does that, so these two maps have larger errors.
"""
