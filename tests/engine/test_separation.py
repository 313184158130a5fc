"""Separation measures: reference numbers, the definition, degenerate cases, and the files that are refused."""

from __future__ import annotations

import io
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.datasets.npz import measure_file, read_npz
from engine.errors import DataError
from engine.measures.registry import SEPARATIONS
from engine.measures.scatter import scatter_factors
from engine.measures.separation import separation_and_influence, separation_measures

pytestmark = pytest.mark.usefixtures("one_thread")
CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "separation_cases.json").read_text()
)
NAMES = {"trace_ratio": "log_trace_ratio", "fuzziness": "log_fuzziness", "inverse_fuzziness": "log_inverse"}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])

UNDEFINED = (math.nan, math.nan, math.nan)
NOT_SEPARATED = (math.inf, math.inf, -math.inf)
FULLY_SEPARATED = (-math.inf, -math.inf, math.inf)


def by_definition(x: NDArray[np.float64], y: NDArray[np.int64]) -> dict[str, float]:
    """The three measures as docs/theory.md defines them, scatter matrices and pseudo-inverses formed."""
    means = np.stack([x[y == c].mean(0) for c in np.unique(y)])
    parts = np.array([(y == c).mean() for c in np.unique(y)])
    within = x - means[np.unique(y, return_inverse=True)[1]]
    between = means - x.mean(0)
    sw, sb = within.T @ within / len(x), (between * parts[:, None]).T @ between
    return {
        "trace_ratio": math.log(np.trace(sw) / np.trace(sb)),
        "fuzziness": math.log(np.trace(sw @ np.linalg.pinv(sb, rcond=1e-10, hermitian=True))),
        "inverse_fuzziness": math.log(np.trace(sb @ np.linalg.pinv(sw, rcond=1e-10, hermitian=True))),
    }


def test_influence_is_what_a_samples_weight_changes() -> None:
    """To double a weight is to have the sample twice: (N + 1) (D' - D) is its influence to first order in 1/N."""
    x, y = drawn(3000, 5, 3)
    _, influence = separation_and_influence(torch.tensor(x), torch.tensor(y))
    assert influence is not None
    assert float(influence.mean()) == pytest.approx(0.0, abs=1e-12)
    before = by_definition(x, y)["trace_ratio"]
    for i in (0, 1, 2, 17, 1234):
        after = by_definition(np.vstack([x, x[i]]), np.append(y, y[i]))["trace_ratio"]
        assert float(influence[i]) == pytest.approx(3001 * (after - before), rel=2e-2, abs=5e-3)


def test_there_is_no_influence_on_what_is_degenerate() -> None:
    assert separation_and_influence(torch.ones(6, 2), torch.arange(6) % 2)[1] is None


def drawn(n: int, d: int, classes: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Unit Gaussians about unit Gaussian centres, every class present."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return rng.normal(size=(classes, d))[y] + rng.normal(size=(n, d)), y


def measured(x: NDArray[Any], y: NDArray[Any], dtype: torch.dtype) -> tuple[float, ...]:
    found = separation_measures(torch.tensor(x, dtype=dtype), torch.tensor(y))
    return tuple(found[name] for name in SEPARATIONS)


class TestValues:
    @pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
    @pytest.mark.parametrize("measure", SEPARATIONS)
    @DTYPES
    def test_reference(self, case: dict[str, Any], measure: str, dtype: torch.dtype) -> None:
        """The reference numbers have six decimals, so float64 can be held to half of the last and no closer."""
        found = separation_measures(torch.tensor(case["X"], dtype=dtype), torch.tensor(case["y"]))
        close = {"rel": 1e-4} if dtype == torch.float32 else {"rel": 0.0, "abs": 6e-7}
        assert found[measure] == pytest.approx(case[NAMES[measure]], **close)

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
    def test_definition(self, case: dict[str, Any]) -> None:
        x, y = np.array(case["X"]), np.array(case["y"])
        expected = by_definition(x, y)
        found = separation_measures(torch.tensor(x), torch.tensor(y))
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)

    @pytest.mark.parametrize(("n", "d", "classes"), [(40, 300, 4), (200, 400, 10), (400, 200, 10), (64, 64, 2)])
    @DTYPES
    def test_wide_data(self, n: int, d: int, classes: int, dtype: torch.dtype) -> None:
        """Low rank by small Gram matrices is the pseudo-inverse of the large matrix."""
        x, y = drawn(n, d, classes)
        found = separation_measures(torch.tensor(x, dtype=dtype), torch.tensor(y))
        close = 1e-4 if dtype == torch.float32 else 1e-8
        assert found == pytest.approx(by_definition(x, y), rel=close, abs=close)

    def test_scatter_adds_up(self) -> None:
        """Σ_w + Σ_b is the total covariance."""
        x, y = drawn(60, 12, 5)
        w, b = scatter_factors(torch.tensor(x), torch.tensor(y))
        total = (w.T @ w + b.T @ b).numpy()
        np.testing.assert_allclose(total, np.cov(x.T, bias=True), atol=1e-12)

    @pytest.mark.parametrize("unit", [1e-30, 1e-12, 1e12, 1e30])
    def test_unit_does_not_matter(self, unit: float) -> None:
        """Squares of such numbers leave float32's range; a network about to diverge has them."""
        x, y = drawn(60, 8, 3)
        assert measured(x * unit, y, torch.float32) == pytest.approx(measured(x, y, torch.float32), rel=1e-4)

    def test_offset_does_not_matter(self) -> None:
        x, y = drawn(300, 8, 3)
        far = measured(x + 1000.0, y, torch.float32)
        # float32 stores values near 1000 to 6e-5, and these classes spread by 1
        assert far == pytest.approx(measured(x, y, torch.float32), rel=1e-3)

    def test_images_are_flattened(self) -> None:
        x, y = drawn(30, 24, 3)
        shaped = separation_measures(torch.tensor(x).reshape(30, 2, 3, 4), torch.tensor(y))
        assert shaped == separation_measures(torch.tensor(x), torch.tensor(y))

    def test_absent_classes_change_nothing(self) -> None:
        x, y = drawn(30, 6, 3)
        known = separation_measures(torch.tensor(x), torch.tensor(2 * y), 10)
        assert known == pytest.approx(separation_measures(torch.tensor(x), torch.tensor(y)), rel=1e-12)


