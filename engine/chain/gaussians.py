"""Standard normal numbers in compiled code: xoshiro128++ in 64 lanes, Box & Muller's transform by polynomials.

Loops hold no call, branch or table, so that they vectorise. The polynomials are Chebyshev fits with errors of
the order of float32 rounding. The ensemble keeps a generator of its own, ``engine.ensemble.random``: one
generator for both would change every seeded number and break bit-exact resume of recorded runs.

Sources: Blackman & Vigna, ACM TOMS 47 (2021); Box & Muller, Ann. Math. Statist. 29 (1958).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..jit import as_bits, as_float, jit

LANES = 64

_U = np.uint32
_I = np.int32
_F = np.float32
_UNIT = _F(2.0**-32)
_HALF_TURN = _I(0x7FFFFFFF)
_QUARTER = _F(0.25)
_TURN_UNIT = _F(2.0**-32)
_ROOT_HALF = _I(0x3F3504F3)
_TO_ONE = _I(0x3F800000 - 0x3F3504F3)
_MANTISSA = _I(0x007FFFFF)
_BIAS, _SHIFT = _I(127), _I(23)
_ONE, _TWO = _F(1.0), _F(2.0)
_MINUS_TWO_LN2 = _F(-2.0 * math.log(2.0))
_L = tuple(
    _F(c)
    for c in (
        -1.9999998850853449, 1.0000072618545996, -0.6667022828069157, 0.49940143370089873,
        -0.3979713009653516, 0.34494026608084355, -0.32468379597888275, 0.20268113500159995,
    )
)  # fmt: skip
"""-2 ln(1 + x) / x on [√½ - 1, √2 - 1], in powers of x; error 4e-7."""
_S = tuple(
    _F(c)
    for c in (6.2831852802614145, -41.34168066806291, 81.6024807428489, -76.58128455898559, 39.760722073269854)
)
"""sin(2πb) / b for |b| <= ¼, in powers of b²; error 3e-8."""
_C = tuple(
    _F(c)
    for c in (0.9999999532476083, -19.739171322478427, 64.93458164579016, -85.24010035690621, 56.24054043901052)
)
"""cos(2πb) for |b| <= ¼, in powers of b²; error 5e-8."""


@jit
def fill_gaussians(state: Any, out: Any) -> None:
    """out = N(0, 1), float32, its size a multiple of 2 ``LANES``; ``state`` [4 LANES] are the generator's words.

    The radius comes from 32 bits, so |z| is at most 6.7; a normal number exceeds that with probability 2e-11.
    """
    for start in range(0, out.size, 2 * LANES):
        pair = out[start : start + 2 * LANES]
        for k in range(LANES):
            a, b, c, d = state[k], state[k + LANES], state[k + 2 * LANES], state[k + 3 * LANES]
            sum1 = _U(a + d)
            bits1 = _U(_U(_U(sum1 << _U(7)) | _U(sum1 >> _U(25))) + a)
            t = _U(b << _U(9))
            c = _U(c ^ a)
            d = _U(d ^ b)
            b = _U(b ^ c)
            a = _U(a ^ d)
            c = _U(c ^ t)
            d = _U(_U(d << _U(11)) | _U(d >> _U(21)))
            sum2 = _U(a + d)
            bits2 = _U(_U(_U(sum2 << _U(7)) | _U(sum2 >> _U(25))) + a)
            t = _U(b << _U(9))
            c = _U(c ^ a)
            d = _U(d ^ b)
            state[k + LANES] = _U(b ^ c)
            state[k] = _U(a ^ d)
            state[k + 2 * LANES] = _U(c ^ t)
            state[k + 3 * LANES] = _U(_U(d << _U(11)) | _U(d >> _U(21)))

            # -2 ln u, u in (0, 1]: u = 2^e (1 + x); adding the distance from √½ to 1 carries into the exponent
            whole = as_bits(_F(_F(bits1) * _UNIT + _UNIT))
            shifted = _I(whole + _TO_ONE)
            e = _F(_I(_I(shifted >> _SHIFT) - _BIAS))
            x = as_float(_I(_I(shifted & _MANTISSA) + _ROOT_HALF)) - _ONE
            y = ((((((_L[7] * x + _L[6]) * x + _L[5]) * x + _L[4]) * x + _L[3]) * x + _L[2]) * x + _L[1]) * x + _L[
                0
            ]
            r = math.sqrt(max(y * x + e * _MINUS_TWO_LN2, _F(0.0)))

            # an angle 2π(¼ - b), b in (-¼, ¼], or its mirror image by the sign bit
            signed = _I(bits2)
            b4 = _QUARTER - _F(_I(signed & _HALF_TURN)) * _TURN_UNIT
            w = b4 * b4
            sine = ((((_S[4] * w + _S[3]) * w + _S[2]) * w + _S[1]) * w + _S[0]) * b4
            cosine = (((_C[4] * w + _C[3]) * w + _C[2]) * w + _C[1]) * w + _C[0]
            side = _F(_I(_I(signed >> _I(31)) | _I(1)))
            pair[k] = r * sine
            pair[k + LANES] = r * side * cosine
