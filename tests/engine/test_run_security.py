"""What a run directory may hold without harm, who may read it, and that nothing listens."""

from __future__ import annotations

import ast
import contextlib
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.real_terminal import Terminal, stop_workers, workers_under

from engine.errors import RunDirectoryError, SpringtuiError, WorkerError
from engine.runs.directory import Run
from engine.runs.files import LINE_LIMIT, append_line, open_plain, read_file, replace_file
from engine.runs.label import write_label
from engine.runs.launch import launch
from engine.runs.listing import find_run, list_runs, open_home
from engine.runs.log import RunLog
from engine.runs.records import Curve, Note, encode, read_event
from engine.settings.chain import ChainConfig
from engine.settings.train import TrainConfig
from springtui.cli import main

ROOT = Path(__file__).parents[2]
NAMES = (
    "config.json", "events.jsonl", "control.jsonl", "worker.log", "lock", "label.json", "checkpoint.safetensors",
)  # fmt: skip


@pytest.fixture
def run(home: Path) -> Run:
    return Run.create(open_home(home), ChainConfig(steps=200, replicas=2, blocks=3, pace=1e6))


def fill(run: Run) -> None:
    """All files that a run can have."""
    assert launch(run).wait(60) == 0
    write_label(run.path, name="mine")
    run.ask("pause")


class TestModes:
    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
    def test_owner_alone_whatever_the_umask(self, umask: int, home: Path) -> None:
        before = os.umask(umask)
        try:
            run = Run.create(open_home(home), ChainConfig(steps=200, replicas=2, blocks=3, pace=1e6))
            fill(run)
        finally:
            os.umask(before)
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (home, home / "runs", run.path)}
        assert set(modes.values()) == {0o700}
        files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in run.path.iterdir()}
        assert files == dict.fromkeys(NAMES, 0o600)


def a_link(path: Path, to: Path) -> None:
    path.symlink_to(to)


def a_fifo(path: Path, _: Path) -> None:
    os.mkfifo(path)


