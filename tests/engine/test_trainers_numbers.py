"""Metrics of Lightning and of Hugging Face stand at the steps where they were computed; the last as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from engine.runs.directory import Run
from engine.runs.listing import list_runs
from engine.runs.records import Curve, Ended, Scalars

Y = torch.arange(64) % 4
X = torch.randn(64, 16, generator=torch.Generator().manual_seed(0)) + 2 * nn.functional.one_hot(Y, 16)
pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries about themselves


def numbers(run: Run, name: str) -> list[tuple[int, float | None, float]]:
    """(step, epoch, value) of each record of a number, in order."""
    found = [event for event in run.events() if isinstance(event, Scalars) and name in event.scalars]
    return [(event.step, event.epoch, pytest.approx(event.scalars[name])) for event in found]


class TestLightning:
    @pytest.fixture(scope="class")
    def pl(self) -> Any:
        return pytest.importorskip("lightning.pytorch")

    def fit(
        self, pl: Any, folder: Path, *others: Any, epochs: int = 3, every: int | None = None, **options: Any
    ) -> Any:
        """Train with a probe; the true metrics: (step, value) at the end of each validation and of each epoch."""
        from springtui.adapters.lightning import LoadProbeCallback

        true: dict[str, list[tuple[int, float]]] = {"val_acc": [], "train_loss": []}

        class Module(pl.LightningModule):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.net = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4))

            def training_step(self, batch: Any, index: int) -> Any:
                loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
                self.log("train_loss", loss, on_step=False, on_epoch=True)
                return loss

            def validation_step(self, batch: Any, index: int) -> None:
                self.log("val_acc", (self.net(batch[0]).argmax(1) == batch[1]).float().mean())

            def configure_optimizers(self) -> Any:
                return torch.optim.SGD(self.parameters(), 0.05)

        class Truth(pl.Callback):  # type: ignore[misc]
            def on_validation_end(self, trainer: Any, module: Any) -> None:
                true["val_acc"].append((trainer.global_step, float(trainer.callback_metrics["val_acc"])))

            def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
                true["train_loss"].append((trainer.global_step, float(trainer.callback_metrics["train_loss"])))

        pl.seed_everything(3, verbose=False)
        callback = LoadProbeCallback(X, Y, part="net", every=every)
        trainer = pl.Trainer(
            accelerator="cpu", max_epochs=epochs, callbacks=[Truth(), callback, *others], logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            default_root_dir=folder, **{"num_sanity_val_steps": 0, **options},
        )  # fmt: skip
        data = TensorDataset(X, Y)
        trainer.fit(Module(), DataLoader(data, 16, shuffle=True), DataLoader(data, 64))
        return true

    @pytest.mark.parametrize(
        ("options", "epochs"),
        [
            ({}, [1.0, 2.0, 3.0]),
            ({"num_sanity_val_steps": 2}, [1.0, 2.0, 3.0]),
            ({"check_val_every_n_epoch": 2}, [2.0]),
            ({"val_check_interval": 0.5}, [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]),
        ],
        ids=["every epoch", "with a check before", "every second epoch", "twice an epoch"],
    )
    def test_a_validation_stands_at_its_own_step(
        self, options: dict[str, Any], epochs: list[float], pl: Any, tmp_path: Path, home: Path
    ) -> None:
        """The case trainers_one_epoch_late: no value is late, none is told twice, and the last is there."""
        true = self.fit(pl, tmp_path, **options)
        (run,) = list_runs(home)
        checked = [(step, value) for step, value in true["val_acc"] if step > 0]
        assert numbers(run, "val_acc") == [(step, e, v) for (step, v), e in zip(checked, epochs, strict=True)]
        assert numbers(run, "train_loss") == [
            (step, epoch, value) for (step, value), epoch in zip(true["train_loss"], (1.0, 2.0, 3.0), strict=True)
        ]
        ended = run.events()[-1]
        assert isinstance(ended, Ended)
        assert ended.summary["val_acc"] == pytest.approx(checked[-1][1])

    def test_what_others_log_after_this_callbacks_turn_belongs_to_the_same_step(
        self, pl: Any, tmp_path: Path, home: Path
    ) -> None:
        class Late(pl.Callback):  # type: ignore[misc]
            def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
                module.log("late", float(trainer.global_step))

        self.fit(pl, tmp_path, Late())
        (run,) = list_runs(home)
        assert numbers(run, "late") == [(4, 1.0, 4.0), (8, 2.0, 8.0), (12, 3.0, 12.0)]

    def test_the_loss_of_a_step_is_its_curves(self, pl: Any, tmp_path: Path, home: Path) -> None:
        self.fit(pl, tmp_path, every=3)
        (run,) = list_runs(home)
        curves = [event for event in run.events() if isinstance(event, Curve)]
        assert [curve.step for curve in curves] == [0, 3, 6, 9, 12]
        assert all(curve.scalars["loss"] for curve in curves[1:])
        assert not any("val_acc" in curve.scalars for curve in curves)


def test_hugging_face_evaluations_stand_at_their_own_steps(tmp_path: Path, home: Path) -> None:
    """The case trainers_one_epoch_late."""
    hub = pytest.importorskip("transformers")
    from springtui.adapters.transformers import LoadProbeCallback

    true: list[tuple[int, float | None, float]] = []
    losses: list[tuple[int, float | None, float]] = []

    class Truth(hub.TrainerCallback):  # type: ignore[misc]
        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
            true.append((state.global_step, state.epoch, metrics["eval_loss"]))

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "loss" in logs:
                losses.append((state.global_step, state.epoch, logs["loss"]))

    ids = torch.randint(5, 60, (64, 12), generator=torch.Generator().manual_seed(0))
    ids[:, 3] = 5 + Y
    data = [{"input_ids": row, "labels": label} for row, label in zip(ids, Y, strict=True)]
    hub.set_seed(0)
    config = hub.BertConfig(
        vocab_size=64,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=4,
    )
    arguments = hub.TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=3, per_device_train_batch_size=16, learning_rate=3e-3,
        eval_strategy="epoch", logging_steps=3, save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    callback = LoadProbeCallback({"input_ids": ids}, Y)
    hub.Trainer(
        model=hub.BertForSequenceClassification(config), args=arguments, train_dataset=data, eval_dataset=data,
        callbacks=[callback, Truth()],
    ).train()  # fmt: skip
    (run,) = list_runs(home)
    assert [step for step, _, _ in true] == [4, 8, 12]
    assert [step for step, _, _ in losses] == [3, 6, 9, 12]
    assert numbers(run, "eval_loss") == true
    assert numbers(run, "loss") == losses
    assert [step for step, _, _ in numbers(run, "train_runtime")] == [12]
    assert not numbers(run, "epoch")
    curves = [event for event in run.events() if isinstance(event, Curve)]
    assert [curve.step for curve in curves] == [0, 4, 8, 12]
    assert not any("eval_loss" in curve.scalars for curve in curves)


def test_lightning_metrics_are_told_apart_by_their_memory() -> None:
    """Also where one value follows an equal one."""
    pytest.importorskip("lightning.pytorch")
    from springtui.adapters.lightning import LoadProbeCallback

    class Logged:
        callback_metrics: dict[str, Any] = {}  # noqa: RUF012

    callback = LoadProbeCallback(X, Y)
    value: Tensor = torch.tensor(0.5)
    Logged.callback_metrics = {"a": value, "word": "x", "many": torch.zeros(3)}
    assert callback._fresh(Logged) == {"a": value}  # type: ignore[arg-type]
    Logged.callback_metrics = {"a": value.detach()}
    assert callback._fresh(Logged) == {}  # type: ignore[arg-type]
    Logged.callback_metrics = {"a": torch.tensor(0.5)}
    assert callback._fresh(Logged) == {"a": value}  # type: ignore[arg-type]
