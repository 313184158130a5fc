"""Data sets by name, from files, downloaded or drawn at random; split and resized as the paper does.

Shape legend: N samples, C channels, H and W pixels, D features.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..arrays import Floats32
from ..errors import ConfigError, DataError, nearest
from ..settings.train import TrainConfig
from . import idx, openml
from .npz import read_npz
from .openml import Say, silent

Labels = NDArray[np.int64]

DIGITS_TRAIN = 1280
PAPER_TRAIN = 2560
PAPER_SIDE = 10
_SPLIT_SEED = 1
"""Seed of the split into training and test set: the same in all runs, whatever their own seed is."""
_SYNTHETIC = 5120


class Dataset(NamedTuple):
    """A data set, ready to train on."""

    name: str
    x_train: Floats32
    """[N, D] for an mlp, [N, C, H, W] for a cnn."""
    y_train: Labels
    """Class indices, [N], from 0."""
    x_test: Floats32
    """As ``x_train``, of other samples."""
    y_test: Labels
    n_classes: int


class _Pool(NamedTuple):
    """Samples before the split; x_test and y_test of a set that has a test part of its own."""

    x: Floats32
    y: Labels
    x_test: Floats32 | None = None
    y_test: Labels | None = None


def prepare_dataset(config: TrainConfig, say: Say = silent) -> None:
    """Check the name and files of a data set before a run is made, and download it where that is needed.

    Raises:
        ConfigError: the name is unknown.
        DataError: a file or folder is missing, or the download failed.
    """
    _source(config)
    if config.dataset.endswith(".npz"):
        if not Path(config.dataset).is_file():
            raise DataError(f"dataset = {config.dataset!r} is no file; give the path of an .npz with X and y")
    elif config.dataset in openml.SOURCES:
        if config.data_dir is None:
            openml.ensure(config.dataset, say)
        elif not Path(config.data_dir).is_dir():
            raise DataError(
                f"data_dir = {config.data_dir!r} is no folder; set data_dir to the folder with "
                f"{config.dataset}'s original files: {openml.SOURCES[config.dataset].files}"
            )


def load_dataset(config: TrainConfig, say: Say = silent) -> Dataset:
    """The data set that a configuration asks for; ``say`` is called with sentences about a download.

    Pixels are scaled to [0, 1], resized (antialiased bilinear) to ``image_size``, and flattened for an mlp. A set
    without a test part of its own is shuffled by a fixed seed; the first ``train_size`` samples train, others test
    (from row 2 x ``train_size`` on for MNIST's test file alone, as in the reference table).

    Raises:
        ConfigError: the name is unknown, or a setting does not fit the data.
        DataError: a file is missing, damaged or wrong.
    """
    pool = _resized(_source(config)(config, say), config)
    train, test = _split(pool, config)
    shape: Callable[[Floats32], Floats32] = _as_images(config) if config.model == "cnn" else _flat
    labels = np.concatenate([train[1], test[1]])
    return Dataset(config.dataset, shape(train[0]), train[1], shape(test[0]), test[1], int(labels.max()) + 1)


def _source(config: TrainConfig) -> _Source:
    if config.dataset.endswith(".npz"):
        return _npz
    if config.dataset not in _SOURCES:
        near = nearest(config.dataset, _SOURCES)
        raise ConfigError(
            f"dataset = {config.dataset!r} is not known; allowed: {', '.join(_SOURCES)}, or the path "
            f"of an .npz{f'; the nearest is {near!r}' if near else ''}"
        )
    return _SOURCES[config.dataset]


def _split(pool: _Pool, config: TrainConfig) -> tuple[tuple[Floats32, Labels], tuple[Floats32, Labels]]:
    size = config.train_size or min(_default_train_size(config), max(1, len(pool.y) * 4 // 5))
    order = torch.randperm(len(pool.y), generator=torch.Generator().manual_seed(_SPLIT_SEED)).numpy()
    if pool.x_test is not None and pool.y_test is not None:
        _check_size(size, len(pool.y), config)
        return (pool.x[order[:size]], pool.y[order[:size]]), (pool.x_test, pool.y_test)
    _check_size(size, len(pool.y) - 1, config)
    start = 2 * size if config.dataset == "mnist" and 2 * size < len(pool.y) else size
    rest = order[start:]
    return (pool.x[order[:size]], pool.y[order[:size]]), (pool.x[rest], pool.y[rest])


def _check_size(size: int, available: int, config: TrainConfig) -> None:
    if size > available:
        raise ConfigError(
            f"train_size = {size} is not allowed; {config.dataset} has at most {available} to train on"
        )


def _default_train_size(config: TrainConfig) -> int:
    return DIGITS_TRAIN if config.dataset == "digits" else PAPER_TRAIN


def _flat(x: Floats32) -> Floats32:
    return np.ascontiguousarray(x.reshape(len(x), -1))


def _as_images(config: TrainConfig) -> Callable[[Floats32], Floats32]:
    def keep(x: Floats32) -> Floats32:
        if x.ndim != 4:
            raise ConfigError(f"model = 'cnn' needs images; {config.dataset} has none: choose model=mlp")
        return np.ascontiguousarray(x)

    return keep


def _resized(pool: _Pool, config: TrainConfig) -> _Pool:
    if pool.x.ndim != 4:
        if config.image_size is not None:
            raise ConfigError(
                f"image_size = {config.image_size} needs images; {config.dataset} has none: leave it out"
            )
        return pool
    side = config.image_size or (pool.x.shape[-1] if config.dataset in {"digits"} else PAPER_SIDE)
    test = None if pool.x_test is None else resize(pool.x_test, side)
    return pool._replace(x=resize(pool.x, side), x_test=test)


def resize(x_NCHW: Floats32, side: int) -> Floats32:
    """Square images [N, C, side, side] of images [N, C, H, W], by antialiased bilinear interpolation."""
    if x_NCHW.shape[-2:] == (side, side):
        return x_NCHW
    parts = [
        torch.nn.functional.interpolate(part, size=(side, side), mode="bilinear", antialias=True)
        for part in torch.split(torch.from_numpy(x_NCHW), 8192)
    ]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


# sources


def _digits(_config: TrainConfig, _say: Say) -> _Pool:
    """8 x 8 handwritten digits, which scikit-learn contains (Alpaydin & Kaynak, UCI).

    Read from its file, whose rows hold an image's 64 pixels and its label: importing scikit-learn would take
    longer than a short training. A release that keeps the file elsewhere is asked for the digits instead.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise DataError("scikit-learn, which contains the digits, is not installed: pip install scikit-learn")
    file = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    if not file.is_file():
        from sklearn.datasets import load_digits

        bunch = load_digits()
        return _Pool((bunch.images[:, None] / 16).astype(np.float32), bunch.target.astype(np.int64))
    rows = np.loadtxt(file, delimiter=",")
    return _Pool((rows[:, :-1].reshape(-1, 1, 8, 8) / 16).astype(np.float32), rows[:, -1].astype(np.int64))


def _idx_set(config: TrainConfig, say: Say) -> _Pool:
    if config.data_dir is None:
        return _downloaded(config.dataset, say)
    folder = Path(config.data_dir)
    train, test = _idx_part(folder, "train"), _idx_part(folder, "t10k")
    if train is None and test is None:
        raise DataError(
            f"{folder} holds neither train-images-idx3-ubyte nor t10k-images-idx3-ubyte (or .gz); "
            f"set data_dir to the folder with {config.dataset}'s original files"
        )
    if train is None or test is None:
        return _Pool(*(train or test or ()))
    return _Pool(*train, *test)


def _idx_part(folder: Path, part: str) -> tuple[Floats32, Labels] | None:
    images = _find(folder, f"{part}-images-idx3-ubyte")
    if images is None:
        return None
    labels = _find(folder, f"{part}-labels-idx1-ubyte")
    if labels is None:
        raise DataError(f"{folder} holds {images.name} but no {part}-labels-idx1-ubyte (or .gz) beside it")
    x, y = idx.read_images(images), idx.read_labels(labels)
    if len(x) != len(y):
        raise DataError(f"{images} holds {len(x)} images but {labels} {len(y)} labels; they must match")
    return (x[:, None] / np.float32(255)).astype(np.float32), y.astype(np.int64)


def _find(folder: Path, name: str) -> Path | None:
    return next((path for ending in ("", ".gz") if (path := folder / (name + ending)).is_file()), None)


def _cifar10(config: TrainConfig, say: Say) -> _Pool:
    if config.data_dir is None:
        return _downloaded(config.dataset, say)
    folder = Path(config.data_dir)
    train = [folder / f"data_batch_{i}.bin" for i in range(1, 6) if (folder / f"data_batch_{i}.bin").is_file()]
    if not train:
        raise DataError(
            f"{folder} holds no data_batch_1.bin; set data_dir to the folder of CIFAR-10's binary version"
        )
    batches = [idx.read_cifar_batch(path) for path in train]
    x = np.concatenate([b[0] for b in batches]) / np.float32(255)
    y = np.concatenate([b[1] for b in batches]).astype(np.int64)
    test = folder / "test_batch.bin"
    if not test.is_file():
        return _Pool(x.astype(np.float32), y)
    x_test, y_test = idx.read_cifar_batch(test)
    return _Pool(x.astype(np.float32), y, (x_test / np.float32(255)).astype(np.float32), y_test.astype(np.int64))


def _downloaded(name: str, say: Say) -> _Pool:
    x, y = openml.fetch(name, say)
    pixels, labels, n = (x / np.float32(255)).astype(np.float32), y.astype(np.int64), openml.SOURCES[name].train
    return _Pool(pixels[:n], labels[:n], pixels[n:], labels[n:])


def _npz(config: TrainConfig, _say: Say) -> _Pool:
    x, y = read_npz(Path(config.dataset))
    if len(y) < 4:
        raise DataError(f"{config.dataset}: {len(y)} samples, expected at least 4 to train and test on")
    largest = float(np.abs(x).max())
    if largest > float(np.finfo(np.float32).max):
        raise DataError(f"{config.dataset}: X holds {largest:g}, which float32 cannot; scale it down")
    return _Pool(x.astype(np.float32), y)


def _gaussian_mixture(config: TrainConfig, _say: Say) -> _Pool:
    """X = √(μ/N) y uᵀ + Ω/√F, two classes y = ±1, u and Ω normal, E|u|² = 1 (Shi et al., supplement).

    N counts all samples, F features; by default μ = 4 N and F = 100.
    """
    rng = np.random.default_rng(config.seed)
    n, f = _SYNTHETIC, config.mixture_features
    sign = rng.choice([-1.0, 1.0], n)
    u = rng.normal(size=f) / np.sqrt(f)
    x = np.sqrt(config.mixture_mu / n) * sign[:, None] * u + rng.normal(size=(n, f)) / np.sqrt(f)
    return _Pool(x.astype(np.float32), (sign > 0).astype(np.int64))


def _gaussian_classes(config: TrainConfig, _say: Say) -> _Pool:
    """Ten classes in 64 dimensions: unit Gaussians about centres drawn with s.d. 0.5 (ours)."""
    rng = np.random.default_rng(config.seed)
    y = rng.integers(0, 10, _SYNTHETIC)
    x = 0.5 * rng.normal(size=(10, 64))[y] + rng.normal(size=(_SYNTHETIC, 64))
    return _Pool(x.astype(np.float32), y.astype(np.int64))


_Source = Callable[[TrainConfig, Say], _Pool]
_SOURCES: dict[str, _Source] = {
    "digits": _digits,
    "mnist": _idx_set,
    "fashion-mnist": _idx_set,
    "cifar10": _cifar10,
    "gaussian-mixture": _gaussian_mixture,
    "gaussian-classes": _gaussian_classes,
}
