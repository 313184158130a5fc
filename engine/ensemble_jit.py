"""Compiling for the ensemble: a caching decorator, and what NumPy-level code cannot say in numba.

``sgemm`` calls the BLAS that SciPy carries through an address given at run time, so that compiled code stays
cacheable, accumulates into its result and takes part of an array; numba's ``np.dot`` does neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import get_cython_function_address, intrinsic

F = TypeVar("F", bound=Callable[..., Any])

_FAST = {"contract", "nsz"}
"""Fused multiply-adds; infinities and NaN keep their meaning, since they tell that a network diverged."""


def jit(function: F) -> F:
    """Compile without the interpreter lock and keep the result on disk.

    numba writes beside the source, or into the user's cache directory where that is read-only; where neither can be
    written, every process compiles for itself.
    """
    options: dict[str, Any] = {"nogil": True, "fastmath": _FAST, "error_model": "numpy"}
    try:
        return cast("F", numba.njit(cache=True, **options)(function))
    except RuntimeError:
        return cast("F", numba.njit(**options)(function))


def sgemm_address() -> int:
    """Where SciPy's single-precision matrix product lies in this process."""
    return int(get_cython_function_address("scipy.linalg.cython_blas", "sgemm"))


@intrinsic  # type: ignore[untyped-decorator]
def as_float(_context: Any, bits: Any) -> Any:
    """The float32 with these 32 bits."""

    def generate(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.bitcast(builder.trunc(args[0], ir.IntType(32)), ir.FloatType())

    return types.float32(types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def as_bits(_context: Any, value: Any) -> Any:
    """The 32 bits of a float32, as a signed whole number."""

    def generate(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), generate


@intrinsic  # type: ignore[untyped-decorator]
def _fortran_sgemm(
    _context: Any, address: Any, ta: Any, tb: Any, m: Any, n: Any, k: Any,
    a: Any, lda: Any, b: Any, ldb: Any, beta: Any, c: Any, ldc: Any,
) -> Any:  # fmt: skip
    """C = op(A) op(B) + beta C, column-major, through the pointer at ``address``."""
    whole, pointer = types.int64, types.uintp
    signature = types.void(
        whole, whole, whole, whole, whole, whole, pointer, whole, pointer, whole, types.float32, pointer, whole
    )

    def generate(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        byte, i32, f32 = ir.IntType(8), ir.IntType(32), ir.FloatType()
        of = ir.PointerType

        def kept(value: Any) -> Any:
            return cgutils.alloca_once_value(builder, value)

        def letter(flag: Any) -> Any:
            is_set = builder.icmp_unsigned("!=", flag, flag.type(0))
            return kept(builder.select(is_set, byte(ord("T")), byte(ord("N"))))

        def size(value: Any) -> Any:
            return kept(builder.trunc(value, i32))

        def array(value: Any) -> Any:
            return builder.inttoptr(value, of(f32))

        values = [letter(args[1]), letter(args[2]), size(args[3]), size(args[4]), size(args[5]), kept(f32(1.0))]
        values += [array(args[6]), size(args[7]), array(args[8]), size(args[9]), kept(args[10])]
        values += [array(args[11]), size(args[12])]
        function = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        builder.call(builder.inttoptr(args[0], of(function)), values)
        return _ctx.get_dummy_value()

    return signature, generate


@jit
def multiply(address: int, a: Any, b: Any, c: Any, m: int, n: int, k: int, kind: int, beta: Any) -> None:
    """Row-major c [m, n] = product + beta c. ``kind`` 0: a [m, k] b [k, n]; 1: a [m, k] b [n, k]ᵀ; 2: a [k, m]ᵀ b [k, n].

    The arrays are one-dimensional and contiguous. Column-major BLAS sees transposes, so the factors swap.
    """
    ta, tb = (1, 0) if kind == 1 else ((0, 1) if kind == 2 else (0, 0))
    ldb = k if kind == 1 else n
    lda = m if kind == 2 else k
    _fortran_sgemm(address, ta, tb, n, m, k, b.ctypes.data, ldb, a.ctypes.data, lda, beta, c.ctypes.data, n)
