"""How a run stands: facts from its lock, its worker's process and its last word; real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.errors import LockedError
from engine.runs.directory import Run
from engine.runs.launch import launch
from engine.runs.listing import open_home
from engine.runs.lock import SIZE, Lock, Owner, process_mark, read_owner
from engine.runs.records import ENDS, Acknowledged, Curve, Ended, Note, Started, encode
from engine.runs.status import Status, observe
from engine.runs.stopping import _kill, stop
from engine.settings.chain import ChainConfig

HOLDER = """
import sys, time
from pathlib import Path
from engine.runs.records import Note
from engine.runs.directory import Run
run = Run(Path(sys.argv[1]))
writer = run.writer()
writer.write(Note(text="at work"))
print("held", flush=True)
time.sleep(600)
"""
CONTENDER = """
import os, random, sys, time
from pathlib import Path
from engine.errors import LockedError
from engine.runs.records import Note
from engine.runs.directory import Run
run, go = Run(Path(sys.argv[1])), Path(sys.argv[2])
while not go.exists():
    time.sleep(0.001)
for turn in range(4):
    try:
        writer = run.writer()
    except LockedError:
        continue
    for number in range(25):
        writer.write(Note(text=f"{os.getpid()} {turn} {number}"))
    writer.release()
    time.sleep(random.random() * 0.01)
"""
Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def run(home: Path) -> Run:
    return Run.create(open_home(home), ChainConfig())


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts a light process; none is left behind."""
    begun: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: object) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", script, *map(str, arguments)]
        begun.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def held_by(begin: Begin, run: Run) -> subprocess.Popen[str]:
    process = begin(HOLDER, run.path)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_status_is_its_word_wherever_it_is_written() -> None:
    for status in Status:
        assert json.dumps(status) == msgspec.json.encode(status).decode() == f'"{status}"' == f'"{status.value}"'
        assert msgspec.to_builtins(status) == status


