"""What all screens share, and what they ask of the app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from textual.app import SystemCommand
from textual.notifications import SeverityLevel
from textual.screen import ScreenResultType
from textual.widgets import Static

from engine.errors import SpringtuiError
from engine.runs.directory import Run

from .state.run_state import RunState
from .terminal.paced import PacedScreen
from .terminal.text import plain_text

P = ParamSpec("P")
T = TypeVar("T")


class Host(Protocol):
    """What an app offers to its screens; ``SpringApp`` is one."""

    read_only: bool
    """Whether nothing is asked of a worker and no run is made or changed."""

    def refuses(self, instead: str) -> bool:
        """Whether the app is read-only, which is then said."""

    def tell_alerts(
        self, run_id: str, state: str, values: Mapping[str, float | None], *, heard: float, new: bool = False
    ) -> None:
        """Let the person's rules see how a run stands."""

    def forget_alerts(self, run_id: str) -> None:
        """Drop what the person's rules know of a run that was deleted."""

    def open_run(self, run: Run, *, kind: str = "") -> None:
        """Open the screen for a run of this kind."""

    async def open_lab_with(self, settings: Mapping[str, Any], noise: str = "") -> None:
        """Open the lab with a network of these settings."""

    def first_tour(self) -> None:
        """Show the tour where it was never seen."""


class Notifier(Protocol):
    """What can show the person a notice; every screen is one."""

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """Show a notice for ``timeout`` seconds."""


async def attempt(notifier: Notifier, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """What a blocking call returns, made in a thread; None where it failed, of which the person is notified."""
    try:
        return await asyncio.to_thread(call, *args, **kwargs)
    except (SpringtuiError, OSError) as error:
        notifier.notify(plain_text(str(error)), severity="error", timeout=10, markup=False)
        return None


class BaseScreen(PacedScreen[ScreenResultType]):
    """A screen of the app, with what all of them need."""

    def __init__(self) -> None:
        super().__init__()
        self._words: dict[str, str] = {}
        """What its Statics say, by selector."""

    @property
    def host(self) -> Host:
        """The app, as screens know it."""
        return cast("Host", self.app)

    @property
    def read_only(self) -> bool:
        """Whether the app was opened to look only."""
        return self.host.read_only

    def refuses(self, instead: str) -> bool:
        """Whether the app is read-only, which is then said: ``instead`` of the action."""
        return self.host.refuses(instead)

    def commands(self) -> Iterable[SystemCommand]:
        """What the command palette offers here beside the bindings."""
        return ()

    def start_task(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a coroutine beside the screen's messages; a task of the same name that goes on is cancelled."""
        self.run_worker(work, exclusive=True, group=name)

    def cancel_task(self, name: str) -> None:
        """Cancel the task of this name, where there is one."""
        self.workers.cancel_group(self, name)

    def tell(self, texts: Mapping[str, str]) -> None:
        """Let Statics, by selector, say a text each; those that say it already are left alone."""
        for selector, text in texts.items():
            if self._words.get(selector) != text:  # an update repaints, whether anything changed or not
                self._words[selector] = text
                self.query_one(selector, Static).update(text)

    def tell_alerts(self, state: RunState, *, new: bool = False) -> None:
        """Let the person's rules see how a run stands."""
        values = state.latest.scalars if state.latest is not None else {}
        self.host.tell_alerts(state.run_id, state.status, values, heard=state.heard, new=new)


NOTHING_ASKED = "nothing is asked of the worker"
