"""Sweeps come to the same on every executor, whoever is killed on the way; nothing is lost or made twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from support.full_numbers import repeats
from support.real_terminal import SPRINGTUI, Terminal
from support.sweeps import SMALL, finals, same

from engine.errors import ConfigError, WorkerError
from engine.runs.controls import ControlReader
from engine.runs.directory import Run
from engine.runs.launch import launch
from engine.runs.listing import list_runs, open_home
from engine.runs.records import Acknowledged, Cell, Ended, Event, Note, Started
from engine.settings.chain import ChainConfig
from engine.settings.sweep import SweepConfig
from engine.sweep.backends import Lost, check_executor
from engine.sweep.diagrams import make_sweep
from engine.sweep.task import Job, Slice, make_slice, pack, unpack
from engine.workers.sweep import run_sweep
from engine.workers.work import work

ROOT = Path(__file__).parents[2]
AXES: dict[str, Any] = {"x": ("data_noise", (0.0, 0.4)), "y": ("negative_slope", (0.0, 0.5, 1.0))}


def wait_until(true: Callable[[], object], seconds: float = 90.0) -> None:
    """Look again and again, and fail after a while."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def of_kind(run: Run, kind: type[Event]) -> list[Any]:
    return [event for event in run.events() if isinstance(event, kind)]


@pytest.fixture
def config(home: Path) -> SweepConfig:
    """A diagram of small networks, 12 of them."""
    open_home(home)
    return make_sweep("data-noise", SMALL | {"epochs": 40}, axes=AXES, seeds=2)


@pytest.fixture
def whole(home: Path, config: SweepConfig) -> Run:
    """The same diagram made by threads, undisturbed."""
    run = Run.create(home, config)
    assert work(run).reason == "finished"
    assert len(finals(run)) == 12
    return run


def test_any_executor_makes_the_same_and_shows_networks_under_way(
    home: Path, config: SweepConfig, whole: Run
) -> None:
    """Slices of no length: every network comes back after each epoch, and goes on bit for bit."""
    run = Run.create(home, config)
    with ThreadPoolExecutor(2) as executor:
        writer = run.writer()
        ended = run_sweep(run, writer, ControlReader(run), executor=executor, slice_seconds=0.0)
        writer.release()
    assert ended.reason == "finished"
    assert same(run, whole)
    unfinished = [cell for cell in of_kind(run, Cell) if not cell.final]
    assert {(cell.cell, cell.member) for cell in unfinished} == set(finals(whole))
    assert all(cell.curves["trace_ratio"] for cell in unfinished)
    alone = Run.create(home, msgspec.structs.replace(config, executor="in-process"))
    assert work(alone).reason == "finished"
    assert same(alone, whole)


def test_networks_that_the_ensemble_cannot_train_are_the_same_too(home: Path) -> None:
    open_home(home)
    axes = {"x": ("optimizer", ("adam", "sgd")), "y": ("init", ("default", "ntk"))}
    config = make_sweep("data-noise", SMALL | {"hessian": True}, axes=axes, seeds=1)
    here, there = Run.create(home, config), Run.create(home, config)
    work(here)
    with ThreadPoolExecutor(2) as executor:
        work(there, executor=executor)
    assert len(finals(here)) == 4
    assert same(here, there)
    traces = [cell.scalars["hessian_trace"] for cell in finals(here).values()]
    assert all(trace is not None and trace > 0 for trace in traces)


@pytest.mark.parametrize("method", ["mean_field", "replicas"])
def test_chains_are_the_same_on_an_executor(home: Path, method: str) -> None:
    open_home(home)
    axes: dict[str, Any] = {"x": ("noise", (0.02, 0.05)), "y": ("k", (0.5, 1.0))}
    config = make_sweep("chain", {"replicas": 64, "steps": 2000}, axes=axes, method=method)
    here, there = Run.create(home, config), Run.create(home, config)
    work(here)
    with ThreadPoolExecutor(2) as executor:
        work(there, executor=executor)
    assert len(finals(here)) == 4
    assert same(here, there)
    curves = {tuple(cell.curves["distance"]) for cell in finals(here).values()}
    assert len(curves) == 4  # stiffness counts, in theory as well


def test_pause_holds_and_stop_keeps_what_was_made(home: Path, config: SweepConfig, whole: Run) -> None:
    run = Run.create(home, config)
    with ThreadPoolExecutor(1) as executor:
        thread = threading.Thread(target=work, args=(run,), kwargs={"executor": executor})
        thread.start()
        wait_until(lambda: len(finals(run)) >= 1)
        run.ask("pause")
        wait_until(lambda: any(ack.action == "pause" for ack in of_kind(run, Acknowledged)))
        held = len(of_kind(run, Cell))
        time.sleep(0.5)
        assert len(of_kind(run, Cell)) == held
        run.ask("resume")
        wait_until(lambda: len(finals(run)) >= 3)
        run.ask("stop")
        thread.join(60)
    assert of_kind(run, Ended)[-1].reason == "stopped"
    assert 3 <= len(finals(run)) < 12
    assert work(run).reason == "finished"
    assert same(run, whole)


