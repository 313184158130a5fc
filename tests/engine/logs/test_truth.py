"""Each of the real logs, read as a whole, holds what was logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from support.logs import CASES, is_same, truth

from engine.logs.read import LogRun, read_logs
from engine.logs.series import Series

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the reference logs are on developers' machines")


@dataclass(frozen=True)
class Case:
    """How a log is compared with the truth."""

    name: str
    needs: str
    """The format that it is read by."""
    relative: float = 0.0
    is_single: bool = False
    """Whether values are in single precision, all or those of some tags."""
    digits: int | None = None
    """Decimals that the log was written with."""
    last_stands: bool = False
    """Whether the training was resumed: of points at the same step the last one stands."""
    is_part: bool = False
    """Whether the log holds some of the points only."""
    only_these_tags: bool = False
    """Whether only the tags that the log holds are compared: others were logged elsewhere."""


ALL = (
    Case("accelerate", "trackio", is_single=True),
    Case("dvclive", "dvclive"),
    Case("fastai", "csv", digits=6, last_stands=True, is_part=True),
    Case("hf_trainer", "huggingface", last_stands=True, only_these_tags=True),
    Case("ignite", "tensorboard", is_single=True),
    Case("jsonl_plain", "jsonl"),
    Case("lightning", "tensorboard", is_single=True),
    Case("llamafactory", "jsonl"),
    Case("mlflow_file", "mlflow-files"),
    Case("sacred", "sacred"),
    Case("stdout_epoch_plain", "console"),
    Case("stdout_mnist", "console", digits=6),
    Case("stdout_nanogpt", "console", digits=4),
    Case("stdout_torchtitan", "console"),
    Case("stdout_tqdm", "console", digits=3, is_part=True),
    Case("swanlab", "swanlab", is_single=True),
    Case("tensorboardx", "tensorboard", is_single=True),
    Case("torch_tb_add_scalars", "tensorboard", is_single=True),
    Case("torch_tb_basic", "tensorboard", is_single=True),
    Case("torch_tb_hparams", "tensorboard", is_single=True),
    Case("torch_tb_nan", "tensorboard", is_single=True),
    Case("torch_tb_nested", "tensorboard", is_single=True),
    Case("torch_tb_resume_purge", "tensorboard", is_single=True, last_stands=True),
    Case("torchtune_disklogger", "console"),
    Case("trackio", "trackio"),
    Case("ultralytics", "csv", 6e-6),
    Case("verl_file", "jsonl"),
    Case("wandb_offline", "wandb"),
)


def cases() -> list[object]:
    """The cases that are there: a copy may lack the log of one."""
    there = [case for case in ALL if len(list((CASES / case.name).iterdir())) > 1] if CASES.is_dir() else ALL
    return [pytest.param(case, id=case.name) for case in there]


def of_name(runs: Sequence[LogRun], name: str) -> LogRun:
    """The run that a name in the truth is of: the only training, or the one whose name ends with it."""
    if name == ".":
        only = [run for run in runs if not run.same_as]
        whole = only if len(only) == 1 else [run for run in runs if run.run == "."]
    else:
        whole = [run for run in runs if run.run == name or run.run.endswith((f"/{name}", f"#{name}"))]
    assert len(whole) == 1, f"{name}: {[(run.run, run.format) for run in runs]}"
    return whole[0]


@pytest.mark.parametrize("case", cases())
def test_a_real_log_holds_what_was_logged(case: Case) -> None:
    runs = read_logs(CASES / case.name)
    for name, tags in truth(case.name).items():
        run = of_name(runs, name)
        for tag, points in tags.items():
            if case.only_these_tags and tag not in run.scalars:
                continue
            compare(case, points, run.scalars[tag], tag)
        assert not run.problems
        if case.only_these_tags:
            assert run.format == case.needs
            assert run.scalars.keys() <= tags.keys()


def single(value: float) -> float:
    """A number in single precision."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def compare(case: Case, wanted: Sequence[Sequence[float]], found: Series, tag: str) -> None:
    """Check that a series is what was logged, up to the digits of the log."""
    expected = [(step, value) for step, value, _ in wanted]
    given = list(zip(found.step.tolist(), found.value.tolist(), strict=True))
    if case.last_stands:
        expected = sorted(dict(expected).items())
        given = sorted(dict(given).items())
    if case.is_part:
        by_step = dict(expected)
        assert len(given) > 1
        expected = [(step, by_step[step]) for step, _ in given]
    assert [step for step, _ in given] == [step for step, _ in expected], tag
    for (step, value), (_, right) in zip(given, expected, strict=True):
        near = case.digits is not None and abs(value - right) <= 0.5001 * 10.0**-case.digits
        assert (
            near or is_same(value, right, case.relative) or (case.is_single and is_same(value, single(right)))
        ), f"{tag} at {step}: {value}, not {right}"


def test_an_empty_event_file_is_one_run_that_waits() -> None:
    (run,) = read_logs(CASES / "tb_empty")
    assert run.run == "."
    assert not run.scalars


def test_a_torn_event_file_holds_its_whole_records() -> None:
    (torn,), (whole,) = read_logs(CASES / "tb_torn_tail"), read_logs(CASES / "torch_tb_basic")
    assert sum(map(len, torn.scalars.values())) == 143 < sum(map(len, whole.scalars.values()))
    for tag, points in torn.scalars.items():
        count = len(points)
        assert points.step.tolist() == whole.scalars[tag].step[:count].tolist()
        assert points.value.tolist() == whole.scalars[tag].value[:count].tolist()
