"""Starts a worker detached from the terminal. Imports nothing heavy: the app uses it."""

from __future__ import annotations

import os
import subprocess
import sys

from .errors import WorkerError
from .rundir import Run

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def launch(run: Run) -> subprocess.Popen[bytes]:
    """A worker in a session of its own, so that neither a lost terminal nor Ctrl-C reaches it.

    ``-P`` keeps the working directory off the import path: a file named engine.py there is not ours.

    Raises:
        WorkerError: it could not be started.
    """
    environment = {**os.environ, **{name: os.environ.get(name, "1") for name in _ONE_THREAD}}
    try:
        log = os.open(run.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "engine.worker", str(run.path.absolute())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        finally:
            os.close(log)
    except OSError as error:
        raise WorkerError(f"cannot start a worker for {run.id}: {error.strerror}") from error
