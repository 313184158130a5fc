"""The arrays that an ensemble's compiled code works on, and their conversion from and to a network.

Shape legend: N samples, B batch, R rows of a block, D input features, H width, K classes, L linear maps,
P parameters, T rows of a tile. Large arrays are flat.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..arrays import Floats, Floats32
from ..datasets.load import Dataset
from ..jit import jit_step, sgemm_address
from ..networks.network import Network
from .layers import TILE_ROWS
from .random import LANES, lanes_from_seed, sequence_from_seed

Wholes = NDArray[np.int64]

_SMALL_PRODUCT = 800_000
"""Multiplications of a product: below a million, OpenBLAS skips packing, which is fastest."""

_HUGE_PAGE = 1 << 19
"""2 MiB, counted in float32."""


class Plan(NamedTuple):
    """Sizes that all members of a group share, and the address of the matrix product."""

    samples: int
    """N."""
    inputs: int
    """D."""
    width: int
    """H."""
    classes: int
    """K."""
    hidden: int
    """Hidden layers, L - 1."""
    rows: int
    """R, of a block."""
    batch: int
    """B."""
    address: int
    """``jit.sgemm_address``."""


class Data(NamedTuple):
    """What all members train on."""

    x: Floats32
    """[N D]."""
    y: Wholes
    """Class indices, [N]."""
    centre: Floats32
    """A tile of the clean inputs' means, [T D], about which the inputs' moments are taken."""


class State(NamedTuple):
    """One member: everything that a step changes, and its settings."""

    weights: Floats32
    """[P]: γ and β of the input's BatchNorm; W, b, γ, β of each hidden layer; W, b of the head."""
    first: Floats32
    second: Floats32
    """Adam's moments, [P]."""
    running: Floats32
    """Running mean and variance of each BatchNorm in turn, [2 D + 2 H (L - 1)]."""
    lanes: NDArray[np.uint32]
    sequence: NDArray[np.uint64]
    """The two generators' states: ``ensemble.random``."""
    knobs: Floats
    """Negative slope, dropout, learning rate, data noise."""
    steps: Wholes
    """Steps taken, [1]."""


class Workspace(NamedTuple):
    """Scratch memory for one thread; any member of the group may use it."""

    x: Floats32
    """The batch, [B D]."""
    labels: Wholes
    """Its class indices, [B]."""
    places: Wholes
    """Scratch for choosing the samples whose labels are replaced, [B]."""
    z: Floats32
    """The hidden linear maps' outputs, [L - 1, B H]."""
    masks: NDArray[np.uint8]
    """Dropout of the hidden layers, [L - 1, B H]."""
    dy: Floats32
    """[B H]."""
    grad: Floats32
    """[P]."""
    a: Floats32
    """The block that enters a product, [R max(D, H)]."""
    dz: Floats32
    """[R H]."""
    logits: Floats32
    """[R K]."""
    turned: Floats32
    """A weight matrix with padded rows, or its transpose, [max(D, H, K), line(H)]."""
    tiles_in: Floats32
    """[4, T D]."""
    tiles: Floats32
    """[L - 1, 4, T H]."""
    sums_in: Floats32
    """[2, T D]."""
    sums: Floats32
    """[2, T H]."""
    shift: Floats32
    """[T H]."""
    slopes: Floats32
    """[2, T H]."""
    columns_in: Floats32
    """[3, D]."""
    columns: Floats32
    """[3, H]."""
    bits: NDArray[np.uint32]
    """Random bits for one block."""


@jit_step
def line(width: int) -> int:
    """The width rounded up to whole cache lines of 16 float32."""
    return (width + 15) // 16 * 16


@jit_step
def layer_start(plan: Plan, layer: int) -> int:
    """Where W of linear map 1 … L lies in the weights, counted in numbers."""
    if layer == 1:
        return 2 * plan.inputs
    each = plan.width * plan.width + 3 * plan.width
    return 2 * plan.inputs + plan.inputs * plan.width + 3 * plan.width + (layer - 2) * each


def make_plan(dataset: Dataset, width: int, depth: int, batch: int) -> Plan:
    """Sizes of a group; blocks have as many rows as fit the nearest cache and keep products fast.

    ``depth`` counts the linear maps, L. BatchNorm has no variance over one sample, so a batch holds two at least.
    """
    n, d = dataset.x_train.shape
    fits = _SMALL_PRODUCT // (max(d, width) * width) // TILE_ROWS * TILE_ROWS
    rows = min(fits, 256) if fits >= 2 * TILE_ROWS else 256
    batch = min(max(batch, 2), n)
    return Plan(n, d, width, dataset.n_classes, depth - 1, min(rows, batch), batch, sgemm_address())


