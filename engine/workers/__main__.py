"""Worker process that fills one run directory: ``python -P -m engine.workers [--force] [--executor=E] RUN``."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import traceback
from pathlib import Path

from ..errors import SpringtuiError
from ..runs.directory import Run
from ..runs.records import Ended
from ..runs.status import Status
from .control_loop import Interrupted
from .work import work

_NICENESS = 5
"""Added to the process's nice value, so that the app stays responsive on a busy machine."""


def main() -> int:
    """Exit status: 0 if the run finished or was stopped, 1 if it did not, 2 for wrong arguments."""
    options = {word.partition("=")[0]: word.partition("=")[2] for word in sys.argv[1:] if word.startswith("--")}
    arguments = [word for word in sys.argv[1:] if not word.startswith("--")]
    if len(arguments) != 1 or options.keys() - {"--force", "--executor"}:
        print("usage: python -P -m engine.workers [--force] [--executor=E] RUN_DIRECTORY", file=sys.stderr)
        return 2
    faulthandler.enable()  # a crash of compiled code leaves a trace in the log
    interrupted = Interrupted()
    interrupted.install()
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    run = Run(Path(arguments[0]))
    force, executor = "--force" in options, options.get("--executor")
    try:
        ended = work(run, interrupted, force=force, executor=executor)
        return 0 if ended.reason in {Status.FINISHED, Status.STOPPED} else 1
    except SpringtuiError as error:
        _record_failure(run, str(error))
        _log(f"springtui: error: {error}")
    except Exception as error:
        _record_failure(run, f"{type(error).__name__}: {error}; worker.log has the details")
        _log(traceback.format_exc())
    return 1


def _log(text: str) -> None:
    """Write to standard error, which is worker.log; a full disk is ignored."""
    with contextlib.suppress(OSError):
        print(text.rstrip(), file=sys.stderr, flush=True)


def _record_failure(run: Run, text: str) -> None:
    """Record that the run failed; in the lock file where the log cannot be written.

    Nothing happens where another worker holds the run or its directory is gone.
    """
    with contextlib.suppress(SpringtuiError, OSError):
        writer = run.writer()
        try:
            writer.write(Ended(reason=Status.FAILED, text=text))
        except SpringtuiError:
            writer.release(Status.FAILED, text)
            raise
        writer.release()


if __name__ == "__main__":
    sys.exit(main())
