"""Numbers that a training gives to the probe: each stands at its own step, with the value it had; none is lost."""

from __future__ import annotations

import math
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor, nn

from engine.errors import ProbeWarning
from engine.probe import run as probe_run_module
from engine.probe.load_probe import LoadProbe
from engine.probe.run import ProbeRun
from engine.probe.scalars import KeptScalars
from engine.probe.usage import ProcessUsage
from engine.runs.directory import Run
from engine.runs.records import Curve, Ended, Event, Scalars, Started, Usage
from engine.settings.probe import ProbeConfig

Y = torch.arange(64) % 4
X = torch.randn(64, 16, generator=torch.Generator().manual_seed(0)) + 3 * nn.functional.one_hot(Y, 16)
OF_THE_PROBE = {
    "cv",
    "asymmetry",
    "effective_friction",
    "friction_error",
    "curve_error",
    "rate",
    "probe_seconds",
}


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4))


def events_of(probe: LoadProbe) -> list[Event]:
    assert probe.path is not None
    return Run(probe.path).events()


def logged(probe: LoadProbe) -> list[tuple[int, dict[str, float]]]:
    """The numbers recorded between curves, with their steps, in the order in which they were written."""
    return [(event.step, event.scalars) for event in events_of(probe) if isinstance(event, Scalars)]


def of_curves(probe: LoadProbe) -> dict[int, dict[str, float | None]]:
    """The user's numbers recorded with curves, by step."""
    return {
        event.step: {name: value for name, value in event.scalars.items() if name not in OF_THE_PROBE}
        for event in events_of(probe)
        if isinstance(event, Curve)
    }


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The probe's clock, which stands still until a test moves it."""
    now = [1000.0]
    monkeypatch.setattr(probe_run_module.time, "monotonic", lambda: now[0])
    return now


