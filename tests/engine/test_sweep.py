"""Sweeps: grid and order, what is refused, what records amount to, and that nothing is lost or made twice."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import numpy as np
import pytest
from support.sweeps import SMALL, finals, same

from engine.errors import ConfigError
from engine.runs.directory import Run
from engine.runs.launch import launch
from engine.runs.listing import open_home
from engine.runs.records import Cell
from engine.settings.chain import ChainConfig
from engine.settings.sweep import SweepConfig
from engine.settings.train import TrainConfig
from engine.sweep.axes import parse_axis
from engine.sweep.diagrams import DIAGRAMS, make_sweep  # fmt: skip
from engine.sweep.grid import cell_count, cell_settings, cell_values, coarse_to_fine
from engine.sweep.summary import accuracy_cv_correlation, spearman, summarise
from engine.workers.work import work
from springtui.cli import main
from springtui.commands.sweep import describe
from springtui.state.run_state import RunState


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (9, 6), (2, 7), (16, 6), (5, 1), (50, 50)])
def test_coarse_to_fine_makes_every_cell_once_and_the_corners_first(columns: int, rows: int) -> None:
    order = coarse_to_fine(columns, rows)
    assert sorted(order) == list(range(columns * rows))
    corners = {0, columns - 1, (rows - 1) * columns, rows * columns - 1}
    assert corners <= set(order[:16])


def test_the_papers_diagrams_are_the_papers() -> None:
    shapes = {name: (len(d.x_values), len(d.y_values)) for name, d in DIAGRAMS.items() if d.system == "network"}
    assert shapes == {"data-noise": (9, 6), "learning-rate": (12, 6), "dropout": (16, 6), "batch-size": (10, 6),
                      "cnn": (8, 6)}  # fmt: skip
    assert DIAGRAMS["batch-size"].x_values[-1] == 2560
    config = make_sweep("data-noise", {"dataset": "mnist"})
    settings = cell_settings(config, 10, member=2)
    assert isinstance(settings, TrainConfig)
    assert (settings.data_noise, settings.negative_slope, settings.seed) == (0.1, 0.2, 2)
    assert (settings.train_size, settings.image_size, settings.batch_size) == (2560, 10, 2560)


def test_the_chain_over_a_networks_knobs_goes_through_the_map() -> None:
    config = make_sweep("chain-twin", {})
    settings = cell_settings(config, 0)
    assert isinstance(settings, ChainConfig)
    assert cell_values(config, 0) == (0.0, 0.0)
    assert (settings.mu_right, settings.mu_left, settings.noise) == pytest.approx((0.085, 0.138, 0.029))
    by_hand = make_sweep("chain", {}, axes={"y": parse_axis("chain", "nonlinearity=1,0"),
                                           "x": parse_axis("chain", "data_noise=0,0.8")})  # fmt: skip
    assert cell_settings(by_hand, 0) == settings


@pytest.mark.parametrize(
    ("recipe", "settings", "axes", "said"),
    [
        ("data-nois", {}, {}, "'data-noise'"),
        ("data-noise", {"data_noise": 0.1}, {}, "is an axis"),
        ("data-noise", {"lr": -1}, {}, "lr = -1"),
        ("data-noise", {}, {"x": ("negative_slope", (0.1,))}, "both axes"),
        ("data-noise", {}, {"x": ("lr", ())}, "no values"),
        ("data-noise", {}, {"x": ("lr", (0.1, 0.1))}, "twice"),
        ("data-noise", {}, {"x": ("lr", (0.1, 99.0))}, "lr = 99"),
        ("data-noise", {}, {"x": ("depht", (3.0,))}, "'depth'"),
        ("chain", {"eta": 0.9}, {}, "eta x k"),
        ("chain", {"order": 2}, {}, "--method replicas"),
        ("chain", {}, {"x": ("pulling", ("at_once", "steady"))}, "--method replicas"),
        ("data-noise", {}, {"x": ("optimizer", ("adam", "adamw"))}, "optimizer = 'adamw'"),
        ("chain-twin", {}, {"x": ("width", (10.0,))}, "no fitted map for 'width'"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_runs(
    recipe: str, settings: dict[str, float], axes: dict[str, tuple[str, tuple[float | str, ...]]], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_sweep(recipe, settings, axes=axes)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("recipe", "settings", "axes", "nonlinearity", "noise"),
    [
        ("data-noise", {}, {"y": ("negative_slope", (0.8,))}, 0.2, 0.0),
        ("data-noise", {}, {"x": ("negative_slope", (0.4,)), "y": ("lr", (0.1,))}, 0.6, 0.1),
        ("data-noise", {"negative_slope": 0.8}, {"y": ("init", ("orthogonal",))}, 0.2, 0.0),
        ("chain", {}, {"y": ("mu_right", (0.3,)), "x": ("noise", (0.05,))}, 0.3, 0.05),
        ("chain-twin", {}, {"y": ("negative_slope", (0.8,))}, 0.2, 0.0),
    ],
)
def test_cells_tell_their_nonlinearity_whatever_the_axes_are(
    recipe: str,
    settings: dict[str, float],
    axes: dict[str, tuple[str, tuple[float | str, ...]]],
    nonlinearity: float,
    noise: float,
) -> None:
    state = RunState("a run")
    state.fold(Cell(cell=0, member=0, final=True, at=1, curves={}))
    cell = describe(make_sweep(recipe, settings, axes=axes), state)["cells"][0]
    assert (cell["nonlinearity"], cell["noise"]) == (nonlinearity, noise)


def test_axes_are_read_as_they_are_written() -> None:
    assert parse_axis("network", "lr=1e-4:1e-1:4:log") == ("lr", (1e-4, 1e-3, 1e-2, 1e-1))
    assert parse_axis("network", "data-noise=0:0.8:5") == ("data_noise", (0.0, 0.2, 0.4, 0.6, 0.8))
    assert parse_axis("network", "depth=4,6,8") == ("depth", (4.0, 6.0, 8.0))
    assert parse_axis("chain", "mu_right=0,0.1") == ("mu_right", (0.0, 0.1))
    assert parse_axis("network", "batch_size=5:2560:4:log") == ("batch_size", (5.0, 40.0, 320.0, 2560.0))
    assert parse_axis("network", "depth=4:6:9") == ("depth", (4.0, 5.0, 6.0))
    assert parse_axis("network", "init=default, orthogonal") == ("init", ("default", "orthogonal"))
    assert parse_axis("network", "batch_norm=yes,off") == ("batch_norm", ("on", "off"))
    assert parse_axis("chain", "pulling=at_once,steady") == ("pulling", ("at_once", "steady"))
    assert parse_axis("chain", "nonlinearity=0:1:3") == ("negative_slope", (1.0, 0.5, 0.0))
    for wrong in (
        "lr",
        "lr=",
        "lr=1:2",
        "lr=0:1:3:log",
        "lr=a,b",
        "lr=1e-3:1e-2:0",
        "depth=2.5",
        "init=a",
        "init=1:2:3",
    ):
        with pytest.raises(ConfigError):
            parse_axis("network", wrong)


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        (["--y", "nonlinearity=0,1", "--x", "data_noise=0,0.4"], ["nonlinearity", "data_noise"]),
        (["--y", "negative_slope=0,1", "--x", "data_noise=0,0.4"], ["negative_slope", "data_noise"]),
        (["--x", "nonlinearity=0.2,1", "--y", "depth=3,4"], ["depth", "nonlinearity"]),
        (["--x", "negative-slope=0.2,1", "--y", "depth=3,4"], ["depth", "negative_slope"]),
        (["--x", "data_noise=0,0.4"], ["negative_slope", "data_noise"]),
    ],
)
def test_an_axis_is_called_what_it_was_asked_for_by(
    home: Path, capsys: pytest.CaptureFixture[str], options: list[str], columns: list[str]
) -> None:
    chain = "--y" in options and "depth" not in columns
    recipe, small = ("chain", {}) if chain else ("data-noise", SMALL | {"epochs": 1})
    settings = [word for key, value in small.items() if key not in columns for word in ("--set", f"{key}={value}")]
    verb = ["sweep", "--recipe", recipe, "--seeds", "1", *options, *settings]
    assert main([*verb, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [told["y_name"], told["x_name"]] == columns
    assert told["cells"]
    for cell in told["cells"]:
        slope = cell["negative_slope"]
        other = cell["depth" if "depth" in columns else "data_noise"]
        assert (cell["nonlinearity"], cell["noise"]) == (round(1 - slope, 10), other)
    kept = Run(home / "runs" / told["run"]).config().settings  # so springtui resume says the same
    assert isinstance(kept, SweepConfig)
    assert [kept.y_name or kept.y_axis, kept.x_name or kept.x_axis] == columns
    capsys.readouterr()
    assert main(verb) == 0
    lines = capsys.readouterr().out.splitlines()
    (head,) = [number for number, line in enumerate(lines) if "asymmetry" in line.split()]
    assert lines[head].split()[:2] == columns
    first = [told["cells"][0][name] for name in columns]
    assert [float(word) for word in lines[head + 1].split()[:2]] == first


def test_rank_correlation_is_scipys() -> None:
    from scipy import stats  # slow to import

    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, 40).astype(float), rng.standard_normal(40)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert np.isnan(spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))
    assert np.isnan(spearman([1.0, 2.0], [1.0, 2.0]))


def test_a_summary_takes_ended_members_and_tells_diverged_ones() -> None:
    config = SweepConfig(x_values=(0.0, 0.1), y_values=(0.0,), seeds=3)
    curves = [[3.0, 2.0, 1.0, 0.0], [3.0, 1.0, 1.0, 0.0]]
    cells = [
        Cell(cell=0, member=0, final=False, at=1, curves={"trace_ratio": [9.0, 9.0, 9.0, 9.0]}),
        Cell(
            cell=0, member=0, final=True, at=3, curves={"trace_ratio": curves[0]}, scalars={"test_accuracy": 0.9}
        ),
        Cell(
            cell=0, member=1, final=True, at=3, curves={"trace_ratio": curves[1]}, scalars={"test_accuracy": 0.7}
        ),
        Cell(cell=0, member=2, final=True, at=0, text="diverged"),
        Cell(cell=1, member=0, final=False, at=2, curves={"trace_ratio": [2.0, 1.0, 0.0, 0.0]}),
        Cell(cell=77, member=0, final=True, at=2),
    ]
    first, second = summarise(config, cells)
    assert first.curves["trace_ratio"] == [3.0, 1.5, 1.0, 0.0]
    assert (first.done, first.diverged, first.final) == (3, 1, True)
    assert first.scalars["test_accuracy"] == pytest.approx(0.8)
    assert first.total_separation == 2.0
    assert first.cv == pytest.approx(0.5)
    assert (second.done, second.final) == (0, False)
    assert second.curves["trace_ratio"] == [2.0, 1.0, 0.0, 0.0]
    assert np.isnan(accuracy_cv_correlation([first, second]))


def kill_until_done(run: Run, waits: list[float]) -> None:
    """Start the worker, kill it after a while, and so on; then let it end."""
    for wait in waits:
        process = launch(run)
        time.sleep(wait)
        process.kill()
        process.wait(10)
    assert run.status() == "crashed", "it had finished before it was killed"
    assert launch(run).wait(120) == 0


@pytest.mark.slow
def test_chains_killed_at_random_moments_are_neither_lost_nor_repeated(home: Path) -> None:
    axes = {"x": ("noise", tuple(0.01 * i for i in range(1, 31))), "y": ("mu_right", (0.0, 0.05, 0.1))}
    config = make_sweep("chain", {"replicas": 256, "steps": 30_000}, axes=axes, method="replicas", threads=1)
    open_home(home)
    broken, whole = Run.create(home, config), Run.create(home, config)
    rng = random.Random(5)
    kill_until_done(broken, [rng.uniform(0.05, 0.6) for _ in range(5)])
    assert work(whole).reason == "finished"
    assert len(finals(broken)) == cell_count(config)
    assert same(broken, whole)


def test_a_stopped_sweep_says_so_and_a_diverged_network_does_not_end_it(home: Path) -> None:
    axes = {"x": ("lr", (1e-3, 10.0)), "y": ("negative_slope", (0.0,))}
    config = make_sweep("learning-rate", SMALL | {"batch_norm": "off"}, axes=axes, seeds=1)
    open_home(home)
    run = Run.create(home, config)
    ended = work(run)
    assert ended.reason == "finished"
    found = finals(run)
    assert found[0, 0].curves
    again = Run.create(home, config)
    again.ask("stop")
    ended = work(again)
    assert ended.reason == "stopped"
    assert "of 2 networks" in ended.text


def test_each_batch_size_is_trained_as_asked(home: Path) -> None:
    axes = {"x": ("batch_size", (20.0, 200.0)), "y": ("negative_slope", (0.0, 1.0))}
    config = make_sweep("batch-size", {k: v for k, v in SMALL.items() if k != "batch_size"}, axes=axes, seeds=2)
    open_home(home)
    run = Run.create(home, config)
    assert work(run).reason == "finished"
    summaries = summarise(config, finals(run).values())
    assert [s.x for s in summaries] == [20.0, 200.0, 20.0, 200.0]
    assert all(s.final and s.done == 2 for s in summaries)
    assert summaries[0].scalars["train_loss"] < summaries[1].scalars["train_loss"]  # more steps an epoch


def test_an_axis_of_a_whole_number_that_is_a_choice() -> None:
    assert parse_axis("chain", "order=1,2") == ("order", (1.0, 2.0))
    sweep = make_sweep("chain", {}, axes={"x": ("order", (1.0, 2.0)), "y": ("noise", (0.1,))}, method="replicas")
    assert [cell_settings(sweep, index).order for index in (0, 1)] == [1, 2]  # type: ignore[union-attr]
