"""Fills one run in this process, by the function for its kind."""

from __future__ import annotations

from concurrent.futures import Executor

from ..errors import SpringtuiError
from ..runs.controls import ControlReader
from ..runs.directory import Run
from ..runs.records import Ended
from ..runs.status import Status
from ..settings.run import kind_of
from .control_loop import Interrupted


def work(
    run: Run,
    interrupted: Interrupted | None = None,
    *,
    force: bool = False,
    executor: Executor | str | None = None,
) -> Ended:
    """Fill a run's directory in this process and return its last record.

    Args:
        run: the run.
        interrupted: set by SIGTERM.
        force: take the lock even where a worker on another host may still hold it.
        executor: replaces the executor in a sweep's settings.

    Raises:
        InputError: the settings or the data are wrong, or the directory is gone.
        LockedError: another worker writes this run.
        DiskFullError: there is no room for a record; the lock file has the error too.
        WorkerError: a sweep's executor cannot be reached.
    """
    run.require_worker_run()
    writer = run.writer(force=force)
    word = ""
    try:
        controls = ControlReader(run)
        kind = kind_of(run.config().settings)
        if kind == "chain":
            from .chain import run_chain

            return run_chain(run, writer, controls, interrupted)
        if kind == "sweep":
            from .sweep import run_sweep

            return run_sweep(run, writer, controls, interrupted, executor)
        from .train import run_training

        return run_training(run, writer, controls, interrupted)
    except Exception as error:
        word = str(error) if isinstance(error, SpringtuiError) else f"{type(error).__name__}: {error}"
        raise
    finally:
        writer.release(Status.FAILED if word else "", word)
