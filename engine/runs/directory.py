"""One run, which is a directory: its files, its records, its status, and requests to its worker.

``names`` lists the files. A worker fills the directory through ``writer``; anyone may read it and ask.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import socket
import time
from pathlib import Path

import msgspec

from ..errors import ConfigError, DiskFullError, HomeError, LockedError, RunDirectoryError, SpringtuiError
from ..settings.probe import ProbeConfig
from ..settings.run import KINDS, SCHEMA_VERSION, RunConfig, SchemaOnly, Settings, kind_of
from .any_run import AnyRun, Printed
from .files import append_line, make_private, open_plain, read_file, replace_file
from .label import Label, given_names, read_label
from .lock import is_held, read_owner
from .log import EventLog, RunLog
from .names import CHECKPOINT, CONFIG, CONTROL, EVENTS, LABEL, LOCK, TRIAL, TWIN_MAP, WORKER_LOG
from .records import Acknowledged, Control, Event, Started, encode
from .status import Observation, Status, last_events, observe
from .writer import RunWriter, require_seen_to_end

_CONFIG_LIMIT = 1 << 20
_CHECKPOINT_LIMIT = 1 << 34
_LOG_BYTES = 1 << 16
_STAMP = "%Y%m%d-%H%M%S"
_ID = re.compile(rf"(\d{{8}}-\d{{6}})-({'|'.join(KINDS)})-")


def parse_id(run_id: str) -> tuple[float, str] | None:
    """When a run was made, in seconds since the epoch, and its kind; None where the id does not say.

    Ids are date, time, kind and a random number, as ``20260101-120000-train-1a2b3c``; a directory that a person
    renamed has another form.
    """
    found = _ID.match(run_id)
    if found is None:
        return None
    try:
        return time.mktime(time.strptime(found[1], _STAMP)), found[2]
    except (ValueError, OverflowError):
        return 0.0, found[2]


class Run(AnyRun):
    """One run directory, for those who read it and ask its worker; ``writer`` gives what fills it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last_asked = 0
        """Number of the request made last by this object."""

    @property
    def id(self) -> str:
        """The directory's name."""
        return self.path.name

    @functools.cached_property
    def kind(self) -> str:
        """train, chain, sweep or probe: by the id, else by the configuration; empty where neither says it."""
        if (named := parse_id(self.id)) is not None:
            return named[1]
        try:
            return kind_of(self.config().settings)
        except RunDirectoryError:
            return ""

    def created(self) -> float:
        """When the directory was made, by its id; 0 where that does not say it."""
        return (parse_id(self.id) or (0.0, ""))[0]

    @property
    def log_path(self) -> Path:
        """The file to which the worker prints."""
        return self.path / WORKER_LOG

    @property
    def checkpoint_path(self) -> Path:
        """The file from which a new worker goes on."""
        return self.path / CHECKPOINT

    @property
    def lock_path(self) -> Path:
        """The file that the live worker holds."""
        return self.path / LOCK

    @property
    def twin_map_path(self) -> Path:
        """The map that was fitted to a sweep."""
        return self.path / TWIN_MAP

    @property
    def trial_path(self) -> Path:
        """What was measured with other settings of this network."""
        return self.path / TRIAL

    def log(self) -> EventLog:
        """The records of the run."""
        return RunLog(self.path / EVENTS)

    def label(self) -> Label:
        """The directory's label; where that has no name, with the one in the settings of a user's training."""
        label, settings = read_label(self.path), None
        with contextlib.suppress(RunDirectoryError):
            settings = self.config().settings
        return msgspec.structs.replace(label, name=next(iter(given_names(label, settings)), ""))

    def signature(self) -> tuple[int, ...]:
        """Differs from an earlier one once the records, the configuration, the lock or the label have changed."""
        parts: list[int] = []
        for name in (EVENTS, CONFIG, LOCK, LABEL):
            try:
                found = os.lstat(f"{self.path}/{name}")  # text: making a Path takes longer than the call
            except OSError:
                parts += [0, 0]
            else:
                parts += [found.st_size, found.st_mtime_ns]
        return tuple(parts)

    @classmethod
    def create(cls, home: Path, settings: Settings, origin: str = "command") -> Run:
        """Make a new directory under ``home/runs``, which is complete from the moment it is listed; its run.

        Args:
            home: as ``open_home`` gives it.
            settings: of the run, checked.
            origin: which part of springtui makes it, as ``command`` or ``lab``.

        Raises:
            HomeError: the directory cannot be written.
        """
        from .. import __version__

        now = time.time()
        stamp = time.strftime(_STAMP, time.localtime(now))
        name = f"{stamp}-{kind_of(settings)}-{os.urandom(3).hex()}"
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
            replace_file(beside / CONFIG, msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n")
            for empty in (EVENTS, CONTROL):
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
        """The settings of the run, and where and by whom it was made.

        Raises:
            RunDirectoryError: the file is missing, damaged, or of a newer springtui.
        """
        data = read_file(self.path / CONFIG, _CONFIG_LIMIT)
        try:
            # first, since a newer schema may have settings that this version does not know
            schema = msgspec.json.decode(data, type=SchemaOnly).schema
            if schema <= SCHEMA_VERSION:
                return msgspec.json.decode(data, type=RunConfig)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RunDirectoryError(f"{self.path / CONFIG} is damaged: {error}") from error
        raise RunDirectoryError(
            f"{self.path / CONFIG} has schema {schema}; this springtui reads up to {SCHEMA_VERSION}: upgrade it"
        )

    def checkpoint(self) -> bytes | None:
        """The newest checkpoint; None where none was written.

        Raises:
            RunDirectoryError: it cannot be read.
        """
        if not os.path.lexists(self.checkpoint_path):
            return None
        return read_file(self.checkpoint_path, _CHECKPOINT_LIMIT)

    def is_readable(self) -> bool:
        """Whether its configuration can be read."""
        try:
            self.config()
        except SpringtuiError:
            return False
        return True

    def writer(self, *, force: bool = False) -> RunWriter:
        """The run's one writer, which holds its lock from now on and numbers records from the end of the log on.

        ``force`` also takes a run whose last worker, on another host, is not known to have ended.

        Raises:
            LockedError: another worker writes this run, or may do so.
            DiskFullError: there is no room.
            RunDirectoryError: the directory is gone or cannot be written.
        """
        return RunWriter(self.path, force=force)

    def require_worker_run(self) -> None:
        """Check that a worker of springtui fills the run, and no training of the user's own.

        Raises:
            ConfigError: a training of the user's own fills it, which no worker goes on with and nobody may kill.
        """
        with contextlib.suppress(RunDirectoryError):
            if isinstance(self.config().settings, ProbeConfig):
                raise ConfigError(f"{self.id} is written by your own training script: end it or resume it there")

    def require_free(self, *, force: bool = False) -> None:
        """Check that a worker could take the run up now, before one is started.

        Raises:
            LockedError: another worker writes this run, or may do so.
        """
        if self.is_live():
            found = self.observe()
            raise LockedError(
                f"{self.id} is being written by another worker ({found.text}); stop it first (springtui stop)"
            )
        if not force:
            require_seen_to_end(read_owner(self.lock_path), self.path)

    def ask(self, action: str, **settings: object) -> Control:
        """Append one request to the control file; the worker answers with ``Acknowledged``.

        Raises:
            DiskFullError: there is no room.
            OSError: it cannot be written.
        """
        # the clock may be set back and two processes may ask at once, hence the random part and the maximum
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
        append_line(self.path / CONTROL, encode(control))
        return control

    def is_live(self) -> bool:
        """Whether a worker is seen to hold the run now."""
        return bool(is_held(self.lock_path))

    def observe(self) -> Observation:
        """How the run stands, and by which facts; see ``status.observe``. Never raises."""
        return observe(self.path)

    def is_gone(self) -> bool:
        """Whether the directory was removed."""
        return not self.path.is_dir()

    def status(self) -> Status:
        """How the run stands, in a word."""
        return self.observe().status

    def events(self) -> list[Event]:
        """All records; damaged lines are left out."""
        return list(self.log().events())

    def answered(self) -> set[int]:
        """Numbers of the requests that a worker has acknowledged."""
        log = self.log()
        events = map(log.decode_scalars, log.records())  # which skips load curves
        return {event.control for event in events if isinstance(event, Acknowledged)}

    def was_begun(self) -> bool:
        """Whether a worker has ever taken the run up."""
        log = self.log()
        return any(isinstance(log.decode_scalars(record), Started) for record in log.records())

    def printed(self, known: object = None) -> Printed | None:
        """The end of ``worker.log``; None where it has not changed since the mark ``known``, or cannot be read."""
        try:
            with os.fdopen(open_plain(self.log_path, os.O_RDONLY), "rb") as file:
                seen = os.fstat(file.fileno())
                mark = seen.st_size, seen.st_mtime_ns
                if mark == known:
                    return None
                file.seek(max(0, seen.st_size - _LOG_BYTES))
                lines = file.read(_LOG_BYTES).decode("utf-8", "replace").splitlines()
        except OSError:
            return None
        return Printed(mark, lines[1:] if seen.st_size > _LOG_BYTES else lines)

    def last_log_lines(self, count: int = 12) -> list[str]:
        """At most ``count`` lines from the end of ``worker.log``; none where it cannot be read."""
        found = self.printed()
        return found.lines[-count:] if found is not None else []

    def size(self) -> int:
        """Bytes of the directory's files; links are not followed."""
        total = 0
        with contextlib.suppress(OSError), os.scandir(self.path) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_size
        return total

    def last_events(self, count: int) -> list[Event]:
        """The ``count`` newest records, oldest first, at the same cost for every length of the log.

        Where some of these are of ``Series``, up to ``count`` of the other kinds come before them.
        """
        return last_events(self.path, count)
