"""Readers of data sets' original files: IDX (MNIST, Fashion-MNIST; gzipped or not) and CIFAR-10's batches."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

_IMAGES, _LABELS = 0x0803, 0x0801
_CIFAR_ROW = 1 + 3 * 32 * 32


def read_bytes(path: Path) -> bytes:
    """A file's content, unpacked where it is gzipped.

    Raises:
        DataError: it cannot be read, or its compression is damaged.
    """
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path}: {reason}; fetch the file again") from error


def read_images(path: Path) -> NDArray[np.uint8]:
    """Images of an IDX file, [N, height, width], pixels 0 … 255 (Y. LeCun's description of MNIST's files).

    Raises:
        DataError: names the file, the offset or count, and what was expected.
    """
    return _read(path, _IMAGES, 3)


def read_labels(path: Path, n_classes: int = 10) -> NDArray[np.uint8]:
    """Labels of an IDX file, [N], each below ``n_classes``.

    Raises:
        DataError: names the file, the offset or count, and what was expected.
    """
    labels = _read(path, _LABELS, 1)
    check_labels(path, labels, n_classes, 8)
    return labels


def check_labels(path: Path, labels: NDArray[np.uint8], n_classes: int, start: int, stride: int = 1) -> None:
    """Check that labels [N] are below ``n_classes``; they lie ``stride`` bytes apart, from offset ``start``.

    Raises:
        DataError: one is not; names file, label and offset.
    """
    wrong = np.flatnonzero(labels >= n_classes)
    if wrong.size:
        at = start + stride * int(wrong[0])
        raise DataError(f"{path}: label {labels[wrong[0]]} at offset {at}, expected 0 to {n_classes - 1}")


def _read(path: Path, magic: int, dims: int) -> NDArray[np.uint8]:
    data = read_bytes(path)
    header = 4 + 4 * dims
    if len(data) < header:
        raise DataError(f"{path}: {len(data)} bytes, expected a header of {header}; fetch the file again")
    found, *shape = struct.unpack(f">{1 + dims}I", data[:header])
    if found != magic:
        what = "images" if magic == _IMAGES else "labels"
        raise DataError(f"{path}: magic number {found:#010x} at offset 0, expected {magic:#010x} (IDX {what})")
    expected = header + int(np.prod(shape, dtype=object))
    if len(data) != expected:
        raise DataError(
            f"{path}: {len(data)} bytes, expected {expected} for the shape {tuple(shape)} that its header gives; "
            f"fetch the file again"
        )
    if expected == header:
        raise DataError(f"{path}: its header gives the shape {tuple(shape)}, which holds nothing")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def read_cifar_batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images [N, 3, 32, 32], pixels 0 … 255, and labels [N] of one CIFAR-10 binary batch (A. Krizhevsky).

    Raises:
        DataError: names the file, the offset or count, and what was expected.
    """
    data = read_bytes(path)
    if not data or len(data) % _CIFAR_ROW:
        raise DataError(f"{path}: {len(data)} bytes, expected a positive multiple of {_CIFAR_ROW}; fetch it again")
    rows = np.frombuffer(data, np.uint8).reshape(-1, _CIFAR_ROW)
    check_labels(path, rows[:, 0], 10, 0, _CIFAR_ROW)
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]
