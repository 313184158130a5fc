"""The lab's two runs, a network and a chain that the same sliders drive: their directories and worker processes.

Every call may read or write files: call it from a thread.
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
"""By panel, the system that its run computes."""

LAB_CHAIN: dict[str, Any] = {"replicas": 64, "frames": 30.0}
"""Settings of the lab's chain whichever it is: sixty-four copies, recorded thirty times a second."""
EPOCHS = 10**8
"""Epochs of the lab's network over all its trainings, each of which is held at the epochs that a person set."""
_PATIENCE = 5.0
"""Seconds for which a worker that wrote its last record may take to exit."""


class LabSession:
    """Starts, takes over, asks and stops the lab's runs under one home."""

    def __init__(self, home: Path, settings: Mapping[str, Any] | None = None) -> None:
        self.home = home
        self.chosen = settings is not None
        """Whether the person chose the network's settings; then no run of an earlier lab is taken over."""
        self.network = dict(RECIPES["lab"].settings if settings is None else settings)
        self.runs: dict[Panel, Run] = {}
        self.processes: dict[Panel, subprocess.Popen[bytes]] = {}
        self._turn = threading.RLock()
        """Held by starts and stops: a stop waits for a start under way, whose worker would else go on."""
        self.leaving: list[subprocess.Popen[bytes]] = []
        """Workers that were asked to stop and have not been seen to end."""

    def reattach(self, panel: Panel, called_off: threading.Event) -> bool:
        """Take over the run that an earlier lab left, if it is live or broke off; whether there is one.

        Nothing is taken over where ``called_off`` is set. A run that was stopped or finished is not taken over.
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
        """Start a new worker that continues a panel's run from its checkpoint.

        Nothing is started where ``called_off`` is set, where there is no run, or where its worker still runs.

        Raises:
            SpringtuiError: it has a worker already, or none can be started.
        """
        with self._turn:
            run = self.runs.get(panel)
            if called_off.is_set() or run is None:
                return
            old = self.processes.get(panel)
            if old is not None and old.poll() is None:
                if run.status().is_live:  # resumed already: this is the second request
                    return
                with contextlib.suppress(subprocess.TimeoutExpired):
                    old.wait(_PATIENCE)
            self.processes[panel] = launch(run)

    def start(self, panel: Panel, settings: Mapping[str, Any], called_off: threading.Event) -> None:
        """Start a new run of a panel with a worker, in place of the panel's present run.

        Nothing is started where ``called_off`` is set.

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
                config = make(TrainConfig, {**self.network, **settings, "epochs": EPOCHS})
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
        """Ask a panel's worker to stop, and drop the panel's run."""
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
                process.terminate()  # reaches a paused or importing worker, which ends the run in order

    def going(self) -> int:
        """Number of the lab's runs whose worker runs."""
        working = {panel for panel, process in self.processes.items() if process.poll() is None}
        return sum(panel in working or run.is_live() for panel, run in self.runs.items())

    @property
    def _memo(self) -> Path:
        return self.home / "lab.json"

    def _noted(self) -> dict[str, str]:
        """By panel, the run's id that this or an earlier lab saved; empty where none can be read."""
        try:
            return msgspec.json.decode(read_file(self._memo, 4096), type=dict[str, str])
        except (SpringtuiError, msgspec.MsgspecError):
            return {}

    def _remember(self) -> None:
        """Save the runs' ids; the id that an earlier lab saved for a panel without a run is kept."""
        names = self._noted() | {panel: run.id for panel, run in self.runs.items()}
        replace_file(self._memo, msgspec.json.encode(names))
