"""A run is a directory; a worker fills it; a screen watches it.

config.json             what was asked, complete, with the schema's version
events.jsonl            what happened, appended by the worker alone
control.jsonl           what was asked since, appended by anyone
checkpoint.safetensors  where to go on from
worker.log              what the worker printed
lock                    held by the live worker; says who that is or was
twin.json               the map that was fitted to a sweep, once springtui twin was asked
label.json              a person's name and note for it, where there are any
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..errors import ConfigError, DiskFullError, HomeError, LockedError, RunDirectoryError, SpringtuiError
from ..settings.probe import ProbeConfig
from ..settings.run import SCHEMA_VERSION, RunConfig, Settings, kind_of
from .files import Tail, append_line, disk_full, make_private, open_plain, read_file, replace_file
from .lock import Lock, Owner, is_held, read_owner, this_process
from .records import Acknowledged, Control, Event, Started, encode, read_event
from .status import Liveness, has_ended, last_events, look

_CONFIG_LIMIT = 1 << 20
_LOG_BYTES = 1 << 16


class Run:
    """One run directory. Reading never needs the worker; writing events is the worker's alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next_event = 0
        self._last_asked = 0
        self._lock: Lock | None = None

    @property
    def id(self) -> str:
        """The directory's name."""
        return self.path.name

    @property
    def log_path(self) -> Path:
        """What the worker prints."""
        return self.path / "worker.log"

    @property
    def checkpoint_path(self) -> Path:
        """Where to go on from."""
        return self.path / "checkpoint.safetensors"

    @classmethod
    def create(cls, home: Path, settings: Settings, origin: str = "command") -> Run:
        """A new directory under ``home/runs``, complete from the moment it can be seen.

        Args:
            home: as ``open_home`` gives it.
            settings: of the run, checked.
            origin: who makes it, as ``command`` or ``lab``.

        Raises:
            HomeError: it cannot be written.
        """
        from .. import __version__

        now = time.time()
        kind = kind_of(settings)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
        name = f"{stamp}-{kind}-{os.urandom(3).hex()}"
        config = RunConfig(
            id=name,
            created=now,
            host=socket.gethostname(),
            version=__version__,
            origin=origin,
            settings=settings,
        )
        beside = home / "runs" / f".{name}"
        try:
            make_private(home)
            make_private(home / "runs")
            make_private(beside)
            replace_file(
                beside / "config.json", msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n"
            )
            for empty in ("events.jsonl", "control.jsonl"):
                append_line(beside / empty, b"")
            beside.rename(home / "runs" / name)
        except (OSError, DiskFullError) as error:
            shutil.rmtree(beside, ignore_errors=True)
            why = error.strerror if isinstance(error, OSError) else "there is no room left"
            raise HomeError(
                f"cannot write a run under {home}: {why}; make room, or choose another home with --home"
            ) from error
        return cls(home / "runs" / name)

    def config(self) -> RunConfig:
        """What ``config.json`` says.

        Raises:
            RunDirectoryError: the file is missing, damaged, or of a newer springtui.
        """
        data = read_file(self.path / "config.json", _CONFIG_LIMIT)
        try:
            config = msgspec.json.decode(data, type=RunConfig)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RunDirectoryError(f"{self.path / 'config.json'} is damaged: {error}") from error
        if config.schema > SCHEMA_VERSION:
            raise RunDirectoryError(
                f"{self.path} has schema {config.schema}; this springtui reads up to {SCHEMA_VERSION}: upgrade it"
            )
        return config

    def is_readable(self) -> bool:
        """Whether its configuration is that of a run."""
        try:
            self.config()
        except SpringtuiError:
            return False
        return True

    # the worker's side

    def take(self, *, force: bool = False) -> Lock:
        """Become the run's one writer, and go on numbering where the file ends.

        ``force`` also takes a run whose last worker, on another host, is not known to have ended.

        Raises:
            LockedError: another worker writes this run, or may do so.
            DiskFullError: there is no room.
            RunDirectoryError: the directory is gone or cannot be written.
        """
        lock = Lock(self.path / "lock")
        try:
            before = lock.acquire()
            if not force:
                self._must_be_free_of(before)
            owner = this_process()
            lock.note(owner)
            self._mend_torn_line()
            self._next_event = next((event.seq + 1 for event in reversed(self.last_events(64))), 0)
            lock.note(msgspec.structs.replace(owner, first=self._next_event))
        except (OSError, DiskFullError) as error:
            found = _cannot_write(error, self.path) if isinstance(error, OSError) else error
            lock.release("failed", str(found))
            raise found from error
        except BaseException:
            lock.close()
            raise
        self._lock = lock
        return lock

    def must_need_a_worker(self) -> None:
        """See that it is not a probe's run.

        Raises:
            ConfigError: a training of the user's own writes it: no worker goes on with it, and none may be ended.
        """
        with contextlib.suppress(RunDirectoryError):
            if isinstance(self.config().settings, ProbeConfig):
                raise ConfigError(
                    f"{self.id} is written by a training of your own: end it, or go on with it, in your script"
                )

    def may_be_taken(self, *, force: bool = False) -> None:
        """See that a worker could take the run up now; asked before one is started.

        Raises:
            LockedError: another worker writes this run, or may do so.
        """
        if self.is_live():
            found = self.liveness()
            raise LockedError(
                f"{self.id} is being written by another worker ({found.text}); stop it first (springtui stop)"
            )
        if not force:
            self._must_be_free_of(read_owner(self.path / "lock"))

    def _must_be_free_of(self, before: Owner | None) -> None:
        """``flock`` may not reach across hosts; what the lock file says does."""
        if before is None or before.is_here or has_ended(before, self.path):
            return
        raise LockedError(
            f"{self.id} was taken up by process {before.pid} on {before.host}, which cannot be seen from here and "
            f"has not said that it ended; go on there, or, if you know that it is gone, use --force"
        )

    def must_be_ours(self) -> None:
        """See that the directory that the worker holds is still there; asked now and then while it works.

        Raises:
            RunDirectoryError: it was removed, or another took its place.
        """
        if self._lock is not None and not self._lock.still_ours():
            raise RunDirectoryError(
                f"{self.path} was removed while its worker ran, which therefore ends; start the run anew"
            )

    def write(self, event: Event) -> Event:
        """Append one event, numbered and dated, and return it so.

        Raises:
            DiskFullError: there is no room; all earlier records are intact.
            RunDirectoryError: the directory is gone or cannot be written.
        """
        event = msgspec.structs.replace(event, seq=self._next_event, time=max(0.0, time.time()))
        try:
            append_line(self.path / "events.jsonl", encode(event))
        except OSError as error:
            self.must_be_ours()
            raise _cannot_write(error, self.path / "events.jsonl") from error
        self._next_event += 1
        return event

    def _mend_torn_line(self) -> None:
        """A writer killed in the middle of a line leaves no newline; end it, so that the next line is whole."""
        path = self.path / "events.jsonl"
        with contextlib.suppress(FileNotFoundError), os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    append_line(path, b"\n")

    # everyone's side

    def ask(self, action: str, **settings: object) -> Control:
        """Append one request to the control file; the worker answers with ``Acknowledged``.

        Raises:
            DiskFullError: there is no room.
            OSError: it cannot be written.
        """
        # by the clock, which may step back, and by chance: two requests never have one number
        chance = int.from_bytes(os.urandom(2), "big") % 1024
        seq = max(time.time_ns() // 1024 * 1024 + chance, self._last_asked + 1)
        self._last_asked = seq
        control = Control(
            seq=seq,
            time=max(0.0, time.time()),
            action=action,
            settings=dict(settings),
            source=f"{socket.gethostname()}:{os.getpid()}",
        )
        append_line(self.path / "control.jsonl", encode(control))
        return control

    def is_live(self) -> bool:
        """Whether a worker is seen to hold the run now."""
        return bool(is_held(self.path / "lock"))

    def liveness(self) -> Liveness:
        """How the run stands, told from facts; see ``liveness.look``. Never raises."""
        return look(self.path)

    def status(self) -> str:
        """The state alone: one of ``liveness.STATES``."""
        return self.liveness().state

    def events(self) -> list[Event]:
        """All records that can be read; lines that cannot are passed over."""
        return [event for line in self._lines("events.jsonl") if (event := read_event(line)) is not None]

    def answered(self) -> set[int]:
        """Numbers of the requests that a worker has acknowledged."""
        acks = (read_event(line) for line in self._lines("events.jsonl") if b'"ack"' in line)
        return {event.control for event in acks if isinstance(event, Acknowledged)}

    def was_begun(self) -> bool:
        """Whether a worker has ever taken the run up."""
        return any(
            b'"started"' in line and isinstance(read_event(line), Started) for line in self._lines("events.jsonl")
        )

    def last_log_lines(self, count: int = 12) -> list[str]:
        """At most ``count`` lines from the end of ``worker.log``; none where it cannot be read."""
        try:
            with os.fdopen(open_plain(self.log_path, os.O_RDONLY), "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_BYTES))
                text = file.read(_LOG_BYTES).decode("utf-8", "replace")
        except OSError:
            return []
        return text.splitlines()[-count:]

    def last_events(self, count: int) -> list[Event]:
        """At most ``count`` of the newest records, oldest first: long logs cost no more than short ones."""
        return last_events(self.path, count)

    def _lines(self, name: str) -> Iterator[bytes]:
        tail = Tail(self.path / name)
        while chunk := tail.read():
            yield from chunk


def _cannot_write(error: OSError, path: Path) -> SpringtuiError:
    return disk_full(error, path) or RunDirectoryError(
        f"cannot write {path}: {error.strerror}; see that it is there and writable, then springtui resume"
    )