class TestLog:
    def test_writes_each_epochs_accuracy_at_its_own_step_and_the_last_as_well(self) -> None:
        """The case last_log_is_lost."""
        with LoadProbe(net(), X, Y, every=4) as probe:
            for epoch in (1, 2, 3):
                for _ in range(4):
                    probe.step(loss=1.0)
                probe.log(test_accuracy=epoch / 10)
        assert logged(probe) == [
            (4, {"test_accuracy": 0.1}),
            (8, {"test_accuracy": 0.2}),
            (12, {"test_accuracy": 0.3}),
        ]
        assert of_curves(probe) == {0: {}, 4: {"loss": 1.0}, 8: {"loss": 1.0}, 12: {"loss": 1.0}}
        ended = events_of(probe)[-1]
        assert isinstance(ended, Ended)
        assert ended.summary["test_accuracy"] == 0.3

    def test_writes_at_once_and_every_time(self) -> None:
        probe = LoadProbe(net(), X, Y)
        probe.step()
        for value in (1.0, 2.0, 3.0):
            probe.log(loss=value)
            assert logged(probe)[-1] == (1, {"loss": value})
        assert len(logged(probe)) == 3

    def test_takes_an_epoch_and_a_step(self) -> None:
        probe = LoadProbe(net(), X, Y)
        probe.step(step=7)
        probe.log(epoch=0.5, loss=1.0)
        probe.log(epoch=torch.tensor(1.5), step=3, loss=2.0)  # type: ignore[arg-type]
        found = [(e.step, e.epoch, e.scalars) for e in events_of(probe) if isinstance(e, Scalars)]
        assert found == [(7, 0.5, {"loss": 1.0}), (3, 1.5, {"loss": 2.0})]

    @pytest.mark.parametrize("epoch", [math.nan, math.inf])
    def test_leaves_out_an_epoch_that_is_not_finite(self, epoch: float) -> None:
        probe = LoadProbe(net(), X, Y)
        probe.log(epoch=epoch, loss=1.0)
        assert [event.epoch for event in events_of(probe) if isinstance(event, Scalars)] == [None]

    def test_warns_of_an_epoch_or_a_step_that_is_no_number(self) -> None:
        probe = LoadProbe(net(), X, Y)
        with pytest.warns(ProbeWarning, match="epoch = 'first' is no number; allowed: a number") as told:
            probe.log(epoch="first", loss=1.0)  # type: ignore[arg-type]
        assert told[0].filename == __file__
        assert logged(probe) == [(0, {"loss": 1.0})]
        with pytest.warns(ProbeWarning, match="failed at step 0: ValueError"):
            probe.log(step="first", loss=1.0)  # type: ignore[arg-type]

    def test_writes_what_is_not_finite_as_such(self) -> None:
        with LoadProbe(net(), X, Y) as probe:
            probe.log(a=math.nan, b=torch.tensor(math.inf), c=-np.inf)
        ((_, numbers),) = logged(probe)
        assert math.isnan(numbers["a"])
        assert (numbers["b"], numbers["c"]) == (math.inf, -math.inf)
        text = (probe.path / "events.jsonl").read_text()  # type: ignore[operator]
        assert '{"a":"nan","b":"inf","c":"-inf"}' in text
        assert "NaN" not in text

    def test_after_the_end_warns_once(self) -> None:
        with LoadProbe(net(), X, Y) as probe:
            pass
        count = len(events_of(probe))
        with pytest.warns(
            ProbeWarning, match=r"does not record accuracy: its run has ended; log before close"
        ) as told:
            probe.log(accuracy=0.5)
        assert told[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            probe.log(accuracy=0.5)
            probe.step(loss=1.0)
        assert len(events_of(probe)) == count

    def test_comes_after_the_numbers_of_earlier_steps(self, clock: list[float]) -> None:
        probe = LoadProbe(net(), X, Y)
        probe.step(loss=3.0, accuracy=0.25)
        probe.step(loss=2.0)
        probe.log(test=1.0)
        probe.step(loss=1.0)
        probe.log(test=2.0)
        assert logged(probe) == [
            (1, {"accuracy": 0.25}), (2, {"test": 1.0}), (3, {"test": 2.0}),
        ]  # fmt: skip
        probe.measure()
        assert of_curves(probe)[3] == {"loss": 1.0}, "the curve has what was given with its step"


class TestReset:
    """A tensor that its owner resets in place, as running sums are, keeps the value that it had."""

    def test_after_log(self) -> None:
        """The case logged_tensor_reset."""
        probe = LoadProbe(net(), X, Y, every=2)
        accuracy = torch.tensor(0.75)
        probe.log(accuracy=accuracy)
        accuracy.zero_()
        probe.step()
        probe.step()
        probe.close()
        assert logged(probe) == [(0, {"accuracy": 0.75})]
        assert of_curves(probe) == {0: {}, 2: {}}

    @pytest.mark.parametrize(
        "total", [torch.tensor([0.75]), torch.tensor(0.75, requires_grad=True), np.array(0.75)]
    )
    def test_after_step(self, total: Any, clock: list[float]) -> None:
        probe = LoadProbe(net(), X, Y)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            probe.step(loss=total)
        (total.data.zero_ if isinstance(total, Tensor) else lambda: total.fill(0.0))()
        probe.step()
        probe.close()
        assert logged(probe) == [(1, {"loss": 0.75})]

    def test_on_a_device_by_a_copy_there(self) -> None:
        """A meta tensor plays one on a GPU: reading it raises, as waiting for a GPU at each step would cost."""
        kept = KeptScalars()
        given = torch.ones((), device="meta")
        assert kept.give(1, {"loss": given}) == []
        copy = kept._kept["loss"].value
        assert isinstance(copy, Tensor)
        assert copy.device.type == "meta"
        assert copy is not given
        taken, (wrong,) = kept.take()
        assert (taken, str(wrong).startswith("loss of step 1 cannot be read: ")) == ({}, True)


class TestStep:
    def test_numbers_are_written_once_a_second_each_at_its_step(self, clock: list[float]) -> None:
        probe = LoadProbe(net(), X, Y)
        for step in range(1, 51):
            clock[0] += 0.1
            probe.step(loss=float(step), **({"rare": 7.0} if step == 13 else {}))
        steps = [step for step, numbers in logged(probe) if "loss" in numbers]
        assert len(steps) == 4 or len(steps) == 5
        assert all(numbers["loss"] == step for step, numbers in logged(probe) if "loss" in numbers)
        assert max(b - a for a, b in zip([0, *steps], steps, strict=False)) <= 11
        assert (13, {"rare": 7.0}) in logged(probe)
        probe.close()
        assert of_curves(probe)[50] == {"loss": 50.0}

    def test_nothing_is_written_between_curves_of_a_fast_training(self, clock: list[float]) -> None:
        with LoadProbe(net(), X, Y, every=20) as probe:
            for step in range(60):
                probe.step(loss=float(step + 1))
        assert logged(probe) == []
        assert of_curves(probe) == {0: {}, 20: {"loss": 20.0}, 40: {"loss": 40.0}, 60: {"loss": 60.0}}

    def test_a_loss_that_is_not_finite_is_null_in_the_curve_and_told_beside_it(self) -> None:
        with LoadProbe(net(), X, Y, every=1) as probe:
            probe.step(loss=math.nan, other=2.0)
        assert of_curves(probe)[1] == {"loss": None, "other": 2.0}
        ((step, numbers),) = logged(probe)
        assert (step, list(numbers)) == (1, ["loss"])
        assert math.isnan(numbers["loss"])
        assert math.isnan(probe.metrics(prefix="").get("scalars/loss", math.nan))

    def test_numbers_of_another_step_are_not_the_curves(self, clock: list[float]) -> None:
        with LoadProbe(net(), X, Y, every=3) as probe:
            probe.step(accuracy=0.25)
            probe.step()
            probe.step(loss=1.0)
        assert logged(probe) == [(1, {"accuracy": 0.25})]
        assert of_curves(probe)[3] == {"loss": 1.0}

    def test_a_measurement_that_fails_costs_no_number(self, clock: list[float]) -> None:
        model = net()
        probe = LoadProbe(model, X, Y, every=2)
        model[0] = nn.Linear(12, 24)
        probe.step(loss=1.0)
        with pytest.warns(ProbeWarning, match="failed at step 2"):
            probe.step(loss=2.0, once=5.0)
        probe.step(loss=3.0)
        clock[0] += 2.0
        probe.step()
        assert logged(probe) == [(2, {"once": 5.0}), (3, {"loss": 3.0})]

    def test_measure_writes_them_where_the_step_was_measured_before(self) -> None:
        probe = LoadProbe(net(), X, Y, every=1)
        probe.step(loss=1.0)
        probe.measure(accuracy=0.5)
        assert logged(probe) == [(1, {"accuracy": 0.5})]
        assert of_curves(probe)[1] == {"loss": 1.0}

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ("warm-up", "phase = 'warm-up' is no number; allowed: a number, or a tensor of one"),
            (torch.zeros(2, 3), r"phase = a tensor of shape \[2, 3\] is no number"),
            (10**400, "phase = 1000.*… is no number: OverflowError"),
            (None, "phase = None is no number"),
        ],
    )
    def test_what_is_no_number_is_named_once_and_costs_itself_alone(self, value: Any, said: str) -> None:
        probe = LoadProbe(net(), X, Y, every=1)
        with pytest.warns(ProbeWarning, match=said) as told:
            probe.step(loss=1.0, phase=value)
        assert told[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            probe.step(loss=2.0, phase=value)
        assert of_curves(probe)[2] == {"loss": 2.0}

    def test_a_value_whose_own_conversion_raises_does_not_end_the_training(self) -> None:
        class Odd:
            def __float__(self) -> float:
                raise KeyError("odd")

            def __repr__(self) -> str:
                raise KeyError("odd")

        probe = LoadProbe(net(), X, Y)
        with pytest.warns(ProbeWarning, match="x = a Odd is no number: KeyError"):
            probe.step(x=Odd())


class TestEnd:
    def test_by_an_exception_writes_what_is_kept(self, clock: list[float]) -> None:
        with pytest.raises(ZeroDivisionError), LoadProbe(net(), X, Y) as probe:  # noqa: PT012
            probe.step(loss=3.0)
            _ = 1 // 0
        assert logged(probe) == [(1, {"loss": 3.0})]
        ended = events_of(probe)[-1]
        assert isinstance(ended, Ended)
        assert (ended.reason, ended.summary["loss"]) == ("failed", 3.0)

    def test_of_a_probe_that_is_let_go_of_writes_what_is_kept(self, clock: list[float]) -> None:
        probe = LoadProbe(net(), X, Y)
        probe.step(loss=3.0)
        run = Run(probe.path)  # type: ignore[arg-type]
        del probe
        assert [event.scalars for event in run.events() if isinstance(event, Scalars)] == [{"loss": 3.0}]
        assert run.status() == "finished"

    def test_by_a_request_writes_what_is_kept(self, clock: list[float]) -> None:
        probe = LoadProbe(net(), X, Y)
        probe.step(loss=3.0)
        Run(probe.path).ask("stop")  # type: ignore[arg-type]
        clock[0] += 2.0
        probe.step(loss=4.0)
        assert logged(probe) == [(2, {"loss": 4.0})]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            probe.log(loss=5.0)  # stopping the probe is a person's wish, and no fault of the script
        assert len(logged(probe)) == 1

    def test_in_a_forked_child_writes_nothing(self, clock: list[float]) -> None:
        probe = LoadProbe(net(), X, Y)
        probe.step(loss=3.0)
        if (child := os.fork()) == 0:
            probe.log(loss=9.0)
            probe.close()
            os._exit(0)
        os.waitpid(child, 0)
        probe.close()
        assert logged(probe) == []
        assert of_curves(probe)[1] == {"loss": 3.0}


def test_numbers_that_could_not_be_written_are_written_later_in_order(home: Path) -> None:
    run = ProbeRun(home, ProbeConfig())
    run.start(Started(pid=1, host="h", settings={}, layers=["input", "1"], total=0))
    events = run.run.path / "events.jsonl"
    aside = events.with_name("aside")
    events.rename(aside)
    events.symlink_to(home)
    for step in (1, 2):
        with pytest.raises(Exception, match="events"):
            run.log({"loss": float(step)}, step)
    for run.at in (3, 4):
        run.keep({"loss": float(run.at), **({"once": math.nan} if run.at == 3 else {})})
    with pytest.raises(Exception, match="events"):
        run.write_curves([Curve(at=4, step=4, curves={"trace_ratio": [1.0, 0.0]})], {})
    events.unlink()
    aside.rename(events)
    run.log({"loss": 5.0}, 5)
    run.end("finished", "done")
    found = [(event.step, event.scalars) for event in run.run.events() if isinstance(event, Scalars)]
    assert [(step, list(numbers)) for step, numbers in found] == [
        (1, ["loss"]), (2, ["loss"]), (3, ["once"]), (4, ["loss"]), (5, ["loss"]),
    ]  # fmt: skip
    assert [numbers["loss"] for _, numbers in found if "loss" in numbers] == [1.0, 2.0, 4.0, 5.0]
    assert [event.seq for event in run.run.events()] == list(range(7))


def test_a_model_of_two_towers_has_the_numbers_with_the_curve_of_the_first() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image, self.text = net(), net()

        def forward(self, image: Tensor, text: Tensor) -> Any:
            return self.image(image) @ self.text(text).T

    towers = {"image": ["image.*"], "text": ["text.*"]}
    with (
        warnings.catch_warnings(action="ignore"),
        LoadProbe(Two(), (X, X), Y, every=2, towers=towers) as probe,
    ):
        for step in (1, 2, 3):
            probe.step(loss=float(step), odd=math.nan)
    shown = [
        (event.step, getattr(event, "path", ""), type(event).__name__, "loss" in getattr(event, "scalars", {}))
        for event in events_of(probe)
        if isinstance(event, Curve | Usage | Scalars)
    ]
    assert shown == [
        step
        for at in (0, 2, 3)
        for step in (
            (at, "", "Usage", False),
            (at, "image", "Curve", at > 0),
            (at, "text", "Curve", False),
            *([(at, "", "Scalars", False)] if at else []),
        )
    ]


class TestUsage:
    def test_is_recorded_once_beside_each_measurement(self) -> None:
        with LoadProbe(net(), X, Y, every=2) as probe:
            for _ in range(4):
                probe.step()
        found = [event for event in events_of(probe) if isinstance(event, Usage)]
        assert [event.step for event in found] == [0, 2, 4]
        whole = psutil.Process().memory_info().rss
        for event in found:
            assert event.cpu is not None
            assert 0.0 <= event.cpu <= 1.1 * (os.cpu_count() or 1)
            assert event.memory == pytest.approx(whole, rel=0.5)
            assert event.gpus == []
        metrics = probe.metrics()
        assert metrics["load_probe/usage/memory"] == found[-1].memory
        assert metrics["load_probe/usage/cpu"] == found[-1].cpu

    def test_of_the_processor_is_time_used_by_time_passed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        times = {"monotonic": [10.0, 14.0, 14.0], "process_time": [1.0, 7.0, 8.0]}
        for name, values in times.items():
            monkeypatch.setattr(time, name, lambda values=values: values.pop(0))
        usage = ProcessUsage()
        assert usage.measure(1).cpu == pytest.approx(6.0 / 4.0)
        assert usage.measure(2).cpu is None

    def test_of_cuda_devices_is_theirs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cuda = {
            "is_available": lambda: True, "is_initialized": lambda: True, "device_count": lambda: 3,
            "memory_reserved": lambda index: [0, 64, 32][index],
            "memory_allocated": lambda index: [0, 48, 16][index],
            "get_device_name": lambda index: f"gpu {index}",
        }  # fmt: skip
        for name, function in cuda.items():
            monkeypatch.setattr(torch.cuda, name, function)
        used = ProcessUsage().measure(1)
        assert [(gpu.index, gpu.name, gpu.memory, gpu.reserved) for gpu in used.gpus] == [
            (1, "gpu 1", 48, 64), (2, "gpu 2", 16, 32),
        ]  # fmt: skip


def test_the_newest_numbers_stand_among_the_metrics() -> None:
    probe = LoadProbe(net(), X, Y, every=1)
    probe.step(loss=1.0)
    probe.log(accuracy=0.25)
    metrics = probe.metrics()
    assert (metrics["load_probe/scalars/loss"], metrics["load_probe/scalars/accuracy"]) == (1.0, 0.25)
    assert all(type(value) is float and math.isfinite(value) for value in metrics.values())
