"""TensorBoard's event files: real logs equal their truth, live growth, resumes, damage, two writers at once."""

from __future__ import annotations

import numpy as np
import pytest
from support.logs import CASES, is_same, read_all, truth

from engine.logs.columns import Columns
from engine.logs.tensorboard.format import TensorBoard

needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the corpus of real logs is not here")
REAL = (
    "torch_tb_basic", "torch_tb_nan", "torch_tb_nested", "torch_tb_add_scalars", "torch_tb_hparams",
    "tensorboardx", "ignite",
)  # fmt: skip


def last_by_step(points: list[list[float]]) -> list[list[float]]:
    """Of repeated steps the last values, in the order of steps."""
    return sorted({point[0]: point for point in points}.values())


def assert_logged(columns: Columns, tag: str, expected: list[list[float]], name: str | None = None) -> None:
    """A tag holds what was logged: float32 values, and the times when the calls were made."""
    series = columns.series(name or tag)
    assert series.step.tolist() == [step for step, _, _ in expected]
    for value, time, (_, logged, when) in zip(series.value, series.time, expected, strict=True):
        with np.errstate(over="ignore"):
            rounded = float(np.float32(logged))
        assert is_same(float(value), logged) or is_same(float(value), rounded), tag
        assert abs(time - when) < 0.5


@needs_cases
@pytest.mark.parametrize("case", REAL)
@pytest.mark.parametrize("limit", [1, 1 << 23])
def test_real_logs_equal_their_truth(case: str, limit: int) -> None:
    found = read_all(TensorBoard(), CASES / case, limit)
    for run, tags in truth(case).items():
        for tag, expected in tags.items():
            assert_logged(found[run], tag, expected)
