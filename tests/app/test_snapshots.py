"""The screens as they look, from records that never change. After a wanted change: pytest --snapshot-update."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.lab import showing

from springtui.app import SpringApp

SnapCompare = Callable[..., bool]


@pytest.fixture
def app(home: Path) -> SpringApp:
    """The app without workers."""
    return SpringApp(home, begin_runs=False)


@pytest.mark.parametrize(
    ("size", "keys"),
    [
        ((120, 40), ()),
        ((80, 24), ()),
        ((80, 24), ("]",)),
        ((80, 24), ("]", "]")),
        ((60, 15), ()),
        ((120, 40), ("?",)),
    ],
    ids=["whole", "network", "chain", "training", "small", "help"],
)
def test_screens(app: SpringApp, snap_compare: SnapCompare, size: tuple[int, int], keys: tuple[str, ...]) -> None:
    assert snap_compare(app, terminal_size=size, run_before=showing(*keys))
