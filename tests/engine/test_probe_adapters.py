"""Lightning, Hugging Face and TensorBoard, each by the real library; and the examples."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from engine.measures.load_curve import loads
from engine.probe.load_probe import LoadProbe
from engine.runs.directory import Run
from engine.runs.listing import list_runs
from engine.runs.records import Cell, Curve, Ended, Scalars, Started
from engine.settings.chain import ChainConfig
from engine.settings.train import TrainConfig
from engine.sweep.diagrams import make_sweep
from springtui.cli import main

ROOT = Path(__file__).parents[2]
X = torch.randn(96, 8, generator=torch.Generator().manual_seed(0))
Y = X[:, :4].argmax(1)


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(8, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(16, 16),
        nn.ReLU(),
        nn.Linear(16, 4),
    )


@pytest.mark.filterwarnings("ignore")  # of the libraries about themselves
class TestLightning:
    @pytest.fixture(scope="class")
    def pl(self) -> Any:
        return pytest.importorskip("lightning.pytorch")

    def fit(self, pl: Any, folder: Path, callback: Any = None, **options: Any) -> tuple[nn.Module, Any]:
        class Module(pl.LightningModule):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.net = net()

            def forward(self, x: Tensor) -> Any:
                return self.net(x)

            def training_step(self, batch: Any, index: int) -> Any:
                loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
                if options.get("break_at") == self.global_step:
                    raise RuntimeError("broken off")
                self.log("seen_loss", loss, on_epoch=True)
                return loss

            def configure_optimizers(self) -> Any:
                return torch.optim.SGD(self.parameters(), 0.1)

        pl.seed_everything(3, verbose=False)
        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            default_root_dir=folder,
            callbacks=[callback] if callback else [],
            logger=options.get("logger", False),
            accumulate_grad_batches=options.get("accumulate", 1),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        module = Module()
        trainer.fit(module, DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True))
        return module, trainer

    def test_once_an_epoch_and_without_a_trace(self, pl: Any, tmp_path: Path, home: Path) -> None:
        from lightning.pytorch.loggers import CSVLogger

        from springtui.adapters.lightning import LoadProbeCallback

        callback = LoadProbeCallback(X, Y, name="lit")
        logger = CSVLogger(tmp_path)
        probed, _ = self.fit(pl, tmp_path, callback, logger=logger)
        plain, _ = self.fit(pl, tmp_path)
        assert all(torch.equal(a, b) for a, b in zip(probed.parameters(), plain.parameters(), strict=True))
        (run,) = list_runs(home)
        curves = [event for event in run.events() if isinstance(event, Curve)]
        assert [curve.step for curve in curves] == [0, 6, 12]
        assert "loss" in curves[1].scalars
        logged = [
            (e.step, e.epoch) for e in run.events() if isinstance(e, Scalars) and "seen_loss_epoch" in e.scalars
        ]
        assert logged == [(6, 1.0), (12, 2.0)]
        assert run.status() == "finished"
        assert callback.probe is not None
        assert callback.probe.layers == ["input", "net.2", "net.5", "logits"]
        logger.save()
        assert "load_probe/load/net.2" in next(tmp_path.rglob("metrics.csv")).read_text()

    def test_steps_are_the_optimisers(self, pl: Any, tmp_path: Path, home: Path) -> None:
        from springtui.adapters.lightning import LoadProbeCallback

        self.fit(pl, tmp_path, LoadProbeCallback(X, Y, every=2, part="net"), accumulate=3)
        (run,) = list_runs(home)
        assert [event.step for event in run.events() if isinstance(event, Curve)] == [0, 2, 4]

    def test_an_exception(self, pl: Any, tmp_path: Path, home: Path) -> None:
        from springtui.adapters.lightning import LoadProbeCallback

        with pytest.raises(RuntimeError, match="broken off"):
            self.fit(pl, tmp_path, LoadProbeCallback(X, Y), break_at=4)
        last = list_runs(home)[0].events()[-1]
        assert isinstance(last, Ended)
        assert (last.reason, last.text) == ("failed", "the training ended by RuntimeError: broken off")


@pytest.mark.filterwarnings("ignore")
def test_hugging_face_trainer(tmp_path: Path, home: Path) -> None:
    hub = pytest.importorskip("transformers")
    from springtui.adapters.transformers import LoadProbeCallback

    ids = torch.randint(5, 30, (64, 8), generator=torch.Generator().manual_seed(0))
    data = [{"input_ids": row, "labels": int(row[0]) % 3} for row in ids]

    def fit(callback: Any = None) -> nn.Module:
        hub.set_seed(1)
        config = hub.BertConfig(
            vocab_size=32,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            num_labels=3,
        )
        arguments = hub.TrainingArguments(
            output_dir=str(tmp_path), num_train_epochs=2, per_device_train_batch_size=16, logging_steps=2,
            save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        model: nn.Module = hub.BertForSequenceClassification(config)
        trainer = hub.Trainer(
            model=model, args=arguments, train_dataset=data, callbacks=[callback] if callback else []
        )
        trainer.train()
        return model

    callback = LoadProbeCallback({"input_ids": ids}, ids[:, 0] % 3, name="bert")
    probed, plain = fit(callback), fit()
    assert all(torch.equal(a, b) for a, b in zip(probed.parameters(), plain.parameters(), strict=True))
    (run,) = list_runs(home)
    curves = [event for event in run.events() if isinstance(event, Curve)]
    assert [curve.step for curve in curves] == [0, 4, 8]
    logged = [(e.step, e.epoch) for e in run.events() if isinstance(e, Scalars) and "learning_rate" in e.scalars]
    assert logged == [(2, 0.5), (4, 1.0), (6, 1.5), (8, 2.0)]
    assert callback.probe is not None
    assert callback.probe.layers == ["input", "bert.encoder.layer.0", "bert.encoder.layer.1", "logits"]
    assert run.status() == "finished"


class TestTensorBoard:
    """Read back with TensorBoard's own reader."""

    def read(self, folder: Path) -> dict[str, list[tuple[int, float, float]]]:
        pytest.importorskip("tensorboard")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        reader = EventAccumulator(str(folder))
        reader.Reload()
        return {
            tag: [(event.step, event.value, event.wall_time) for event in reader.Scalars(tag)]
            for tag in reader.Tags()["scalars"]
        }

    def test_a_probe(self, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        torch.manual_seed(0)
        with LoadProbe(net(), X, Y, every=1) as probe:
            probe.step(loss=0.5)
        run = Run(probe.path)  # type: ignore[arg-type]
        for _ in range(2):  # the second replaces the first
            assert main(["export", run.id, "--tensorboard", str(tmp_path / "logs"), "--json"]) == 0
        said = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert said["files"] == [str(tmp_path / "logs" / run.id)]
        found = self.read(tmp_path / "logs" / run.id)
        curves = [event for event in run.events() if isinstance(event, Curve)]
        for index, layer in enumerate(probe.layers):
            series = found[f"trace_ratio/{index:02d} {layer}"]
            assert [step for step, _, _ in series] == [0, 1]
            assert [value for _, value, _ in series] == pytest.approx(
                [curve.curves["trace_ratio"][index] for curve in curves], rel=1e-6
            )
            assert [time for _, _, time in series] == pytest.approx([curve.time for curve in curves])
        load = loads(curves[-1].curves["trace_ratio"])[0]
        assert found["load/01 2"][-1][1] == pytest.approx(load, rel=1e-5)
        assert found["loss"] == [(1, 0.5, pytest.approx(curves[-1].time))]
        assert probe.statistics.reason == "the error of the curve is too large"
        assert not any(tag.startswith("regime/") for tag in found)

    def test_from_a_script(self, tmp_path: Path, home: Path) -> None:
        from springtui.adapters.tensorboard import export

        probe = LoadProbe(net(), X, Y)
        assert probe.path is not None
        assert "trace_ratio/00 input" in self.read(export(probe.path, tmp_path))

    def test_a_chain_a_network_and_a_sweep(self, tmp_path: Path, home: Path) -> None:
        from engine.formats.tensorboard import export_tensorboard

        made, writers = {}, {}
        for name, settings in (("chain", ChainConfig()), ("train", TrainConfig())):
            made[name] = Run.create(home, settings)
            writers[name] = made[name].writer()
            writers[name].write(Started(pid=1, host="h", settings={}, layers=["input", "1", "logits"], total=3))
        writers["chain"].write(Curve(at=5, step=5, curves={"distance": [1.0, 0.5, 0.0]}, scalars={"rate": None}))
        writers["train"].write(
            Curve(at=2, step=9, curves={"trace_ratio": [1.0, None, 0.0]}, scalars={"train_loss": 0.1})
        )
        found = self.read(export_tensorboard(made["chain"], tmp_path))
        assert [value for _, value, _ in found["spring/01"]] == [0.5]
        assert "rate" not in found
        found = self.read(export_tensorboard(made["train"], tmp_path))
        assert found["train_loss"][0][0] == 9
        assert "trace_ratio/01 1" not in found
        falls = {"trace_ratio": [4.0, 3.0, 2.5, 0.0]}
        for step, error in ((10, 0.1), (11, 0.2)):
            writers["train"].write(Curve(at=3, step=step, curves=falls, scalars={"curve_error": error}))
        found = self.read(export_tensorboard(made["train"], tmp_path))
        assert [(step, value) for step, value, _ in found["regime/cv"]] == [(10, pytest.approx(1 / 3))]
        assert [step for step, _, _ in found["regime/effective_friction"]] == [10]
        assert [step for step, _, _ in found["curve_error"]] == [10, 11]

        config = make_sweep("data-noise", {}, seeds=2)
        sweep = Run.create(home, config)
        sweep.writer().write(Cell(cell=1, member=1, final=True, at=9, scalars={"test_accuracy": 0.75}))
        tag = f"test_accuracy/negative_slope={config.y_values[0]} data_noise={config.x_values[1]}"
        assert self.read(export_tensorboard(sweep, tmp_path))[tag][0][:2] == (1, 0.75)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layers"), [("plain", 9), ("lightning_digits", 6), ("hugging_face", 6)])
def test_example(name: str, layers: int, home: Path, tmp_path: Path) -> None:
    pytest.importorskip({"plain": "torch", "lightning_digits": "lightning", "hugging_face": "transformers"}[name])
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py"), "--epochs", "1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "load" in done.stdout
    (run,) = list_runs(home)
    assert run.status() == "finished"
    curves = [event for event in run.events() if isinstance(event, Curve)]
    assert len(curves) >= 2
    assert all(len(curve.curves["trace_ratio"]) == layers for curve in curves)
