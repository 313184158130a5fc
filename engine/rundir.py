"""A run is a directory; a worker fills it; a screen watches it.

config.json             what was asked, complete, with the schema's version
events.jsonl            what happened, appended by the worker alone
control.jsonl           what was asked since, appended by anyone
checkpoint.safetensors  where to go on from
worker.log              what the worker printed
lock                    held by the live worker
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from pathlib import Path

import msgspec
import platformdirs

from .config import SCHEMA_VERSION, RunConfig, Settings, kind_of
from .errors import HomeError, RunDirectoryError
from .files import Lock, Tail, append_line, is_held, read_file, replace_file
from .records import Acknowledged, Control, Ended, Event, Started, decode_control, decode_event, encode

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_CONFIG_LIMIT = 1 << 20
_TAIL_BYTES = 1 << 16


def default_home() -> Path:
    """``SPRINGTUI_HOME``, else the platform's user data directory."""
    named = os.environ.get("SPRINGTUI_HOME")
    return Path(named).expanduser() if named else Path(platformdirs.user_data_dir("springtui"))


def open_home(home: Path | None = None) -> Path:
    """The home directory, made if need be and seen to be writable.

    Raises:
        HomeError: it cannot be made or written.
    """
    home = home or default_home()
    remedy = "choose another with --home or SPRINGTUI_HOME"
    try:
        (home / "runs").mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HomeError(f"cannot make the home directory {home}: {error.strerror}; {remedy}") from error
    if not os.access(home / "runs", os.W_OK | os.X_OK):
        raise HomeError(f"the home directory {home} is not writable; make it so, or {remedy}")
    return home


class Run:
    """One run directory. Reading never needs the worker; writing events is the worker's alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next_event = 0

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def log_path(self) -> Path:
        return self.path / "worker.log"

    @property
    def checkpoint_path(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @classmethod
    def create(cls, home: Path, settings: Settings, origin: str = "command") -> Run:
        """A new directory under ``home/runs``, complete from the moment it can be seen.

        Raises:
            HomeError: it cannot be written.
        """
        from . import __version__

        now = time.time()
        kind = kind_of(settings)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
        name = f"{stamp}-{kind}-{secrets.token_hex(3)}"
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
            beside.mkdir(mode=0o700, parents=True)
            replace_file(
                beside / "config.json", msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n"
            )
            for empty in ("events.jsonl", "control.jsonl"):
                append_line(beside / empty, b"")
            beside.rename(home / "runs" / name)
        except OSError as error:
            raise HomeError(
                f"cannot write a run under {home}: {error.strerror}; choose another home with --home"
            ) from error
        return cls(home / "runs" / name)

    def config(self) -> RunConfig:
        """Raises:
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

    # the worker's side

    def take(self) -> Lock:
        """Become the run's one writer, and go on numbering where the file ends.

        Raises:
            LockedError: another worker writes this run.
        """
        lock = Lock(self.path / "lock")
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "time": time.time()}
        lock.acquire(msgspec.json.encode(owner) + b"\n")
        self._mend_torn_line()
        self._next_event = sum(1 for _ in self._lines("events.jsonl"))
        return lock

    def write(self, event: Event) -> Event:
        """Append one event, numbered and dated."""
        event = msgspec.structs.replace(event, seq=self._next_event, time=time.time())
        append_line(self.path / "events.jsonl", encode(event))
        self._next_event += 1
        return event

    def _mend_torn_line(self) -> None:
        """A writer killed in the middle of a line leaves no newline; end it, so that the next line is whole."""
        path = self.path / "events.jsonl"
        if path.exists() and path.stat().st_size:
            with path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    append_line(path, b"\n")

    # everyone's side

    def ask(self, action: str, **settings: object) -> Control:
        """Append one request to the control file; the worker answers with ``Acknowledged``."""
        seq = time.time_ns()
        control = Control(
            seq=seq,
            time=time.time(),
            action=action,
            settings=dict(settings),
            source=f"{socket.gethostname()}:{os.getpid()}",
        )
        append_line(self.path / "control.jsonl", encode(control))
        return control

    def is_live(self) -> bool:
        """Whether a worker holds the run now."""
        return is_held(self.path / "lock")

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
        """The end of ``worker.log``."""
        try:
            with self.log_path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return []
        return text.splitlines()[-count:]

    def status(self) -> str:
        """running, or how it ended: finished, stopped, diverged, failed; crashed where it ended without a word."""
        if self.is_live():
            return "running"
        last = self.last_events(1)
        return last[0].reason if last and isinstance(last[0], Ended) else "crashed"

    def last_events(self, count: int) -> list[Event]:
        """The newest records, oldest first, from the end of the file: long logs cost no more than short ones."""
        try:
            with (self.path / "events.jsonl").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = file.read(_TAIL_BYTES).split(b"\n")[:-1]
        except OSError:
            return []
        return [event for line in lines if (event := read_event(line)) is not None][-count:]

    def _lines(self, name: str) -> list[bytes]:
        tail, lines = Tail(self.path / name), []
        while chunk := tail.read():
            lines += chunk
        return lines


def read_event(line: bytes) -> Event | None:
    """The record on a line, or None where there is none."""
    try:
        return decode_event(line) if line.strip() else None
    except RunDirectoryError:
        return None


class Controls:
    """The worker's reader of ``control.jsonl``; what an earlier worker of the run answered is not asked again.

    Nor does a pause or a stop that an earlier worker left unanswered reach the one that takes the run up again;
    a moved setting does.
    """

    def __init__(self, run: Run, *, skip_old: bool = False) -> None:
        self._tail = Tail(run.path / "control.jsonl")
        self._answered = run.answered()
        self._waiting: list[Control] = []
        if skip_old:
            while self._tail.read():
                pass
        elif run.was_begun():
            while left := self._read():
                self._waiting += [control for control in left if control.action == "set"]

    def new(self) -> list[Control]:
        """What has been asked since the last call; damaged lines are passed over."""
        found, self._waiting = self._waiting + self._read(), []
        return found

    def _read(self) -> list[Control]:
        found = []
        for line in self._tail.read():
            try:
                control = decode_control(line)
            except RunDirectoryError:
                continue
            if control.seq not in self._answered:
                found.append(control)
        return found


def find_run(home: Path, name: str) -> Run:
    """The run named by its id, by a unique beginning of it, by ``last``, or by its path.

    Raises:
        RunDirectoryError: there is none, or more than one.
    """
    if os.sep in name and (Path(name) / "config.json").is_file():
        return Run(Path(name))
    known = list_runs(home)
    if name == "last" and known:
        return known[0]
    fitting = [run for run in known if run.id.startswith(name)] if _ID.fullmatch(name) else []
    exact = [run for run in fitting if run.id == name]
    if len(exact or fitting) == 1:
        return (exact or fitting)[0]
    if fitting:
        raise RunDirectoryError(
            f"{name!r} fits {len(fitting)} runs, {', '.join(r.id for r in fitting[:4])} …; give more of it"
        )
    raise RunDirectoryError(f"there is no run {name!r} under {home / 'runs'}; springtui runs lists them")


def list_runs(home: Path) -> list[Run]:
    """Every run directory under a home, newest first."""
    try:
        entries = list(os.scandir(home / "runs"))
    except OSError:
        return []
    names = [e.name for e in entries if _ID.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    return [Run(home / "runs" / name) for name in sorted(names, reverse=True)]