def a_device(path: Path, _: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("making a device takes rights that this user has not")


def a_socket(path: Path, _: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


class TestWhatIsNoPlainFile:
    """Nothing opens it: a FIFO would block for ever, a link lead outside, a device do what it likes."""

    @pytest.mark.parametrize("make", [a_link, a_fifo, a_device, a_socket])
    @pytest.mark.parametrize("name", NAMES)
    def test_in_place_of_a_file(
        self, name: str, make: Callable[[Path, Path], None], run: Run, tmp_path: Path, capsys: Any
    ) -> None:
        outside = tmp_path / "outside"
        outside.write_text('{"name": "a secret"}\n')
        writer = run.writer()
        writer.write(Note(text="one"))
        writer.release()
        (run.path / name).unlink(missing_ok=True)
        make(run.path / name, outside)
        assert main(["runs", "--json"]) == 0
        assert "secret" not in capsys.readouterr().out
        assert run.observe().status
        assert run.last_log_lines() == []
        run.events()
        for attempt in (run.writer, lambda: run.ask("stop"), lambda: launch(run).wait(60)):
            with contextlib.suppress(SpringtuiError, OSError):  # a message, and for a person
                made = attempt()
                if attempt == run.writer:
                    made.release()
        assert main(["resume", run.id]) in {0, 1, 2}
        assert "Traceback" not in capsys.readouterr().err
        assert outside.read_text() == '{"name": "a secret"}\n'

    def test_a_log_that_is_a_fifo_starts_no_worker(self, run: Run) -> None:
        os.mkfifo(run.log_path)
        with pytest.raises(WorkerError, match="no plain file"):
            launch(run)

    def test_a_link_to_a_run_is_none(self, run: Run, home: Path, tmp_path: Path) -> None:
        link = home / "runs" / "20990101-000000-chain-abcdef"
        link.symlink_to(run.path)
        assert [known.id for known in list_runs(home)] == [run.id]
        with pytest.raises(RunDirectoryError, match="symbolic link"):
            find_run(home, str(link))
        with pytest.raises(RunDirectoryError, match="there is no run"):
            find_run(home, link.name)

    def test_a_link_beside_a_whole_file_is_not_written_through(self, tmp_path: Path) -> None:
        victim, path = tmp_path / "victim", tmp_path / "label.json"
        victim.write_text("mine")
        path.with_name(f".{path.name}.{os.getpid()}.tmp").symlink_to(victim)
        replace_file(path, b"data")
        assert (victim.read_text(), path.read_bytes()) == ("mine", b"data")

    def test_a_loop_of_links(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("a")
        with pytest.raises(RunDirectoryError, match="symbolic link"):
            read_file(tmp_path / "a", 10)
        with pytest.raises(OSError, match="symbolic link"):
            append_line(tmp_path / "a", b"x\n")


class TestLines:
    def test_one_beyond_all_bounds_costs_no_memory(self, tmp_path: Path) -> None:
        """Two gigabytes without a newline, then a record; a sparse file, read by one that may hold 400 MB."""
        path = tmp_path / "events.jsonl"
        with path.open("wb") as file:
            file.write(encode(Note(text="before")))
            file.truncate(2 << 30)
            file.seek(0, os.SEEK_END)
            file.write(b"\n" + encode(Note(text="after")))
        script = (
            "import resource, sys; from pathlib import Path\n"
            "from engine.runs.directory import Run\n"
            "resource.setrlimit(resource.RLIMIT_DATA, (400 << 20, 400 << 20))\n"
            "print([event.text for event in Run(Path(sys.argv[1])).events()])"
        )
        words = [sys.executable, "-c", script, str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        assert done.stdout == "['before', 'after']\n", done.stderr[-500:]

    def test_the_bound_is_above_what_is_written(self, tmp_path: Path) -> None:
        path, curve = tmp_path / "lines", [float(i) / 3 for i in range(100_002)]
        longest = encode(
            Curve(
                at=1,
                step=1,
                curves={"distance": list(curve), "mean_field": list(curve)},
                positions=curve,
                spread=curve,
            )
        )
        assert len(longest) < LINE_LIMIT / 2
        append_line(path, longest)
        append_line(path, b"next\n")
        assert list(RunLog(path).records()) == [longest[:-1], b"next"]

    def test_one_taken_back_does_no_harm(self, tmp_path: Path) -> None:
        """A reader has seen the half of a line that its writer then cuts off, on a full disk."""
        path = tmp_path / "lines"
        append_line(path, b"one\n")
        log = RunLog(path)
        append_line(path, b"half of t")
        first = log.read(0)
        assert first.records == [b"one"]
        assert log.read(first.end).records == []
        os.truncate(path, 4)
        append_line(path, b"two, longer than the half\n")
        second = log.read(first.end)
        assert second.records == [b"two, longer than the half"]
        assert log.read(second.end).records == []

    @pytest.mark.parametrize(
        "line",
        [
            b"[" * 100_000, b'{"a":' * 100_000, b'{"kind":"note","text":"\xff"}', b'{"kind":"note","text":NaN}',
            b'{"kind":"curve","at":1e999,"step":1,"curves":{}}', b'{"kind":"curve","at":-1,"step":1,"curves":{}}',
            b'{"kind":"curve","at":' + b"9" * 5000 + b',"step":1,"curves":{}}', b'{"kind":"pickle"}', b"\x80\x04.",
            b'{"kind":"ended","reason":"\\u001b[2J"}', b'{"kind":"note","text":"x","time":1e300}',
            b'{"kind":"note","text":"x","seq":-1}', b"null", b"", b" ",
        ],
        ids=lambda line: ascii(line[:24]),
    )  # fmt: skip
    def test_that_is_no_record(self, line: bytes) -> None:
        assert read_event(line) is None


def test_open_plain_gives_the_owner_alone(tmp_path: Path) -> None:
    os.close(open_plain(tmp_path / "new", os.O_WRONLY | os.O_CREAT))
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


def test_no_pickle_is_ever_loaded() -> None:
    """No module calls what unpickles: pickle itself, torch.load, or NumPy's loader told to."""
    for path in [*(ROOT / "engine").rglob("*.py"), *(ROOT / "springtui").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"} & set(names), path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"torch.load", "torch.jit.load"}, f"{path}:{node.lineno}"
                for keyword in node.keywords:
                    allowed = keyword.arg != "allow_pickle" or ast.unparse(keyword.value) == "False"
                    assert allowed, f"{path}:{node.lineno}"


@pytest.fixture
def lab(home: Path) -> Iterator[Terminal]:
    with Terminal() as terminal:
        yield terminal
    stop_workers(home)


def test_nothing_of_a_lab_listens_on_a_network(lab: Terminal, home: Path) -> None:
    lab.wait_for("epoch", 60)
    end = time.monotonic() + 60
    while len(workers_under(home)) < 2:
        assert time.monotonic() < end
        lab.read(0.05)
    family = [psutil.Process(lab.process.pid), *workers_under(home)]
    family += [child for process in list(family) for child in process.children(recursive=True)]
    assert len(family) >= 3
    for process in family:
        sockets = process.net_connections(kind="inet")
        assert sockets == [], f"{process.name()}: {sockets}"


def test_settings_of_a_run_are_no_path_out_of_the_home(home: Path) -> None:
    run = Run.create(open_home(home), TrainConfig())
    assert run.path.parent == home / "runs"
    for name in ("../x", "..", ".", "a/../../x", "\0", "x" * 300, "-rf"):
        with pytest.raises(RunDirectoryError):
            find_run(home, name)
