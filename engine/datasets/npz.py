"""Reads an .npz with features X and labels y, and measures the separation of its classes."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from ..errors import DataError
from ..measures.separation import separation_measures

_REMEDY = "save it with numpy.savez(file, X=features, y=labels): X is N x d numbers, y is N class labels"


_UNREADABLE = (OSError, EOFError, ValueError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
"""Errors that numpy raises for a damaged archive; RuntimeError for an encrypted or unknown kind of archive."""


def measure_file(path: Path) -> dict[str, float]:
    """The measures of separation of an ``.npz`` with ``X`` [N, …] and ``y`` [N], by ``separation_measures``.

    Raises:
        DataError: names the file and what is wrong with it.
    """
    x, y = read_npz(path)
    return separation_measures(torch.from_numpy(x), torch.from_numpy(y))


def read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """``X`` [N, …] in float32 or float64 and ``y`` [N] as class indices from 0 (labels in ascending order).

    Raises:
        DataError: names the file and what is wrong with it. Pickled content is never loaded.
    """
    try:
        with path.open("rb") as file:
            x, y = _named_arrays(path, np.load(file, allow_pickle=False))
    except _UNREADABLE as error:
        reason = getattr(error, "strerror", None) or _in_our_words(path, error) or error
        raise DataError(f"cannot read {path} as .npz: {reason}; {_REMEDY}") from error
    problem = _problem(x, y)
    if problem:
        raise DataError(f"{path}: {problem}; {_REMEDY}")
    if x.dtype != np.float64:
        x = x.astype(np.float32)
    return x, np.unique(y, return_inverse=True)[1].astype(np.int64)


def _in_our_words(path: Path, error: BaseException) -> str:
    """Our message where NumPy advises to allow pickles, which would run code from the file; else empty."""
    if "pickle" not in str(error):
        return ""
    with path.open("rb") as file:
        known = file.read(4) in {b"PK\x03\x04", b"\x93NUM"}
    return "it holds Python objects, which are never loaded" if known else "it is no archive that NumPy wrote"


def _named_arrays(path: Path, archive: object) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataError(f"{path} holds one array, not an archive of X and y; {_REMEDY}")
    missing = [name for name in ("X", "y") if name not in archive.files]
    if missing:
        found = ", ".join(archive.files) or "nothing"
        raise DataError(f"{path} has no array {' and no '.join(missing)}; it has {found}; {_REMEDY}")
    return archive["X"], archive["y"]


def _problem(x: np.ndarray, y: np.ndarray) -> str:
    """What is wrong with the arrays, in words; empty where nothing is."""
    if x.dtype.kind not in "fiub":
        return f"X has the type {x.dtype}, expected real numbers"
    if x.ndim < 2 or x.size == 0:
        return f"X has the shape {x.shape}, expected N x d with N and d at least 1"
    if y.shape != (x.shape[0],):
        return f"y has the shape {y.shape}, expected ({x.shape[0]},) to match X"
    if y.dtype.kind not in "iubSU" and not (
        y.dtype.kind == "f" and np.isfinite(y).all() and (y == y.round()).all()
    ):
        return f"y has the type {y.dtype}, expected whole numbers or text, one class label a sample"
    if len(np.unique(y)) < 2:
        return f"y has only one class, {y.ravel()[0]}; expected two at least, else nothing separates"
    bad = int(x.size - np.isfinite(x).sum())
    if bad:
        return f"X holds {bad} values that are not finite"
    return ""
