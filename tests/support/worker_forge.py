"""Starts workers fast: a process that has imported PyTorch and loaded compiled code forks one for each run.

A forged worker is a process in a session of its own that runs the same module with the arguments, environment,
directory, signal mask and streams that it would be started with, and that shows the same command line. What it
leaves out is the start of Python and the imports, some two seconds of a core. In tests that are not marked
``real_start``, ``launch`` and ``launch_trial`` start their processes so, in pytest's process and in the program in
a pseudo-terminal. For Linux.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from engine.runs.launch import TRIALS, WORKERS

ROOT = Path(__file__).parents[2]
_MESSAGE = 1 << 17
"""Bytes of the longest request, which holds an environment."""
ADDRESS = "SPRINGTUI_TEST_FORGE"
"""Environment variable with the address of the forge that a program in a pseudo-terminal uses."""
_COMMAND = 4096
"""Bytes kept for the command line that a worker shows."""


class ForgedProcess:
    """A forged worker, asked as ``subprocess.Popen`` is.

    Args:
        args: its command line.
        pid: its process.
        status: a pipe that holds its exit status in decimal digits, once it has ended.
        stdin: the pipe to its standard input, where there is one.
        stdout: the pipe from its standard output, where there is one.
    """

    def __init__(
        self, args: Sequence[str], pid: int, status: int, stdin: int | None = None, stdout: int | None = None
    ) -> None:
        self.args = args
        self.pid = pid
        self.returncode: int | None = None
        self.stdin: IO[bytes] | None = None if stdin is None else open(stdin, "wb")  # noqa: SIM115
        self.stdout: IO[bytes] | None = None if stdout is None else open(stdout, "rb")  # noqa: SIM115
        self._status = status
        self._reading = threading.Lock()

    def __del__(self) -> None:
        os.close(self._status)

    def poll(self) -> int | None:
        """Its exit status, -N where signal N ended it; None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit status. TimeoutExpired after ``timeout`` seconds."""
        if (status := self._look(None if timeout is None else 1000 * timeout)) is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _look(self, milliseconds: float | None) -> int | None:
        """Its exit status, waited for at most so long; the pipe stays open, as several threads may wait on it."""
        if self.returncode is None:
            waiting = select.poll()
            waiting.register(self._status, select.POLLIN)
            if waiting.poll(milliseconds):
                with self._reading:
                    if self.returncode is None:
                        self.returncode = int(os.read(self._status, 16) or -signal.SIGKILL)  # else the forge died
        return self.returncode


class Requests:
    """Asks a forge for workers. It has the names of ``subprocess`` that ``launch`` uses, to stand in its place."""

    DEVNULL = subprocess.DEVNULL
    PIPE = subprocess.PIPE

    def __init__(self, address: str = "") -> None:
        """``address`` is that of a running forge."""
        self._address = address
        self._asking = threading.Lock()
        self._socket: socket.socket | None = None

    @property
    def address(self) -> str:
        """The forge's socket."""
        return self._address

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _MESSAGE)
            self._socket.connect(self.address)
        return self._socket

    def Popen(
        self,
        args: Sequence[str],
        *,
        stdin: int,
        stdout: int,
        stderr: int,
        env: Mapping[str, str],
        start_new_session: bool,
        save_every: float | None = None,
    ) -> ForgedProcess:
        """Start ``python -P -m engine.workers`` or ``engine.workers.trial`` with further arguments.

        Args:
            args: the command line.
            stdin: PIPE or DEVNULL.
            stdout: PIPE or a descriptor.
            stderr: DEVNULL or a descriptor.
            env: the environment.
            start_new_session: true.
            save_every: seconds between a chain's checkpoints, where not as always.
        """
        assert list(args[:3]) == [sys.executable, "-P", "-m"], args
        assert args[3] in {WORKERS, TRIALS}, args
        assert start_new_session
        request = {
            "args": list(args),
            "env": dict(env),
            "cwd": str(Path.cwd()),
            "mask": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
            "save_every": save_every,
        }
        kept: list[int | None] = []
        given: list[int] = []
        for stream, side in ((stdin, 1), (stdout, 0), (stderr, 0)):
            if stream == subprocess.PIPE:
                ends = os.pipe()
                kept.append(ends[side])
                given.append(ends[1 - side])
            else:
                kept.append(None)
                given.append(os.open(os.devnull, os.O_RDWR) if stream == subprocess.DEVNULL else os.dup(stream))
        status, theirs = os.pipe()
        given.append(theirs)
        try:
            with self._asking:
                connection = self._connected()
                socket.send_fds(connection, [json.dumps(request).encode()], given)
                pid = int(connection.recv(64) or 0)
        finally:
            for descriptor in given:
                os.close(descriptor)
        assert pid, "the forge has died"
        return ForgedProcess(args, pid, status, *kept[:2])

    def close(self) -> None:
        """Close the connection; workers go on."""
        if self._socket is not None:
            self._socket.close()


