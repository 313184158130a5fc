"""The lab's two runs: a network that trains and a chain that is pulled, both driven by the same sliders.

Owns processes and directories, no widgets. Every call may touch the disk: call it from a thread.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.errors import SpringtuiError
from engine.runs.directory import Run
from engine.runs.files import read_file, replace_file
from engine.runs.launch import launch
from engine.runs.listing import open_home
from engine.settings.chain import ChainConfig
from engine.settings.fields import make
from engine.settings.recipes import RECIPES
from engine.settings.train import TrainConfig

Panel = Literal["train", "chain"]
PANELS: tuple[Panel, Panel] = ("train", "chain")
SYSTEMS: dict[Panel, str] = {"train": "network", "chain": "chain"}
"""What each shows, in a word."""

LAB_CHAIN: dict[str, Any] = {"replicas": 64, "pace": 300.0, "frames": 30.0, "steps": 1_080_000}
"""An hour of pulling, thirty pictures a second."""
_PATIENCE = 5.0
"""Seconds for a worker that said its last word to be gone."""


class LabSession:
    """Starts, finds again, asks and stops the lab's runs under one home."""

    def __init__(self, home: Path, settings: Mapping[str, Any] | None = None) -> None:
        self.home = home
        self.chosen = settings is not None
        """Whether a person asked for this network, so that no other lab's may stand in for it."""
        self.network = dict(RECIPES["lab"].settings if settings is None else settings)
        self.runs: dict[Panel, Run] = {}
        self.processes: dict[Panel, subprocess.Popen[bytes]] = {}
        self._turn = threading.RLock()
        """Who stops while a start is under way waits for it: else its worker would be nobody's."""
        self.leaving: list[subprocess.Popen[bytes]] = []
        """Workers that were asked to stop; kept until they are seen to have ended."""

    def reattach(self, panel: Panel, called_off: threading.Event) -> bool:
        """Take up the run that an earlier lab left at work, or one that broke off since, which can be resumed.

        Whether there is one; not once it is called off. What was stopped or came to its end is not taken up.
        """
        if self.chosen:
            return False
        with self._turn:
            name = Path(self._noted().get(panel, "")).name
            run = Run(self.home / "runs" / name)
            if called_off.is_set() or not name or not (run.is_live() or run.status().went_wrong):
                return False
            self.stop(panel)
            self.runs[panel] = run
        return True

    def resume(self, panel: Panel, called_off: threading.Event) -> None:
        """Let a new worker go on with a panel's run from its checkpoint.

        Where ``called_off`` is set by the time it would begin, nothing is begun; nor where there is no run, or it
        has a worker of ours.

        Raises:
            SpringtuiError: it has a worker already, or none can be started.
        """
        with self._turn:
            run = self.runs.get(panel)
            if called_off.is_set() or run is None:
                return
            old = self.processes.get(panel)
            if old is not None and old.poll() is None:
                if run.status().is_live:  # it was asked twice
                    return
                with contextlib.suppress(subprocess.TimeoutExpired):
                    old.wait(_PATIENCE)
            self.processes[panel] = launch(run)

    def start(self, panel: Panel, settings: Mapping[str, Any], called_off: threading.Event) -> None:
        """Start a new run of a panel in the place of the one it has; a worker of its own fills it.

        Where ``called_off`` is set by the time it would begin, nothing is begun.

        Raises:
            SpringtuiError: a setting, the home or the worker is at fault.
            OSError: the run cannot be written, or the old one cannot be asked to stop.
        """
        with self._turn:
            if called_off.is_set():
                return
            self.stop(panel)
            open_home(self.home)
            config: TrainConfig | ChainConfig
            if panel == "train":
                config = make(TrainConfig, {**self.network, **settings})
            else:
                config = make(ChainConfig, {**LAB_CHAIN, **settings})
            run = Run.create(self.home, config, origin="lab")
            self.processes[panel] = launch(run)
            self.runs[panel] = run
            self._remember()

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
        try:
            run.ask("stop")
        finally:
            if process is not None and working:
                process.terminate()  # reaches a worker that waits or still imports; it ends the run in order

    def going(self) -> int:
        """How many of its runs are under way."""
        working = {panel for panel, process in self.processes.items() if process.poll() is None}
        return sum(panel in working or run.is_live() for panel, run in self.runs.items())

    @property
    def _memo(self) -> Path:
        return self.home / "lab.json"

    def _noted(self) -> dict[str, str]:
        """The runs by panel that this lab, or the one before, wrote down."""
        try:
            return msgspec.json.decode(read_file(self._memo, 4096), type=dict[str, str])
        except (SpringtuiError, msgspec.MsgspecError):
            return {}

    def _remember(self) -> None:
        """What an earlier lab left in the other panel may still be taken up."""
        names = self._noted() | {panel: run.id for panel, run in self.runs.items()}
        replace_file(self._memo, msgspec.json.encode(names))
