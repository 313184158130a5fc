"""``springtui twin``: uncertainties, cells, the map that is kept with a sweep, and the chain that it drives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.errors import ConfigError
from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Cell, Curve, Started
from engine.settings.chain import ChainConfig
from engine.settings.fields import make
from engine.settings.probe import ProbeConfig
from engine.settings.train import TrainConfig
from engine.sweep.diagrams import make_sweep
from engine.sweep.grid import cell_count, cell_values
from engine.twin.fit import predict
from engine.twin.maps import PRESETS, TwinMap, load_map, save_map
from springtui.cli import main
from springtui.state.knobs import NOISE_KINDS
from springtui.state.predictions import TwinPredictions
from springtui.state.run_state import RunState


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def written_network(home: Path, **in_force: Any) -> Run:
    """A run whose curve is concave, as a worker would have written it."""
    config = make(TrainConfig, in_force)
    run = Run.create(open_home(home), config)
    writer = run.writer()
    settings = {name: getattr(config, name) for name in TrainConfig.__struct_fields__}
    layers = ["input", *(f"layer {i}" for i in range(1, 8)), "logits"]
    writer.write(Started(pid=1, host="h", settings=settings, layers=layers, total=1))
    curve: list[float | None] = [1.2, 1.1, 0.7, 0.3, -0.2, -1.0, -2.1, -3.4, -4.6]
    writer.write(Curve(at=1, step=1, curves={"trace_ratio": curve}, scalars={"friction_error": 0.002}))
    writer.release()
    return run


def test_of_a_run_the_error_is_over_its_samples(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = written_network(home)
    found = told(capsys, "twin", run.id)
    assert found["effective_friction"] > 0
    assert (found["standard_error"], found["over"]) == (0.002, "samples")
    assert 0 < found["residual"] < 0.1
    assert "alone" in found["note"]


@pytest.mark.parametrize(
    ("curve", "error", "reason"),
    [
        ([0.34, 0.45, 0.57, 0.61, 0.61, 0.56, 0.5, 0.55, 0.47], None, "not trained yet"),
        ([0.4, 0.9, 0.5, 0.8, 0.6, 0.9, 0.5, 0.38, -6.0], 0.1, "only the logits separate the classes"),
        ([1.2, 1.1, 0.7, 0.3, -0.2, -1.0, -2.1, -3.4, -4.6], 0.16, "the error of the curve is too large"),
    ],
)
def test_a_curve_that_means_nothing_has_no_friction_and_a_reason(
    curve: list[float | None], error: float | None, reason: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = written_network(home)
    writer = run.writer()
    writer.write(Curve(at=2, step=2, curves={"trace_ratio": curve}, scalars={"curve_error": error}))
    writer.release()
    found = told(capsys, "twin", run.id)
    names = ("effective_friction", "standard_error", "residual", "over", "curve")
    assert {found[name] for name in names} == {None}
    assert found["reason"] == reason
    assert main(["twin", run.id]) == 0
    assert f"reason                     {reason}\n" in capsys.readouterr().out


def test_a_model_without_logits_keeps_its_last_point(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = written_network(home)
    writer = run.writer()
    writer.write(Started(pid=1, host="h", settings={}, layers=["input", "a", "b", "end"], total=1))
    writer.write(Curve(at=2, step=2, curves={"trace_ratio": [3.0, 2.0, 1.0, 0.0]}))
    writer.release()
    found = told(capsys, "twin", run.id)
    assert len(found["curve"]) == 4
    assert found["effective_friction"] == pytest.approx(0.0, abs=1e-12)
    assert "share the load" in found["advice"]["sentence"]
    assert (found["advice"]["knob"], found["experiment"], found["trial"]) == (None, None, None)


@pytest.mark.parametrize(
    ("in_force", "knob"),
    [({"data_noise": 0.1}, "data noise"), ({"dropout": 0.05}, "dropout"), ({"lr": 0.002}, "learning rate")],
)
def test_advice_is_about_the_noise_in_force(
    in_force: dict[str, Any], knob: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = written_network(home, **in_force)
    found = told(capsys, "twin", run.id)
    advice = found["advice"]
    assert list(advice) == [
        "sentence", "knob", "from", "to", "predicted_change", "measured_change", "error", "accuracy_change",
        "source",
    ]  # fmt: skip
    assert f"The map for {knob}" in advice["sentence"]
    assert advice["measured_change"] is None
    assert (advice["source"] == "map") == ("describes this network" in advice["sentence"])
    assert found["experiment"] == f"springtui twin {run.id} --try"
    assert found["experiment"] in advice["sentence"]


def test_a_users_own_training_is_given_a_script_that_runs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run.create(open_home(home), make(ProbeConfig, {"name": "mine"}))
    writer = run.writer()
    writer.write(Started(pid=1, host="h", settings={}, layers=["input", *"abcdef", "logits"], total=1))
    curve: list[float | None] = [1.2, 1.1, 0.7, 0.3, -0.2, -1.0, -2.1, -3.4]
    writer.write(Curve(at=1, step=1, curves={"trace_ratio": curve}))
    writer.release()
    found = told(capsys, "twin", run.id)
    assert found["advice"]["source"] == "none"
    assert found["advice"]["knob"] is None
    assert "train twice with one setting changed" in found["advice"]["sentence"]
    printed: list[str] = []
    given = snippet_names(printed)
    exec(compile(found["experiment"], "snippet", "exec"), given)
    assert len(printed) == 6
    assert printed[0].startswith("lr 0.001, seed 0: asymmetry ")
    assert main(["twin", run.id]) == 0
    assert found["experiment"].strip() in capsys.readouterr().out
    assert main(["twin", run.id, "--try"]) == 2
    assert "is a probe run" in capsys.readouterr().err


def snippet_names(printed: list[str]) -> dict[str, Any]:
    """What a person's script has: data, and their own ``build`` and ``train``."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    inputs, labels = torch.randn(60, 5), torch.arange(60) % 3

    def build(lr: float) -> tuple[nn.Module, torch.optim.Optimizer]:
        model = nn.Sequential(*(nn.Sequential(nn.Linear(5, 5), nn.ReLU()) for _ in range(3)), nn.Linear(5, 3))
        return model, torch.optim.SGD(model.parameters(), lr)

    def train(model: nn.Module, optimiser: torch.optim.Optimizer, probe: Any) -> None:
        for _ in range(3):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimiser.step()
            probe.step()

    return {"torch": torch, "inputs": inputs, "labels": labels, "build": build, "train": train,
            "print": printed.append}  # fmt: skip


