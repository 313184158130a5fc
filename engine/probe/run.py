"""Writes the directory of a ``probe`` run from within a user's own training.

The user's process holds the lock as long as it trains. A script that ends normally records ``finished``, one that
ends by an exception ``failed`` with its text; a killed one records nothing, and the released lock shows a crash.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing.util
import os
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..errors import ConfigError
from ..runs.controls import ControlReader
from ..runs.directory import Run
from ..runs.listing import open_home
from ..runs.records import (
    Acknowledged,
    Control,
    Curve,
    Ended,
    Event,
    Health,
    Note,
    Scalars,
    Started,
    Usage,
    finite,
)
from ..runs.status import Status
from ..runs.writer import RunWriter
from ..settings.probe import ProbeConfig
from .scalars import KeptScalars
from .usage import ProcessUsage

_POLL_SECONDS = 1.0
"""Seconds between reads of the control file."""
_SCALARS_SECONDS = 1.0
"""Least seconds between records of the numbers given with steps, but for those written with a measurement."""
_PENDING = 1000
"""Number of records of numbers that are kept while they cannot be written."""


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
        self._pending: deque[Scalars] = deque(maxlen=_PENDING)
        """Records of numbers that could not be written, oldest first."""
        self._kept = KeptScalars()
        self._next_scalars = time.monotonic() + _SCALARS_SECONDS
        self._early: tuple[int, dict[str, float]] = (-1, {})
        """The newest step of which kept numbers were written, and these: should it be measured yet, its curve has
        them as well."""
        self._usage = ProcessUsage()
        self._used: Usage | None = None
        """The newest measurement of what the process uses."""
        self.newest: dict[str, float] = {}
        """The newest recorded number of each name that the training gave."""
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
        if (writer := self._own_writer()) is not None:
            self._write_delayed(writer)

    def _write_delayed(self, writer: RunWriter) -> None:
        """Write what could not be written before."""
        if self._started is not None:
            writer.write(self._started)
            self._started = None
        while self._pending:
            writer.write(self._pending[0])
            self._pending.popleft()

    # the training's numbers

    def keep(self, scalars: Mapping[str, Any]) -> list[str]:
        """Keep numbers of the present step, to be written soon; a warning for each name that is refused."""
        return self._kept.give(self.at, scalars) if self.is_open else []

    def log(self, scalars: Mapping[str, Any], step: int, epoch: Any = None) -> list[str]:
        """Write numbers of a step now, after those kept of earlier steps; a warning for each name that is refused.

        Raises:
            OSError, DiskFullError: they cannot be written now; they are written before the next record.
            ConfigError: a number cannot be read; the others are written.
        """
        if not self.is_open:
            return []
        given, epochs = KeptScalars(), KeptScalars()
        warned = given.give(step, scalars)
        if epoch is not None:
            warned += epochs.give(step, {"epoch": epoch})
        done = epochs.take()[0].get(step, {}).get("epoch", math.nan)
        self.write_kept(before=step)
        self._write_numbers(given, epoch=finite(done))
        return warned

    def write_kept(self, before: int | None = None) -> None:
        """Write the numbers that are kept, each at its step; of steps before ``before`` alone where it is given.

        Raises:
            OSError, DiskFullError, ConfigError: as ``log``.
        """
        self._next_scalars = time.monotonic() + _SCALARS_SECONDS
        if early := self._write_numbers(self._kept, before):
            self._early = next(reversed(early.items()))

    def write_kept_now_and_then(self) -> None:
        """Write the numbers that are kept, at most once a second.

        Raises:
            OSError, DiskFullError, ConfigError: as ``log``.
        """
        if not self._kept.is_empty and time.monotonic() >= self._next_scalars:
            self.write_kept()

    def _write_numbers(
        self, kept: KeptScalars, before: int | None = None, epoch: float | None = None
    ) -> dict[int, dict[str, float]]:
        """Write kept numbers; what was written, by step."""
        if kept.is_empty or not self.is_open:
            return {}
        taken, wrong = kept.take(before)
        self.newest |= {name: value for numbers in taken.values() for name, value in numbers.items()}
        self._write_all([Scalars(step=step, epoch=epoch, scalars=numbers) for step, numbers in taken.items()])
        if wrong:
            raise wrong[0]
        return taken

    # measurements

    def write_curves(self, curves: Sequence[Curve], summary: Mapping[str, Any]) -> None:
        """Write the curves of one step, the main tower's first, and keep the summary for the last record.

        Before them, numbers kept of earlier steps and what the process uses. The numbers of their own step become
        part of the first; those that are not finite follow.

        Raises:
            OSError, DiskFullError: they cannot be written; the numbers are written before the next record.
            ConfigError: a number cannot be read; all else is written.
        """
        self.last = dict(summary)
        if not self.is_open:
            return
        first, step = curves[0], curves[0].step
        taken, wrong = self._kept.take()
        own = taken.pop(step, {})
        self.newest |= {name: value for numbers in (*taken.values(), own) for name, value in numbers.items()}
        events: list[Event] = [Scalars(step=at, scalars=numbers) for at, numbers in taken.items()]
        if self._used is None or self._used.step != step:
            self._used = self._usage.measure(step)
            events.append(self._used)
        whole = {**self._early[1], **own} if self._early[0] == step else own
        scalars = {**first.scalars, **{name: finite(value) for name, value in whole.items()}}
        self._next_scalars = time.monotonic() + _SCALARS_SECONDS
        try:
            self._write_all([*events, msgspec.structs.replace(first, scalars=scalars), *curves[1:]])
        except Exception:
            self._pending += [Scalars(step=step, scalars=own)] if own else []
            raise
        if odd := {name: value for name, value in own.items() if not math.isfinite(value)}:
            self._write(Scalars(step=step, scalars=odd))
        if wrong:
            raise wrong[0]

    def metrics(self, *, logged: bool = True) -> dict[str, float]:
        """What the process used, and if ``logged`` the training's newest numbers, by name; perhaps not finite."""
        metrics = {f"scalars/{name}": value for name, value in self.newest.items()} if logged else {}
        used = self._used
        if used is None:
            return metrics
        amounts: dict[str, float | None] = {"cpu": used.cpu, "memory": used.memory}
        for gpu in used.gpus:
            amounts |= {f"gpu{gpu.index}/memory": gpu.memory, f"gpu{gpu.index}/reserved": gpu.reserved}
        return metrics | {f"usage/{name}": float(value) for name, value in amounts.items() if value is not None}

    def _write_all(self, events: Sequence[Event]) -> None:
        """Write records in order; where one cannot be written, the numbers after it are kept for later."""
        for index, event in enumerate(events):
            try:
                self._write(event)
            except Exception:
                self._pending += [later for later in events[index + 1 :] if isinstance(later, Scalars)]
                raise

    def write_health(self, health: Health) -> None:
        """Write the layer health of a measurement.

        Raises:
            OSError, DiskFullError: it cannot be written.
        """
        self._write(health)

    def note(self, text: str, level: str = "warning") -> None:
        """Write a note for the user: ``info``, ``warning`` or ``error``; errors of writing are ignored."""
        with contextlib.suppress(Exception):
            self._write(Note(text=text, level=level))

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
        taken, _ = self._kept.take()
        self._pending += [Scalars(step=step, scalars=numbers) for step, numbers in taken.items()]
        self.newest |= {name: value for numbers in taken.values() for name, value in numbers.items()}
        try:
            self._write_delayed(writer)
            writer.write(Ended(reason=reason, text=text, at=self.at, summary={**self.last, **self.newest}))
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
        if (writer := self._own_writer()) is None:
            return
        try:
            self._write_delayed(writer)
            writer.write(event)
        except Exception:
            if isinstance(event, Scalars):
                self._pending.append(event)
            raise


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
