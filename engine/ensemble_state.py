"""The arrays that an ensemble's compiled code works on, and how they come from a network.

Shape legend: N samples, B batch, R rows of a block, D input features, H width, K classes, L linear maps, P parameters,
T rows of a tile. Large arrays are flat.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from .datasets import Dataset
from .ensemble_jit import jit, sgemm_address
from .ensemble_layers import TILE_ROWS
from .ensemble_random import LANES, lanes_from_seed, sequence_from_seed
from .networks import Network

Floats = NDArray[np.float32]
Wholes = NDArray[np.int64]

_SMALL_PRODUCT = 800_000
"""Products below a million multiplications take OpenBLAS's path without packing, which is the fastest for them."""


class Plan(NamedTuple):
    """Sizes that all members of a group share, and the address of the matrix product."""

    samples: int
    inputs: int
    width: int
    classes: int
    hidden: int
    rows: int
    """Of a block."""
    batch: int
    address: int


class Data(NamedTuple):
    """What all members train on."""

    x: Floats
    """[N D]."""
    y: Wholes
    centre: Floats
    """A tile of the clean inputs' means, [T D]: what their moments are taken about."""


class State(NamedTuple):
    """One member: everything that a step changes, and its settings."""

    weights: Floats
    """[P]: γ and β of the input's BatchNorm; W, b, γ, β of each hidden layer; W, b of the head."""
    first: Floats
    second: Floats
    """Adam's moments, [P]."""
    running: Floats
    """Running mean and variance of each BatchNorm in turn, [2 D + 2 H (L - 1)]."""
    lanes: NDArray[np.uint32]
    sequence: NDArray[np.uint64]
    knobs: NDArray[np.float64]
    """Negative slope, dropout, learning rate, data noise."""
    steps: Wholes
    """Steps taken, [1]."""


class Workspace(NamedTuple):
    """Scratch for one thread, whatever member it trains."""

    x: Floats
    """The batch, [B D]."""
    labels: Wholes
    places: Wholes
    """[B]."""
    z: Floats
    """[L - 1, B H]."""
    masks: NDArray[np.uint8]
    """Dropout of the hidden layers, [L - 1, B H]."""
    dy: Floats
    """[B H]."""
    grad: Floats
    """[P]."""
    a: Floats
    """The block that enters a product, [R max(D, H)]."""
    dz: Floats
    da: Floats
    """[R H]."""
    logits: Floats
    """[R K]."""
    turned: Floats
    """A weight matrix transposed, [max(H, K) H]."""
    tiles_in: Floats
    """[4, T D]."""
    tiles: Floats
    """[L - 1, 4, T H]."""
    sums_in: Floats
    """[2, T D]."""
    sums: Floats
    """[2, T H]."""
    shift: Floats
    """[T H]."""
    slopes: Floats
    """[2, T H]."""
    columns_in: Floats
    """[3, D]."""
    columns: Floats
    """[3, H]."""
    bits: NDArray[np.uint32]
    """Random bits for one block."""


@jit
def layer_start(plan: Plan, layer: int) -> int:
    """Where W of linear map 1 … L lies in the weights."""
    if layer == 1:
        return 2 * plan.inputs
    each = plan.width * plan.width + 3 * plan.width
    return 2 * plan.inputs + plan.inputs * plan.width + 3 * plan.width + (layer - 2) * each


def make_plan(dataset: Dataset, width: int, depth: int, batch: int) -> Plan:
    """Sizes of a group; blocks are as tall as products stay fast and near caches hold them."""
    n, d = dataset.x_train.shape
    fits = _SMALL_PRODUCT // (max(d, width) * width) // TILE_ROWS * TILE_ROWS
    rows = min(fits, 256) if fits >= 2 * TILE_ROWS else 256
    batch = min(batch, n)
    return Plan(n, d, width, dataset.n_classes, depth - 1, min(rows, batch), batch, sgemm_address())


def make_data(dataset: Dataset, batch: int) -> Data:
    """The training set as compiled code wants it."""
    x = np.ascontiguousarray(dataset.x_train, dtype=np.float32)
    centre = np.tile(x.mean(0, dtype=np.float64).astype(np.float32), min(TILE_ROWS, batch))
    return Data(x.ravel(), np.ascontiguousarray(dataset.y_train, dtype=np.int64), centre)


def make_state(network: Network, seed: int) -> State:
    """A member with a network's initial weights and random streams of its own, from its seed alone."""
    weights = np.concatenate([part.ravel() for part in _weight_parts(network)])
    running = np.concatenate([part.ravel() for part in _running_parts(network)])
    zeros = np.zeros_like(weights)
    knobs, steps = np.zeros(4), np.zeros(1, np.int64)
    lanes, sequence = lanes_from_seed(seed), sequence_from_seed(seed)
    return State(weights, zeros, zeros.copy(), running, lanes, sequence, knobs, steps)


def _norms(network: Network) -> list[nn.Module]:
    return [network.entry, *(block[1] for block in network.blocks)]  # type: ignore[index]


def _weight_parts(network: Network) -> list[Floats]:
    entry, *norms = _norms(network)
    tensors = [entry.weight, entry.bias]
    for block, norm in zip(network.blocks, norms, strict=True):
        linear = block[0]  # type: ignore[index]
        tensors += [linear.weight.T, linear.bias, norm.weight, norm.bias]
    tensors += [network.head.weight.T, network.head.bias]  # type: ignore[operator]
    return [np.ascontiguousarray(t.detach().numpy()) for t in tensors]  # type: ignore[operator, union-attr]


def _running_parts(network: Network) -> list[Floats]:
    tensors = [t for norm in _norms(network) for t in (norm.running_mean, norm.running_var)]
    return [t.numpy() for t in tensors]  # type: ignore[operator, union-attr]


def make_workspace(plan: Plan) -> Workspace:
    """Scratch for one thread; its size is about (L + D / H) batches of hidden activations."""
    b, d, h, k, r, hidden = plan.batch, plan.inputs, plan.width, plan.classes, plan.rows, plan.hidden
    t = min(TILE_ROWS, b)

    def floats(*shape: int) -> Floats:
        return np.zeros(shape, np.float32)

    parameters = layer_start(plan, hidden + 1) + h * k + k
    bits = -(-max(r * h, 2 * LANES) // LANES) * LANES
    return Workspace(
        x=floats(b * d), labels=np.zeros(b, np.int64), places=np.zeros(b, np.int64), z=floats(hidden, b * h),
        masks=np.zeros((hidden, b * h), np.uint8), dy=floats(b * h), grad=floats(parameters),
        a=floats(r * max(d, h)), dz=floats(r * h), da=floats(r * h), logits=floats(r * k),
        turned=floats(max(h, k) * h), tiles_in=floats(4, t * d), tiles=floats(hidden, 4, t * h),
        sums_in=floats(2, t * d), sums=floats(2, t * h), shift=floats(t * h), slopes=floats(2, t * h),
        columns_in=floats(3, d), columns=floats(3, h), bits=np.zeros(bits, np.uint32),
    )  # fmt: skip
