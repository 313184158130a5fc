"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

# Tests run side by side, so each keeps to one core; before anything loads a linear algebra library.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402
from support.paths import ROOT  # noqa: E402
from support.real_terminal import stop_workers  # noqa: E402

from engine.settings.recipes import RECIPES  # noqa: E402
from springtui.terminal import text  # noqa: E402

pytest_plugins = ["strict_skips", "tally", "support.phase", "support.forged"]


def pytest_configure(config: pytest.Config) -> None:
    """Compiling takes longer than most tests wait for a worker: it is done before, once after a change."""
    if hasattr(config, "workerinput"):
        return  # a process of pytest-xdist, whose controller has done it
    from engine.jit import COMPILED  # loads numba

    stamp = ROOT / ".pytest_cache" / "compiled"
    changed = max((ROOT / "engine" / name).stat().st_mtime for name in COMPILED)
    if stamp.exists() and stamp.stat().st_mtime > changed:
        return
    subprocess.run(
        [sys.executable, "-P", "-m", "engine.workers.warm"],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    stamp.parent.mkdir(exist_ok=True)
    stamp.touch()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where terminals alone are wanted, the other modules need not be imported."""
    if config.option.markexpr != "terminal" or collection_path.suffix != ".py":
        return None
    return "mark.terminal" not in collection_path.read_text(encoding="utf-8") or None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Collecting tests makes no garbage, and to look for it takes a quarter of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who is given the most time begins first, so that no process waits at the end for one long test."""

    def given(item: pytest.Item) -> float:
        mark = item.get_closest_marker("timeout")
        return float(mark.args[0]) if mark else 0.0

    items.sort(key=given, reverse=True)


@pytest.fixture(autouse=True)
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads the preferences of whoever runs it, nor is it shown the tour unasked."""
    path = tmp_path / "configuration" / "config.toml"
    monkeypatch.setenv("SPRINGTUI_CONFIG", str(path))
    monkeypatch.setenv("SPRINGTUI_TOUR", "off")
    text.draw_ascii("auto")  # what an app of the test before chose
    return path


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch's threads only get in each other's way at the sizes of tests."""
    import torch  # most tests can do without

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def quick_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lab opens with a smaller network, for tests that wait until it is held or saved."""
    quick = {**RECIPES["lab"].settings, "width": 24, "train_size": 300, "checkpoint_every": 0.5}
    monkeypatch.setitem(RECIPES, "lab", RECIPES["lab"]._replace(settings=quick))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home directory of the test's own, also for the processes it starts; none of its workers outlives it."""
    home = tmp_path / "home"
    monkeypatch.setenv("SPRINGTUI_HOME", str(home))
    yield home
    if (home / "runs").is_dir():
        stop_workers(home)
