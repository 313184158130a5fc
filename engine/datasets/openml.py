"""Image sets from openml.org, downloaded and kept by scikit-learn.

The files there are text, which takes a minute or more to read; so the arrays are kept too, as an .npz.

Shape legend: N samples, C channels, H and W pixels.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

Say = Callable[[str], None]
"""Takes a sentence for a person."""


def silent(_text: str) -> None:
    """Say nothing."""


class Source(NamedTuple):
    """A set on OpenML and its original files."""

    openml: str
    """Its name there."""
    shape: tuple[int, int, int]
    """[C, H, W]."""
    train: int
    """Rows that train; those after them test."""
    megabytes: int
    """Size of the download, in MB."""
    files: str
    """Names of the original files, which ``data_dir`` may hold instead."""


_IDX = (
    "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (or .gz)"
)
SOURCES: dict[str, Source] = {
    "mnist": Source("mnist_784", (1, 28, 28), 60_000, 15, _IDX),
    "fashion-mnist": Source("Fashion-MNIST", (1, 28, 28), 60_000, 35, _IDX),
    "cifar10": Source(
        "CIFAR_10", (3, 32, 32), 50_000, 210, "data_batch_1.bin … data_batch_5.bin and test_batch.bin"
    ),
}
_PATIENCE = 30.0
"""Seconds without data from the network after which a download fails."""
_REPORT_EVERY = 2.0
"""Seconds between two reports of a download's progress."""


def fetch(name: str, say: Say = silent) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images [N, C, H, W], pixels 0 … 255, and labels [N] of a set, downloaded unless it is kept.

    Args:
        name: of ``SOURCES``.
        say: called with sentences about the download.

    Raises:
        DataError: it cannot be downloaded; says what to do without a network.
    """
    source, kept = SOURCES[name], kept_path(name)
    with contextlib.suppress(OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        return _read_kept(kept)
    x, y = _download(name, source, say)
    with contextlib.suppress(OSError):  # without room to keep it, it is fetched again another time
        _keep(kept, x, y)
    return x, y


def ensure(name: str, say: Say = silent) -> None:
    """Download a set unless it is kept already.

    Raises:
        DataError: it cannot be downloaded; says what to do without a network.
    """
    if not kept_path(name).is_file():
        fetch(name, say)


def kept_path(name: str) -> Path:
    """Where the arrays of a set are kept: in scikit-learn's data directory (``SCIKIT_LEARN_DATA``)."""
    return _data_home() / "springtui" / f"{name}.npz"


def _data_home() -> Path:
    named = os.environ.get("SCIKIT_LEARN_DATA", "~/scikit_learn_data")
    return Path(named).expanduser()


def _download(name: str, source: Source, say: Say) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    from sklearn.datasets import fetch_openml

    say(f"downloading {source.openml} from openml.org: some {source.megabytes} MB, then a minute or more to read")
    try:
        with _progress_reports(say, source), _bounded(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of retries; the last error is raised
            bunch = fetch_openml(
                source.openml, version=1, as_frame=False, parser="liac-arff", data_home=str(_data_home())
            )
        return _bytes(bunch, source)
    except Exception as error:  # urllib's, http's and scikit-learn's errors share no base
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"cannot download dataset = {name!r} ({source.openml}) from openml.org: {reason}. Without a network, "
            f"copy its original files, {source.files}, into a folder and set data_dir to it; or set "
            f"dataset=digits, which is embedded"
        ) from error


def _bytes(bunch: Any, source: Source) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    x = np.asarray(bunch.data).reshape(-1, *source.shape)
    y = np.asarray(bunch.target).astype(np.int64)
    if len(x) <= source.train or x.min() < 0 or x.max() > 255 or y.min() < 0 or y.max() > 9:
        raise ValueError(f"it holds {len(x)} images, not the set that was expected")
    return x.astype(np.uint8), y.astype(np.uint8)


def _read_kept(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    with path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        return archive["X"], archive["y"]


def _keep(path: Path, x: NDArray[np.uint8], y: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            np.savez(file, X=x, y=y)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Limit the wait for data from the network to ``_PATIENCE`` in the process."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _progress_reports(say: Say, source: Source) -> Iterator[None]:
    """Report the size of the download every ``_REPORT_EVERY`` seconds, by the growth of scikit-learn's folder."""
    done = threading.Event()
    before = _size(_data_home() / "openml")

    def report() -> None:
        last = 0
        while not done.wait(_REPORT_EVERY):
            come = _size(_data_home() / "openml") - before
            say(f"{source.openml}: {come / 1e6:.1f} MB" if come > last else f"{source.openml}: reading")
            last = come

    thread = threading.Thread(target=report, name="download-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # a file may go while it is looked at
            total += path.stat().st_size
    return total
