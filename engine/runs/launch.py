"""Starting a worker detached from the terminal. Imports nothing heavy: the app uses it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import msgspec

from ..errors import WorkerError
from .directory import Run
from .files import open_plain
from .lock import Owner, note_exit, note_launched, note_of

WORKERS = "engine.workers"
"""The package that is run as a worker; a string, since the app must not import it."""
TRIALS = "engine.workers.trial"
"""The module that is run to try other settings of a network."""
CANCELLED = 3
"""Exit status of a trial that was cancelled."""
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class TrialLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line that the process of a trial prints."""

    done: int = 0
    """Networks trained."""
    total: int = 0
    """Networks that it will train, as planned at present; 0 before that is known."""
    left: float = 0.0
    """Seconds, estimated."""
    text: str = ""
    """What it does before the first network."""
    error: str = ""
    """Why it failed."""


def launch(run: Run, *, force: bool = False, executor: str | None = None) -> subprocess.Popen[bytes]:
    """Start a worker in a session of its own, which neither a lost terminal nor Ctrl-C reaches; its process.

    The process is noted in the run's lock file at once, and its exit status if it ends while this process lives.
    ``-P`` keeps the working directory off the import path, where a user's own engine.py may stand. SIGTERM is
    blocked until the worker has its handler, and then delivered.

    Args:
        run: whose directory the worker fills.
        force: also take up a run whose last worker, on another host, is not known to have ended.
        executor: who makes a sweep's cells, in place of the one that its configuration names.

    Raises:
        ConfigError: a training of the user's own writes it.
        LockedError: another worker writes this run, or may do so.
        WorkerError: it could not be started.
    """
    run.require_worker_run()
    run.require_free(force=force)
    words = (["--force"] if force else []) + ([f"--executor={executor}"] if executor else [])
    try:
        log = open_plain(run.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            with _sigterm_waits():
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", WORKERS, *words, str(run.path.absolute())],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=_environment(),
                    start_new_session=True,
                )
        finally:
            os.close(log)
    except OSError as error:
        raise WorkerError(f"cannot start a worker for {run.id}: {error.strerror}") from error
    owner = note_of(process.pid)
    note_launched(run.lock_path, owner)
    threading.Thread(target=_see_it_end, args=(run, process, owner), name=f"reap-{run.id}", daemon=True).start()
    return process


def launch_trial(
    run: Run, *, seconds: float | None = None, errors: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a process that tries other settings of a network; it prints a ``TrialLine`` a line.

    It takes no lock, and writes only the trial, once it is complete. It ends on SIGTERM, and when its standard
    input is closed, as it is when this process ends in whatever way; Ctrl-C in a terminal does not reach it.

    Args:
        run: whose settings in force it starts from.
        seconds: to take at most on idle cores; 0: as long as it takes; None: its own default.
        errors: descriptor to which its standard error goes.

    Raises:
        WorkerError: it could not be started.
    """
    words = [] if seconds is None else [f"--seconds={seconds:g}"]
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", TRIALS, *words, str(run.path.absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise WorkerError(f"cannot start a trial of {run.id}: {error.strerror}") from error


def _environment() -> dict[str, str]:
    return {**os.environ, **{name: os.environ.get(name, "1") for name in _ONE_THREAD}}


@contextlib.contextmanager
def _sigterm_waits() -> Iterator[None]:
    """Block SIGTERM in this thread, and so in a process that it starts, until that process unblocks it.

    A signal mask is kept across exec and belongs to one thread: other threads and their children are not affected.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _see_it_end(run: Run, process: subprocess.Popen[bytes], owner: Owner) -> None:
    """Wait for a worker to end and note its exit status in the lock file; only its parent can learn it."""
    note_exit(run.lock_path, owner, process.wait())