def make_data(dataset: Dataset, batch: int) -> Data:
    """The training set, x [N, D], as compiled code takes it; ``batch`` is B."""
    x = np.ascontiguousarray(dataset.x_train, dtype=np.float32)
    centre = np.tile(x.mean(0, dtype=np.float64).astype(np.float32), min(TILE_ROWS, batch))
    return Data(x.ravel(), np.ascontiguousarray(dataset.y_train, dtype=np.int64), centre)


def make_state(network: Network, seed: int) -> State:
    """A member with a network's initial weights and random streams of its own, from its seed alone."""
    weights, running = _flat(_weights(network)), _flat(_running(network))
    zeros = np.zeros_like(weights)
    knobs, steps = np.zeros(4), np.zeros(1, np.int64)
    lanes, sequence = lanes_from_seed(seed), sequence_from_seed(seed)
    return State(weights, zeros, zeros.copy(), running, lanes, sequence, knobs, steps)


def store_weights(state: State, network: Network) -> None:
    """Copy a member's weights and running moments into a network."""
    with torch.no_grad():
        for tensors, flat in ((_weights(network), state.weights), (_running(network), state.running)):
            start = 0
            for tensor in tensors:
                part = torch.from_numpy(flat[start : start + tensor.numel()])
                tensor.copy_(part.view(tensor.shape))
                start += tensor.numel()


def _weights(network: Network) -> list[torch.Tensor]:
    """Parameters in the order of ``State.weights``; those of linear maps as views [in, out]."""
    entry, *norms = _norms(network)
    maps = [_linear(block[0]) for block in _blocks(network)]
    tensors: list[torch.Tensor] = [entry.weight, entry.bias]
    for linear, norm in zip(maps, norms, strict=True):
        tensors += [linear.weight.T, linear.bias, norm.weight, norm.bias]
    head = _linear(network.head)
    return [tensor.detach() for tensor in (*tensors, head.weight.T, head.bias)]


def _running(network: Network) -> list[torch.Tensor]:
    found = [tensor for norm in _norms(network) for tensor in (norm.running_mean, norm.running_var)]
    return [tensor for tensor in found if tensor is not None]


def _norms(network: Network) -> list[nn.BatchNorm1d]:
    found = [network.entry, *(block[1] for block in _blocks(network))]
    return [norm for norm in found if isinstance(norm, nn.BatchNorm1d)]


def _blocks(network: Network) -> list[nn.Sequential]:
    return [block for block in network.blocks if isinstance(block, nn.Sequential)]


def _linear(module: nn.Module) -> nn.Linear:
    if not isinstance(module, nn.Linear):
        raise TypeError(f"{type(module).__name__} is no linear map; an ensemble trains an mlp's alone")
    return module


def _flat(tensors: list[torch.Tensor]) -> Floats32:
    return np.concatenate([tensor.numpy().ravel() for tensor in tensors])


class _Arena:
    """Hands out float32 arrays from one piece of memory.

    The system can map one large piece to huge pages, and each array begins on a cache line of its own.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        raw = np.zeros(sum(map(_padded, shapes.values())) + _HUGE_PAGE, np.float32)
        rest = raw[-(raw.ctypes.data // 4) % _HUGE_PAGE :]
        self.arrays: dict[str, Floats32] = {}
        for name, shape in shapes.items():
            self.arrays[name] = rest[: math.prod(shape)].reshape(shape)
            rest = rest[_padded(shape) :]


def _padded(shape: tuple[int, ...]) -> int:
    return int(line(math.prod(shape)))


def make_workspace(plan: Plan) -> Workspace:
    """Scratch for one thread; its size is about L + 1 + D / H batches of hidden activations, B H float32 each."""
    b, d, h, k, r, hidden = plan.batch, plan.inputs, plan.width, plan.classes, plan.rows, plan.hidden
    t = min(TILE_ROWS, b)
    parameters = layer_start(plan, hidden + 1) + h * k + k
    floats: dict[str, tuple[int, ...]] = {
        "x": (b * d,), "z": (hidden, b * h), "dy": (b * h,), "grad": (parameters,), "a": (r * max(d, h),),
        "dz": (r * h,), "logits": (r * k,), "turned": (max(d, h, k) * line(h),), "tiles_in": (4, t * d),
        "tiles": (hidden, 4, t * h), "sums_in": (2, t * d), "sums": (2, t * h), "shift": (t * h,),
        "slopes": (2, t * h), "columns_in": (3, d), "columns": (3, h),
    }  # fmt: skip
    bits = -(-max(r * h, 4 * LANES) // LANES) * LANES
    return Workspace(
        **_Arena(floats).arrays,
        labels=np.zeros(b, np.int64),
        places=np.zeros(b, np.int64),
        masks=np.zeros((hidden, b * h), np.uint8),
        bits=np.zeros(bits, np.uint32),
    )
