"""Data sets: shapes, splits, and what a damaged or foreign file is told."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.paths import SHARED

from engine.datasets.load import Dataset, load_dataset, resize
from engine.errors import ConfigError, DataError
from engine.settings.train import TrainConfig

pytestmark = pytest.mark.usefixtures("one_thread")
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def load(**settings: Any) -> Dataset:
    return load_dataset(TrainConfig(**settings))


def same(a: Dataset, b: Dataset) -> bool:
    """Names aside."""
    return all(np.array_equal(left, right) for left, right in zip(a[1:], b[1:], strict=True))


class TestDigits:
    def test_shape_and_split(self) -> None:
        data = load()
        assert (data.x_train.shape, data.x_test.shape, data.n_classes) == ((1280, 64), (517, 64), 10)
        assert data.x_train.dtype == data.x_test.dtype == np.float32
        assert data.y_train.dtype == data.y_test.dtype == np.int64
        assert (data.x_train.min(), data.x_train.max()) == (0.0, 1.0)

    def test_split_holds_every_sample_once(self) -> None:
        from sklearn.datasets import load_digits

        data, bunch = load(), load_digits()
        split = np.c_[np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])]
        whole = np.c_[bunch.data / 16, bunch.target]
        assert np.array_equal(split[np.lexsort(split.T)], whole[np.lexsort(whole.T)])

    def test_split_never_depends_on_the_seed(self) -> None:
        assert same(load(seed=0), load(seed=1))

    def test_train_size(self) -> None:
        data = load(train_size=100)
        assert (len(data.x_train), len(data.x_test)) == (100, 1697)
        assert np.array_equal(data.x_train, load().x_train[:100])

    def test_train_size_must_leave_a_test(self) -> None:
        assert len(load(train_size=1796).x_test) == 1
        with pytest.raises(ConfigError, match="train_size = 1797 is not allowed; digits has at most 1796"):
            load(train_size=1797)

    def test_resized(self) -> None:
        assert load(image_size=10).x_train.shape == (1280, 100)
        assert load(image_size=10, model="cnn").x_train.shape == (1280, 1, 10, 10)

    def test_cnn_and_mlp_see_the_same_images(self) -> None:
        assert np.array_equal(load(model="cnn").x_train.reshape(1280, 64), load().x_train)


def idx_bytes(array: NDArray[np.uint8], magic: int | None = None) -> bytes:
    head = magic if magic is not None else 0x0800 | array.ndim
    return struct.pack(f">{1 + array.ndim}I", head, *array.shape) + array.tobytes()


def images_and_labels(n: int = 20) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 12, 12), dtype=np.uint8), (np.arange(n) % 10).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A train part of 20 images of 12 x 12 pixels, as IDX."""
    x, y = images_and_labels()
    (tmp_path / IMAGES).write_bytes(idx_bytes(x))
    (tmp_path / LABELS).write_bytes(idx_bytes(y))
    return tmp_path


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
class TestIdxFolder:
    def test_train_part_alone_is_split(self, dataset: str, folder: Path) -> None:
        data = load(dataset=dataset, data_dir=str(folder), train_size=8, image_size=12)
        # MNIST's test file alone tests on rows from 2 x train_size on, as in the reference table
        assert (len(data.x_train), len(data.x_test)) == (8, 4 if dataset == "mnist" else 12)

    def test_both_parts(self, dataset: str, folder: Path) -> None:
        x, y = images_and_labels(10)
        (folder / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(x))
        (folder / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(y))
        data = load(dataset=dataset, data_dir=str(folder), train_size=20, image_size=12)
        assert (len(data.x_train), len(data.x_test)) == (20, 10)
        assert np.array_equal(data.x_test, x.reshape(10, 144).astype(np.float32) / np.float32(255))
        assert data.y_test.tolist() == y.tolist()

    def test_gzipped(self, dataset: str, folder: Path) -> None:
        plain = load(dataset=dataset, data_dir=str(folder), train_size=8)
        for name in (IMAGES, LABELS):
            (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
            (folder / name).unlink()
        assert same(plain, load(dataset=dataset, data_dir=str(folder), train_size=8))

    def test_ten_pixels_by_default(self, dataset: str, folder: Path) -> None:
        assert load(dataset=dataset, data_dir=str(folder), train_size=8).x_train.shape == (8, 100)


X_FEW, Y_FEW = images_and_labels()

DAMAGED: dict[str, tuple[str, bytes, str]] = {
    "images truncated": (IMAGES, idx_bytes(X_FEW)[:-5], r"2891 bytes, expected 2896 for the shape \(20, 12, 12\)"),
    "images too long": (IMAGES, idx_bytes(X_FEW) + b"\0", "2897 bytes, expected 2896"),
    "labels truncated": (LABELS, idx_bytes(Y_FEW)[:-1], r"27 bytes, expected 28 for the shape \(20,\)"),
    "no header": (IMAGES, b"\0\0\x08", "3 bytes, expected a header of 16"),
    "empty": (LABELS, b"", "0 bytes, expected a header of 8"),
    "magic of images": (IMAGES, idx_bytes(X_FEW, 0x0801), "0x00000801 at offset 0, expected 0x00000803"),
    "magic of labels": (LABELS, idx_bytes(Y_FEW, 0x0D01), "0x00000d01 at offset 0, expected 0x00000801"),
    "labels for images": (IMAGES, idx_bytes(Y_FEW), "magic number 0x00000801 at offset 0"),
    "label out of range": (
        LABELS,
        idx_bytes(Y_FEW)[:-3] + b"\x0a\x01\x02",
        "label 10 at offset 25, expected 0 to 9",
    ),
    "fewer labels": (LABELS, idx_bytes(Y_FEW[:-1]), "20 images .* 19 labels"),
    "huge shape": (
        IMAGES,
        struct.pack(">4I", 0x0803, *(3 * [2**32 - 1])),
        "expected 79228162458924105385300197391",
    ),
    "no images": (IMAGES, idx_bytes(X_FEW[:0]), r"\(0, 12, 12\)"),
    "no pixels": (IMAGES, idx_bytes(X_FEW[:, :0]), r"\(20, 0, 12\)"),
    "gzip truncated": (IMAGES, gzip.compress(idx_bytes(X_FEW))[:-9], "cannot read"),
    "gzip header alone": (IMAGES, gzip.compress(idx_bytes(X_FEW))[:5], "cannot read"),
    "gzip body": (IMAGES, gzip.compress(idx_bytes(X_FEW))[:20] + b"\xff" * 40, "cannot read"),
    "gzip checksum": (
        LABELS,
        gzip.compress(idx_bytes(Y_FEW))[:-8] + b"\0" * 8,
        "cannot read .*: CRC check failed",
    ),
}


class TestDamagedIdx:
    @pytest.mark.parametrize("damage", DAMAGED)
    def test_refused_by_name(self, damage: str, folder: Path) -> None:
        name, content, said = DAMAGED[damage]
        (folder / name).write_bytes(content)
        with pytest.raises(DataError, match=said) as caught:
            load(dataset="mnist", data_dir=str(folder), train_size=8)
        assert str(folder / name) in str(caught.value)

    def test_no_labels_beside(self, folder: Path) -> None:
        (folder / LABELS).unlink()
        with pytest.raises(DataError, match=f"holds {IMAGES} but no {LABELS}"):
            load(dataset="mnist", data_dir=str(folder))

    @pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist", "cifar10"])
    @pytest.mark.parametrize("name", ["", "nowhere"])
    def test_folder_without_the_files(self, dataset: str, name: str, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="set data_dir to the folder") as caught:
            load(dataset=dataset, data_dir=str(tmp_path / name))
        assert str(tmp_path / name) in str(caught.value)


@pytest.mark.skipif(not (SHARED / "data" / "mnist").is_dir(), reason="MNIST's images are not here")
def test_mnist_folder() -> None:
    """The set-up of the reference table: rows 0 to 2559 of the shuffled file train, from 5120 on they test."""
    data = load(dataset="mnist", data_dir=str(SHARED / "data" / "mnist"))
    assert (data.x_train.shape, data.x_test.shape, data.n_classes) == ((2560, 100), (4880, 100), 10)
    assert 0.0 <= data.x_train.min() < data.x_train.max() <= 1.0
    assert np.bincount(data.y_train).min() > 200


class TestCifar10:
    ROW = 3073

    def batch(self, n: int) -> bytes:
        rows = np.random.default_rng(0).integers(0, 256, (n, self.ROW), dtype=np.uint8)
        rows[:, 0] = np.arange(n) % 10
        return rows.tobytes()

    def test_batches_and_test_batch(self, tmp_path: Path) -> None:
        for name, n in (("data_batch_1.bin", 6), ("data_batch_2.bin", 4), ("test_batch.bin", 3)):
            (tmp_path / name).write_bytes(self.batch(n))
        data = load(dataset="cifar10", data_dir=str(tmp_path), train_size=10, model="cnn", image_size=32)
        assert (data.x_train.shape, data.x_test.shape) == ((10, 3, 32, 32), (3, 3, 32, 32))
        pixels = np.frombuffer(self.batch(3), np.uint8).reshape(3, self.ROW)[:, 1:].reshape(3, 3, 32, 32)
        np.testing.assert_allclose(data.x_test, pixels / 255, atol=1e-7)

    def test_damaged(self, tmp_path: Path) -> None:
        (tmp_path / "data_batch_1.bin").write_bytes(self.batch(4)[:-1])
        with pytest.raises(
            DataError, match=r"data_batch_1\.bin: 12291 bytes, expected a positive multiple of 3073"
        ):
            load(dataset="cifar10", data_dir=str(tmp_path))

    def test_label_out_of_range(self, tmp_path: Path) -> None:
        data = bytearray(self.batch(4))
        data[2 * self.ROW] = 77
        (tmp_path / "data_batch_1.bin").write_bytes(data)
        with pytest.raises(DataError, match=r"data_batch_1\.bin: label 77 at offset 6146, expected 0 to 9"):
            load(dataset="cifar10", data_dir=str(tmp_path))


class TestGaussian:
    def test_mixture(self) -> None:
        """Σ_w of X = √(μ/N) y uᵀ + Ω/√F is 1/F, and its means are 2 |u| off the centre."""
        data = load(dataset="gaussian-mixture")
        assert (data.x_train.shape, data.n_classes) == ((2560, 100), 2)
        x, y = data.x_train, data.y_train
        means = np.stack([x[y == c].mean(0) for c in (0, 1)])
        # s.e. of a variance from 256,000 numbers: √(2 / 256,000) = 0.28 % of it; 4 of them
        assert float((x - means[y]).var()) == pytest.approx(0.01, rel=0.012)
        # |u|² is χ²(100)/100, s.d. 0.14; so |u| = 1 ± 0.07 (4 s.d.: 0.28), noise of the means well below
        assert float(np.linalg.norm(means[1] - means[0])) / 4 == pytest.approx(1.0, abs=0.28)

    def test_classes(self) -> None:
        data = load(dataset="gaussian-classes")
        assert (data.x_train.shape, data.x_test.shape, data.n_classes) == ((2560, 64), (2560, 64), 10)
        x, y = data.x_train, data.y_train
        means = np.stack([x[y == c].mean(0) for c in range(10)])
        # 4 s.e. of a variance from 163,840 numbers, less the 10 fitted means of 2560: 1.4 %, and 0.4 %
        assert float((x - means[y]).var()) == pytest.approx(1.0, rel=0.018)

    @pytest.mark.parametrize("dataset", ["gaussian-mixture", "gaussian-classes"])
    def test_drawn_from_the_seed(self, dataset: str) -> None:
        assert same(load(dataset=dataset, seed=3), load(dataset=dataset, seed=3))
        assert not same(load(dataset=dataset, seed=3), load(dataset=dataset, seed=4))

    def test_no_images(self) -> None:
        with pytest.raises(ConfigError, match="image_size = 10 needs images; gaussian-classes has none"):
            load(dataset="gaussian-classes", image_size=10)
        with pytest.raises(ConfigError, match="'cnn' needs images; gaussian-classes has none"):
            load(dataset="gaussian-classes", model="cnn")


class TestNpz:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        rng = np.random.default_rng(0)
        np.savez(tmp_path / "mine.npz", X=rng.normal(size=(50, 6)), y=np.arange(50) % 3 + 5)
        return tmp_path / "mine.npz"

    def test_features(self, file: Path) -> None:
        data = load(dataset=str(file))
        assert (data.x_train.shape, data.x_test.shape, data.n_classes) == ((40, 6), (10, 6), 3)
        assert data.x_train.dtype == np.float32
        assert same(data, load(dataset=str(file), seed=9))

    def test_images(self, file: Path) -> None:
        x = np.random.default_rng(0).random((20, 3, 16, 16))
        np.savez(file, X=x, y=np.arange(20) % 2)
        assert load(dataset=str(file), model="cnn", image_size=8).x_train.shape == (16, 3, 8, 8)
        assert load(dataset=str(file), image_size=8).x_train.shape == (16, 192)

    def test_features_for_a_cnn(self, file: Path) -> None:
        with pytest.raises(ConfigError, match="choose model=mlp"):
            load(dataset=str(file), model="cnn")

    def test_damaged(self, file: Path) -> None:
        file.write_bytes(file.read_bytes()[:300])
        with pytest.raises(DataError, match=r"mine\.npz"):
            load(dataset=str(file))

    def test_too_few(self, file: Path) -> None:
        np.savez(file, X=np.ones((3, 2)), y=np.arange(3))
        with pytest.raises(DataError, match=r"mine\.npz: 3 samples, expected at least 4"):
            load(dataset=str(file))

    def test_beyond_float32(self, file: Path) -> None:
        """Finite in float64, but not in what networks compute with."""
        np.savez(file, X=np.full((8, 2), 1e300), y=np.arange(8) % 2)
        with pytest.raises(DataError, match=r"mine\.npz: .* float32"):
            load(dataset=str(file))

    def test_unknown_name(self) -> None:
        with pytest.raises(ConfigError, match="'imagenet' is not known; allowed: digits, mnist"):
            load(dataset="imagenet")


class TestResize:
    def test_same_side_is_untouched(self) -> None:
        x = np.random.default_rng(0).random((3, 1, 8, 8), dtype=np.float32)
        assert resize(x, 8) is x

    @pytest.mark.parametrize("side", [4, 10, 16])
    def test_constant_stays(self, side: int) -> None:
        x = np.full((2, 3, 8, 8), 0.3, dtype=np.float32)
        np.testing.assert_allclose(resize(x, side), np.full((2, 3, side, side), 0.3), atol=1e-6)

    def test_halving_averages(self) -> None:
        """Antialiased: a triangle of twice the width, (1, 3, 3, 1)/8 inside."""
        line = np.arange(16, dtype=np.float32) ** 2
        x = np.broadcast_to(line, (1, 1, 16, 16)).copy()
        inner = np.array([line[i - 1 : i + 3] @ [1, 3, 3, 1] / 8 for i in range(2, 14, 2)])
        np.testing.assert_allclose(resize(x, 8)[0, 0, 0, 1:-1], inner, rtol=1e-5)

    @pytest.mark.parametrize(("side", "wanted"), [(28, 10), (32, 10), (28, 7), (8, 12)])
    def test_agrees_with_pillows_antialiased_bilinear(self, side: int, wanted: int) -> None:
        x = np.random.default_rng(0).random((3, 1, side, side), dtype=np.float32)
        pictures = [Image.fromarray(image[0]).resize((wanted, wanted), Image.Resampling.BILINEAR) for image in x]
        np.testing.assert_allclose(resize(x, wanted)[:, 0], [np.asarray(p) for p in pictures], atol=2e-6)

    def test_many_are_done_in_parts(self) -> None:
        x = np.random.default_rng(0).random((8200, 1, 4, 4), dtype=np.float32)
        assert np.array_equal(resize(x, 2)[8190:], resize(x[8190:], 2))

    def test_not_square(self) -> None:
        assert resize(np.ones((1, 1, 6, 9), dtype=np.float32), 5).shape == (1, 1, 5, 5)
