"""Decorators that compile with numba and keep the machine code, and operations that numba does not have.

``multiply`` calls the BLAS that SciPy contains by an address given at run time: compiled code can then be kept,
the product is added to its result, and factors may be parts of an array. numba's ``np.dot`` does none of this.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.options import DefaultOptions
from numba.extending import get_cython_function_address, intrinsic

COMPILED = (
    "chain/gaussians.py",
    "chain/kernels.py",
    "chain/mean_field_cells.py",
    "chain/pulling.py",
    "ensemble/kernels.py",
    "ensemble/layers.py",
    "ensemble/products.py",
    "ensemble/random.py",
    "ensemble/state.py",
    "jit.py",
    "logs/frame_layout.py",
    "logs/frames_jit.py",
    "logs/lines/kernels.py",
    "logs/lines/keys.py",
    "logs/lines/texts_jit.py",
    "logs/numbers_jit.py",
    "logs/protobuf.py",
    "logs/protobuf_jit.py",
    "logs/tables/rows_jit.py",
    "logs/tensorboard/crc.py",
    "logs/tensorboard/found.py",
    "logs/tensorboard/framing_jit.py",
    "logs/tensorboard/tags.py",
    "logs/wandb/history_jit.py",
    "logs/wandb/layout.py",
)
"""Modules of the engine, by their path below it, that hold compiled functions or numbers built into them.

A change of any of them makes all compiled code stale. The Makefile and the tests read this list too, so a module
has one line of its own; ``tests/engine/test_compiled_cache.py`` checks that none is missing.
"""

F = TypeVar("F", bound=Callable[..., Any])

_FAST = {"contract", "nsz"}
"""Fused multiply-adds; infinities and NaN keep their meaning, since they show that a network diverged."""

_UNCOUNTED: dict[str, Any] = {"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {}
"""An option that numba does not document: no reference counts. Without it results are the same, but slower."""


def jit(function: F) -> F:
    """Compile without the interpreter lock and keep the result on disk.

    numba writes beside the source, or into the user's cache directory where that is read-only; where neither can
    be written, every process compiles for itself.
    """
    return _compiled(function, _FAST)


def jit_step(function: F) -> F:
    """As ``jit``, for what is called many times a step and neither makes arrays nor returns any.

    numba counts references to each array of each tuple that is passed to a function; with a small batch that took
    a third of a step. Here it counts none, which is safe as long as the Python caller holds every array. An array
    that is returned would be freed while in use: a test checks that no such function returns one.
    """
    return _compiled(function, _FAST, **_UNCOUNTED)


def inlined(function: F) -> F:
    """Compile as a part of each compiled function that calls it, with that one's options; may return an array."""
    return cast("F", numba.njit(inline="always")(function))


def _compiled(function: F, fastmath: set[str], **more: Any) -> F:
    options: dict[str, Any] = {"nogil": True, "fastmath": fastmath, "error_model": "numpy", **more}
    try:
        dispatcher = numba.njit(cache=True, **options)(function)
        file = dispatcher._cache._cache_file
        file._source_stamp = f"{file._source_stamp} {_sources()}"
    except (RuntimeError, AttributeError):
        dispatcher = numba.njit(**options)(function)
    return cast("F", dispatcher)


def is_kept(function: Callable[..., Any]) -> bool:
    """Whether a function with one signature is compiled already, here or on disk, for this kind of processor.

    False where numba's cache cannot be read.
    """
    dispatcher: Any = function
    try:
        if dispatcher.overloads:
            return True
        processor = dispatcher.targetctx.codegen().magic_tuple()
        return any(key[1] == processor for key in dispatcher._cache._cache_file._load_index())
    except (AttributeError, OSError):
        return False


@functools.cache
def _sources() -> str:
    """A digest of all compiled modules.

    numba considers a cached function up to date as long as its own file is unchanged, though the cached machine
    code contains the functions that it calls from other files, whose changes numba does not see.
    """
    digest = hashlib.sha256()
    for name in COMPILED:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()


def jit_sums(function: F) -> F:
    """As ``jit_step``, for functions with sums, which may be taken in any order, so that they vectorise."""
    return _compiled(function, _FAST | {"reassoc"}, **_UNCOUNTED)


def sgemm_address() -> int:
    """Address of SciPy's single-precision matrix product in this process."""
    return int(get_cython_function_address("scipy.linalg.cython_blas", "sgemm"))


