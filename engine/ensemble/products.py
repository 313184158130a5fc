"""Matrix products of a few rows, for small batches: BLAS is fast only from some 100 000 multiplications on.

The rows of a small batch stay in the nearest cache while the weights are read once; each weight is used for five
rows at a time, and four of the inner dimension share a load and a store of the result. At a batch of five and a
width of 100 a step takes half the time of one with BLAS's products.

Shape legend: arrays are flat and row-major; m rows, n columns, k the inner dimension.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..jit import jit_step, jit_sums

FEW = 12
"""Rows up to which these products are faster than BLAS's."""
_ZERO = np.float32(0.0)


@jit_step
def few_rows(a: Any, b: Any, c: Any, m: int, n: int, k: int) -> None:
    """c [m, n] = a [m, k] b [k, n], float32."""
    c[: m * n] = _ZERO
    whole = m // 5 * 5
    for row in range(0, whole, 5):
        _five(a[row * k : (row + 5) * k], b, c[row * n : (row + 5) * n], n, k)
    for row in range(whole, m):
        _one(a[row * k : (row + 1) * k], b, c[row * n : (row + 1) * n], n)


@jit_step
def _five(a: Any, b: Any, c: Any, n: int, k: int) -> None:
    c0, c1, c2, c3, c4 = c[:n], c[n : 2 * n], c[2 * n : 3 * n], c[3 * n : 4 * n], c[4 * n : 5 * n]
    a0, a1, a2, a3, a4 = a[:k], a[k : 2 * k], a[2 * k : 3 * k], a[3 * k : 4 * k], a[4 * k : 5 * k]
    whole = k // 4 * 4
    for i in range(0, whole, 4):
        at = i * n
        b0, b1, b2, b3 = (
            b[at : at + n],
            b[at + n : at + 2 * n],
            b[at + 2 * n : at + 3 * n],
            b[at + 3 * n : at + 4 * n],
        )
        a00, a01, a02, a03 = a0[i], a0[i + 1], a0[i + 2], a0[i + 3]
        a10, a11, a12, a13 = a1[i], a1[i + 1], a1[i + 2], a1[i + 3]
        a20, a21, a22, a23 = a2[i], a2[i + 1], a2[i + 2], a2[i + 3]
        a30, a31, a32, a33 = a3[i], a3[i + 1], a3[i + 2], a3[i + 3]
        a40, a41, a42, a43 = a4[i], a4[i + 1], a4[i + 2], a4[i + 3]
        for j in range(n):
            p, q, r, s = b0[j], b1[j], b2[j], b3[j]
            c0[j] += a00 * p + a01 * q + a02 * r + a03 * s
            c1[j] += a10 * p + a11 * q + a12 * r + a13 * s
            c2[j] += a20 * p + a21 * q + a22 * r + a23 * s
            c3[j] += a30 * p + a31 * q + a32 * r + a33 * s
            c4[j] += a40 * p + a41 * q + a42 * r + a43 * s
    for i in range(whole, k):
        row = b[i * n : (i + 1) * n]
        for j in range(n):
            c0[j] += a0[i] * row[j]
            c1[j] += a1[i] * row[j]
            c2[j] += a2[i] * row[j]
            c3[j] += a3[i] * row[j]
            c4[j] += a4[i] * row[j]


@jit_step
def _one(a: Any, b: Any, c: Any, n: int) -> None:
    whole = a.size // 4 * 4
    for i in range(0, whole, 4):
        at = i * n
        b0, b1, b2, b3 = (
            b[at : at + n],
            b[at + n : at + 2 * n],
            b[at + 2 * n : at + 3 * n],
            b[at + 3 * n : at + 4 * n],
        )
        p, q, r, s = a[i], a[i + 1], a[i + 2], a[i + 3]
        for j in range(n):
            c[j] += p * b0[j] + q * b1[j] + r * b2[j] + s * b3[j]
    for i in range(whole, a.size):
        row, p = b[i * n : (i + 1) * n], a[i]
        for j in range(n):
            c[j] += p * row[j]


@jit_step
def few_rows_turned(a: Any, b: Any, c: Any, m: int, n: int, k: int) -> None:
    """c [m, n] = a [m, k] b [n, k]ᵀ, float32."""
    whole = m // 5 * 5
    for row in range(0, whole, 5):
        _five_turned(a[row * k : (row + 5) * k], b, c[row * n : (row + 5) * n], n, k)
    for row in range(whole, m):
        _one_turned(a[row * k : (row + 1) * k], b, c[row * n : (row + 1) * n])


@jit_sums
def _five_turned(a: Any, b: Any, c: Any, n: int, k: int) -> None:
    a0, a1, a2, a3, a4 = a[:k], a[k : 2 * k], a[2 * k : 3 * k], a[3 * k : 4 * k], a[4 * k : 5 * k]
    for i in range(n):
        row = b[i * k : (i + 1) * k]
        p = q = r = s = t = _ZERO
        for j in range(k):
            value = row[j]
            p += a0[j] * value
            q += a1[j] * value
            r += a2[j] * value
            s += a3[j] * value
            t += a4[j] * value
        c[i] = p
        c[n + i] = q
        c[2 * n + i] = r
        c[3 * n + i] = s
        c[4 * n + i] = t


@jit_sums
def _one_turned(a: Any, b: Any, c: Any) -> None:
    k = a.size
    for i in range(c.size):
        row = b[i * k : (i + 1) * k]
        p = _ZERO
        for j in range(k):
            p += a[j] * row[j]
        c[i] = p
