"""Asking a worker for something, and seeing that it answers; and ending one that does not.

Everything here waits: call it from a thread, or from the command line.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from ..errors import RunDirectoryError, RunError
from .directory import Run
from .lock import Lock, read_owner
from .records import Acknowledged
from .status import Observation, Status

_LOOK = 0.05


class Stopped(NamedTuple):
    """What came of asking a run to stop."""

    was: Observation
    """Before it was asked."""
    now: Observation
    """In the end."""
    acknowledged: bool
    """Whether the worker said that it had heard."""
    killed: bool
    """Whether its process was ended."""


def ask_and_wait(run: Run, action: str, patience: float = 10.0, **settings: object) -> Acknowledged | None:
    """Ask, and wait for the answer; None where none came in time, or the worker was gone.

    Args:
        run: whose worker is asked.
        action: set, pause, resume or stop.
        patience: seconds to wait.
        settings: what ``set`` is to put in force.

    Raises:
        DiskFullError: the control file cannot take the request.
        OSError: it cannot be written.
    """
    log = run.log()
    offset = log.signature().size
    control = run.ask(action, **settings)
    deadline = time.monotonic() + patience
    while True:
        live = run.observe().live is not False  # before the records, so that no last answer is missed
        while (piece := log.read(offset)).end != offset:
            offset = piece.end
            for event in map(log.decode, piece.records):
                if isinstance(event, Acknowledged) and event.control == control.seq:
                    return event
        if not live or time.monotonic() >= deadline:
            return None
        time.sleep(_LOOK)


def stop(run: Run, patience: float = 10.0, *, kill: bool = False) -> Stopped:
    """Ask a run's worker to stop and wait until it has; where it has not, ``kill`` ends its process.

    A worker that is only starting is waited for first. A run that is over is left alone. A user's training that
    a probe watches goes on: the probe alone stops. ``patience`` is in seconds.

    Raises:
        ConfigError: ``kill`` would end a user's own training.
        DiskFullError: the control file cannot take the request.
        OSError: it cannot be written.
    """
    if kill:
        run.require_worker_run()
    was = run.observe()
    deadline = time.monotonic() + patience
    now = _wait(run, deadline, lambda found: found.status is not Status.STARTING)
    answer = None
    if now.status in {Status.RUNNING, Status.PAUSED, Status.UNKNOWN}:
        answer = ask_and_wait(run, "stop", max(0.1, deadline - time.monotonic()))
        now = _wait(run, deadline, _has_ended)
    killed = kill and not _has_ended(now) and now.status is not Status.WAITING and _kill(run)
    if killed:
        now = _wait(run, time.monotonic() + patience, _has_ended)
    return Stopped(was, now, answer is not None, killed)


def _has_ended(found: Observation) -> bool:
    return found.is_over and not found.live


def _wait(run: Run, deadline: float, until: Callable[[Observation], bool]) -> Observation:
    while not until(found := run.observe()) and time.monotonic() < deadline:
        time.sleep(_LOOK)
    return found


def _kill(run: Run) -> bool:
    """End the very process that the lock names, on this host; never another that has its number now."""
    owner = read_owner(run.lock_path)
    if owner is None or not owner.is_here:
        return False
    with contextlib.suppress(ProcessLookupError):
        if not hasattr(os, "pidfd_open"):
            if owner.is_alive():
                os.kill(owner.pid, signal.SIGKILL)
                return True
            return False
        fd = os.pidfd_open(owner.pid)
        try:
            # the descriptor stands for one process, whoever has its number later
            if owner.mark and owner.is_alive():
                signal.pidfd_send_signal(fd, signal.SIGKILL)
                return True
        finally:
            os.close(fd)
    return False


def remove(run: Run, *, force: bool = False) -> None:
    """Remove a run's directory, all of it and nothing else: links in it are removed, not followed.

    The run is held meanwhile, so that no worker takes it up.

    Raises:
        LockedError: a worker writes it; or may do so, on another host, unless ``force``.
        RunError: it cannot be removed.
    """
    run.require_free(force=force)
    lock = Lock(run.lock_path)
    try:
        with contextlib.suppress(RunDirectoryError, OSError):  # a damaged lock, or a full disk, holds nobody
            lock.acquire()
        aside = run.path.with_name(f".{run.path.name}.removed")
        shutil.rmtree(aside, ignore_errors=True)
        run.path.rename(aside)  # gone at once for everyone who lists, however long the rest takes
        shutil.rmtree(aside)
    except OSError as error:
        raise RunError(f"cannot remove {run.path}: {error.strerror}") from error
    finally:
        lock.close()
