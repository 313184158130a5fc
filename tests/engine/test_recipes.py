"""Recipes: every experiment of the paper by name, each of which trains."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from engine.datasets.load import Dataset
from engine.errors import ConfigError
from engine.networks.trainer import Trainer
from engine.settings.fields import default_of, field_names, make
from engine.settings.recipes import DEFAULT_RECIPE, RECIPES, find_recipe
from engine.settings.train import TrainConfig
from springtui.cli import main

pytestmark = pytest.mark.usefixtures("one_thread")
PAPER = [name for name in RECIPES if name not in {"digits", "lab", "tanh", "gelu"}]


def drawn(config: TrainConfig) -> Dataset:
    """A small set of the recipe's shape, so that no test needs its data."""
    rng = np.random.default_rng(0)
    channels = 3 if config.dataset == "cifar10" else 1
    shape = (channels, 10, 10) if config.model == "cnn" else (100,)
    y = np.arange(120) % (2 if config.dataset == "gaussian-mixture" else 10)
    x = (rng.normal(size=(10, *shape))[y] + 0.5 * rng.normal(size=(120, *shape))).astype(np.float32)
    return Dataset(config.dataset, x[:100], y[:100], x[100:], y[100:], int(y.max()) + 1)


@pytest.mark.parametrize("name", RECIPES)
def test_trains(name: str) -> None:
    """For so many epochs that BatchNorm's running means have caught up."""
    config = make(TrainConfig, find_recipe(name).settings)
    trainer = Trainer(config, drawn(config))
    before = trainer.measure().scalars["train_loss"]
    for _ in range(30):
        for _ in trainer.run_epoch():
            pass
    found = trainer.measure()
    assert found.scalars["train_loss"] < before
    assert {len(curve) for curve in found.curves.values()} == {9}


@pytest.mark.parametrize("name", PAPER)
def test_paper_set_up(name: str) -> None:
    config = make(TrainConfig, find_recipe(name).settings)
    assert (config.depth, config.train_size, config.batch_size) == (8, 2560, 2560)
    assert (config.model, config.width) == (("cnn", 20) if name == "paper-cnn" else ("mlp", 100))
    assert config.image_size == (None if name == "paper-gaussian-mixture" else 10)
    assert config.epochs == (200 if name in {"paper-cnn", "learning-rate", "paper-identity"} else 100)


def test_every_kind_of_experiment_has_a_name() -> None:
    """Each alternative that the paper or its code has is reached by a recipe."""
    configs = [make(TrainConfig, recipe.settings) for recipe in RECIPES.values()]
    for field, values in {
        "optimizer": {"adam", "sgd", "sgld", "psgld"},
        "init": {"default", "orthogonal", "kaiming", "normal", "ntk", "identity"},
        "loss": {"cross_entropy", "mse", "mse_one_hot"},
        "activation": {"leaky_relu", "tanh", "gelu"},
        "dataset": {"digits", "mnist", "fashion-mnist", "cifar10", "gaussian-mixture"},
        "model": {"mlp", "cnn"},
        "batch_norm": {True, False},
    }.items():
        assert {getattr(config, field) for config in configs} == values


def test_settings_hold_known_fields() -> None:
    assert set().union(*(recipe.settings for recipe in RECIPES.values())) <= set(field_names(TrainConfig))


def test_ours_are_named_so() -> None:
    assert all(RECIPES[name].about.startswith("ours") for name in ("tanh", "gelu"))


@pytest.mark.parametrize(("wrong", "near"), [("paper-mpl", "paper-mlp"), ("sgd", "paper-sgd")])
def test_nearest(wrong: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"the nearest is '{near}'.*--list-recipes"):
        find_recipe(wrong)


def test_where_nothing_is_near_all_are_listed(capsys: pytest.CaptureFixture[str], home: Any) -> None:
    for arguments, known in (
        (["train", "--recipe", "foo"], ", ".join(RECIPES)),
        (["sweep", "--recipe", "foo"], "data-noise, learning-rate"),
        (["train", "--set", "zzz=1"], "dataset, "),
    ):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert "nearest" not in said
        assert f"known: {known}" in said


class TestListed:
    def test_json(self, home: Any, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["train", "--list-recipes", "--json"]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        listed = {recipe["name"]: recipe for recipe in json.loads(line)["recipes"]}
        assert list(listed) == list(RECIPES)
        assert listed["paper-cnn"]["settings"] == RECIPES["paper-cnn"].settings
        assert not home.exists()

    def test_settings_can_be_given_back(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What is printed is what --set takes."""
        from engine.settings.fields import parse_assignments

        assert main(["train", "--list-recipes"]) == 0
        lines = capsys.readouterr().out.splitlines()
        for about, settings in zip(lines[::2], lines[1::2], strict=True):
            name = about.split()[0]
            assert parse_assignments(TrainConfig, settings.split()) == RECIPES[name].settings
        assert default_of(TrainConfig, "seed") == 0
        assert DEFAULT_RECIPE in RECIPES
