"""Executors for a sweep's slices: the caller's own, a pool of processes, or a Dask cluster."""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from ..cores import core_count
from ..errors import ConfigError, WorkerError
from .task import make_slice

_CONNECT_SECONDS = 10
_COUNT_SECONDS = 2.0
"""Seconds for which the number of a cluster's workers is cached."""
_PARENT_SECONDS = 0.5
"""Seconds between a pool process's checks that its sweep is alive."""


class Lost(NamedTuple):
    """Workers that an executor lost."""

    workers: tuple[str, ...]
    """The name of each; empty where it has none."""
    left: int | None = None
    """How many workers are left; None where they are replaced, or where that is not known."""

    def in_words(self) -> str:
        """The loss in a sentence, with what becomes of the work."""
        named = [name for name in self.workers if name]
        if len(self.workers) == 1:
            subject, their = f"worker {named[0]} was lost" if named else "a worker was lost", "its"
        else:
            who = f" ({', '.join(named)})" if named else ""
            subject, their = f"{len(self.workers)} workers were lost{who}", "their"
        return f"{subject}{'' if self.left is None else f', {self.left} left'}; {their} work starts again"


class Backend(Protocol):
    """An executor of slices, its capacity and its failures."""

    name: str

    def width(self) -> int:
        """How many slices it can work on at once now; 0 while it has no worker.

        Raises:
            WorkerError: it cannot be reached.
        """

    def submit(self, data: bytes) -> Future[bytes]:
        """Run ``task.make_slice`` on a packed slice in a worker; the future gives its packed result."""

    def is_loss(self, error: BaseException) -> bool:
        """Whether a future's error means that its worker was lost, so that the slice can be sent again."""

    def losses(self) -> Lost | None:
        """The workers that ``width`` and ``repair`` have found lost since the last call; None where none was."""

    def repair(self) -> None:
        """Replace lost workers, where the executor does not do so itself.

        Raises:
            WorkerError: they cannot be replaced.
        """

    def close(self) -> None:
        """Cancel slices that have not begun and release what was opened here; may wait for slices under way."""


class CallerExecutor:
    """An executor that belongs to the caller."""

    name = "given"

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._lost = 0

    def width(self) -> int:
        return int(getattr(self._executor, "_max_workers", 0) or core_count())

    def submit(self, data: bytes) -> Future[bytes]:
        return self._executor.submit(make_slice, data)

    def is_loss(self, error: BaseException) -> bool:
        return isinstance(error, CancelledError)

    def losses(self) -> Lost | None:
        count, self._lost = self._lost, 0
        return Lost(("",) * count) if count else None

    def repair(self) -> None:
        """Count a loss: the executor itself is the caller's to replace."""
        self._lost += 1

    def close(self) -> None:
        """Nothing: the caller closes it."""