class Forge(Requests):
    """A forge of one's own, begun when it is first needed; use it as a context manager, or ``close`` it."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="forge-")
        self._process: subprocess.Popen[bytes] | None = None
        self._beginning = threading.Lock()

    def __enter__(self) -> Forge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The forge's socket; whoever connects before it has loaded all waits."""
        with self._beginning:
            if self._process is None:
                self._begin()
        return self._address

    def _begin(self) -> None:
        self._address = str(Path(self._folder.name) / "socket")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[name] = "1"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self._address)
            listener.listen(16)
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(listener.fileno()), " " * _COMMAND],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                env=environment,
                start_new_session=True,
            )

    def start(self, run: Path) -> ForgedProcess:
        """Start a run's worker without ``launch``, one that saves a chain twenty times a second."""
        log = os.open(run / "worker.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            return self.Popen(
                [sys.executable, "-P", "-m", WORKERS, str(run)],
                stdin=self.DEVNULL, stdout=log, stderr=log, env=os.environ, start_new_session=True,
                save_every=0.05,
            )  # fmt: skip
        finally:
            os.close(log)

    def close(self) -> None:
        """End the forking process; workers go on."""
        super().close()
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()  # it ends with its input
            self._process.wait(20)
        self._folder.cleanup()


def _load() -> None:
    """Do what workers do once, to load what is slow to load; no thread may be left, as forks would lose it."""
    import torch

    from engine.runs.directory import Run
    from engine.runs.listing import open_home
    from engine.settings.chain import ChainConfig
    from engine.settings.train import TrainConfig
    from engine.sweep.diagrams import make_sweep
    from engine.twin import experiment, trial  # noqa: F401
    from engine.workers.warm import warm
    from engine.workers.work import work

    torch.set_num_threads(1)
    warm()
    small: dict[str, Any] = {"epochs": 1, "width": 4, "depth": 3, "train_size": 50}
    with tempfile.TemporaryDirectory() as folder:
        home = open_home(Path(folder) / "home")
        for settings in (
            TrainConfig(**small, linear_probes=True),
            TrainConfig(**small, activation="tanh", hessian=False),
            ChainConfig(replicas=4, blocks=3, steps=8),
            make_sweep("data-noise", small, axes={"x": ("data_noise", (0.0,)), "y": ("negative_slope", (0.0,))}),
        ):
            work(Run.create(home, settings))
    assert threading.active_count() == 1, "a thread would be lost in the fork"


def _show(args: Sequence[str]) -> None:
    """Write a command line over this process's own, which is longer."""
    numbers = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    start, end = int(numbers[45]), int(numbers[46])  # arg_start and arg_end of proc(5)
    line = b"\0".join(os.fsencode(arg) for arg in args)
    assert len(line) < end - start, "the command line is too long"
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, line, len(line))


def _become(request: Mapping[str, Any], streams: Sequence[int], connection: socket.socket) -> None:
    """In the child: take on what the request says, and answer with the process's number once all is as asked."""
    os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    _show(request["args"])
    connection.send(str(os.getpid()).encode())
    connection.detach()
    os.closerange(3, 1 << 16)
    if request["save_every"] is not None:
        from engine.workers import chain

        chain.SAVE_EVERY = request["save_every"]
    sys.argv = ["", *request["args"][4:]]
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, request["mask"])


def _work(module: str) -> int:
    """Do as ``python -m``; the exit status. Without what follows at Python's end, which takes 0.3 s."""
    status: Any = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    return int(status)


def main() -> None:
    """Fork a worker for each request; write the exit status of each that ends to the pipe that came with it."""
    _load()
    gc.collect()
    gc.freeze()  # else a worker's first collection copies all of it
    listener = socket.socket(fileno=int(sys.argv[1]))
    connections: list[socket.socket] = []
    ended, wakes = os.pipe()
    for descriptor in (ended, wakes):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    statuses: dict[int, int] = {}
    while True:
        ready = select.select([0, listener, ended, *connections], [], [])[0]
        if 0 in ready:
            return
        if ended in ready:
            os.read(ended, 4096)
            _note_ends(statuses)
        if listener in ready:
            connections.append(listener.accept()[0])
        for connection in set(connections) & set(ready):
            data, given = b"", []
            with contextlib.suppress(ConnectionError):
                data, given, _, _ = socket.recv_fds(connection, _MESSAGE, 4)
            if not data:
                connection.close()
                connections.remove(connection)
                continue
            statuses[_fork(json.loads(data), given, connection)] = given[3]


def _fork(request: Mapping[str, Any], given: Sequence[int], connection: socket.socket) -> int:
    """The process of a new worker."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if not pid:
        _become(request, given[:3], connection)
        os._exit(_work(request["args"][3]))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    for descriptor in given[:3]:
        os.close(descriptor)
    return pid


def _note_ends(statuses: dict[int, int]) -> None:
    """Write to their pipes with what status processes have ended."""
    while statuses:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with contextlib.suppress(BrokenPipeError):
            os.write(statuses[pid], str(os.waitstatus_to_exitcode(status)).encode())
        os.close(statuses.pop(pid))


if __name__ == "__main__":
    main()
