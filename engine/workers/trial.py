"""Worker process that tries other settings of a network: ``python -P -m engine.workers.trial [--seconds=N] RUN``.

It prints its progress as JSON, one object a line, and keeps the result in the run's directory once all of it is
measured; it writes nothing else, so that it can end at any moment: on SIGTERM or SIGINT, and once its standard
input is closed, which it is when the process that started it is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import msgspec

from ..errors import SpringtuiError
from ..runs.directory import Run
from ..runs.launch import CANCELLED, TrialLine

_NICENESS = 5
"""Added to the process's nice value, as for other workers."""
_COMPILING = "compiling the training code, once on this machine (about 20 s)"


def main() -> int:
    """Exit status: 0 if the trial was saved, 1 if it failed, 2 for wrong arguments, 3 if it was cancelled."""
    options = {word.partition("=")[0]: word.partition("=")[2] for word in sys.argv[1:] if word.startswith("--")}
    arguments = [word for word in sys.argv[1:] if not word.startswith("--")]
    seconds = _number(options.get("--seconds", ""))
    if len(arguments) != 1 or options.keys() - {"--seconds"} or ("--seconds" in options and seconds is None):
        print("usage: python -P -m engine.workers.trial [--seconds=N] RUN_DIRECTORY", file=sys.stderr)
        return 2
    cancel = _Cancel()
    cancel.install()
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    try:
        _try(Run(Path(arguments[0])), seconds, cancel)
        return 0
    except SpringtuiError as error:
        _print(TrialLine(error=str(error)))
    except OSError as error:
        _print(TrialLine(error=f"the trial cannot be kept: {error.strerror}"))
    except Exception as error:
        _print(TrialLine(error=f"{type(error).__name__}: {error}"))
    return 1


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value < float("inf") else None


class _Cancel:
    """Ends the process when it is asked to, but not while the result is being written."""

    def __init__(self) -> None:
        self.saving = False

    def install(self) -> None:
        """Handle signals and the end of standard input."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        threading.Thread(target=self._wait_for_the_end_of_input, daemon=True).start()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._end()

    def _wait_for_the_end_of_input(self) -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        self._end()

    def _end(self) -> None:
        if not self.saving:
            os._exit(CANCELLED)


def _try(run: Run, seconds: float | None, cancel: _Cancel) -> None:
    """Make a run's trial and save it."""
    from ..ensemble.trainer import load_compiled  # PyTorch is slow to import, and signals are handled before
    from ..twin.experiment import Experiment
    from ..twin.trial import SECONDS, save_trial, start_of

    start = start_of(run)
    load_compiled(lambda _: _print(TrialLine(text=_COMPILING)))
    experiment = Experiment(
        start,
        SECONDS if seconds is None else seconds,
        lambda at: _print(TrialLine(done=at.done, total=at.total, left=at.left)),
    )
    trial = experiment.run()
    cancel.saving = True
    if trial is not None:
        save_trial(run, trial)


def _print(line: TrialLine) -> None:
    """Print a line at once; whoever no longer reads is ignored."""
    with contextlib.suppress(OSError):
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
