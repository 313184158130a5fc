"""``probe.report_to``: the numbers of each measurement in the trackers that people use, offline."""

from __future__ import annotations

import json
import sqlite3
import struct
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.errors import ConfigError, ProbeWarning
from engine.probe.load_probe import LoadProbe

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(60, 8, generator=DRAW)
Y = torch.arange(60) % 3


@pytest.fixture(autouse=True)
def _home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


class Net(nn.Module):
    """The activation runs twice, so that a name has a number sign."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head, self.relu = (
            nn.Linear(8, 9),
            nn.Linear(9, 9),
            nn.Linear(9, 3),
            nn.ReLU(),
        )

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.relu(self.second(self.relu(self.first(x)))))


def trained(probe: LoadProbe, model: nn.Module, steps: int = 4, after: Any = None) -> dict[int, dict[str, float]]:
    """Trains, and returns the metrics of each step that was measured."""
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    seen = {0: probe.metrics()}
    for step in range(1, steps + 1):
        loss = nn.functional.cross_entropy(model(X), Y)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        probe.step()
        seen[step] = probe.metrics()
        if after is not None:
            after(step)
    probe.close()
    return seen


def probed() -> tuple[nn.Module, LoadProbe]:
    model = Net()
    return model, LoadProbe(model, X, Y, every=1)


class TestAnyTracker:
    def test_a_function(self) -> None:
        got: dict[int, dict[str, float]] = {}
        model, probe = probed()
        probe.report_to(lambda metrics, step: got.__setitem__(step, metrics))
        assert trained(probe, model) == got
        assert "load_probe/load/relu#2" in got[0]

    def test_the_newest_measurement_is_sent_at_once_with_another_prefix(self) -> None:
        got: list[tuple[int, dict[str, float]]] = []
        _, probe = probed()
        probe.report_to(lambda metrics, step: got.append((step, metrics)), prefix="layers/")
        assert got == [(0, probe.metrics("layers/"))]

    def test_the_trainings_own_numbers_are_not_sent_back(self) -> None:
        got: list[dict[str, float]] = []
        _, probe = probed()
        probe.log(loss=0.5)
        probe.report_to(lambda metrics, step: got.append(metrics))
        assert probe.metrics()["load_probe/scalars/loss"] == 0.5
        assert "load_probe/scalars/loss" not in got[0]

    def test_a_logger_with_log_metrics_or_log(self) -> None:
        class Logger:
            def __init__(self) -> None:
                self.got: dict[int, dict[str, float]] = {}

            def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
                assert step is not None
                self.got[step] = metrics

        class Other(Logger):
            log_metrics: Any = None

            def log(self, values: dict[str, float], step: int | None = None) -> None:
                assert step is not None
                self.got[step] = values

        model, probe = probed()
        loggers = Logger(), Other()
        for logger in loggers:
            probe.report_to(logger)
        seen = trained(probe, model)
        assert [logger.got for logger in loggers] == [seen, seen]

    def test_a_failing_one_warns_once_and_the_others_go_on(self) -> None:
        got = []

        class Broken:
            def log(self, metrics: dict[str, float], step: int) -> None:
                raise OSError("no route to host")

        model, probe = probed()
        with pytest.warns(ProbeWarning, match="could not report to Broken: OSError: no route to host"):
            probe.report_to(Broken())
        probe.report_to(lambda metrics, step: got.append(step))
        trained(probe, model)  # a second warning would be an error
        assert got == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize("tracker", [None, 7, "wandb", types.ModuleType("json"), dict])
    def test_what_nothing_can_be_sent_to(self, tracker: Any) -> None:
        _, probe = probed()
        with pytest.raises(ConfigError, match="to which nothing can be sent; allowed: a wandb run"):
            probe.report_to(tracker)

    def test_a_process_that_measures_nothing_sends_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("WORLD_SIZE", "2")
        got = []
        model, probe = probed()
        if probe.layers:
            pytest.fail("this process was to write nothing")
        probe.report_to(lambda metrics, step: got.append(step))
        trained(probe, model)
        assert got == []


def test_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    model, probe = probed()
    with SummaryWriter(str(tmp_path / "logs")) as writer:  # type: ignore[no-untyped-call]
        probe.report_to(writer)
        seen = trained(probe, model)
    events = EventAccumulator(str(tmp_path / "logs"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {name for metrics in seen.values() for name in metrics}
    rows = {event.step: event.value for event in events.Scalars("load_probe/load/relu#2")}
    assert rows == pytest.approx(
        {step: metrics["load_probe/load/relu#2"] for step, metrics in seen.items()}, rel=1e-6
    )


def test_lightning_loggers(tmp_path: Path) -> None:
    from lightning.pytorch.loggers import CSVLogger

    logger = CSVLogger(str(tmp_path))
    model, probe = probed()
    probe.report_to(logger)
    seen = trained(probe, model)
    logger.save()
    lines = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + len(seen)
    assert "load_probe/load/relu#2" in lines[0]


def log_records(data: bytes) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format after a header of 7 bytes, as wandb writes offline runs."""
    at, part = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # the rest of a block is empty
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        if at + 7 + length > len(data):
            return  # still being written
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield part
            part = b""


