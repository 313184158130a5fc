"""``springtui watch PATH``: other tools' logs on the screens, or as records."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import LogError, TerminalError, WorkerError
from engine.logs.named import require_named
from engine.runs.directory import Run

from ..preferences.preferences import load_preferences
from ..terminal.gc_pauses import held
from .opening import check_terminal
from .options import STANDARD_INPUT
from .output import print_json, print_message
from .session import Session
from .standard_input import NAME, Spool

if TYPE_CHECKING:
    from engine.logs.client import Hear, LogClient

_FIRST_LOOK = 5.0
"""Seconds within which the first run is waited for, or the end of the first look through the paths."""
_FORMATS = 6
"""Runs, at most, of which it is waited for whether they are one training in several formats."""
_ONE_TRAINING = 0.5
"""Seconds for that."""
_BEGINNING = 60.0
"""Seconds since the last change of a file within which a training may have begun that has no log yet."""
_PAUSE = 0.05


@contextlib.contextmanager
def reading(paths: Sequence[str], hear: Hear | None = None) -> Iterator[tuple[LogClient, Spool | None]]:
    """The process that reads these paths, where ``-`` is standard input, and what is piped in, if anything."""
    spool = Spool() if STANDARD_INPUT in paths else None
    named = [spool.path if spool is not None and path == STANDARD_INPUT else Path(path) for path in paths]
    try:
        require_named(named)
        from engine.logs.client import LogClient  # own runs need no NumPy

        client = LogClient(named, hear, None if spool is None else (spool.path, NAME))
        try:
            if spool is not None:
                spool.follow(client.piped_position)
            yield client, spool
        finally:
            client.close()
    finally:
        if spool is not None:
            spool.close()


def open_screens(session: Session, paths: Sequence[str], own: Sequence[Run]) -> int:
    """Open the app on these paths and on runs of springtui; the exit status.

    What is piped in is printed to its end once the app was left: its writer would die of a pipe without a reader.

    Raises:
        LogError: nothing under the paths is a log that springtui reads.
        TerminalError: there is no terminal.
    """
    if STANDARD_INPUT in paths and os.isatty(0):
        raise LogError("nothing is piped in, which - stands for; as python train.py | springtui watch -")
    with reading(paths) as (client, spool):
        if spool is not None:
            _take_terminal()
        check_terminal("watching", f"without one: springtui watch {' '.join(paths)} --json")
        effective = load_preferences(session.options())
        with held():
            from ..app import Opening, run_app  # while the other process begins to read
            from ..follow.opened import OpenedRuns

            source = OpenedRuns(own, client, lambda: "" if spool is None else spool.trouble)
            client.wait(lambda client: client.is_listed or len(source.runs()) > 1, _FIRST_LOOK)
            if 1 < len(source.runs()) <= _FORMATS:
                client.wait(lambda client: client.is_idle and client.is_listed, _ONE_TRAINING)
            runs = source.runs()
            if not runs and client.is_listed and spool is None and not is_beginning(client):
                refuse(client)
            first = runs[0] if len(runs) == 1 and client.is_listed else None
            if spool is not None:
                threading.Thread(target=_end_input, args=(client, spool), name="end-of-input", daemon=True).start()
            opening = Opening("watch" if first is not None else "runs", first, read_only=True, source=source)
            status = run_app(session.look_home(), None, effective, opening)
        if spool is not None and status == 0:
            client.close()
            spool.pass_on()
        return status


def is_beginning(client: LogClient) -> bool:
    """Whether there is no file yet, or one so young that its training may be about to write its log."""
    return not (client.error or client.problems) and (not client.files or time.time() - client.newest < _BEGINNING)


def refuse(client: LogClient) -> None:
    """Say that nothing is there to read.

    Raises:
        WorkerError: the process that reads has failed.
        LogError: there is no log that springtui reads, or nothing may be looked at.
    """
    if client.error:
        raise WorkerError(client.error)
    from engine.logs.read import refusal  # which needs NumPy

    raise LogError(refusal(client.called, client.files, client.problems))


def _take_terminal() -> None:
    """Make the terminal the standard input, which a pipe was.

    Raises:
        TerminalError: there is none.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError as error:
        raise TerminalError(
            f"there is no terminal to draw on and to take keys from ({error.strerror}); "
            "without one: springtui watch - --json"
        ) from error
    os.dup2(terminal, 0)
    os.close(terminal)


def _end_input(client: LogClient, spool: Spool) -> None:
    spool.ended.wait()
    client.end_input()


def print_records(paths: Sequence[str], *, once: bool) -> int:
    """Print the records of all runs under these paths as they come; the exit status.

    Args:
        paths: to look through.
        once: to the present end, and of standard input to its end; else until interrupted, or until standard
            input has ended where that is all.

    Raises:
        LogError: nothing under the paths is a log that springtui reads.
        WorkerError: the process that reads has failed.
    """
    from .log_news import LogNews  # which needs NumPy

    news, is_awaited, lost = LogNews(), False, ""
    ends = once or set(paths) == {STANDARD_INPUT}
    with reading(paths, news.hear) as (client, spool), contextlib.closing(news):
        while True:
            is_over = ends and client.is_idle and (spool is None or spool.is_read)
            if client.is_listed and not client.runs() and (is_over or spool is None) and not is_awaited:
                if once or is_over or not is_beginning(client):
                    refuse(client)
                print_message(f"springtui: no log yet, {client.files} files were looked at; one is waited for")
                is_awaited = True
            if spool is not None and (trouble := client.error or spool.trouble) != lost:
                lost = trouble
                print_message(f"springtui: {trouble or 'reading goes on'}")
            records = news.next(_PAUSE)
            if records is not None:
                for record in records:
                    print_json(record)
                if once and spool is None and news.has_ended and client.runs():
                    return 0
                continue
            sys.stdout.flush()
            if is_over:
                return 0
            if client.error and (spool is None or spool.is_read):  # the pipe is taken as long as it lasts
                raise WorkerError(client.error)
