"""Random numbers for one member, compiled: xoshiro128++ in lanes for many, SplitMix64 for single ones.

Shape legend: S the generator's four words, V lanes. Sources: Blackman & Vigna, ACM TOMS 47 (2021); Steele, Lea &
Flood, OOPSLA 2014; polynomials of Cephes (Moshier), good to float32 rounding. Loops hold no calls, so that
they vectorise. The chain keeps a generator of its own, ``engine.chain.gaussians``: one generator for both would
change every seeded number and break bit-exact resume of recorded runs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jit import as_bits, as_float, jit_step

LANES = 64

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_U = np.uint32
_F = np.float32
_UNIT = np.float32(2.0**-24)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LOG = tuple(
    np.float32(c)
    for c in (
        7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
        -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    )
)  # fmt: skip
_SIN = tuple(np.float32(c) for c in (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1))
_COS = tuple(np.float32(c) for c in (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2))
_HALF, _ONE, _TWO, _FOUR = _F(0.5), _F(1.0), _F(2.0), _F(4.0)
_QUARTER_TURN = _F(math.pi / 2)


def lanes_from_seed(seed: int) -> NDArray[np.uint32]:
    """The state of the generator in lanes, [S V], from a seed alone."""
    words, state = [], (seed * _GOLDEN + 1) & _MASK
    for _ in range(2 * LANES):
        state = (state + _GOLDEN) & _MASK
        words.append(_mixed(state))
    return np.array(words, dtype=np.uint64).view(np.uint32)


def sequence_from_seed(seed: int) -> NDArray[np.uint64]:
    """The state of the generator of single numbers, [1], from a seed alone; another stream than the lanes'."""
    return np.array([_mixed((seed + 0x5851F42D4C957F2D) & _MASK)], dtype=np.uint64)


def _mixed(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


@jit_step
def draw_bits(state: Any, out: Any) -> None:
    """Fill ``out`` with 32-bit numbers; its size is a multiple of ``LANES``; ``state`` [S V] is advanced."""
    s0, s1 = state[:LANES], state[LANES : 2 * LANES]
    s2, s3 = state[2 * LANES : 3 * LANES], state[3 * LANES :]
    for start in range(0, out.size, LANES):
        row = out[start : start + LANES]
        for k in range(LANES):
            a, b, c, d = s0[k], s1[k], s2[k], s3[k]
            total = _U(a + d)
            row[k] = _U(_U(_U(total << _U(7)) | (total >> _U(25))) + a)
            shifted = _U(b << _U(9))
            c ^= a
            d ^= b
            s1[k] = b ^ c
            s0[k] = a ^ d
            s2[k] = c ^ shifted
            s3[k] = _U(d << _U(11)) | (d >> _U(21))


@jit_step
def draw_below(state: Any, limit: int) -> int:
    """A whole number in [0, limit), limit < 2³², by multiplying and shifting: its bias is below limit / 2³²."""
    state[0] = state[0] + np.uint64(_GOLDEN)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return int(((z >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32))


@jit_step
def shuffle(state: Any, order: Any, count: int) -> None:
    """Put a uniform choice of N entries, in uniform order, into the first ``count`` places (Fisher & Yates)."""
    n = order.size
    for i in range(min(count, n - 1)):
        j = i + draw_below(state, n - i)
        order[i], order[j] = order[j], order[i]


@jit_step
def draw_mask(state: Any, bits: Any, mask: Any, p: float) -> None:
    """Fill ``mask`` with 1, or with probability p 0; p is rounded to 2⁻¹⁶.

    ``bits`` is scratch of at least half its size, a multiple of ``LANES``.
    """
    words = (mask.size + 1) // 2
    draw_bits(state, bits[: -(-words // LANES) * LANES])
    threshold = np.uint16(min(round(p * 65536.0), 65535))
    halves = bits.view(np.uint16)
    for k in range(mask.size):
        mask[k] = np.uint8(halves[k] >= threshold)


@jit_step
def _minus_two_log(u: Any) -> Any:
    """-2 ln u for u in (0, 1]."""
    bits = as_bits(u)
    # Split u = 2^e m with m in [√½, √2): adding the distance from 1.0 to √½ carries into the exponent.
    shifted = np.int32(bits + np.int32(0x3F800000 - 0x3F3504F3))
    e = _F(np.int32(np.int32(shifted >> np.int32(23)) - np.int32(127)))
    x = as_float(np.int32(np.int32(shifted & np.int32(0x007FFFFF)) + np.int32(0x3F3504F3))) - _ONE
    y = _LOG[0]
    y = y * x + _LOG[1]
    y = y * x + _LOG[2]
    y = y * x + _LOG[3]
    y = y * x + _LOG[4]
    y = y * x + _LOG[5]
    y = y * x + _LOG[6]
    y = y * x + _LOG[7]
    y = y * x + _LOG[8]
    square = x * x
    log = x + (e * _LN2_LOW + (y * x * square - _HALF * square)) + e * _LN2_HIGH
    return -_TWO * log


@jit_step
def add_gaussians(state: Any, bits: Any, source: Any, out: Any, sd: Any) -> None:
    """out = source + sd x N(0, 1), of one size, by Box & Muller; ``bits`` is scratch of 4 ``LANES``."""
    radius, turn = bits[:LANES], bits[LANES : 2 * LANES]
    pair = bits[2 * LANES : 4 * LANES].view(np.float32)
    first, second = pair[:LANES], pair[LANES:]
    for start in range(0, out.size, 2 * LANES):
        draw_bits(state, bits[: 2 * LANES])
        for k in range(LANES):
            r = sd * math.sqrt(_minus_two_log(_F(np.int32(radius[k] >> _U(8))) * _UNIT + _UNIT))
            quarters = _F(np.int32(turn[k] >> _U(8))) * _UNIT * _FOUR
            q = np.int32(quarters + _HALF)
            x = (quarters - _F(q)) * _QUARTER_TURN
            z = x * x
            s = ((_SIN[0] * z + _SIN[1]) * z + _SIN[2]) * z * x + x
            c = ((_COS[0] * z + _COS[1]) * z + _COS[2]) * z * z - _HALF * z + _ONE
            odd = np.int32(q & np.int32(1)) != np.int32(0)
            negative = _ONE - _F(np.int32(q & np.int32(2)))
            first[k] = r * negative * (c if odd else s)
            second[k] = r * negative * (s if odd else c)
        stop = min(2 * LANES, out.size - start)
        given, made = source[start : start + stop], out[start : start + stop]
        for k in range(stop):
            made[k] = given[k] + pair[k]
