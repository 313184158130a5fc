"""One run, filled from its beginning to its last record."""

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
    """Fill a run's directory here, in this process, and say how it ended.

    Args:
        run: whose directory is filled.
        interrupted: the process's SIGTERM.
        force: also take up a run whose last worker, on another host, is not known to have ended.
        executor: who makes a sweep's cells, in place of the one that its configuration names.

    Raises:
        InputError: the settings or the data are wrong, or the directory is gone.
        LockedError: another worker writes this run.
        DiskFullError: there is no room; the lock file says so too.
        WorkerError: a sweep's executor is gone.
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
