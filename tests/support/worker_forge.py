"""Starts workers quickly: a process that has imported torch and loaded compiled code once, and forks for each.

The workers are real processes in sessions of their own, running what ``python -m engine.workers`` runs.
As a script: one run directory a line on standard input, its worker's pid on standard output.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Forge:
    """Starts, kills and outwaits workers; always ``close`` it (it is a context manager)."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[name] = "1"
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._begun: list[int] = []

    def __enter__(self) -> Forge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, run: Path) -> int:
        """A worker for a run; its pid."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{run}\n")
        self._process.stdin.flush()
        self._begun.append(int(self._process.stdout.readline()))
        return self._begun[-1]

    def kill(self, pid: int) -> bool:
        """SIGKILL, and gone; whether it was still there."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.outwait(pid, 20.0)
        return True

    def outwait(self, pid: int, seconds: float) -> None:
        """Until the worker has ended."""
        end = time.monotonic() + seconds
        while is_there(pid):
            assert time.monotonic() < end, "the worker goes on"
            time.sleep(0.002)

    def close(self) -> None:
        """Leave no worker behind."""
        for pid in self._begun:
            self.kill(pid)
        self._process.kill()
        self._process.communicate()


def is_there(pid: int) -> bool:
    """Whether a worker of the forge still runs; its parent buries it once its last thread is gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _load() -> None:
    """What takes long at the beginning of a worker: one run of each kind. No thread may be left to be forked."""
    import torch

    from engine.runs.directory import Run
    from engine.runs.listing import open_home
    from engine.settings.chain import ChainConfig
    from engine.settings.train import TrainConfig
    from engine.sweep.diagrams import make_sweep
    from engine.workers import chain as chain_worker
    from engine.workers.work import work

    torch.set_num_threads(1)
    small = {"epochs": 1, "width": 4, "depth": 3, "train_size": 50}
    with tempfile.TemporaryDirectory() as folder:
        home = open_home(Path(folder) / "home")
        for settings in (
            TrainConfig(**small, hessian=False),
            ChainConfig(replicas=4, blocks=3, steps=8),
            make_sweep("data-noise", small, axes={"x": ("data_noise", (0.0,)), "y": ("negative_slope", (0.0,))}),
        ):
            work(Run.create(home, settings))
    chain_worker.SAVE_EVERY = 0.05  # often enough for a worker that lives for tenths of a second
    assert threading.active_count() == 1, "a thread would be lost in the fork"


def _work(path: str) -> None:
    """As ``engine.workers.__main__.main``, in a session of its own."""
    from engine.workers import __main__ as worker

    os.setsid()
    log = os.open(Path(path) / "worker.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sys.argv = ["engine.workers", path]
    os._exit(worker.main())


def main() -> None:
    _load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _work(line.strip())
        print(pid, flush=True)


if __name__ == "__main__":
    main()