@DTYPES
class TestDegenerate:
    @pytest.mark.parametrize(("n", "d"), [(5, 3), (60, 8), (100, 300), (2560, 100)])
    @pytest.mark.parametrize("value", [0.0, 0.1, 3.7, 1000.3])
    def test_constant_features(self, n: int, d: int, value: float, dtype: torch.dtype) -> None:
        x = np.full((n, d), value)
        assert measured(x, np.arange(n) % 2, dtype) == pytest.approx(UNDEFINED, nan_ok=True)

    @pytest.mark.parametrize(("n", "d"), [(5, 3), (100, 300), (2560, 100)])
    def test_one_class(self, n: int, d: int, dtype: torch.dtype) -> None:
        x, _ = drawn(n, d, 2)
        assert measured(x + 3.0, np.zeros(n, np.int64), dtype) == NOT_SEPARATED

    @pytest.mark.parametrize(("n", "d"), [(5, 3), (100, 300), (2560, 100)])
    def test_equal_means(self, n: int, d: int, dtype: torch.dtype) -> None:
        """Σ_b = 0: two classes that hold the same samples."""
        x, _ = drawn(n, d, 2)
        assert measured(np.concatenate([x, x]) + 3.0, np.arange(2 * n) // n, dtype) == NOT_SEPARATED

    @pytest.mark.parametrize(("n", "d"), [(6, 3), (100, 300), (2560, 100)])
    def test_no_spread(self, n: int, d: int, dtype: torch.dtype) -> None:
        """Σ_w = 0: every sample is its class's mean."""
        centres, _ = drawn(3, d, 3)
        y = np.arange(n) % 3
        assert measured(centres[y] + 3.0, y, dtype) == FULLY_SEPARATED

    def test_single_sample_in_a_class(self, dtype: torch.dtype) -> None:
        x, y = drawn(20, 4, 3)
        y[:-1] %= 2
        y[-1] = 2
        expected = by_definition(x, y)
        assert measured(x, y, dtype) == pytest.approx([expected[name] for name in SEPARATIONS], rel=1e-4)

    def test_one_sample(self, dtype: torch.dtype) -> None:
        assert measured(np.ones((1, 4)), np.array([0]), dtype) == pytest.approx(UNDEFINED, nan_ok=True)

    def test_no_sample(self, dtype: torch.dtype) -> None:
        x, y = np.ones((0, 4)), np.zeros(0, np.int64)
        assert measured(x, y, dtype) == pytest.approx(UNDEFINED, nan_ok=True)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_not_finite(self, value: float, dtype: torch.dtype) -> None:
        x, y = drawn(20, 4, 2)
        x[7, 2] = value
        assert measured(x, y, dtype) == pytest.approx(UNDEFINED, nan_ok=True)


def save(file: Path, **arrays: Any) -> None:
    np.savez(file, **arrays)


def one_array() -> bytes:
    content = io.BytesIO()
    np.save(content, X)
    return content.getvalue()


X, Y = np.arange(12.0).reshape(6, 2), np.array([0, 0, 0, 1, 1, 1])

WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda file: None, "No such file"),
    "directory": (lambda file: file.mkdir(), "Is a directory"),
    "empty": (lambda file: file.write_bytes(b""), "cannot read"),
    "text": (lambda file: file.write_text("no arrays\n"), "no archive that NumPy wrote"),
    "one array": (lambda file: file.write_bytes(one_array()), "one array"),
    "no X": (lambda file: save(file, images=X, y=Y), "no array X; it has images, y"),
    "no y": (lambda file: save(file, X=X), "no array y"),
    "neither": (lambda file: save(file), "no array X and no y; it has nothing"),
    "lengths": (lambda file: save(file, X=X, y=Y[:-1]), r"\(5,\), expected \(6,\)"),
    "y of two dimensions": (lambda file: save(file, X=X, y=Y[:, None]), r"\(6, 1\), expected \(6,\)"),
    "X of one dimension": (lambda file: save(file, X=X[:, 0], y=Y), r"\(6,\), expected N x d"),
    "no samples": (lambda file: save(file, X=X[:0], y=Y[:0]), r"\(0, 2\), expected N x d"),
    "complex": (lambda file: save(file, X=X + 1j, y=Y), "complex128, expected real"),
    "text as X": (lambda file: save(file, X=X.astype(str), y=Y), "expected real"),
    "pickled X": (
        lambda file: save(file, X=np.array([{}] * 6, dtype=object), y=Y),
        "Python objects, which are never loaded",
    ),
    "pickled y": (
        lambda file: save(file, X=X, y=np.array([None] * 6, dtype=object)),
        "Python objects, which are never loaded",
    ),
    "not finite": (lambda file: save(file, X=X / X, y=Y), "1 values that are not finite"),
    "one class": (lambda file: save(file, X=X, y=Y * 0 + 3), "only one class, 3; expected two"),
    "fractional labels": (lambda file: save(file, X=X, y=Y + 0.5), "expected whole numbers or text"),
    "labels not finite": (lambda file: save(file, X=X, y=Y + np.nan), "expected whole numbers or text"),
}


