"""Starting the process that reads logs. Imports nothing heavy, so that it starts before the app is imported."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ..errors import WorkerError

SERVER = "engine.logs.server"
"""The module that is run; a string, since the app must not import what it imports."""
PIPE_BYTES = 1 << 20
"""Bytes that wait between the two processes at most."""


def launch_server(paths: Sequence[Path], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the process that reads these paths; it ends when its standard input is closed.

    Args:
        paths: files, runs' folders, folders of runs.
        errors: takes its standard error.

    Raises:
        WorkerError: it could not be started.
    """
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", SERVER, *map(str, paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise WorkerError(f"cannot start the process that reads logs: {error}") from error
    if hasattr(fcntl, "F_SETPIPE_SZ") and process.stdout is not None:
        with contextlib.suppress(OSError):  # a person may have used up what the system allows
            fcntl.fcntl(process.stdout.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return process
