"""Leaving the app: what becomes of the runs begun here, and what is said of the runs that still go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from textual.app import App

from engine.runs.controls import last_request
from engine.runs.directory import Run, parse_id
from engine.runs.listing import list_runs, names_of
from engine.runs.status import Status

from .dialogs import ChoiceScreen
from .follow.workers import Workers
from .lab.screen import LabScreen
from .state.wording import age_in_words
from .terminal.text import plain_text

LEAVE_SECONDS = 2.0
"""Seconds after a signal until the process exits by force, should the terminal take no more output."""
LOOK_SECONDS = 0.5
"""Seconds at most for finding out which runs go on, newest first, once the screen is gone."""
LISTED = 5
"""Most runs that are named then."""
_YOUNG = 120.0
"""Seconds after which a run that was begun holds its lock, unless its worker ended."""
_STOPPING = 10.0
"""Seconds for which a run that was asked to stop is not said to go on."""
_LEAVE_ON = (signal.SIGTERM, signal.SIGHUP)


class Leaving:
    """Asks what becomes of runs begun in an app, and ends the app, on request or by a signal."""

    def __init__(self, app: App[int], workers: Workers, note_session: Callable[[], None]) -> None:
        """``note_session`` has the screens write down what they show."""
        self._app = app
        self._workers = workers
        self._note_session = note_session

    async def ask(self, on_quit: str) -> None:
        """Leave; ``on_quit`` says what becomes of runs that were begun here: ask, detach or stop."""
        if isinstance(self._app.screen, ChoiceScreen):  # the dialog is open
            return
        going = await asyncio.to_thread(self.going)
        choice = on_quit if going else "detach"
        if choice == "ask":
            words = f"{going} run{'s' if going > 1 else ''} begun here still go{'es' if going == 1 else ''} on."
            question = (
                f"{words} Stopped runs keep what they wrote; left alone they train on without this terminal."
            )
            choices = [("x", "stop them and leave"), ("d", "leave them running")]
            self._app.push_screen(ChoiceScreen("Quit", question, choices), self._chosen)
        else:
            await self._chosen("x" if choice == "stop" else "d")

    async def _chosen(self, choice: str | None) -> None:
        if choice == "x":
            for lab in self._labs():
                await lab.control.let_go()
            await asyncio.to_thread(self._workers.stop_all)
        if choice is not None:
            self.detach()

    def _labs(self) -> list[LabScreen]:
        return [screen for screen in self._app.screen_stack if isinstance(screen, LabScreen)]

    def going(self) -> int:
        """Number of runs under way whose workers the lab or another screen started."""
        return sum(lab.session.going() for lab in self._labs()) + len(self._workers.running())

    def detach(self) -> None:
        """Leave; the runs go on."""
        self._note_session()
        self._app.exit(0)

    def handle_signals(self) -> None:
        """Leave through ``exit`` on SIGTERM and SIGHUP, since Textual does not restore the terminal then."""
        loop = asyncio.get_running_loop()
        for number in _LEAVE_ON:
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, self._leave, number)

    def _leave(self, number: int) -> None:
        self._note_session()
        self._app.exit(128 + number)
        last_resort = threading.Timer(LEAVE_SECONDS, os._exit, [128 + number])
        last_resort.daemon = True
        last_resort.start()


class GoingOn(NamedTuple):
    """The runs under a home whose workers live."""

    runs: list[Run]
    """The newest first."""
    complete: bool
    """Whether all runs were looked at in time."""


def find_going_on(home: Path, seconds: float = LOOK_SECONDS) -> GoingOn:
    """The runs under a home whose workers live and were not just asked to stop.

    The newest are looked at first, for ``seconds`` at most.
    """
    deadline = time.monotonic() + seconds
    found: list[Run] = []
    for number, run in enumerate(list_runs(home)):
        if number and time.monotonic() > deadline:
            return GoingOn(found, complete=False)
        # who takes a run up holds no lock while it loads; of all but young runs the lock alone tells, at less cost
        if (run.is_live() or (_age(run) < _YOUNG and run.status().is_live)) and not _is_stopping(run):
            found.append(run)
    return GoingOn(found, complete=True)


def _is_stopping(run: Run) -> bool:
    """Whether the worker was asked to stop a moment ago."""
    request = last_request(run)
    return request is not None and request.action == "stop" and time.time() - request.time < _STOPPING


def _age(run: Run) -> float:
    """Seconds since a run was made, by its id; infinite where the id does not say."""
    made = parse_id(run.id)
    return max(0.0, time.time() - made[0]) if made is not None else float("inf")


def farewell(going: GoingOn, options: str = "") -> list[str]:
    """The lines that name runs which go on, and how to stop them; none where none goes on.

    ``options`` are those by which the verb reaches this home.
    """
    runs = going.runs
    if not runs:
        return []
    rows = [_row(run) for run in runs[:LISTED]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["Still running, without this terminal:"]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        lines.append(f"  {'  '.join(cells)}".rstrip())
    if len(runs) > LISTED:
        lines.append(f"  and {len(runs) - LISTED} more")
    if not going.complete:
        lines.append("  and perhaps older ones: springtui runs lists all")
    stop = f"springtui{options} stop"
    if len(runs) == 1 and going.complete:
        return [*lines, f"{stop} {runs[0].id} stops it"]
    return [*lines, f"{stop} ID stops one, {stop} --all all of them"]


def _row(run: Run) -> tuple[str, str, str, str]:
    """Id, kind, age and what else there is to say of a run: its name, and that it is paused."""
    made = parse_id(run.id)
    age = "" if made is None else age_in_words(_age(run))
    facts = [*names_of(run)[:1], *(["paused"] if run.status() is Status.PAUSED else [])]
    return run.id, run.kind, age, plain_text(", ".join(facts))


def say_what_goes_on(home: Path, *, named_home: bool) -> None:
    """Print which runs under a home go on, where standard error is a terminal; the screen must be restored before.

    ``named_home``: whether the home was named on the command line, so that the commands shown must name it too.
    """
    if os.environ.get("TEXTUAL_DRIVER") or not _is_terminal():  # in a browser, or the terminal is gone
        return
    options = f" --home {shlex.quote(str(home))}" if named_home else ""
    with contextlib.suppress(OSError):  # the terminal may go meanwhile
        for line in farewell(find_going_on(home), options):
            sys.stderr.write(f"{plain_text(line)}\n")
        sys.stderr.flush()


def _is_terminal() -> bool:
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except (OSError, ValueError):
        return False