@pytest.mark.slow
def test_networks_killed_at_random_moments_are_neither_lost_nor_repeated(home: Path) -> None:
    """Kills fall after a random number of records and a random moment more, at any speed of the machine."""
    open_home(home)
    axes: dict[str, Any] = {
        "x": ("data_noise", (0.0, 0.2, 0.4)),
        "y": ("negative_slope", (0.0, 0.2, 0.5, 0.8, 1.0)),
    }
    config = make_sweep("data-noise", SMALL | {"epochs": 80}, axes=axes, seeds=8, threads=2)
    broken, whole = Run.create(home, config), Run.create(home, config)
    rng = random.Random(11)
    for kill in range(repeats(20, 0.5)):
        worker = launch(broken)
        wait_until(lambda kill=kill: len(of_kind(broken, Started)) > kill)
        wanted = len(finals(broken)) + rng.randrange(5)
        wait_until(lambda wanted=wanted: len(finals(broken)) >= wanted)
        time.sleep(rng.uniform(0.0, 0.05))
        assert worker.poll() is None
        worker.kill()
        worker.wait(10)
        assert not broken.is_live()
    assert 0 < len(finals(broken)) < 120
    assert work(broken).reason == "finished"
    assert work(whole).reason == "finished"
    assert len(finals(broken)) == 120
    assert same(broken, whole)


# processes


def lost_in(run: Run) -> list[Note]:
    """The notes of a run on lost workers."""
    return [note for note in of_kind(run, Note) if note.lost]


@pytest.mark.parametrize(
    ("lost", "text"),
    [
        (Lost(("",)), "a worker was lost; its work starts again"),
        (Lost(("10.0.0.1:1",), 3), "worker 10.0.0.1:1 was lost, 3 left; its work starts again"),
        (Lost(("a:1", "b:2"), 0), "2 workers were lost (a:1, b:2), 0 left; their work starts again"),
        (Lost(("", "")), "2 workers were lost; their work starts again"),
    ],
)
def test_a_loss_in_words(lost: Lost, text: str) -> None:
    assert lost.in_words() == text


def pool_of(pid: int) -> list[psutil.Process]:
    """The pool's processes of a sweep's worker, without Python's own resource tracker."""
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    return []


@pytest.mark.slow
@pytest.mark.real_start
def test_a_killed_process_costs_a_slice_and_none_outlives_its_sweep(
    home: Path, config: SweepConfig, whole: Run
) -> None:
    run = Run.create(home, msgspec.structs.replace(config, executor="processes", threads=2))
    process = launch(run)
    wait_until(lambda: len(pool_of(process.pid)) == 2)
    wait_until(lambda: len(finals(run)) >= 1)
    pool_of(process.pid)[0].kill()
    wait_until(lambda: lost_in(run))
    (note,) = lost_in(run)
    assert (note.level, note.lost) == ("warning", 1)
    assert note.text == "processes: a worker was lost; its work starts again"
    wait_until(lambda: len(pool_of(process.pid)) >= 1)
    orphans = pool_of(process.pid)
    process.kill()
    process.wait(10)
    assert not psutil.wait_procs(orphans, timeout=30)[1]
    assert process.poll() == -signal.SIGKILL
    assert launch(run).wait(120) == 0
    assert same(run, whole)


def test_a_slice_whose_workers_all_die_ends_the_sweep_with_its_name(home: Path, config: SweepConfig) -> None:
    run = Run.create(home, msgspec.structs.replace(config, executor="processes", threads=1))
    over = threading.Event()

    def kill_all() -> None:
        while not over.wait(0.01):
            for child in pool_of(os.getpid()):
                child.kill()

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        with pytest.raises(WorkerError, match=r"cell \d, member 0 lost its worker 5 times"):
            work(run)
    finally:
        over.set()
        killer.join()
    assert not finals(run)


def test_a_worker_of_another_version_is_refused() -> None:
    job = Job(cell=3, member=0, settings=ChainConfig(steps=100))
    made = unpack(make_slice(pack(Slice(jobs=[job]))))
    assert [(cell.cell, cell.final) for cell in made.cells] == [(3, True)]
    for data in (pack(Slice(jobs=[job], version="0.0.0")), b"not a slice"):
        with pytest.raises(WorkerError, match="install the same version"):
            make_slice(data)


# Dask