class TestFiles:
    @pytest.mark.parametrize("content", WRONG)
    @pytest.mark.filterwarnings("ignore:invalid value encountered in divide:RuntimeWarning")
    def test_refused(self, content: str, tmp_path: Path) -> None:
        """Open files that are left behind would warn, and warnings are errors here."""
        file = tmp_path / "layer.npz"
        write, said = WRONG[content]
        write(file)
        with pytest.raises(DataError, match=said) as caught:
            read_npz(file)
        assert str(file) in str(caught.value)
        assert "numpy.savez" in str(caught.value)

    @pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
    def test_truncated(self, write: Callable[..., None], tmp_path: Path) -> None:
        file = tmp_path / "layer.npz"
        write(file, X=X, y=Y)
        whole = file.read_bytes()
        for size in (*range(0, len(whole), 13), len(whole) - 1):
            file.write_bytes(whole[:size])
            with pytest.raises(DataError, match=r"layer\.npz"):
                read_npz(file)

    @pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
    @pytest.mark.filterwarnings("ignore::UserWarning")  # numpy's, zipfile's and ast's about odd archives
    def test_one_changed_byte(self, write: Callable[..., None], tmp_path: Path) -> None:
        """It is read or refused: nothing else ever comes out, whatever the byte."""
        file = tmp_path / "layer.npz"
        write(file, X=X, y=Y)
        whole, rng, refused = file.read_bytes(), random.Random(1), 0
        for _ in range(600):
            data = bytearray(whole)
            data[rng.randrange(len(data))] = rng.randrange(256)
            file.write_bytes(data)
            try:
                read_npz(file)
            except DataError:
                refused += 1
        assert refused > 100

    def test_array_larger_than_any_memory(self, tmp_path: Path) -> None:
        file = tmp_path / "layer.npz"
        save(file, X=np.zeros((6, 2)), y=Y)
        small, large = b"(6, 2), }", b"(6000000000000000, 2), }"
        data = file.read_bytes().replace(small + b" " * 15, large)
        assert large in data
        file.write_bytes(data)
        with pytest.raises(DataError, match=r"layer\.npz"):
            read_npz(file)

    @pytest.mark.parametrize(
        "y",
        [Y, Y.astype(np.int8), Y.astype(float), Y.astype(bool), Y * 7 - 3, np.array(["cat"] * 3 + ["dog"] * 3)],
        ids=["int64", "int8", "float", "bool", "gaps", "text"],
    )
    def test_labels_in_ascending_order(self, y: NDArray[Any], tmp_path: Path) -> None:
        save(tmp_path / "layer.npz", X=X, y=y)
        assert read_npz(tmp_path / "layer.npz")[1].tolist() == Y.tolist()

    @pytest.mark.parametrize(
        ("kind", "read"), [("f8", "f8"), ("f4", "f4"), ("f2", "f4"), ("u1", "f4"), ("i8", "f4"), (">f4", "f4")]
    )
    def test_types(self, kind: str, read: str, tmp_path: Path) -> None:
        save(tmp_path / "layer.npz", X=X.astype(kind), y=Y)
        x, _ = read_npz(tmp_path / "layer.npz")
        assert x.dtype == np.dtype(read)
        assert x.tolist() == X.tolist()

    def test_measured(self, tmp_path: Path) -> None:
        case = CASES[0]
        save(tmp_path / "layer.npz", X=np.array(case["X"]), y=np.array(case["y"]))
        expected = {measure: case[name] for measure, name in NAMES.items()}
        assert measure_file(tmp_path / "layer.npz") == pytest.approx(expected, rel=0, abs=6e-7)
