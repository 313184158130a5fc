"""Writes the directory of a ``probe`` run from within a user's own training.

The user's process holds the lock as long as it trains. A script that ends normally records ``finished``, one that
ends by an exception ``failed`` with its text; a killed one records nothing, and the released lock shows a crash.
"""

from __future__ import annotations

import contextlib
import multiprocessing.util
import os
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..runs.controls import ControlReader
from ..runs.directory import Run
from ..runs.listing import open_home
from ..runs.records import Acknowledged, Control, Curve, Ended, Event, Health, Note, Started
from ..runs.status import Status
from ..runs.writer import RunWriter
from ..settings.probe import ProbeConfig

_POLL_SECONDS = 1.0
"""Seconds between reads of the control file."""


class ProbeRun:
    """Writes one run's records; does nothing in a forked child, as a data loader's worker.

    Raises:
        HomeError: the home directory cannot be used.
        LockedError, OSError: the run's directory cannot be written.
    """

    def __init__(self, home: Path | None, config: ProbeConfig) -> None:
        self.run = Run.create(open_home(home), config, origin="probe")
        self._writer: RunWriter | None = self.run.writer()
        self._controls = ControlReader(self.run)
        self._pid = os.getpid()
        self._next_look = 0.0
        self._started: Started | None = None
        self.at = 0
        """Number of the training's last step."""
        self.last: dict[str, Any] = {}
        """Summary of the newest measurement, for the last record."""
        _forget_in_children(self)
        if multiprocessing.parent_process() is not None:
            multiprocessing.util.Finalize(self, end_with_child, args=(self,), exitpriority=10)

    @property
    def is_open(self) -> bool:
        """Whether records can be written: not ended, and not in a forked child."""
        return self._own_writer() is not None

    def _own_writer(self) -> RunWriter | None:
        """The run's writer; None in a forked child, and once the run has ended."""
        return self._writer if os.getpid() == self._pid else None

    def start(self, started: Started) -> None:
        """Write the first record; where that fails, it is written before the next record.

        Raises:
            OSError, DiskFullError: it cannot be written now.
        """
        self._started = started
        self._write_started()

    def _write_started(self) -> None:
        if self._started is not None and (writer := self._own_writer()) is not None:
            writer.write(self._started)
            self._started = None

    def write(self, curve: Curve, summary: Mapping[str, Any]) -> None:
        """Write a measurement, and keep its summary for the last record.

        Raises:
            OSError, DiskFullError: it cannot be written.
        """
        self.last = dict(summary)
        self._write(curve)

    def write_health(self, health: Health) -> None:
        """Write the layer health of a measurement.

        Raises:
            OSError, DiskFullError: it cannot be written.
        """
        self._write(health)

    def note(self, text: str) -> None:
        """Write a warning for the user; errors of writing are ignored."""
        with contextlib.suppress(Exception):
            self._write(Note(text=text, level="warning"))

    def asked(self) -> list[Control]:
        """New requests in the control file, which is read once a second; else empty."""
        if not self.is_open or time.monotonic() < self._next_look:
            return []
        self._next_look = time.monotonic() + _POLL_SECONDS
        return self._controls.new()

    def answer(self, control: Control, take: Callable[[Control], dict[str, Any]]) -> None:
        """Apply one request with ``take``; acknowledge it with the changed settings, or why it was refused.

        Raises:
            OSError, DiskFullError: the acknowledgement cannot be written.
        """
        error, settings = "", {}
        try:
            settings = take(control)
        except ConfigError as refusal:
            error = str(refusal)
        self._write(
            Acknowledged(control=control.seq, action=control.action, step=self.at, settings=settings, error=error)
        )

    def end(self, reason: Status, text: str) -> None:
        """Write the last record and release the lock; does nothing where that was done."""
        writer, self._writer = self._writer, None
        if writer is None or os.getpid() != self._pid:
            return
        try:
            writer.write(Ended(reason=reason, text=text, at=self.at, summary=self.last))
        except Exception:
            writer.release(reason, text)  # the lock file's space is allocated, so it can be written on a full disk
        else:
            writer.release()

    def forget(self) -> None:
        """Close the lock's file in a forked child; the parent keeps the lock."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, event: Event) -> None:
        if (writer := self._own_writer()) is not None:
            self._write_started()
            writer.write(event)


def _forget_in_children(probe_run: ProbeRun) -> None:
    """Close the lock in forked children, such as data loaders' workers, which may outlive a killed script."""
    reference = weakref.ref(probe_run)

    def forget() -> None:
        if (held := reference()) is not None:
            held.forget()

    os.register_at_fork(after_in_child=forget)


def end_with_script(probe_run: ProbeRun) -> None:
    """End a run that the script did not close, when the script ends or its probe is garbage-collected."""
    _end(probe_run, None if hasattr(sys, "ps1") else getattr(sys, "last_value", None))


def end_with_child(probe_run: ProbeRun) -> None:
    """End a run in a process of multiprocessing, which skips the interpreter's exit functions.

    It runs while the exception that ended the process is being handled.
    """
    _end(probe_run, sys.exc_info()[1])


def _end(probe_run: ProbeRun, error: BaseException | None) -> None:
    if error is None or (isinstance(error, SystemExit) and not error.code):
        probe_run.end(Status.FINISHED, "the script ended, or dropped its probe")
    elif isinstance(error, KeyboardInterrupt):
        probe_run.end(Status.STOPPED, "the script was interrupted")
    else:
        probe_run.end(Status.FAILED, f"the script ended by {describe(error)}")


def describe(error: BaseException) -> str:
    """An exception's type and the first line of its text."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