class Cluster:
    """A scheduler and two workers, as a person starts them."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        self._folder = folder
        self.processes = [self._start("scheduler", "--host", "127.0.0.1", "--port", "0")]
        wait_until(lambda: self.file.exists() and self.file.read_text(encoding="utf-8").rstrip().endswith("}"))
        for name in ("one", "two"):
            self.add(name)

    def add(self, name: str) -> None:
        """Start one more worker."""
        self.processes.append(self._start("worker", "--nthreads", "1", "--no-nanny", "--name", name))

    def _start(self, what: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{what}.log").open("ab") as log:
            return subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "dask",
                    what,
                    "--scheduler-file",
                    str(self.file),
                    "--no-dashboard",
                    *arguments,
                ],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )

    @property
    def url(self) -> str:
        """As ``--executor`` takes it."""
        address = json.loads(self.file.read_text(encoding="utf-8"))["address"]
        return str(address).replace("tcp://", "dask://")

    def addresses(self) -> dict[str, str]:
        """By name, the workers' addresses as they are told to a person."""
        from distributed import Client  # slow to import

        with Client(scheduler_file=str(self.file), set_as_default=False) as client:
            known = client.scheduler_info()["workers"]
        return {worker["name"]: address.removeprefix("tcp://") for address, worker in known.items()}

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait(10)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    found = Cluster(tmp_path)
    yield found
    found.close()


@pytest.mark.slow
def test_a_dask_cluster_makes_the_same_though_a_worker_and_then_the_scheduler_are_killed(
    home: Path, config: SweepConfig, cluster: Cluster
) -> None:
    config = msgspec.structs.replace(config, seeds=10)
    run, whole = Run.create(home, msgspec.structs.replace(config, executor=cluster.url)), Run.create(home, config)
    process = launch(run)
    wait_until(lambda: len(finals(run)) >= 4)
    cluster.processes[1].send_signal(signal.SIGKILL)
    assert len(finals(run)) < 60
    assert process.wait(120) == 0
    assert work(whole).reason == "finished"
    assert len(finals(whole)) == 60
    assert same(run, whole)
    assert of_kind(run, Started)[-1].facts["executor"] == cluster.url

    other = Run.create(home, msgspec.structs.replace(config, executor=cluster.url, seeds=40))
    process = launch(other)
    wait_until(lambda: len(finals(other)) >= 1)
    cluster.processes[0].kill()
    assert process.wait(120) == 1
    ended = of_kind(other, Ended)[-1]
    assert ended.reason == "failed"
    assert "scheduler" in ended.text
    assert "resume" in ended.text
    assert 1 <= len(finals(other)) < 240


@pytest.mark.slow
def test_a_lost_dask_worker_is_said_and_one_that_is_sent_away_is_not(home: Path, cluster: Cluster) -> None:
    """In the records, and above the bar of the real program in a terminal."""
    from distributed import Client

    wait_until(lambda: len(cluster.addresses()) == 2)
    addresses = cluster.addresses()
    with Client(scheduler_file=str(cluster.file), set_as_default=False) as client:
        argv = [*SPRINGTUI, "sweep", "--recipe", "data-noise", "--set", "epochs=5000", "--executor", cluster.url]
        with Terminal(argv, env={"SPRINGTUI_HOME": str(home)}, columns=150) as terminal:
            terminal.wait_for("networks 0/162", 90)
            (run,) = list_runs(home)
            wait_until(lambda: of_kind(run, Cell))  # so that both workers have been counted
            cluster.processes[1].kill()  # worker one
            text = f"{cluster.url}: worker {addresses['one']} was lost, 1 left; its work starts again"
            terminal.wait_for(text, 60)
            terminal.wait_for("1 worker lost")
            assert [(note.text, note.level, note.lost) for note in lost_in(run)] == [(text, "warning", 1)]
            cluster.add("three")
            wait_until(lambda: set(cluster.addresses()) == {"two", "three"})
            time.sleep(3.0)  # the sweep counts once more
            client.retire_workers(names=["three"])
            wait_until(lambda: set(cluster.addresses()) == {"two"})
            time.sleep(3.0)
            terminal.press("\x03")
            assert terminal.wait_exit(60) == 1
    assert len(lost_in(run)) == 1
    assert of_kind(run, Ended)[-1].reason == "stopped"


@pytest.mark.parametrize("wrong", ["dask://", "dask://host", "dask://host:port", "dask:///", "dask:///no/file"])
def test_an_address_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"dask://host:port|there is no /no/file"):
        check_executor(wrong)


class _OtherServer(socketserver.BaseRequestHandler):
    """Greets whoever connects, as a web server does that is asked what it does not understand."""

    def handle(self) -> None:
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("another", [False, True], ids=["nobody", "another server"])
def test_a_scheduler_that_does_not_answer_is_named(home: Path, another: bool) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _OtherServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"dask://127.0.0.1:{server.server_address[1] if another else 9}"
        done = subprocess.run(
            [sys.executable, "-m", "springtui", "sweep", "--recipe", "chain", "--executor", url],
            capture_output=True, text=True, timeout=120, cwd=ROOT, env={**os.environ, "SPRINGTUI_HOME": str(home)},
            check=False,
        )  # fmt: skip
        server.shutdown()
    assert done.returncode == 2
    assert f"no Dask scheduler answers at {url}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((home / "runs").glob("*"))
