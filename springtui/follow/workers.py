"""Worker processes that this app started: launched, told to go on, stopped.

Every call may touch the disk: call it from a thread.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from engine.runs.directory import Run
from engine.runs.launch import launch

_PATIENCE = 10.0
"""Seconds for a worker that said its last word to be gone."""


class Workers:
    """The workers of runs under one home that this process started, apart from the lab's two."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        """By the run's id."""

    def launch(self, run: Run) -> Run:
        """Start a worker for a run, once an earlier one of ours has ended; gives the run back.

        Raises:
            SpringtuiError: it has a worker already, needs none, or none can be started.
        """
        if (ended := self.processes.get(run.id)) is not None:
            ended.wait(_PATIENCE)
        self.processes[run.id] = launch(run)
        return run

    def resume(self, run: Run) -> None:
        """Let a new worker go on with a run that was left.

        Raises:
            SpringtuiError: it has a worker already, needs none, or none can be started.
        """
        run.require_worker_run()
        run.require_free()
        self.launch(run)

    def stop_all(self) -> None:
        """Ask every worker that is still running to stop; what it made is kept."""
        for name, process in self.processes.items():
            if process.poll() is None:
                Run(self.home / "runs" / name).ask("stop")
                process.terminate()

    def running(self) -> int:
        """How many of these workers are still running."""
        return sum(process.poll() is None for process in self.processes.values())
