"""What the Watch screen asks of a run's worker: pause, stop, other settings; each shown as acknowledged or not."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from engine.runs.directory import Run
from engine.runs.status import Status
from engine.settings.run import RunConfig

from ..dialogs import PromptScreen
from ..screen import NOTHING_ASKED, BaseScreen
from ..state.timeline import View
from ..terminal.text import plain_text
from .requests import Requests, movable, parse_move

_ASKING = {"toggle_pause", "stop", "set"}


class RunControl(BaseScreen[None]):
    """The half of the screen that asks; its other half shows."""

    run_dir: Run
    requests: Requests
    config: RunConfig | None
    whole: View

    def say(self) -> None:
        """Show what was asked, and its fate."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Of a run that has ended nothing can be asked, so that it is not offered."""
        return self.read_only or action not in _ASKING or not self.whole.state.is_over

    def _may_not_ask(self) -> bool:
        """Whether there is nobody to ask, or the app may not; either is said."""
        state = self.whole.state
        if self.refuses(NOTHING_ASKED):
            return True
        if state.is_over:
            self.notify(f"the run is {state.status}: it has no worker to ask", timeout=4, markup=False)
        return state.is_over

    async def _ask(self, action: str, words: str, **settings: Any) -> None:
        if self._may_not_ask():
            return
        try:
            control = await asyncio.to_thread(lambda: self.run_dir.ask(action, **settings))
        except OSError as error:
            self.notify(
                f"cannot write to the run's control file: {error.strerror}", severity="error", markup=False
            )
            return
        self.requests.add(control, words)
        self.say()

    async def action_toggle_pause(self) -> None:
        """Pause the worker, or let it go on."""
        action = "resume" if self.whole.state.status is Status.PAUSED else "pause"
        await self._ask(action, action)

    async def action_stop(self) -> None:
        """Ask the worker to stop."""
        await self._ask("stop", "stop")

    def action_set(self) -> None:
        """Ask for another value of a setting that can move."""
        if self._may_not_ask():
            return
        about = f"key=value; these can change while it runs: {', '.join(movable(self.config))}"
        check = functools.partial(parse_move, self.config)
        self.app.push_screen(PromptScreen("Set", about, check=check), self._set_chosen)

    async def _set_chosen(self, text: str | None) -> None:
        if text is not None:
            await self._ask("set", f"set {plain_text(text)}", **parse_move(self.config, text))
