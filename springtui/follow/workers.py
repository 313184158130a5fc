"""The worker processes that this app started: starting them, resuming runs, stopping them.

Every call may touch the disk: call it from a thread.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from engine.runs.directory import Run
from engine.runs.launch import launch

_PATIENCE = 10.0
"""Seconds that the process of a worker may take to end after its last record."""


class Workers:
    """The workers of runs under one home that this process started, apart from the lab's two."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        """By the run's id."""

    def launch(self, run: Run) -> Run:
        """Start a worker for a run, once an earlier one that this app started has ended; the run.

        Raises:
            SpringtuiError: it has a worker already, needs none, or none can be started.
        """
        if (ended := self.processes.get(run.id)) is not None:
            ended.wait(_PATIENCE)
        self.processes[run.id] = launch(run)
        return run

    def resume(self, run: Run) -> None:
        """Start a worker that goes on with a run that has none.

        Raises:
            SpringtuiError: it has a worker already, needs none, or none can be started.
        """
        run.require_worker_run()
        run.require_free()
        self.launch(run)

    def stop_all(self) -> None:
        """Ask every worker that is still running to stop; its records are kept."""
        for name, process in self.processes.items():
            if process.poll() is None:
                Run(self.home / "runs" / name).ask("stop")
                process.terminate()

    def running(self) -> list[str]:
        """Ids of the runs whose workers, of these, are still running."""
        return [name for name, process in self.processes.items() if process.poll() is None]
