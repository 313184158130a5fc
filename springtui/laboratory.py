"""The lab's two runs: a network that trains and a chain that is pulled, both driven by the same sliders.

Owns processes and directories, no widgets. Every call may touch the disk: call it from a thread.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.config import ChainConfig, TrainConfig, make
from engine.errors import SpringtuiError
from engine.files import read_file, replace_file
from engine.launch import launch
from engine.recipes import RECIPES
from engine.rundir import Run, open_home

Panel = Literal["train", "chain"]
PANELS: tuple[Panel, Panel] = ("train", "chain")

LAB_CHAIN: dict[str, Any] = {"replicas": 64, "pace": 300.0, "frames": 30.0, "steps": 1_080_000}
"""An hour of pulling, thirty pictures a second."""


class Laboratory:
    """Starts, finds again, asks and stops the lab's runs under one home."""

    def __init__(self, home: Path, settings: Mapping[str, Any] | None = None) -> None:
        self.home = home
        self.chosen = settings is not None
        """Whether a person asked for this network, so that no other lab's may stand in for it."""
        self.network = dict(RECIPES["lab"].settings if settings is None else settings)
        self.runs: dict[Panel, Run] = {}
        self.processes: dict[Panel, subprocess.Popen[bytes]] = {}
        self._turn = threading.Lock()
        """Who stops while a start is under way waits for it: else its worker would be nobody's."""
        self.leaving: list[subprocess.Popen[bytes]] = []
        """Workers that were asked to stop; kept until they are seen to have ended."""

    def reattach(self, panel: Panel) -> bool:
        """Take up the run of a lab that was left while it ran; whether there is one."""
        if self.chosen:
            return False
        try:
            noted = msgspec.json.decode(read_file(self._memo, 4096), type=dict[str, str])
            run = Run(self.home / "runs" / Path(noted[panel]).name)
        except (SpringtuiError, msgspec.MsgspecError, KeyError):
            return False
        if not run.is_live():
            return False
        self.runs[panel] = run
        return True

    def start(self, panel: Panel, settings: Mapping[str, Any]) -> Run:
        """Start a new run of a panel; a worker of its own fills it.

        Raises:
            SpringtuiError: a setting, the home or the worker is at fault.
        """
        open_home(self.home)
        config: TrainConfig | ChainConfig
        if panel == "train":
            config = make(TrainConfig, {**self.network, **settings})
        else:
            config = make(ChainConfig, {**LAB_CHAIN, **settings})
        with self._turn:
            run = Run.create(self.home, config, origin="lab")
            self.processes[panel] = launch(run)
            self.runs[panel] = run
            self._remember()
        return run

    def ask(self, action: str, panel: Panel, **settings: Any) -> None:
        """Ask a panel's worker for something; its answer comes as a record."""
        if panel in self.runs:
            self.runs[panel].ask(action, **settings)

    def stop(self, panel: Panel) -> None:
        """Ask a panel's worker to stop and let go of it."""
        with self._turn:
            run = self.runs.pop(panel, None)
            process = self.processes.pop(panel, None)
        self.leaving = [old for old in self.leaving if old.poll() is None]
        if process is not None:
            self.leaving.append(process)
        working = process is not None and process.poll() is None
        if run is None or not (working or run.is_live()):
            return
        run.ask("stop")
        if process is not None and working:
            process.terminate()  # reaches a worker that waits or still imports; it ends the run in order

    def going(self) -> int:
        """How many of its runs are under way."""
        working = {panel for panel, process in self.processes.items() if process.poll() is None}
        return sum(panel in working or run.is_live() for panel, run in self.runs.items())

    @property
    def _memo(self) -> Path:
        return self.home / "lab.json"

    def _remember(self) -> None:
        names = {panel: run.id for panel, run in self.runs.items()}
        replace_file(self._memo, msgspec.json.encode(names))
