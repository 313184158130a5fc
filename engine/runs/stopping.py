"""Sending a worker a request and waiting for its answer; ending a worker that does not answer; removing a run.

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
"""Seconds between looks at the run while waiting."""


class Stopped(NamedTuple):
    """The result of asking a run to stop."""

    was: Observation
    """How the run stood before."""
    now: Observation
    """How it stands now."""
    acknowledged: bool
    """Whether the worker acknowledged the request."""
    killed: bool
    """Whether its process was killed."""


def ask_and_wait(run: Run, action: str, patience: float = 10.0, **settings: object) -> Acknowledged | None:
    """Send a request and wait for the answer; None where none came in time, or the worker is gone.

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
        live = run.observe().live is not False  # read before the records: the last one may be the answer
        while (piece := log.read(offset)).end != offset:
            offset = piece.end
            for event in map(log.decode, piece.records):
                if isinstance(event, Acknowledged) and event.control == control.seq:
                    return event
        if not live or time.monotonic() >= deadline:
            return None
        time.sleep(_LOOK)


def stop(run: Run, patience: float = 10.0, *, kill: bool = False) -> Stopped:
    """Ask a run's worker to stop and wait until it has.

    A worker that is starting is waited for first. Nothing is asked of a run that is over. Of a user's own training
    the probe alone stops; the training goes on.

    Args:
        run: whose worker is asked.
        patience: seconds to wait for the worker.
        kill: kill the worker's process where it has not stopped in time.

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
    """Kill the very process that the lock names, if it is on this host; never another that has its number now."""
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
            # the descriptor means this one process, even if another is given its number
            if owner.mark and owner.is_alive():
                signal.pidfd_send_signal(fd, signal.SIGKILL)
                return True
        finally:
            os.close(fd)
    return False


def remove(run: Run, *, force: bool = False) -> None:
    """Remove a run's directory and nothing else: links in it are removed, not followed.

    Its lock is held meanwhile, so that no worker takes it up.

    Raises:
        LockedError: a worker writes it; or may do so, on another host, unless ``force``.
        RunError: it cannot be removed.
    """
    run.require_free(force=force)
    lock = Lock(run.lock_path)
    try:
        with contextlib.suppress(RunDirectoryError, OSError):  # damaged, or no room: no worker holds it
            lock.acquire()
        aside = run.path.with_name(f".{run.path.name}.removed")
        shutil.rmtree(aside, ignore_errors=True)
        run.path.rename(aside)  # out of every list at once, however long the removal takes
        shutil.rmtree(aside)
    except OSError as error:
        raise RunError(f"cannot remove {run.path}: {error.strerror}") from error
    finally:
        lock.close()
