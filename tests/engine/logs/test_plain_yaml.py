"""Settings in YAML as training tools write them."""

from __future__ import annotations

import math

import pytest
from support.mutate import mutations

from engine.logs.plain_yaml import settings_in, value_of

TEXT = """\
# by a tool
lr: 0.0003
epochs: 10
name: 'it''s: a "run"'
path: /data/set
empty: null
amp: true
"quoted key": "7"
net:
  depth: 3
  sizes:
  - 64
  - 32
  head: {kind: linear}
  activation: !!python/name:torch.nn.ReLU ''
betas: [0.9, 0.999]
text: |
  several lines
  of text
optimizer: &o
    weight_decay: 1e-2  # small
last: -.inf
"""


def test_settings_by_name() -> None:
    assert settings_in(TEXT) == {
        "lr": 0.0003, "epochs": 10, "name": 'it\'s: a "run"', "path": "/data/set", "empty": None, "amp": True,
        "quoted key": "7", "net.depth": 3, "net.sizes": "64, 32", "net.head": "{kind: linear}",
        "betas": "[0.9, 0.999]", "optimizer.weight_decay": 0.01, "last": -math.inf,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [("1_000", "1_000"), ("1e5", 1e5), ("1.", 1.0), ("0x1", "0x1"), ("12:30", "12:30"), ("~", None),
     ("yes", "yes"), ("'1'", "1")],
)  # fmt: skip
def test_values(text: str, value: object) -> None:
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


def test_damaged_settings_raise_nothing() -> None:
    for data in mutations(TEXT.encode(), 300):
        found = settings_in(data.decode("utf-8", "replace"))
        assert all(isinstance(value, (str, int, float, bool, type(None))) for value in found.values())
