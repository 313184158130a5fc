"""The operations of one layer on a block of rows, fused and compiled.

Shape legend: R rows, W a layer's width, K classes, T rows that share one tile. All arrays are one-dimensional.

Per-column numbers are repeated T times into *tiles* of T x W, and loops take a tile or two of a block at a time:
inner loops are then long and contiguous whatever the width, so that they vectorise. A *sum tile*
holds T x W partial sums; ``fold`` adds its rows up.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..jit import as_float, jit_step, jit_sums

TILE_ROWS = 4
BN_EPS = 1e-5
BN_MOMENTUM = 0.1

_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_DROPPED = np.uint8(0)
_LOG2E = np.float32(1.44269504088896)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_EXP = tuple(
    np.float32(c)
    for c in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
)
_SMALLEST = np.float32(-87.0)


@jit_step
def copy(given: Any, out: Any) -> None:
    """out = given, of one size; a slice assignment would allocate memory, since the two might overlap."""
    for k in range(given.size):
        out[k] = given[k]


@jit_step
def repeat(row: Any, tile: Any) -> None:
    """Fill a tile [T W] with one row [W]."""
    width = row.size
    for start in range(0, tile.size, width):
        copy(row, tile[start : start + width])


@jit_step
def add_rows(block: Any, total: Any) -> None:
    """Add the rows of a block [R W] to ``total`` [W]."""
    width = total.size
    for start in range(0, block.size, width):
        row = block[start : start + width]
        for k in range(width):
            total[k] += row[k]


@jit_step
def fold(sums: Any, row: Any) -> None:
    """row = the sum of the rows of a sum tile; ``sums`` [T W], ``row`` [W]."""
    row[:] = _ZERO
    add_rows(sums, row)


@jit_step
def add_moments(block: Any, shift: Any, sums: Any, squares: Any) -> None:
    """Add the first and second moments of a block [R W] about ``shift``, close to the mean for accuracy.

    ``shift``, ``sums`` and ``squares`` are tiles, [T W].
    """
    span = shift.size
    start = 0
    while start + 2 * span <= block.size:
        one, two = block[start : start + span], block[start + span : start + 2 * span]
        for k in range(span):
            p, q = one[k] - shift[k], two[k] - shift[k]
            sums[k] += p + q
            squares[k] += p * p + q * q
        start += 2 * span
    for begin in range(start, block.size, span):
        rest = block[begin : begin + span]
        for k in range(rest.size):
            p = rest[k] - shift[k]
            sums[k] += p
            squares[k] += p * p


@jit_step
def normalise(moments: Any, count: int, gain: Any, offset: Any, bias: Any, running: Any, tiles: Any) -> None:
    """Compute BatchNorm's coefficients from sums, as ``torch.nn.BatchNorm1d`` (Ioffe & Szegedy, 2015).

    Args:
        moments: shift, sums and squares, [3, W], over ``count`` rows.
        gain, offset: γ and β, [W].
        bias: what the linear map adds, [W]; it shifts the mean alone, so it is never added to the activations.
        running: mean and variance for eval mode, [2, W]; updated.
        tiles: scale and shift with y = scale z + shift, then mean and 1/s.d.; [4, T W].
    """
    width = gain.size
    for k in range(width):
        off = moments[1, k] / count
        variance = max(moments[2, k] / count - off * off, _ZERO)
        mean = moments[0, k] + off
        inverse = np.float32(1.0 / math.sqrt(variance + BN_EPS))
        tiles[0, k] = gain[k] * inverse
        tiles[1, k] = offset[k] - mean * gain[k] * inverse
        tiles[2, k] = mean
        tiles[3, k] = inverse
        running[0, k] += np.float32(BN_MOMENTUM) * (mean + bias[k] - running[0, k])
        unbiased = np.float32(variance * (count / (count - 1.0)))
        running[1, k] += np.float32(BN_MOMENTUM) * (unbiased - running[1, k])
    for i in range(4):
        for start in range(width, tiles.shape[1], width):
            copy(tiles[i, :width], tiles[i, start : start + width])


@jit_step
def scale_shift(z: Any, scale: Any, shift: Any, out: Any) -> None:
    """out = scale z + shift; blocks [R W], tiles [T W]."""
    for start in range(0, z.size, scale.size):
        given, made = z[start : start + scale.size], out[start : start + scale.size]
        for k in range(given.size):
            made[k] = given[k] * scale[k] + shift[k]


@jit_step
def centre_scale(z: Any, mean: Any, inverse: Any, out: Any) -> None:
    """out = (z - mean) inverse, the normalised activations; blocks [R W], tiles [T W]."""
    for start in range(0, z.size, mean.size):
        given, made = z[start : start + mean.size], out[start : start + mean.size]
        for k in range(given.size):
            made[k] = (given[k] - mean[k]) * inverse[k]


@jit_step
def activate(z: Any, scale: Any, shift: Any, slope: Any, out: Any) -> None:
    """out = LeakyReLU(scale z + shift); blocks z and out [R W], tiles ``scale`` and ``shift``, ``slope`` α."""
    for start in range(0, z.size, scale.size):
        given, made = z[start : start + scale.size], out[start : start + scale.size]
        for k in range(given.size):
            y = given[k] * scale[k] + shift[k]
            made[k] = y if y > _ZERO else slope * y


@jit_step
def activate_drop(z: Any, scale: Any, shift: Any, slope: Any, mask: Any, factor: Any, out: Any) -> None:
    """As ``activate``, then dropout: activations times ``factor`` where ``mask`` [R W] is 1, else 0."""
    for start in range(0, z.size, scale.size):
        stop = start + scale.size
        given, kept, made = z[start:stop], mask[start:stop], out[start:stop]
        for k in range(given.size):
            y = given[k] * scale[k] + shift[k]
            grown = factor * (y if y > _ZERO else slope * y)
            made[k] = grown if kept[k] != _DROPPED else _ZERO


@jit_step
def drop(mask: Any, factor: Any, out: Any) -> None:
    """Dropout: out x mask x factor, all [R W], in place."""
    for k in range(out.size):
        grown = factor * out[k]
        out[k] = grown if mask[k] != _DROPPED else _ZERO


@jit_step
def _back_bend(v: Any, g: Any, scale: Any, shift: Any, slope: Any) -> Any:
    return g if v * scale + shift > _ZERO else slope * g


@jit_step
def back_activate(dy: Any, z: Any, tiles: Any, slope: Any, sums: Any, products: Any) -> None:
    """Backward through LeakyReLU, dy in place; adds to the sums of dy and dy (z - mean) for BatchNorm's gradient.

    Blocks dy and z [R W], the four ``tiles`` of ``normalise``, α as ``slope``, sum tiles [T W].
    """
    scale, shift, mean = tiles[0], tiles[1], tiles[2]
    span = scale.size
    start = 0
    while start + 2 * span <= z.size:
        middle, stop = start + span, start + 2 * span
        at1, at2, up1, up2 = z[start:middle], z[middle:stop], dy[start:middle], dy[middle:stop]
        for k in range(span):
            d1 = _back_bend(at1[k], up1[k], scale[k], shift[k], slope)
            d2 = _back_bend(at2[k], up2[k], scale[k], shift[k], slope)
            sums[k] += d1 + d2
            products[k] += d1 * (at1[k] - mean[k]) + d2 * (at2[k] - mean[k])
            up1[k], up2[k] = d1, d2
        start = stop
    for begin in range(start, z.size, span):
        at, up = z[begin : begin + span], dy[begin : begin + span]
        for k in range(at.size):
            d = _back_bend(at[k], up[k], scale[k], shift[k], slope)
            sums[k] += d
            products[k] += d * (at[k] - mean[k])
            up[k] = d


@jit_step
def back_normalise(dy: Any, z: Any, scale: Any, tilt: Any, level: Any, out: Any, sums: Any) -> None:
    """Backward through BatchNorm: out = scale dy + tilt z + level; adds to its column sums, the bias's gradient.

    Blocks dy, z and out [R W]; scale, tilt and level tiles, ``sums`` a sum tile, [T W].
    """
    span = scale.size
    start = 0
    while start + 2 * span <= z.size:
        middle, stop = start + span, start + 2 * span
        at1, at2, up1, up2 = z[start:middle], z[middle:stop], dy[start:middle], dy[middle:stop]
        out1, out2 = out[start:middle], out[middle:stop]
        for k in range(span):
            d1 = scale[k] * up1[k] + (tilt[k] * at1[k] + level[k])
            d2 = scale[k] * up2[k] + (tilt[k] * at2[k] + level[k])
            sums[k] += d1 + d2
            out1[k], out2[k] = d1, d2
        start = stop
    for begin in range(start, z.size, span):
        at, up, made = z[begin : begin + span], dy[begin : begin + span], out[begin : begin + span]
        for k in range(at.size):
            d = scale[k] * up[k] + (tilt[k] * at[k] + level[k])
            sums[k] += d
            made[k] = d


@jit_step
def _exponential(x: Any) -> Any:
    """exp(x) for x <= 0 to float32 rounding (Cephes)."""
    x = max(x, _SMALLEST)
    n = np.int32(x * _LOG2E - _HALF)
    e = np.float32(n)
    r = x - e * _LN2_HIGH - e * _LN2_LOW
    y = _EXP[0]
    y = y * r + _EXP[1]
    y = y * r + _EXP[2]
    y = y * r + _EXP[3]
    y = y * r + _EXP[4]
    y = y * r + _EXP[5]
    y = y * (r * r) + r + _ONE
    return y * as_float(np.int32(np.int32(n + np.int32(127)) << np.int32(23)))


@jit_step
def cross_entropy(logits: Any, bias: Any, labels: Any, inverse_count: Any) -> float:
    """The summed loss of a block, in nats; ``logits`` [R K] are overwritten by its gradient with respect to them.

    ``bias`` [K] is added first; ``labels`` are class indices [R]; ``inverse_count`` is 1 / batch size.
    """
    classes = bias.size
    total = 0.0
    for i in range(labels.size):
        row = logits[i * classes : (i + 1) * classes]
        top = row[0] + bias[0]
        for k in range(classes):
            row[k] += bias[k]
            top = max(top, row[k])
        total += top - row[labels[i]]
        for k in range(classes):
            row[k] -= top
    for k in range(logits.size):
        logits[k] = _exponential(logits[k])
    for i in range(labels.size):
        row = logits[i * classes : (i + 1) * classes]
        mass = _ZERO
        for k in range(classes):
            mass += row[k]
        total += math.log(mass)
        factor = inverse_count / mass
        for k in range(classes):
            row[k] *= factor
        row[labels[i]] -= inverse_count
    return total


@jit_sums
def dot(a: Any, b: Any) -> Any:
    """Σ a b of two arrays of one size."""
    total = _ZERO
    for k in range(a.size):
        total += a[k] * b[k]
    return total


@jit_step
def pad(w: Any, columns: int, stride: int, out: Any) -> None:
    """Copy rows of ``columns`` numbers to rows ``stride`` apart, of whole cache lines, for faster products."""
    for i in range(w.size // columns):
        copy(w[i * columns : (i + 1) * columns], out[i * stride : i * stride + columns])


@jit_step
def transpose(w: Any, rows: int, columns: int, stride: int, out: Any) -> None:
    """out = wᵀ [columns, rows] of w [rows, columns], its rows ``stride`` apart; by squares that fit the cache."""
    for i0 in range(0, rows, 16):
        for j0 in range(0, columns, 16):
            for j in range(j0, min(j0 + 16, columns)):
                for i in range(i0, min(i0 + 16, rows)):
                    out[j * stride + i] = w[i * columns + j]


@jit_step
def adam(w: Any, grad: Any, first: Any, second: Any, lr: float, step: int) -> None:
    """One step of ``torch.optim.Adam`` with its default settings (Kingma & Ba, 2015, algorithm 1).

    Arrays are [P] and change in place; ``step`` is the number of this step, from 1.
    """
    size = np.float32(lr / (1.0 - 0.9**step))
    inverse = np.float32(1.0 / math.sqrt(1.0 - 0.999**step))
    keep, gain, eps = np.float32(0.999), np.float32(0.001), np.float32(1e-8)
    toward = np.float32(0.1)
    for k in range(w.size):
        g = grad[k]
        m = first[k] + toward * (g - first[k])
        v = keep * second[k] + gain * (g * g)
        first[k] = m
        second[k] = v
        w[k] -= size * m / (np.float32(math.sqrt(v)) * inverse + eps)
