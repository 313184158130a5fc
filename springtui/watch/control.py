"""Asks a run's worker to pause, stop or change settings, and keeps what was asked and answered."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from engine.errors import SpringtuiError
from engine.runs.any_run import AnyRun
from engine.runs.directory import Run
from engine.runs.status import Status
from engine.settings.run import RunConfig

from ..screen import Notifier
from ..state.run_state import RunState
from ..terminal.text import plain_text
from .requests import Requests, movable, parse_move


class WatchView(Notifier, Protocol):
    """What the control needs of the screen that holds it, and what it reports there."""

    def run_state(self) -> RunState:
        """The run's newest state, also while a replay shows an earlier one."""

    def request_written(self) -> None:
        """A request was written to the run's control file."""


class WatchControl:
    """Asks one run's worker, and keeps what was asked and answered."""

    def __init__(self, run: AnyRun, view: WatchView) -> None:
        self.run = run
        self.config: RunConfig | None = None
        """None before it is read, where it cannot be read, and of another tool's run."""
        self.name = ""
        """What a person calls the run; empty where nobody gave a name."""
        self.trouble = ""
        """Why the configuration cannot be read; empty where it can."""
        self.requests = Requests()
        self._view = view

    async def read_config(self) -> None:
        """Read the run's configuration, or note why it cannot be read."""
        try:
            self.config = await asyncio.to_thread(self.run.config)
            self.name = (await asyncio.to_thread(self.run.label)).name
        except SpringtuiError as error:
            self.trouble = plain_text(str(error).replace(f"{self.run.path}/", ""))

    def has_nobody_to_ask(self) -> bool:
        """Whether no worker can be asked, as the run is over or another tool's; then the person is notified."""
        state = self._view.run_state()
        if self.run.is_foreign:
            self._view.notify("another tool writes this run: nothing is asked of it", timeout=4, markup=False)
            return True
        if state.is_over:
            self._view.notify(f"the run is {state.status}: it has no process to ask", timeout=4, markup=False)
        return state.is_over

    async def toggle_pause(self) -> None:
        """Pause the worker, or let it go on."""
        action = "resume" if self._view.run_state().status is Status.PAUSED else "pause"
        await self._ask(action, action)

    async def stop(self) -> None:
        """Ask the worker to stop."""
        await self._ask("stop", "stop")

    def movable(self) -> list[str]:
        """Names of the settings that can change while the run goes on."""
        return movable(self.config)

    def check_setting(self, text: str) -> dict[str, Any]:
        """The setting in ``key=value``, by its name, if it can change while the run goes on.

        Raises:
            ConfigError: names what is wrong and what is allowed.
        """
        return parse_move(self.config, text)

    async def set(self, text: str) -> None:
        """Ask for another value of a setting, given as ``key=value``."""
        await self._ask("set", f"set {plain_text(text)}", **self.check_setting(text))

    async def _ask(self, action: str, words: str, **settings: Any) -> None:
        run = self.run
        if self.has_nobody_to_ask() or not isinstance(run, Run):
            return
        try:
            control = await asyncio.to_thread(lambda: run.ask(action, **settings))
        except OSError as error:
            self._view.notify(
                f"cannot write to the run's control file: {error.strerror}", severity="error", markup=False
            )
            return
        self.requests.add(control, words)
        self._view.request_written()
