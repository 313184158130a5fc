"""A member's training steps in compiled code: no Python runs between the first and the last step of an epoch.

Shape legend: N samples, B batch, R rows of a block, D input features, H width, K classes, L linear maps,
P parameters, T rows of a tile. Large arrays are flat.

A step keeps only the linear maps' outputs z. It works on blocks of R rows that fit the nearest cache: an
activation is computed from z right before the product that needs it, and again in the backward pass, which costs
less than writing it to memory and reading it back. Each layer is passed once forward and once backward:

    forward   z_l = f(z_(l-1)) W_l, and the moments of z_l
    backward  dz_l from dy_l; dW_l += f(z_(l-1))ᵀ dz_l; dy_(l-1) from dz_l W_lᵀ, and its sums

Weights are kept as [in, out]. BatchNorm subtracts the bias of a linear map again, so that the bias enters the
running mean alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..jit import inlined, jit_step, multiply, multiply_padded
from .layers import (
    activate,
    activate_drop,
    adam,
    add_moments,
    add_rows,
    back_activate,
    back_normalise,
    centre_scale,
    copy,
    cross_entropy,
    dot,
    drop,
    fold,
    normalise,
    pad,
    repeat,
    scale_shift,
    transpose,
)
from .products import FEW, few_rows, few_rows_turned
from .random import add_gaussians, draw_below, draw_mask, shuffle
from .state import Data, Plan, State, Workspace, layer_start, line

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@jit_step
def _fan_in(plan: Plan, layer: int) -> int:
    return plan.inputs if layer == 1 else plan.width


@inlined
def _weights(plan: Plan, flat: Any, layer: int, outputs: int) -> Any:
    start = layer_start(plan, layer)
    return flat[start : start + _fan_in(plan, layer) * outputs]


@inlined
def _vector(plan: Plan, flat: Any, layer: int, which: int) -> Any:
    """b, γ or β (0, 1, 2) of a hidden layer, [H]."""
    start = layer_start(plan, layer) + (_fan_in(plan, layer) + which) * plan.width
    return flat[start : start + plan.width]


@jit_step
def _blocks(plan: Plan, count: int) -> int:
    return (count + plan.rows - 1) // plan.rows


@jit_step
def _bounds(plan: Plan, block: int, blocks: int, count: int, sweep: int) -> tuple[int, int]:
    """First row of a block and the row after its last; sweeps alternate in direction, to begin on cached rows."""
    place = blocks - 1 - block if sweep % 2 else block
    return place * plan.rows, min((place + 1) * plan.rows, count)


@inlined
def _entering(plan: Plan, state: State, work: Workspace, x: Any, layer: int, start: int, stop: int) -> Any:
    """The rows of a block that enter linear map ``layer``, [R, D or H], from the inputs or the z before it."""
    if layer == 1:
        out = work.a[: (stop - start) * plan.inputs]
        scale_shift(x[start * plan.inputs : stop * plan.inputs], work.tiles_in[0], work.tiles_in[1], out)
        return out
    out = work.a[: (stop - start) * plan.width]
    here = slice(start * plan.width, stop * plan.width)
    tiles = work.tiles[layer - 2]
    z, slope = work.z[layer - 2][here], np.float32(state.knobs[0])
    if state.knobs[1] > 0.0:
        factor = np.float32(1.0 / (1.0 - state.knobs[1]))
        activate_drop(z, tiles[0], tiles[1], slope, work.masks[layer - 2][here], factor, out)
    else:
        activate(z, tiles[0], tiles[1], slope, out)
    return out


@jit_step
def _new_mask(plan: Plan, state: State, work: Workspace, layer: int, start: int, stop: int) -> None:
    if layer > 1 and state.knobs[1] > 0.0:
        mask = work.masks[layer - 2][start * plan.width : stop * plan.width]
        draw_mask(state.lanes, work.bits, mask, state.knobs[1])


@inlined
def _batch(plan: Plan, data: Data, state: State, work: Workspace, rows_B: Any) -> Any:
    """The batch's inputs, [B D], with its labels in the workspace; noisy where data noise is on.

    As ``Trainer``: Gaussian noise of s.d. q x the batch's pixel s.d., then round(q B) labels drawn uniformly.
    """
    count, d, q = rows_B.size, plan.inputs, state.knobs[3]
    x = work.x[: count * d]
    if count == plan.samples:
        copy(data.y, work.labels[:count])
        if q == 0.0:
            return data.x
        copy(data.x, x)
    else:
        for i in range(count):
            work.labels[i] = data.y[rows_B[i]]
            copy(data.x[rows_B[i] * d : (rows_B[i] + 1) * d], x[i * d : (i + 1) * d])
    if q > 0.0:
        add_gaussians(state.lanes, work.bits, x, x, np.float32(q * _spread(x, work.sums_in, data.centre)))
        hits = round(q * count)
        for i in range(count):
            work.places[i] = i
        shuffle(state.sequence, work.places[:count], hits)
        for i in range(hits):
            work.labels[work.places[i]] = draw_below(state.sequence, plan.classes)
    return x


@jit_step
def _spread(x: Any, sums: Any, centre: Any) -> float:
    """The sample s.d. over all elements of a batch."""
    sums[:] = _ZERO
    add_moments(x, centre, sums[0], sums[1])
    total, square = 0.0, 0.0
    for k in range(centre.size):
        n = (x.size - k + centre.size - 1) // centre.size
        total += sums[0, k] + n * centre[k]
        square += sums[1, k] + 2.0 * centre[k] * sums[0, k] + n * centre[k] * centre[k]
    return float(np.sqrt(max(square - total * total / x.size, 0.0) / (x.size - 1)))


@jit_step
def _enter(plan: Plan, data: Data, state: State, work: Workspace, x: Any) -> None:
    """Compute the coefficients of the input's BatchNorm for this batch."""
    d = plan.inputs
    work.sums_in[:] = _ZERO
    add_moments(x, data.centre, work.sums_in[0], work.sums_in[1])
    copy(data.centre[:d], work.columns_in[0])
    fold(work.sums_in[0], work.columns_in[1])
    fold(work.sums_in[1], work.columns_in[2])
    running = state.running[: 2 * d].reshape(2, d)
    gain, offset = state.weights[:d], state.weights[d : 2 * d]
    bias = work.a[:d]
    bias[:] = _ZERO
    normalise(work.columns_in, x.size // d, gain, offset, bias, running, work.tiles_in)


@jit_step
def _forward(plan: Plan, state: State, work: Workspace, x: Any, count: int, layer: int) -> None:
    """Compute z of hidden layer ``layer`` and the coefficients of its BatchNorm."""
    h, sums, blocks = plan.width, work.sums, _blocks(plan, count)
    w, z = _weights(plan, state.weights, layer, h), work.z[layer - 1]
    sums[:] = _ZERO
    stride = h
    if blocks > 2:
        stride = line(h)
        pad(w, h, stride, work.turned)
        w = work.turned
    for block in range(blocks):
        start, stop = _bounds(plan, block, blocks, count, layer)
        _new_mask(plan, state, work, layer, start, stop)
        a = _entering(plan, state, work, x, layer, start, stop)
        made = z[start * h : stop * h]
        if count <= FEW:
            few_rows(a, w, made, stop - start, h, _fan_in(plan, layer))
        else:
            multiply_padded(plan.address, a, w, made, stop - start, h, _fan_in(plan, layer), stride)
        if block == 0:
            _first_mean(made, work.columns[0])
            repeat(work.columns[0], work.shift)
        add_moments(made, work.shift, sums[0], sums[1])
    fold(sums[0], work.columns[1])
    fold(sums[1], work.columns[2])
    begin = 2 * plan.inputs + 2 * h * (layer - 1)
    running = state.running[begin : begin + 2 * h].reshape(2, h)
    b, gain = _vector(plan, state.weights, layer, 0), _vector(plan, state.weights, layer, 1)
    offset = _vector(plan, state.weights, layer, 2)
    normalise(work.columns, count, gain, offset, b, running, work.tiles[layer - 1])


@jit_step
def _first_mean(z: Any, mean: Any) -> None:
    """Write the mean of the first few rows, about which moments are taken, into ``mean`` [H]."""
    h = mean.size
    rows = min(8, z.size // h)
    copy(z[:h], mean)
    for i in range(1, rows):
        row = z[i * h : (i + 1) * h]
        for k in range(h):
            mean[k] += row[k]
    mean /= np.float32(rows)


@jit_step
def _head(plan: Plan, state: State, work: Workspace, x: Any, count: int) -> float:
    """The summed loss, in nats; the head's gradients and dy of the last hidden layer are left in the workspace."""
    h, k, last, blocks = plan.width, plan.classes, plan.hidden + 1, _blocks(plan, count)
    start_w = layer_start(plan, last)
    bias = state.weights[start_w + h * k : start_w + h * k + k]
    w = state.weights[start_w : start_w + h * k]
    grad, grad_b = work.grad[start_w : start_w + h * k], work.grad[start_w + h * k : start_w + h * k + k]
    grad_b[:] = _ZERO
    work.sums[:] = _ZERO
    transpose(w, h, k, line(h), work.turned)
    total, inverse = 0.0, np.float32(1.0 / count)
    for block in range(blocks):
        start, stop = _bounds(plan, block, blocks, count, last)
        _new_mask(plan, state, work, last, start, stop)
        a = _entering(plan, state, work, x, last, start, stop)
        logits = work.logits[: (stop - start) * k]
        multiply(plan.address, a, w, logits, stop - start, k, h, 0, _ZERO)
        total += cross_entropy(logits, bias, work.labels[start:stop], inverse)
        add_rows(logits, grad_b)
        multiply(plan.address, a, logits, grad, h, k, stop - start, 2, _ZERO if block == 0 else _ONE)
        _leave(plan, state, work, logits, work.turned, last, start, stop, line(h))
    return total


@jit_step
def _leave(
    plan: Plan, state: State, work: Workspace, dz: Any, w: Any, layer: int, start: int, stop: int, stride: int
) -> None:
    """Compute a block of dy of the layer before ``layer`` from dz of ``layer``, and add to the sums of dy.

    ``w`` are the layer's weights: transposed, with rows ``stride`` apart; or as they are where ``stride`` is 0.
    """
    h = plan.width
    k = dz.size // (stop - start)
    here = slice(start * h, stop * h)
    dy = work.dy[here]
    if stride:
        multiply_padded(plan.address, dz, w, dy, stop - start, h, k, stride)
    elif stop - start <= FEW:
        few_rows_turned(dz, w, dy, stop - start, h, k)
    else:
        multiply(plan.address, dz, w, dy, stop - start, h, k, 1, _ZERO)
    if state.knobs[1] > 0.0:
        drop(work.masks[layer - 2][here], np.float32(1.0 / (1.0 - state.knobs[1])), dy)
    slope, tiles = np.float32(state.knobs[0]), work.tiles[layer - 2]
    back_activate(dy, work.z[layer - 2][here], tiles, slope, work.sums[0], work.sums[1])


@jit_step
def _backward(plan: Plan, state: State, work: Workspace, x: Any, count: int, layer: int) -> None:
    """Compute the gradients of hidden layer ``layer`` from its dy, and dy of the layer before."""
    h, fan_in, tiles, blocks = plan.width, _fan_in(plan, layer), work.tiles[layer - 1], _blocks(plan, count)
    bias, gain = _vector(plan, work.grad, layer, 0), _vector(plan, work.grad, layer, 1)
    offset = _vector(plan, work.grad, layer, 2)
    fold(work.sums[0], offset)
    fold(work.sums[1], gain)
    gain *= tiles[3][:h]
    _slopes(work, tiles, offset, gain, count)
    work.sums[:] = _ZERO
    work.shift[:] = _ZERO
    w, grad = _weights(plan, state.weights, layer, h), _weights(plan, work.grad, layer, h)
    stride = 0
    if layer > 1 and blocks > 2:
        stride = line(h)
        transpose(w, h, h, stride, work.turned)  # faster in all than products with a transposed factor
        w = work.turned
    for block in range(blocks):
        start, stop = _bounds(plan, block, blocks, count, layer)
        here = slice(start * h, stop * h)
        dz = work.dz[: (stop - start) * h]
        z = work.z[layer - 1][here]
        back_normalise(work.dy[here], z, tiles[0], work.slopes[0], work.slopes[1], dz, work.shift)
        if layer == 1:
            a = work.a[: (stop - start) * fan_in]
            rows = x[start * fan_in : stop * fan_in]
            centre_scale(rows, work.tiles_in[2], work.tiles_in[3], a)
        else:
            a = _entering(plan, state, work, x, layer, start, stop)
        multiply(plan.address, a, dz, grad, fan_in, h, stop - start, 2, _ZERO if block == 0 else _ONE)
        if layer > 1:
            _leave(plan, state, work, dz, w, layer, start, stop, stride)
    fold(work.shift, bias)


@jit_step
def _slopes(work: Workspace, tiles: Any, offset: Any, gain: Any, count: int) -> None:
    """Compute the tiles of tilt and level with dz = scale dy + tilt z + level.

    BatchNorm's gradient is dz = scale (dy - mean dy - ẑ mean dy ẑ); ``offset`` and ``gain`` are Σdy and Σdy ẑ.
    """
    n = np.float32(count)
    tilt, level = work.columns[1], work.columns[2]
    for k in range(offset.size):
        tilt[k] = -tiles[0, k] * tiles[3, k] * gain[k] / n
        level[k] = -tiles[0, k] * offset[k] / n - tilt[k] * tiles[2, k]
    repeat(tilt, work.slopes[0])
    repeat(level, work.slopes[1])


@jit_step
def _leave_entry(plan: Plan, state: State, work: Workspace) -> None:
    """Compute gradients of the first linear map and of the input's BatchNorm, from M = x̂ᵀ dz alone.

    With a = γ x̂ + β: dW = γ M + β Σdz, dγ = Σ_o W M, dβ = W Σdz; the product dz Wᵀ is never formed.
    """
    d, h = plan.inputs, plan.width
    gain, offset = state.weights[:d], state.weights[d : 2 * d]
    w, grad = _weights(plan, state.weights, 1, h), _weights(plan, work.grad, 1, h)
    sums = _vector(plan, work.grad, 1, 0)
    for i in range(d):
        row, m = w[i * h : (i + 1) * h], grad[i * h : (i + 1) * h]
        work.grad[i], work.grad[d + i] = dot(row, m), dot(row, sums)
        for k in range(h):
            m[k] = gain[i] * m[k] + offset[i] * sums[k]


@jit_step
def gradients(plan: Plan, data: Data, state: State, work: Workspace, rows_B: Any) -> float:
    """The mean loss of one batch, in nats; its gradients [P] are left in the workspace.

    ``rows_B`` are the samples of the batch, as indices into the data.
    """
    x = _batch(plan, data, state, work, rows_B)
    count = rows_B.size
    _enter(plan, data, state, work, x)
    for layer in range(1, plan.hidden + 1):
        _forward(plan, state, work, x, count, layer)
    total = _head(plan, state, work, x, count)
    for layer in range(plan.hidden, 0, -1):
        _backward(plan, state, work, x, count, layer)
    _leave_entry(plan, state, work)
    return float(total / count)


@jit_step
def train_steps(
    plan: Plan, data: Data, state: State, work: Workspace, order: Any, start: int, total: float, most: int
) -> tuple[int, float]:
    """The next start and total, after up to ``most`` steps of an epoch over ``order`` [N] from sample ``start``.

    ``total`` is the sum of loss x samples over the epoch so far, in an order that does not depend on ``most``. A
    last batch of one sample is left out, since BatchNorm has no variance over it: then the next start is N.
    """
    while start < order.size and most > 0:
        rows_B = order[start : start + plan.batch]
        total += gradients(plan, data, state, work, rows_B) * rows_B.size
        state.steps[0] += 1
        adam(state.weights, work.grad, state.first, state.second, state.knobs[2], state.steps[0])
        start += rows_B.size
        most -= 1
        if order.size - start == 1:
            start += 1
    return start, total