def _as_float(_context: Any, _bits: Any) -> Any:
    """The float32 with these 32 bits."""

    def generate(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.bitcast(builder.trunc(args[0], ir.IntType(32)), ir.FloatType())

    return types.float32(types.int64), generate


def _as_bits(_context: Any, _value: Any) -> Any:
    """The 32 bits of a float32, as a signed whole number."""

    def generate(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), generate


def _float_of_bits(_context: Any, _bits: Any) -> Any:
    """The float64 with these 64 bits."""

    def generate(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.uint64), generate


def _upper_product(_context: Any, _a: Any, _b: Any) -> Any:
    """The upper 64 bits of the 128-bit product of two unsigned whole numbers."""

    def generate(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, wide(64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


def _leading_zeros(_context: Any, _value: Any) -> Any:
    """Number of zero bits above the highest set bit of an unsigned whole number of 64 bits, which is not 0."""

    def generate(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.ctlz(args[0], ir.IntType(1)(1))

    return types.uint64(types.uint64), generate


def _eight_bytes(_context: Any, _array: Any, _at: Any) -> Any:
    """The 8 bytes of a contiguous array of bytes from an index on, as one number; the lowest byte is the first."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), ir.PointerType(ir.IntType(64)))
        found = builder.load(place, align=1)
        return builder.bswap(found) if sys.byteorder == "big" else found

    return types.uint64(_array, types.int64), generate


def _fortran_sgemm(
    _context: Any, _address: Any, _ta: Any, _tb: Any, _m: Any, _n: Any, _k: Any,
    _a: Any, _lda: Any, _b: Any, _ldb: Any, _beta: Any, _c: Any, _ldc: Any,
) -> Any:  # fmt: skip
    """C [m, n] = op(A) op(B) + beta C, column-major, by BLAS's sgemm at ``address``; arrays are addresses too."""
    whole, pointer = types.int64, types.uintp
    signature = types.void(
        pointer, whole, whole, whole, whole, whole, pointer, whole, pointer, whole, types.float32, pointer, whole
    )

    def generate(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        byte, i32, f32 = ir.IntType(8), ir.IntType(32), ir.FloatType()

        def kept(value: Any) -> Any:
            return cgutils.alloca_once_value(builder, value)  # type: ignore[no-untyped-call]

        def letter(flag: Any) -> Any:
            turned = builder.icmp_unsigned("!=", flag, flag.type(0))
            return kept(builder.select(turned, byte(ord("T")), byte(ord("N"))))

        def size(value: Any) -> Any:
            return kept(builder.trunc(value, i32))

        def array(value: Any) -> Any:
            return builder.inttoptr(value, ir.PointerType(f32))

        values = [letter(args[1]), letter(args[2]), size(args[3]), size(args[4]), size(args[5]), kept(f32(1.0))]
        values += [array(args[6]), size(args[7]), array(args[8]), size(args[9]), kept(args[10])]
        values += [array(args[11]), size(args[12])]
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        builder.call(builder.inttoptr(args[0], ir.PointerType(kind)), values)
        return _ctx.get_dummy_value()

    return signature, generate


as_float: Any = intrinsic(_as_float)
as_bits: Any = intrinsic(_as_bits)
float_of_bits: Any = intrinsic(_float_of_bits)
upper_product: Any = intrinsic(_upper_product)
leading_zeros: Any = intrinsic(_leading_zeros)
eight_bytes: Any = intrinsic(_eight_bytes)
_sgemm: Any = intrinsic(_fortran_sgemm)


@jit_step
def multiply(address: int, a: Any, b: Any, c: Any, m: int, n: int, k: int, kind: int, beta: Any) -> None:
    """Row-major c [m, n] = product + beta c, of one-dimensional contiguous arrays of float32.

    ``kind`` 0: a [m, k] b [k, n]; 1: a [m, k] b [n, k]ᵀ; 2: a [k, m]ᵀ b [k, n]. Column-major BLAS sees transposes,
    so the factors swap.
    """
    ta, tb = (1, 0) if kind == 1 else ((0, 1) if kind == 2 else (0, 0))
    ldb = k if kind == 1 else n
    lda = m if kind == 2 else k
    _sgemm(np.uint64(address), ta, tb, n, m, k, b.ctypes.data, ldb, a.ctypes.data, lda, beta, c.ctypes.data, n)


@jit_step
def multiply_padded(address: int, a: Any, b: Any, c: Any, m: int, n: int, k: int, stride: int) -> None:
    """Row-major c [m, n] = a [m, k] b [k, n], the rows of b ``stride`` apart."""
    zero = np.float32(0.0)
    _sgemm(np.uint64(address), 0, 0, n, m, k, b.ctypes.data, stride, a.ctypes.data, k, zero, c.ctypes.data, n)