class Processes:
    """A pool of ``count`` processes on this machine, replaced as a whole when one of them dies."""

    name = "processes"

    def __init__(self, count: int) -> None:
        self._count = count
        self._lost = 0
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._count,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_end_with,
            initargs=(os.getpid(),),
        )

    def width(self) -> int:
        return self._count

    def submit(self, data: bytes) -> Future[bytes]:
        return self._pool.submit(make_slice, data)

    def is_loss(self, error: BaseException) -> bool:
        return isinstance(error, BrokenExecutor | CancelledError)

    def losses(self) -> Lost | None:
        count, self._lost = self._lost, 0
        return Lost(("",) * count) if count else None

    def repair(self) -> None:
        self._lost += 1  # a pool breaks as a whole, and does not tell how many of its processes died
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self._new()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _end_with(parent: int) -> None:
    """Initialise a pool's process: exit when ``parent``, a process id, is gone, and ignore SIGINT.

    Without this, processes of a killed sweep would wait for ever. Ctrl-C reaches them too; the sweep handles it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="orphan-watch", daemon=True).start()


class Dask:
    """A Dask cluster, by its scheduler's address or file.

    Dask itself sends a slice again whose worker was lost, some times, and says nothing of it. So the workers'
    addresses are compared whenever they are counted.

    Raises:
        ConfigError: no scheduler answers.
    """

    def __init__(self, url: str) -> None:
        self.name = url
        address, file = _scheduler_of(url)
        try:
            self._client = _client_class()(
                address=address,
                scheduler_file=file,
                timeout=_CONNECT_SECONDS,
                set_as_default=False,
                name="springtui-sweep",
            )
        except Exception as error:  # another server's greeting is read as a length, and gives a MemoryError
            raise ConfigError(
                f"no Dask scheduler answers at {url} ({_first_line(error)}); start one with dask scheduler, and "
                f"workers with dask worker, or choose --executor processes"
            ) from error
        self._executor: Executor = self._client.get_executor(pure=False)
        self._threads: dict[str, int] = {}
        """By a worker's address, how many slices it works on at once."""
        self._lost: list[str] = []
        self._next = 0.0

    def width(self) -> int:
        if time.monotonic() >= self._next:
            known, self._threads = self._threads, self._count_threads()
            gone = [address for address in known if address not in self._threads]
            self._lost += [address for address in gone if not self._was_retired(address)]
            self._next = time.monotonic() + _COUNT_SECONDS
        return sum(self._threads.values())

    def _count_threads(self) -> dict[str, int]:
        try:
            return dict(self._ask(self._client.nthreads))
        except Exception as error:  # the connection raises various errors where the scheduler is gone
            raise WorkerError(
                f"the Dask scheduler at {self.name} is gone ({_first_line(error)}); start it again and resume the "
                f"sweep, or resume it with --executor processes: what was made is kept"
            ) from error

    def _was_retired(self, address: str) -> bool:
        """Whether the scheduler sent a worker away by itself, as an adaptive cluster does with idle ones."""
        with contextlib.suppress(Exception):  # of the connection; also where Dask's events have another form
            events = self._ask(lambda: self._client.get_events(address))
            removals = [event for _, event in events if event.get("action") == "remove-worker"]
            return bool(removals and removals[-1].get("expected"))
        return False

    def losses(self) -> Lost | None:
        lost, self._lost = self._lost, []
        names = tuple(address.partition("://")[2] or address for address in lost)
        return Lost(names, len(self._threads)) if names else None

    def _ask(self, question: Callable[[], Any]) -> Any:
        """What ``question`` returns; OSError at once where the client is not connected, as it would wait long."""
        if self._client.status != "running":
            raise OSError(f"the connection is {self._client.status}")
        return question()

    def submit(self, data: bytes) -> Future[bytes]:
        return self._executor.submit(make_slice, data)

    def is_loss(self, error: BaseException) -> bool:
        from distributed import KilledWorker

        return isinstance(error, KilledWorker | CancelledError)

    def repair(self) -> None:
        self._next = 0.0
        self.width()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._executor.shutdown(wait=False)
        with contextlib.suppress(Exception):
            self._client.close(timeout=_CONNECT_SECONDS)


def _client_class() -> Any:
    """Dask's client class without its destructor, which waits and logs errors for a client that never connected.

    Whoever opens such a client closes it.
    """
    from distributed import Client

    base: Any = Client
    return type("Client", (base,), {"__del__": lambda _: None})


def _scheduler_of(url: str) -> tuple[str | None, str | None]:
    """Address and file of ``dask://host:port`` or ``dask:///path/scheduler.json``; one of them is None."""
    parts = urlsplit(url)
    if not parts.netloc:
        return None, parts.path
    return f"tcp://{parts.netloc}", None


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def check_executor(name: str) -> None:
    """Check an executor's name, without connecting to it.

    Raises:
        ConfigError: Dask is not installed, the address is malformed, or the scheduler's file does not exist.
    """
    if not name.startswith("dask://"):
        return
    address, file = _scheduler_of(name)
    try:
        known = bool(file and file != "/") if address is None else urlsplit(name).port is not None
    except ValueError:
        known = False
    if not known:
        raise ConfigError(
            f"executor = {name!r} names no scheduler; write dask://host:port, or dask:///path/to/scheduler.json"
        )
    if file and not Path(file).is_file():
        raise ConfigError(f"executor = {name!r}: there is no {file}; dask scheduler --scheduler-file writes it")
    if importlib.util.find_spec("distributed") is None:
        raise ConfigError(f"executor = {name!r} needs Dask: pip install 'springtui[cluster]'")


def open_backend(name: str, count: int) -> Backend:
    """The Dask cluster of a ``dask://`` name; for any other name a pool of ``count`` processes.

    Raises:
        ConfigError: Dask is not installed, or no scheduler answers.
    """
    check_executor(name)
    return Dask(name) if name.startswith("dask://") else Processes(count)