def test_the_words_of_a_last_record_are_statuses() -> None:
    """A worker records how it ended, unless it crashed; the lock may hold no word as well."""
    assert set(ENDS) == {status for status in Status if status.is_over} - {"crashed", "damaged"}
    for reason in ENDS:
        assert msgspec.convert({"kind": "ended", "reason": reason}, Ended).reason == reason
    for wrong in ("", "crashed", "finishe", "finished\n"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"kind": "ended", "reason": wrong}, Ended)
    owner = {"pid": 1, "host": "here", "time": 0.0}
    for reason in (*ENDS, ""):
        assert msgspec.convert({**owner, "reason": reason}, Owner).reason == reason
    for wrong in ("crashed", "\n"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({**owner, "reason": wrong}, Owner)


def test_what_a_status_says() -> None:
    """Each word is live, over, or neither; only what is over or out of sight can be resumed."""
    live = {status for status in Status if status.is_live}
    over = {status for status in Status if status.is_over}
    assert live == {"starting", "running", "paused"}
    assert over == {"finished", "stopped", "diverged", "failed", "crashed", "damaged"}
    assert {status for status in Status if status.is_resumable} == {"stopped", "failed", "crashed", "unknown"}
    assert {status for status in Status if status.went_wrong} == {"failed", "crashed"}


def leave_lock(run: Run, **owner: Any) -> None:
    """What a worker leaves that was killed; of this host and of no living process, unless told otherwise."""
    left = Owner(**{"pid": 2**22 + 1, "host": socket.gethostname(), "time": time.time(), "first": 0, **owner})
    lock = Lock(run.path / "lock")
    lock.acquire()
    lock.note(left)
    lock.close()


def wait_for(true: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


class TestStates:
    def test_waiting_for_a_first_worker(self, run: Run) -> None:
        found = run.observe()
        assert (found.status, found.live, found.pid) == ("waiting", False, None)
        assert not found.is_over

    def test_running_and_killed(self, run: Run, begin: Begin) -> None:
        process = held_by(begin, run)
        found = run.observe()
        assert (found.status, found.live, found.in_sight, found.pid) == ("running", True, True, process.pid)
        assert found.host == socket.gethostname()
        process.kill()
        process.wait()
        found = run.observe()
        assert (found.status, found.live, found.in_sight, found.exit_status) == ("crashed", False, False, None)
        assert found.since == found.last_record
        assert "gave no reason" in found.text
        run.writer().release()

    def test_silence_is_told_and_is_no_crash(self, run: Run, begin: Begin) -> None:
        held_by(begin, run)
        lines = (run.path / "events.jsonl").read_bytes().splitlines()
        record = json.loads(lines[0]) | {"time": time.time() - 7200.0}
        (run.path / "events.jsonl").write_text(json.dumps(record) + "\n")
        found = run.observe()
        assert found.status == "running"
        assert "no record for 2 hours" in found.text

    def test_held_by_sigstop_it_still_runs(self, run: Run, begin: Begin) -> None:
        process = held_by(begin, run)
        process.send_signal(signal.SIGSTOP)
        assert run.status() == "running"

    def test_paused_and_resumed(self, run: Run) -> None:
        writer = run.writer()
        assert run.status() == "starting"
        writer.write(Started(pid=os.getpid(), host="h", settings={}, layers=[], total=3))
        assert run.status() == "running"
        writer.write(Acknowledged(control=1, action="pause", step=2))
        writer.write(Acknowledged(control=2, action="set", step=2, settings={"noise": 0.1}))
        writer.write(Acknowledged(control=3, action="resume", step=2, error="refused"))
        paused = run.observe()
        assert paused.status == "paused"
        assert paused.since == run.events()[1].time
        writer.write(Acknowledged(control=4, action="resume", step=2))
        assert run.status() == "running"
        writer.release()

    @pytest.mark.parametrize("reason", ["finished", "stopped", "diverged", "failed"])
    def test_ended(self, reason: str, run: Run) -> None:
        writer = run.writer()
        writer.write(Ended(reason=reason, text="as it was said"))
        assert (run.status(), run.observe().live) == (reason, True)
        writer.release()
        found = run.observe()
        assert (found.status, found.text, found.live, found.is_over) == (reason, "as it was said", False, True)

    def test_the_end_of_an_earlier_worker_is_not_that_of_the_present(self, run: Run, begin: Begin) -> None:
        writer = run.writer()
        writer.write(Ended(reason="stopped"))
        writer.release()
        writer = run.writer()
        assert run.status() == "starting"
        writer.release()
        assert run.status() == "crashed"  # taken, and left without a word
        process = held_by(begin, run)
        process.kill()
        process.wait()
        assert run.status() == "crashed"

    def test_copied_without_its_lock(self, run: Run) -> None:
        writer = run.writer()
        writer.write(Note(text="one"))
        writer.release()
        (run.path / "lock").unlink()
        assert run.status() == "unknown"
        writer = run.writer()
        writer.write(Ended(reason="finished"))
        writer.release()
        (run.path / "lock").unlink()
        assert run.status() == "finished"

    def test_last_word_in_the_lock_alone(self, run: Run) -> None:
        """Of a worker whose records could not take it."""
        writer = run.writer()
        writer.write(Note(text="one"))
        writer.release("failed", "no room; make some\x1b[2J")
        found = run.observe()
        assert (found.status, found.text) == ("failed", "no room; make some [2J")
        assert (run.path / "lock").stat().st_size == SIZE

    def test_the_lock_is_one_json_object(self, run: Run) -> None:
        run.writer().release()
        owner = json.loads((run.path / "lock").read_bytes())
        assert (owner["pid"], owner["host"]) == (os.getpid(), socket.gethostname())
        assert owner["mark"] == process_mark(os.getpid()) != ""

    @pytest.mark.parametrize("damage", [b"", b"{", b"\xff" * 5000, b"[" * 4096, b'{"pid": 1e99, "host": 3}'])
    def test_damaged_lock(self, damage: bytes, run: Run) -> None:
        (run.path / "lock").write_bytes(damage)
        assert run.status() == "waiting"
        writer = run.writer()
        assert run.status() == "starting"
        writer.release()


class TestExitStatus:
    def test_noted_by_who_started_it(self, home: Path) -> None:
        run = Run.create(open_home(home), ChainConfig(steps=10_000_000, pace=1e4))  # lives until it is killed
        process = launch(run)
        wait_for(lambda: run.status() == "running")
        process.kill()
        process.wait()
        wait_for(lambda: run.observe().exit_status is not None)
        found = run.observe()
        assert (found.status, found.exit_status) == ("crashed", -signal.SIGKILL)
        assert "killed by signal SIGKILL" in found.text

    @pytest.mark.real_start
    def test_of_one_that_died_before_it_took_the_run_up(self, run: Run) -> None:
        process = launch(run)
        process.kill()
        process.wait()
        wait_for(lambda: run.observe().exit_status is not None)
        found = run.observe()
        assert (found.status, found.pid, found.exit_status) == ("crashed", process.pid, -signal.SIGKILL)

    def test_of_one_that_ended_in_order(self, home: Path) -> None:
        run = Run.create(open_home(home), ChainConfig(steps=10, replicas=2, blocks=3, pace=1e6))
        assert launch(run).wait(60) == 0
        wait_for(lambda: run.observe().exit_status is not None)
        assert (run.status(), run.observe().exit_status) == ("finished", 0)


class TestStaleLocks:
    def test_reused_process_id(self, run: Run, begin: Begin) -> None:
        """The number lives, the process that had it does not: its mark says so, and the other is left alone."""
        innocent = begin("import time; time.sleep(600)")
        leave_lock(run, pid=innocent.pid, mark=process_mark(innocent.pid) + "0")
        append(run, Note(text="one"))
        found = run.observe()
        assert (found.status, found.in_sight) == ("crashed", False)
        assert not _kill(run)
        assert not stop(run, 0.2, kill=True).killed
        assert innocent.poll() is None
        run.writer().release()

    def test_reused_while_another_holds_the_lock(self, run: Run, begin: Begin) -> None:
        innocent = begin("import time; time.sleep(600)")
        leave_lock(run, pid=innocent.pid, mark=process_mark(innocent.pid) + "0")
        lock = Lock(run.path / "lock")
        lock.acquire()
        assert run.status() == "crashed"
        assert "still holds its lock" in run.observe().text
        assert not stop(run, 0.2, kill=True).killed
        lock.close()
        assert innocent.poll() is None

    def test_machine_started_anew(self, run: Run) -> None:
        leave_lock(run, pid=os.getpid(), mark="0f0f0f0f-0000-0000-0000-000000000000:77")
        append(run, Note(text="one"))
        found = run.observe()
        assert found.status == "crashed"
        assert "machine restarted" in found.text

    def test_zombie_is_gone(self, run: Run, begin: Begin) -> None:
        process = held_by(begin, run)
        process.kill()
        wait_for(lambda: not process_mark(process.pid))
        assert run.status() == "crashed"
        process.wait()


class TestOtherHost:
    """Its lock need not be seen from here, and its process is not."""

    @pytest.fixture
    def elsewhere(self, run: Run) -> Run:
        leave_lock(run, host="gpu17", pid=os.getpid(), mark="x:1", time=time.time() - 10_000)
        append(run, Note(text="one", time=time.time() - 7200.0))
        return run

    def test_is_not_called_crashed(self, elsewhere: Run) -> None:
        found = elsewhere.observe()
        assert (found.status, found.live, found.in_sight, found.host) == ("unknown", None, False, "gpu17")
        assert "gpu17" in found.text
        assert "2 hours ago" in found.text
        assert found.since == found.last_record

    def test_is_taken_up_by_force_alone(self, elsewhere: Run) -> None:
        for take in (elsewhere.writer, lambda: launch(elsewhere)):
            with pytest.raises(LockedError, match=r"gpu17.*--force"):
                take()
        assert read_owner(elsewhere.path / "lock").host == "gpu17"  # type: ignore[union-attr]
        elsewhere.writer(force=True).release()
        assert read_owner(elsewhere.path / "lock").host == socket.gethostname()  # type: ignore[union-attr]

    def test_seen_to_hold_its_lock(self, elsewhere: Run, begin: Begin) -> None:
        """Where the file system carries the lock across, that is a fact too."""
        holder = begin(
            "import sys, time; from pathlib import Path; from engine.runs.lock import Lock\n"
            "Lock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(600)",
            elsewhere.path / "lock",
        )
        assert holder.stdout is not None
        holder.stdout.readline()
        assert elsewhere.status() == "running"

    def test_ended_there(self, elsewhere: Run) -> None:
        append(elsewhere, Ended(seq=1, reason="finished", time=time.time()))
        assert elsewhere.status() == "finished"
        elsewhere.writer().release()

    def test_left_there_in_order(self, run: Run) -> None:
        leave_lock(run, host="gpu17", ended=time.time(), reason="failed", text="no room")
        assert (run.status(), run.observe().text) == ("failed", "no room")
        run.writer().release()


def append(run: Run, event: Any) -> None:
    with (run.path / "events.jsonl").open("ab") as file:
        file.write(encode(event))


class TestOneWriter:
    def test_who_notes_an_exit_is_taken_for_no_worker(self, run: Run) -> None:
        """Else a run would seem live for a moment after it ended, and could not be resumed."""
        run.writer().release()
        lock = Lock(run.path / "lock")
        lock.acquire(to_note=True)
        assert not run.is_live()
        run.require_free()
        with pytest.raises(LockedError):
            run.writer()
        lock.close()
        run.writer().release()

    def test_of_many_that_want_to(self, run: Run, begin: Begin, tmp_path: Path) -> None:
        """Eight processes at once, four turns each: records of a turn stand together, numbered without a gap."""
        go = tmp_path / "go"
        crowd = [begin(CONTENDER, run.path, go) for _ in range(8)]
        go.touch()
        for process in crowd:
            assert process.wait(60) == 0
        notes = [event for event in run.events() if isinstance(event, Note)]
        assert [note.seq for note in notes] == list(range(len(notes)))
        turns = [note.text.rsplit(" ", 1) for note in notes]
        for start in range(0, len(turns), 25):
            assert {turn for turn, _ in turns[start : start + 25]} == {turns[start][0]}
            assert [int(number) for _, number in turns[start : start + 25]] == list(range(25))
        assert len({turn for turn, _ in turns}) == len(turns) / 25 >= 8

    @pytest.mark.parametrize("what", ["lock", "directory"])
    def test_a_worker_whose_lock_is_removed_ends(self, what: str, home: Path) -> None:
        """Else another could take the run up beside it. It says why, in the log that it still holds open."""
        run = Run.create(open_home(home), ChainConfig(steps=10**12, replicas=2, blocks=3, pace=2000.0))
        process = launch(run)
        with run.log_path.open() as log:
            wait_for(lambda: any(isinstance(event, Curve) for event in run.last_events(3)))
            if what == "lock":
                (run.path / "lock").unlink()
            else:
                aside = home / "aside"
                run.path.rename(aside)  # as removed, and the log stays readable
            assert process.wait(60) == 1
            assert "was removed while its worker ran" in log.read()
        assert what == "directory" or run.status() == "failed"
        assert what == "lock" or not run.path.exists()


def test_looking_never_raises(tmp_path: Path) -> None:
    assert observe(tmp_path / "nothing").status == "waiting"
    (tmp_path / "file").touch()
    assert observe(tmp_path / "file").status in {"waiting", "unknown"}
