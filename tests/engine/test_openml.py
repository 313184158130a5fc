"""Downloads: what they tell, what they keep, and what is said without a network. No test reaches one."""

from __future__ import annotations

import time
import urllib.error
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.datasets import openml
from engine.datasets.load import load_dataset, prepare_dataset
from engine.errors import ConfigError, DataError
from engine.settings.train import TrainConfig

OFFLINE = urllib.error.URLError(OSError(-2, "Name or service not known"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OFFLINE

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", refuse)
    monkeypatch.setattr("sklearn.datasets._openml.time.sleep", lambda _seconds: None)


class Server:
    """Stands in for scikit-learn's download: a few images, some time, a growing file."""

    def __init__(self, cache: Path, rows: int = 40, seconds: float = 0.0) -> None:
        self.cache, self.rows, self.seconds, self.calls = cache, rows, seconds, list[str]()

    def __call__(self, name: str, **options: Any) -> SimpleNamespace:
        self.calls.append(name)
        assert options["parser"] == "liac-arff"  # the other needs pandas, which is no dependency
        folder = Path(options["data_home"]) / "openml"
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(4):
            (folder / "data.arff.gz").write_bytes(bytes(3_000_000 * (i + 1)))
            time.sleep(self.seconds / 4)
        rng = np.random.default_rng(0)
        data = rng.integers(0, 256, (self.rows, 784)).astype(np.float64)
        return SimpleNamespace(data=data, target=np.array([str(i % 10) for i in range(self.rows)]))


def serve(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr("sklearn.datasets.fetch_openml", server)
    monkeypatch.setitem(openml.SOURCES, "mnist", openml.SOURCES["mnist"]._replace(train=30))


def test_fetched_once_and_split(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(cache)
    serve(monkeypatch, server)
    config = TrainConfig(dataset="mnist", train_size=20)
    said: list[str] = []
    prepare_dataset(config, said.append)
    first = load_dataset(config)
    again = load_dataset(config)
    assert server.calls == ["mnist_784"]
    assert (first.x_train.shape, first.x_test.shape) == ((20, 100), (10, 100))
    assert np.array_equal(first.x_train, again.x_train)
    assert first.x_train.max() <= 1.0
    assert "downloading mnist_784 from openml.org" in said[0]
    assert [path.name for path in (cache / "springtui").iterdir()] == ["mnist.npz"]


def test_progress(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Server(cache, seconds=0.4))
    monkeypatch.setattr(openml, "_REPORT_EVERY", 0.05)
    said: list[str] = []
    openml.fetch("mnist", said.append)
    assert "mnist_784: 3.0 MB" in said
    assert "mnist_784: reading" in said


def test_damaged_copy_is_fetched_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(cache)
    serve(monkeypatch, server)
    kept = openml.kept_path("mnist")
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"PK\x03\x04 torn")
    assert len(openml.fetch("mnist")[0]) == 40
    assert len(openml.fetch("mnist")[0]) == 40
    assert len(server.calls) == 1


def test_other_content_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Server(cache, rows=25))
    with pytest.raises(DataError, match="25 images, not the set that was expected"):
        openml.fetch("mnist")
    assert not openml.kept_path("mnist").exists()


@pytest.mark.parametrize("dataset", openml.SOURCES)
@pytest.mark.parametrize("how", [prepare_dataset, load_dataset])
def test_offline(offline: None, dataset: str, how: Any) -> None:
    """The set, the cause, and both ways out."""
    with pytest.raises(DataError, match="Name or service not known") as caught:
        how(TrainConfig(dataset=dataset))
    said = str(caught.value)
    assert all(words in said for words in (dataset, "data_dir", openml.SOURCES[dataset].files, "dataset=digits"))


class TestPrepare:
    """Cheap: nothing is read."""

    def test_unknown_name(self) -> None:
        with pytest.raises(ConfigError, match="the nearest is 'fashion-mnist'"):
            prepare_dataset(TrainConfig(dataset="fashion_mnist"))

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"none\.npz"):
            prepare_dataset(TrainConfig(dataset=str(tmp_path / "none.npz")))

    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"data_dir = .*no folder.*train-images-idx3-ubyte"):
            prepare_dataset(TrainConfig(dataset="mnist", data_dir=str(tmp_path / "none")))

    @pytest.mark.parametrize("dataset", ["digits", "gaussian-mixture", "gaussian-classes"])
    def test_nothing_to_prepare(self, dataset: str, offline: None) -> None:
        prepare_dataset(TrainConfig(dataset=dataset))


def test_gaussian_mixture_follows_its_formula() -> None:
    """X = √(μ/N) y uᵀ + Ω/√F: the means lie ±√(μ/N)|u| apart, and each feature spreads by 1/√F."""
    data = load_dataset(TrainConfig(dataset="gaussian-mixture", mixture_mu=5120.0 * 9, mixture_features=400))
    x, y = np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])
    assert x.shape == (5120, 400)
    half = (x[y == 1].mean(0) - x[y == 0].mean(0)) / 2
    # |u|² is 1 ± √(2/400) .07; the mean of 2560 rows of unit norm adds 1/5120 to |half|²
    assert float(half @ half) == pytest.approx(9.0, rel=4 * 0.07)
    spread = (x - np.where(y == 1, 1.0, -1.0)[:, None] * half).std()
    assert spread == pytest.approx(1 / 20, rel=0.005)
