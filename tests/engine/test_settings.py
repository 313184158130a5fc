"""Settings: what is taken, what is refused, and what the refusal says."""

from __future__ import annotations

import msgspec
import pytest

from engine.errors import ConfigError
from engine.settings.chain import ChainConfig
from engine.settings.fields import default_of, field_help, field_names, field_range, make, parse_assignments
from engine.settings.run import KINDS, RunConfig
from engine.settings.train import TrainConfig


@pytest.mark.parametrize(
    ("pair", "key", "value"),
    [
        ("lr=1e-2", "lr", 0.01),
        ("negative_slope=.8", "negative_slope", 0.8),
        ("batch-size=1e3", "batch_size", 1000),
        ("train_size=none", "train_size", None),
        ("train_size=64", "train_size", 64),
        ("batch_norm=off", "batch_norm", False),
        ("seed=9007199254740993", "seed", 9007199254740993),
        ("model = cnn", "model", "cnn"),
    ],
)
def test_takes(pair: str, key: str, value: object) -> None:
    assert parse_assignments(TrainConfig, [pair]) == {key: value}


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("learning_rate=1", "'lr'"),
        ("depht=3", "'depth'"),
        ("lr=0", "> 0 and <= 10"),
        ("lr=nan", "> 0 and <= 10"),
        ("init_scale=inf", "<= 1000"),
        ("lr=abc", "'abc'"),
        ("model=vit", "mlp, cnn"),
        ("batch_size=2.5", "whole number"),
        ("train_size=1", ">= 2"),
        ("seed=-1", ">= 0"),
        ("batch_norm=maybe", "on or off"),
        ("device=tpu", "cuda"),
        ("negative_slope=1.5", "<= 1"),
        ("epochs", "key=value"),
    ],
)
def test_refuses_and_says_why(pair: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(TrainConfig, parse_assignments(TrainConfig, [pair]))
    assert said in str(caught.value)
    assert pair.partition("=")[0] in str(caught.value)


def test_unstable_step_names_the_bound() -> None:
    with pytest.raises(ConfigError, match=r"above 0\.5.*eta <= 0\.25"):
        make(ChainConfig, {"eta": 0.4, "k": 2.0})


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_range_and_a_sound_default(kind: str) -> None:
    cls = KINDS[kind]
    for name in field_names(cls):
        assert field_range(cls, name)
        assert field_help(cls, name)
        make(cls, {name: default_of(cls, name)})
    assert cls.live <= set(field_names(cls))


def test_a_config_survives_its_file() -> None:
    config = RunConfig(id="a", created=1.0, host="h", version="0", settings=TrainConfig(lr=0.5))
    assert msgspec.json.decode(msgspec.json.encode(config), type=RunConfig) == config
