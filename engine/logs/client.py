"""The app's end of the process that reads logs: its runs, filled by a thread."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from ..errors import WorkerError
from . import wire
from .batch import Batch
from .foreign import ForeignRun
from .launch import launch_server

Hear = Callable[["LogClient", "ForeignRun | None", Batch], None]
_LAST_WORDS = 1 << 12
"""Bytes of the process's standard error that are looked at when it failed."""
_ENDING = 2.0
"""Seconds that the process has to end before it is killed."""
_MOST_FAILURES = 2
_SOON = 60.0
"""Seconds after which a failure of the process has nothing to do with the one before."""
_REST = 60.0
"""Seconds until it is started again after it has failed twice."""


class LogClient:
    """Runs the process that reads some paths, and takes what it tells. Any thread may look at the runs.

    Args:
        paths: files, runs' folders, folders of runs.
        hear: is called, in the thread that reads, with every run that has taken a batch, and the batch; with no
            run, and an empty batch, each time when all runs were read to their present ends.
        piped: that of the paths which holds what is piped in, and how screens call it.
    """

    def __init__(
        self, paths: Sequence[Path], hear: Hear | None = None, piped: tuple[Path, str] | None = None
    ) -> None:
        self.named = list(paths)
        """The paths as they were given, by which runs are named."""
        self._piped: Path | None = piped[0] if piped is not None else None
        self._piped_name = piped[1] if piped is not None else ""
        self.called = [self._piped_name if path == self._piped else str(path) for path in paths]
        """The paths as messages call them."""
        self._shared = _shared_folder(self.named)
        self.paths = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100 (resolving follows links)
        self.error = ""
        """Why no more is read, in words; empty while the process lives."""
        self.files = 0
        """Plain files that were looked over."""
        self.newest = 0.0
        """When the newest of these was changed, in seconds since the epoch."""
        self.problems: dict[str, str] = {}
        """By path, why it cannot be looked through."""
        self.own_runs: list[Path] = []
        """Run directories of springtui that belong to no run of another tool."""
        self.is_listed = self.is_idle = False
        """Whether all paths were looked through once; whether the present end of every run was reached."""
        self._hear = hear
        self._numbered: dict[int, ForeignRun] = {}
        self._by_key: dict[tuple[str, bytes, str], ForeignRun] = {}
        self._ids: set[str] = set()
        self._names: set[str] = set()
        self._hidden: set[str] = set()
        """Ids of runs that are the same training as another one."""
        self._instead: dict[int, int] = {}
        """By number of a run that is not shown, the number of the one that is shown in its place, or -1."""
        self._beside: dict[int, dict[str, ForeignRun]] = {}
        """By number of a run, those in whose place it is shown, by id."""
        self._mark = 0
        self._has_new = False
        """Whether runs were told of since all had been read."""
        self._input_ended = False
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._errors = _nameless()
        self._process = launch_server(self.named, self._errors)
        self._thread = threading.Thread(target=self._follow, name="logs", daemon=True)
        self._thread.start()

    # the runs

    def runs(self) -> list[ForeignRun]:
        """The runs that were found, in that order; of one training in several formats the fullest."""
        with self._changed:
            return [run for run in self._by_key.values() if run.id not in self._hidden]

    def mark(self) -> int:
        """Differs once a run was found, or turned out to be another one, and once all have been read."""
        return self._mark

    def is_shown(self, run: ForeignRun) -> bool:
        """Whether it is no other format of a training that is shown."""
        return run.id not in self._hidden

    def piped_position(self) -> int | None:
        """How many bytes of what is piped in have been read; None where nothing reads it, or not yet."""
        with self._changed:
            reading = [run for run in self._by_key.values() if run.files == [self._piped] and self.is_shown(run)]
            return min(run.position() for run in reading) if reading and not self.error else None

    def wait(self, until: Callable[[LogClient], bool], seconds: float) -> bool:
        """Wait until this holds, or the process has failed; whether it holds. It is asked after every message."""
        end = time.monotonic() + seconds
        with self._changed:
            while not until(self) and not self.error:
                if not self._changed.wait(max(0.0, end - time.monotonic())) and time.monotonic() >= end:
                    break
            return until(self)

    def end_input(self) -> None:
        """Note that nothing more is piped in."""
        with self._changed:
            self._input_ended = True
            for run in self._by_key.values():
                if run.is_piped:
                    run.end_input()

    def close(self) -> None:
        """End the process; what was read can still be looked at."""
        self._closed.set()
        _end(self._process)
        self._thread.join(_ENDING)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    # called in the thread

    def _follow(self) -> None:
        failures, failed = 0, -_SOON
        while not self._closed.is_set():
            trouble = self._take_all()
            if self._closed.is_set():
                return
            now = time.monotonic()
            failures, failed = (failures + 1 if now - failed < _SOON else 1), now
            words = trouble or self._last_words() or f"it ended with exit status {self._process.wait()}"
            if failures >= _MOST_FAILURES:
                self._set_error(
                    f"the process that reads logs failed: {words}; what was read is still shown, and it is "
                    "started again in a minute"
                )
                if self._closed.wait(_REST):
                    return
                self._set_error("")
            self._process.kill()
            _end(self._process)
            if self._process.stdout is not None:
                self._process.stdout.close()
            try:
                self._process = launch_server(self.named, self._errors)
            except WorkerError as error:
                self._set_error(str(error))
                return
            with self._changed:
                for run in self._by_key.values():
                    run.begin_anew()
                self._numbered, self._instead, self._beside = {}, {}, {}
                self._hidden, self.is_idle = set(), False

    def _set_error(self, text: str) -> None:
        with self._changed:
            self.error = text
            self._mark += 1
            self._changed.notify_all()

    def _take_all(self) -> str:
        """Take frames to the end of the stream; what was wrong with them, in words."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        try:
            while (came := wire.read_frame(lambda rest: os.readv(descriptor, [rest]))) is not None:
                self._take(*came)
        except (WorkerError, OSError, ValueError, KeyError) as error:
            return str(error)
        return ""

    def _take(self, message: wire.Message, body: bytearray) -> None:
        if isinstance(message, wire.News):
            run, batch = self._numbered[message.number], wire.batch_of(message, body)
            run.take(batch, message.changed)
            if self._hear is not None:
                self._hear(self, run, batch)
        elif isinstance(message, wire.Idle) and self._hear is not None:
            self._hear(self, None, Batch())
        with self._changed:
            if isinstance(message, wire.Found):
                self._take_found(message)
            elif isinstance(message, wire.Listed):
                called = {str(self._piped): self._piped_name}
                self.problems = {called.get(path, path): why for path, why in message.problems.items()}
                self.is_listed, self.files = True, message.files
                self.newest = message.newest
                own_runs = [Path(os.fsdecode(path)) for path in message.own_runs]
                self._mark += own_runs != self.own_runs
                self.own_runs = own_runs
            if isinstance(message, wire.Idle) and self._has_new:
                self._mark, self._has_new = self._mark + 1, False
            if not isinstance(message, wire.Listed):
                self.is_idle = isinstance(message, wire.Idle)
            self._changed.notify_all()

    def _take_found(self, message: wire.Found) -> None:
        key = message.format, message.folder, message.run
        run = self._by_key.get(key)
        if run is None:
            run = self._new_run(message)
            self._by_key[key] = run
        run.set_files([Path(os.fsdecode(path)) for path in message.files], is_gone=message.is_gone)
        run.own = Path(os.fsdecode(message.own)) if message.own else None
        self._numbered[message.number] = run
        self._show_instead(run, message)
        self._mark += 1
        self._has_new = True

    def _new_run(self, message: wire.Found) -> ForeignRun:
        """A run with its names; of what is piped in no folder and no habit of files is told."""
        is_piped = bool(message.files) and message.files[0] == os.fsencode(self._piped or "")
        path, habit = (Path(self._piped_name), "") if is_piped else (message.path, message.habit)
        run = ForeignRun(self._new_id(message, is_piped), path, message.label, habit)
        run.is_piped = is_piped
        run.name = self._unique(message.name, message.format, self._names)
        if is_piped and self._input_ended:
            run.end_input()
        return run

    def _show_instead(self, run: ForeignRun, message: wire.Found) -> None:
        """Note whether another run is shown in its place, which then tells its settings too."""
        before = self._instead.get(message.number, -1)
        self._instead[message.number] = message.instead
        if before != message.instead:
            (self._hidden.discard if message.instead < 0 else self._hidden.add)(run.id)
            self._beside.get(before, {}).pop(run.id, None)
            if message.instead >= 0:
                self._beside.setdefault(message.instead, {})[run.id] = run
        for number in {before, message.instead, message.number} & self._beside.keys() & self._numbered.keys():
            self._numbered[number].set_beside(list(self._beside[number].values()))

    def _new_id(self, message: wire.Found, is_piped: bool) -> str:
        """The run's name as screens show it: without the folder that all named paths share."""
        name = message.name.removeprefix(self._shared)
        if is_piped:
            name = self._piped_name
        elif name == "." or name.startswith(".#"):
            first = message.path if message.path in self.paths or not message.files else message.files[0]
            name = (Path(os.fsdecode(first)).name or str(message.path)) + name[1:]
        return self._unique(name, message.format, self._ids)

    @staticmethod
    def _unique(name: str, kind: str, taken: set[str]) -> str:
        """The name, with its format where another run has that name."""
        found, count = name, 1
        while found in taken:
            found = f"{name} ({kind}{f' {count}' if count > 1 else ''})"
            count += 1
        taken.add(found)
        return found

    def _last_words(self) -> str:
        """The last line that the process wrote to its standard error."""
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - _LAST_WORDS))
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _nameless() -> IO[bytes]:
    """A file without a name, in memory where the system offers that: a disk may be full."""
    try:
        return os.fdopen(os.memfd_create("logs"), "w+b", buffering=0)
    except (OSError, AttributeError):  # not every system has it
        return tempfile.TemporaryFile(buffering=0)


def _shared_folder(paths: Sequence[Path]) -> str:
    """The folder with which several paths begin, with the slash behind it; empty where there is none."""
    if len(paths) < 2 or len({path.is_absolute() for path in paths}) > 1:
        return ""
    shared = os.path.commonpath(paths)
    return f"{shared.rstrip(os.sep)}{os.sep}" if shared and all(Path(shared) != path for path in paths) else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Have a process end, which it does once its standard input is closed; kill it where it does not."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    try:
        process.wait(_ENDING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
