"""The app dies and comes back, the workers stay: killed and reopened many times, and over a real sshd.

Costs some 50 core-seconds, most of them of the two workers that go on.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.full_numbers import repeats
from support.real_terminal import Terminal, stop_workers, workers_under

from engine.runs.directory import Run
from engine.runs.listing import list_runs
from engine.runs.records import Acknowledged, Curve, Started

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


def wait_until(true: Callable[[], Any], terminal: Terminal | None = None) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, terminal.text() if terminal else "waited in vain"
        if terminal is None:
            time.sleep(0.05)
        else:
            terminal.read(0.05)


@pytest.fixture
def _no_workers_left(home: Path) -> Iterator[None]:
    yield
    stop_workers(home)


def curves(run: Run) -> int:
    return sum(isinstance(event, Curve) for event in run.events())


def going_on(run: Run) -> bool:
    """Whether a run's worker was asked to go on and said so."""
    return any(isinstance(event, Acknowledged) and event.settings.get("hold") == 0 for event in run.events())


def further(runs: list[Run], before: dict[str, int]) -> dict[str, int]:
    """How many curves each has, once each has more than before."""
    wait_until(lambda: all(curves(run) > before[run.id] for run in runs))
    return {run.id: curves(run) for run in runs}


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("_no_workers_left")
def test_killed_and_reopened_many_times(home: Path) -> None:
    """SIGKILL of the app, at once or once it has drawn: the same two workers go on all the while, and no third."""
    with Terminal() as first:
        first.wait_for("epoch", PATIENCE)
        wait_until(lambda: len(workers_under(home)) == 2, first)
        first.press("O")  # the network trains on, beyond the epoch at which it is held
        first.wait_for("going on", PATIENCE)
        wait_until(lambda: any(going_on(run) for run in list_runs(home)), first)
        first.process.kill()
        first.process.wait()
    pids = {process.pid for process in workers_under(home)}
    runs = list_runs(home)
    assert len(pids) == len(runs) == 2
    before = {run.id: 0 for run in runs}
    for number in range(repeats(20, 0.4)):
        with Terminal() as terminal:
            if number % 4:
                wait_until(lambda: len(terminal.raw) > 500 * number, terminal)  # noqa: B023
            else:
                terminal.wait_for("epoch", PATIENCE)
            terminal.process.kill()
            terminal.process.wait()
        assert {process.pid for process in workers_under(home)} == pids
        assert {run.id for run in list_runs(home)} == {run.id for run in runs}
        assert {run.status() for run in runs} == {"running"}
        before = further(runs, before)
    for run in runs:
        events = run.events()
        assert [event.seq for event in events] == list(range(len(events)))
        assert sum(isinstance(event, Started) for event in events) == 1
    with Terminal() as last:
        last.wait_for("epoch", PATIENCE)
        last.press("d")  # leave the runs: they are ended below
        wait_until(lambda: last.process.poll() is not None, last)


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"there is no {name} here; Debian has it in openssh-server")
    return found


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[list[str]]:
    """A real one on loopback, with keys and settings of its own; the words that connect to it."""
    server, client, keygen = program("sshd"), program("ssh"), program("ssh-keygen")
    for name in ("host", "mine"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path / 'host'}\nPidFile {tmp_path / 'pid'}\n"
        f"AuthorizedKeysFile {tmp_path / 'mine.pub'}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        f"PermitRootLogin prohibit-password\n"
    )
    words = [
        client, "-tt", "-F", "none", "-p", str(port), "-i", str(tmp_path / "mine"), "-o", "IdentitiesOnly=yes",
        "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={tmp_path / 'known'}", "-o", "LogLevel=ERROR",
        f"{getpass.getuser()}@127.0.0.1",
    ]  # fmt: skip
    started = [server, "-D", "-e", "-f", str(tmp_path / "sshd_config")]
    with empty_folder_of_root(), (tmp_path / "sshd.log").open("wb") as log:
        process = subprocess.Popen(started, stderr=log)
        try:
            wait_for_login(process, [word for word in words if word != "-tt"], tmp_path / "sshd.log")
            yield words
        finally:
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            for one in [*family, process]:
                one.kill()
            process.wait()


@contextlib.contextmanager
def empty_folder_of_root() -> Iterator[None]:
    """Where root's sshd locks itself in; another user's does without."""
    folder = Path("/run/sshd")
    if os.geteuid() or folder.exists():
        yield
        return
    folder.mkdir(mode=0o755)
    try:
        yield
    finally:
        folder.rmdir()


def wait_for_login(process: subprocess.Popen[bytes], words: list[str], log: Path) -> None:
    end = time.monotonic() + 20
    while (tried := subprocess.run([*words, "true"], capture_output=True, text=True, check=False)).returncode:
        if process.poll() is not None or time.monotonic() > end:
            pytest.skip(f"sshd cannot be used by this user here: {tried.stderr.strip()} {log.read_text()[-300:]}")
        time.sleep(0.1)


@pytest.mark.real_start
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_no_workers_left")
def test_over_ssh_the_training_outlives_the_connection(sshd: list[str], home: Path) -> None:
    """The client is killed; the app there goes, the training stays; connecting again shows it, further on."""
    here = {name: value for name, value in os.environ.items() if name.startswith("SPRINGTUI_")}
    ours = " ".join(f"{name}={shlex.quote(value)}" for name, value in here.items())
    there = f"cd {ROOT} && PYTHONPATH={ROOT} {ours} LC_ALL=C.UTF-8 {sys.executable} -m springtui"
    with Terminal([*sshd, there]) as first:
        first.wait_for("epoch", PATIENCE)
        wait_until(lambda: len(workers_under(home)) == 2, first)
        pids = {process.pid for process in workers_under(home)}
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    wait_until(lambda: not apps_under(home))
    runs = list_runs(home)
    assert {process.pid for process in workers_under(home)} == pids
    assert {run.status() for run in runs} == {"running"}
    further(runs, {run.id: curves(run) for run in runs})
    with Terminal([*sshd, there]) as again:
        again.wait_for("epoch", PATIENCE)
        assert {process.pid for process in workers_under(home)} == pids
        assert {run.id for run in list_runs(home)} == {run.id for run in runs}
        again.press("d")
        wait_until(lambda: again.process.poll() is not None, again)
    assert again.process.returncode == 0


def apps_under(home: Path) -> list[psutil.Process]:
    """Processes of the app whose home this is."""
    found = []
    for process in psutil.process_iter():
        try:
            if "springtui" in process.cmdline() and process.environ().get("SPRINGTUI_HOME") == str(home):
                found.append(process)
        except psutil.Error:
            continue
    return found
