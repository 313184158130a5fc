"""The process that fills one run directory: ``python -P -m engine.worker RUN_DIRECTORY``."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from pathlib import Path

from .config import kind_of
from .controlled import Interrupted
from .errors import ConfigError, SpringtuiError
from .records import Ended
from .rundir import Controls, Run

_NICENESS = 5
"""The lab's screen goes before its workers on a busy machine."""


def work(run: Run, interrupted: Interrupted | None = None) -> Ended:
    """Fill a run's directory here, in this process, and say how it ended.

    Raises:
        InputError: the settings or the data are wrong.
        LockedError: another worker writes this run.
    """
    if kind_of(run.config().settings) == "probe":
        raise ConfigError(f"{run.id} is filled by a training of your own; run that script again for a new run")
    lock = run.take()
    try:
        controls = Controls(run)
        kind = kind_of(run.config().settings)
        if kind == "chain":
            from .chain_worker import run_chain

            return run_chain(run, controls, interrupted)
        if kind == "sweep":
            from .sweep_worker import run_sweep

            return run_sweep(run, controls, interrupted)
        from .train_worker import run_training

        return run_training(run, controls, interrupted)
    finally:
        lock.release()


def main() -> int:
    """Exit status 0 where the run finished or was stopped, 1 where not."""
    if len(sys.argv) != 2:
        print("usage: python -P -m engine.worker RUN_DIRECTORY", file=sys.stderr)
        return 2
    interrupted = Interrupted()
    interrupted.install()
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    run = Run(Path(sys.argv[1]))
    try:
        return 0 if work(run, interrupted).reason in {"finished", "stopped"} else 1
    except SpringtuiError as error:
        print(f"springtui: error: {error}", file=sys.stderr)
        _say_failed(run, str(error))
    except Exception as error:
        traceback.print_exc()
        _say_failed(run, f"{type(error).__name__}: {error}; worker.log has the details")
    return 1


def _say_failed(run: Run, text: str) -> None:
    """A last word in the run, unless another worker has it or the directory is gone."""
    with contextlib.suppress(SpringtuiError, OSError):
        lock = run.take()
        run.write(Ended(reason="failed", text=text))
        lock.release()


if __name__ == "__main__":
    sys.exit(main())