def planted_sweep(home: Path) -> tuple[Run, TwinMap]:
    """A diagram of dropout whose networks behave as a map says, two seeds a cell that differ a little."""
    axes = {"x": ("dropout", (0.0, 0.1, 0.2, 0.3)), "y": ("negative_slope", (0.0, 0.5, 1.0))}
    config = make_sweep("dropout", {}, axes=axes, seeds=2)
    run = Run.create(open_home(home), config)
    planted = TwinMap(friction=0.05, friction_per_nonlinearity=0.08, mu_left=0.12, noise=0.03, noise_per_noise=0.1)
    writer = run.writer()
    for index in range(cell_count(config)):
        x, y = cell_values(config, index)
        (curve,) = predict(planted, [1.0 - y], [x], 7)
        for member in range(2):
            bent = [3.0 * float(d) - 2.0 + 0.05 * member * (i % 2) for i, d in enumerate(curve)]
            writer.write(Cell(cell=index, member=member, final=True, at=1, curves={"trace_ratio": [*bent, -9.0]}))
    writer.release()
    return run, planted


def test_of_a_sweep_each_cell_has_its_error_over_seeds_and_the_map_is_kept(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, planted = planted_sweep(home)
    with pytest.raises(ConfigError, match=rf"no fitted map; springtui twin {run.id} fits one"):
        load_map(run.path)
    found = told(capsys, "twin", run.id)
    assert found["rms"] < 0.01
    assert found["converged"]
    assert len(found["effective_frictions"]) == 12
    for cell in found["effective_frictions"]:
        assert cell["seeds"] == 2
        assert 0 < cell["standard_error"] < 0.02
        assert cell["residual"] < 0.1
    kept = load_map(run.path)
    assert kept.noise_axis == "dropout"
    assert run.id in kept.provenance
    assert kept.mu_left == pytest.approx(found["mu_left"])
    assert planted.mu_left == pytest.approx(kept.mu_left, abs=0.1)


def test_shipped_maps_are_listed_with_their_provenance(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maps = told(capsys, "twin", "--maps")["maps"]
    assert {found["noise_axis"] for found in maps} == {"data_noise", "lr", "dropout", "batch_size"}
    assert all("fitted to" in found["provenance"] and found["rms"] < 0.16 for found in maps)
    assert main(["twin"]) == 2
    assert "--maps" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", '{"friction": "x"}', '{"friction": 0.1}'])
def test_a_damaged_map_is_refused_by_name(content: str, tmp_path: Path) -> None:
    (tmp_path / "twin.json").write_text(content)
    with pytest.raises(ConfigError, match=r"twin\.json is damaged"):
        load_map(tmp_path)


def test_a_map_over_another_axis_is_none_of_the_labs(tmp_path: Path) -> None:
    save_map(tmp_path, msgspec.structs.replace(PRESETS["dropout"], noise_axis="depth"))
    with pytest.raises(ConfigError, match="'depth', which is none of the lab's noises"):
        load_map(tmp_path)


async def test_ones_own_map_drives_the_chain_and_the_prediction(home: Path) -> None:
    own = TwinMap(friction=0.2, friction_per_nonlinearity=0.1, mu_left=0.3, noise=0.05, noise_per_noise=0.0,
                  noise_axis="dropout")  # fmt: skip
    predictions, dropout = TwinPredictions(own), next(kind for kind in NOISE_KINDS if kind.key == "dropout")
    chain = make(ChainConfig, predictions.chain("output", 0.5, dropout, 0.1, depth=8))
    assert (chain.blocks, chain.mu_right, chain.mu_left, chain.noise) == (6, 0.25, 0.3, 0.05)
    state, run = RunState("a"), written_network(home, dropout=0.1, negative_slope=0.5)
    for event in run.events():
        state.fold(event)
    assert await predictions.update(state, dropout, "output")
    assert not await predictions.update(state, dropout, "output")  # nothing new rests on anything new
    assert len(predictions.predicted) == 8
    assert predictions.predicted[0] == 1.0
    assert predictions.predicted[-1] == pytest.approx(0.0, abs=1e-12)
    assert predictions.predicted != (await shipped(state)).predicted
    assert "lazy" in predictions.advice(state, dropout, "trace_ratio")


async def shipped(state: RunState) -> TwinPredictions:
    predictions = TwinPredictions()
    await predictions.update(state, next(kind for kind in NOISE_KINDS if kind.key == "dropout"), "output")
    return predictions
