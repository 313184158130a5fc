"""The base class of screens, and what they need of the app."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from textual.app import SystemCommand
from textual.dom import DOMNode
from textual.notifications import SeverityLevel
from textual.screen import ScreenResultType
from textual.widgets import Static

from engine.errors import SpringtuiError
from engine.runs.any_run import AnyRun
from engine.runs.records import Note
from engine.runs.status import Status

from .state.run_state import RunState
from .terminal.paced import PacedScreen
from .terminal.text import plain_text

P = ParamSpec("P")
T = TypeVar("T")


class Host(Protocol):
    """What screens call of the app; ``SpringApp`` offers it."""

    read_only: bool
    """Whether no worker is asked and no run made or changed."""

    @property
    def trouble(self) -> str:
        """Why nothing new is read, in words; empty while all is well."""

    def refuses(self, instead: str) -> bool:
        """Whether the app is read-only; then the person is notified. ``instead`` says what is not done."""

    def check_alerts(
        self,
        run_id: str,
        state: str,
        values: Mapping[str, float | None],
        *,
        heard: float,
        warnings: Sequence[Note] = (),
        new: bool = False,
    ) -> None:
        """Check the person's alert rules against a run's state, and show its warnings that are new."""

    def forget_alerts(self, run_id: str) -> None:
        """Drop what alert rules keep of a deleted run."""

    def open_run(self, run: AnyRun, *, kind: str = "") -> None:
        """Open the screen for a run of a kind; empty: the id tells it."""

    async def open_lab_with(self, settings: Mapping[str, Any], noise: str = "") -> None:
        """Open the lab with a network of these settings; ``noise`` is the setting that its second slider moves."""

    def first_tour(self) -> None:
        """Show the tour if it was never seen."""


class Notifier(Protocol):
    """Shows notices to the person; every screen does."""

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
    """Make a blocking call in a thread and return its result; None where it fails, after a notice of the error."""
    try:
        return await asyncio.to_thread(call, *args, **kwargs)
    except (SpringtuiError, OSError) as error:
        notifier.notify(plain_text(str(error)), severity="error", timeout=10, markup=False)
        return None


class BaseScreen(PacedScreen[ScreenResultType]):
    """The base of the app's screens."""

    def __init__(self) -> None:
        super().__init__()
        self._words: dict[str, str] = {}
        """By selector, the text that a Static shows."""

    @property
    def host(self) -> Host:
        """The app, typed as ``Host``."""
        return cast("Host", self.app)

    @property
    def read_only(self) -> bool:
        """Whether the app is read-only."""
        return self.host.read_only

    def refuses(self, instead: str) -> bool:
        """Whether the app is read-only; then the person is notified. ``instead`` says what is not done."""
        return self.host.refuses(instead)

    @property
    def of_log(self) -> bool:
        """Whether the screen shows nothing but what other tools logged."""
        return False

    def offers(self, action: str) -> bool:  # noqa: ARG002
        """Whether an action can do something for what the screen shows; help and palette leave others out."""
        return True

    def helped(self) -> Iterable[DOMNode]:
        """The widgets whose keys the help lists."""
        return self.query("*")

    def commands(self) -> Iterable[SystemCommand]:
        """The command palette's entries of this screen besides its key bindings."""
        return ()

    def start_task(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a coroutine as a task; a running task of the same name is cancelled."""
        self.run_worker(work, exclusive=True, group=name)

    def cancel_task(self, name: str) -> None:
        """Cancel the task of this name, if there is one."""
        self.workers.cancel_group(self, name)

    def set_texts(self, texts: Mapping[str, str]) -> None:
        """Update the Statics of these selectors to their texts, where they differ."""
        for selector, text in texts.items():
            if self._words.get(selector) != text:  # an update always repaints
                self._words[selector] = text
                self.query_one(selector, Static).update(text)

    def check_alerts(self, state: RunState, *, new: bool = False) -> None:
        """Check the person's alert rules against a run's state, and show its warnings that are new."""
        infinite = [name for name, value in state.values.items() if value is not None and not math.isfinite(value)]
        status = status_for_alerts(state.status, infinite, is_foreign=self.of_log)
        self.host.check_alerts(
            state.run_id, status, state.values, heard=state.heard, warnings=state.warnings, new=new
        )


def status_for_alerts(status: Status, infinite: Iterable[str], *, is_foreign: bool) -> Status:
    """The status by which alert rules go: another tool's log that goes on with a loss of NaN has diverged.

    Args:
        status: as observed.
        infinite: names of the scalars whose newest number is not finite.
        is_foreign: whether another tool writes the run, which does not say so itself.
    """
    diverged = is_foreign and not status.is_over and any("loss" in name.casefold() for name in infinite)
    return Status.DIVERGED if diverged else status


NOTHING_ASKED = "nothing is asked of the worker"
