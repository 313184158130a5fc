"""Fixtures that start workers from a forge, one for each process of pytest."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from support.real_terminal import Terminal
from support.worker_forge import Forge


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    """Starts workers that need not import PyTorch; it begins with the first of them."""
    with Forge() as forge:
        yield forge


@pytest.fixture(autouse=True)
def forged_workers(request: pytest.FixtureRequest, forge: Forge) -> Iterator[None]:
    """Workers that are started here, or by springtui in a ``Terminal``, are forged; not with ``real_start``."""
    if sys.platform != "linux" or request.node.get_closest_marker("real_start"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.runs.launch.subprocess", forge)
        patch.setattr(Terminal, "forge", forge)
        yield
