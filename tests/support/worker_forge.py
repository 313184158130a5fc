"""Starts workers fast: a process that has imported torch and loaded compiled code forks one for each run.

The workers are processes in sessions of their own that run the same code as ``python -m engine.workers``. As a
script it reads a run directory a line from standard input, and writes its worker's pid to standard output.
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

from engine.runs.directory import Run

ROOT = Path(__file__).parents[2]


class Forge:
    """Starts and kills workers, and waits for them; use it as a context manager, or ``close`` it."""

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
        """Start a worker for a run; its pid."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{run}\n")
        self._process.stdin.flush()
        self._begun.append(int(self._process.stdout.readline()))
        return self._begun[-1]

    def kill(self, pid: int) -> bool:
        """Send SIGKILL and wait for the end; False where the process did not exist."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.outwait(pid, 20.0)
        return True

    def outwait(self, pid: int, seconds: float) -> None:
        """Wait until the worker has ended; AssertionError after ``seconds``."""
        end = time.monotonic() + seconds
        while is_there(pid):
            assert time.monotonic() < end, "the worker goes on"
            time.sleep(0.002)

    def close(self) -> None:
        """Kill all workers and the forking process."""
        for pid in self._begun:
            self.kill(pid)
        self._process.kill()
        self._process.communicate()


class ForgedWorker:
    """A run's worker from a forge, asked as the process that ``launch`` returns is, but for its exit status."""

    def __init__(self, forge: Forge, run: Run) -> None:
        self.pid = forge.start(run.path)
        self._forge = forge

    def poll(self) -> int | None:
        """None while it runs, else 0: only its parent knows the exit status."""
        return None if is_there(self.pid) else 0

    def wait(self, timeout: float = 20.0) -> int:
        """Wait until it has ended; 0. AssertionError after ``timeout`` seconds."""
        self._forge.outwait(self.pid, timeout)
        return 0

    def kill(self) -> None:
        """Send SIGKILL, and wait for the end."""
        self._forge.kill(self.pid)


def is_there(pid: int) -> bool:
    """Whether a worker still exists; its parent reaps it once its last thread has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _load() -> None:
    """Do one run of each kind, to load what starts slowly; no thread may be left, as forks would lose it."""
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
    """Run ``engine.workers.__main__.main`` in a session of its own."""
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
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the children
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _work(line.strip())
        print(pid, flush=True)


if __name__ == "__main__":
    main()
