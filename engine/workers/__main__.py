"""The process that fills one run directory: ``python -P -m engine.workers [--force] [--executor=E] DIRECTORY``."""

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
"""The lab's screen goes before its workers on a busy machine."""


def main() -> int:
    """Exit status 0 where the run finished or was stopped, 1 where not, 2 where it was called wrongly."""
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
        _say_failed(run, str(error))
        _log(f"springtui: error: {error}")
    except Exception as error:
        _say_failed(run, f"{type(error).__name__}: {error}; worker.log has the details")
        _log(traceback.format_exc())
    return 1


def _log(text: str) -> None:
    """To worker.log, which a full disk need not take."""
    with contextlib.suppress(OSError):
        print(text.rstrip(), file=sys.stderr, flush=True)


def _say_failed(run: Run, text: str) -> None:
    """A last word in the run, unless another worker has it or the directory is gone.

    Where the records cannot take it, the lock file does.
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