@pytest.mark.filterwarnings("ignore")  # of the libraries about themselves
class TestWandb:
    @pytest.fixture
    def wandb(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setenv("WANDB_SILENT", "true")
        return pytest.importorskip("wandb", reason="wandb is not installed")

    def rows(self, tmp_path: Path) -> list[dict[str, Any]]:
        """The history of an offline run, from its file, which wandb goes on writing for a while."""
        from wandb.proto import wandb_internal_pb2

        rows: list[dict[str, Any]] = []
        for _ in range(300):
            rows, ended = [], False
            for data in log_records(next(tmp_path.glob("wandb/offline-run-*/*.wandb")).read_bytes()):
                record = wandb_internal_pb2.Record()
                record.ParseFromString(data)
                ended = ended or record.WhichOneof("record_type") == "exit"
                if record.WhichOneof("record_type") == "history":
                    items = record.history.item
                    rows.append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items})
            if ended:
                break
            time.sleep(0.1)
        return rows

    @pytest.mark.parametrize("given", ["run", "module"])
    def test_rows_of_a_run(self, wandb: Any, tmp_path: Path, given: str) -> None:
        model, probe = probed()
        with wandb.init(project="test", dir=tmp_path, mode="offline") as run:
            probe.report_to(run if given == "run" else wandb)
            seen = trained(probe, model, after=lambda step: run.log({"loss": 1.0 / step}))
        rows = [row for row in self.rows(tmp_path) if "load_probe/step" in row]
        got = {row["load_probe/step"]: row for row in rows}
        assert {row["_step"]: row["loss"] for row in rows if "loss" in row} == {i: 1 / (i + 1) for i in range(4)}
        for step in (
            1,
            2,
            3,
            4,
        ):  # that of step 0 joins the training's first row, and is replaced by that of step 1
            for name, value in seen[step].items():
                assert got[step][name] == pytest.approx(value), name

    def test_without_a_run(self, wandb: Any) -> None:
        _, probe = probed()
        with pytest.raises(ConfigError, match=r"wandb has no run yet: call wandb\.init\(\) first"):
            probe.report_to(wandb)


@pytest.mark.filterwarnings("ignore")  # of the libraries about themselves
class TestMlflow:
    @pytest.fixture
    def mlflow(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        module = pytest.importorskip("mlflow", reason="mlflow is not installed")
        module.set_tracking_uri((tmp_path / "mlruns").as_uri())
        return module

    @pytest.mark.parametrize("given", ["module", "client", "client and run"])
    def test_metrics_of_a_run(self, mlflow: Any, given: str) -> None:
        model, probe = probed()
        if given == "client and run":
            run_id = mlflow.MlflowClient().create_run("0").info.run_id
            probe.report_to(mlflow.MlflowClient(), run_id=run_id)
            seen = trained(probe, model)
        else:
            with mlflow.start_run() as run:
                run_id = run.info.run_id
                probe.report_to(mlflow if given == "module" else mlflow.MlflowClient())
                with mlflow.start_run(nested=True):
                    seen = trained(probe, model)
        history = mlflow.MlflowClient().get_metric_history(run_id, "load_probe/load/relu-2")
        assert {row.step: row.value for row in history} == {
            step: metrics["load_probe/load/relu#2"] for step, metrics in seen.items()
        }

    def test_without_a_run(self, mlflow: Any) -> None:
        _, probe = probed()
        with pytest.raises(ConfigError, match=r"MLflow has no active run: call mlflow\.start_run\(\) first"):
            probe.report_to(mlflow)


@pytest.mark.filterwarnings("ignore")  # of the library about itself
def test_trackio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio", reason="trackio is not installed")
    model, probe = probed()
    trackio.init(project="test")
    probe.report_to(trackio)
    seen = trained(probe, model)
    trackio.finish()
    file = next((tmp_path / "trackio").glob("**/*.db"))
    with sqlite3.connect(file) as database:
        rows = {step: json.loads(text) for step, text in database.execute("SELECT step, metrics FROM metrics")}
    assert {step: row["load_probe/load/relu#2"] for step, row in rows.items()} == pytest.approx(
        {step: metrics["load_probe/load/relu#2"] for step, metrics in seen.items()}
    )
