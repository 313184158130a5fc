"""What is piped in: always taken, never held without bound, never left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from springtui.commands import standard_input
from springtui.commands.standard_input import Spool

PIECE = 1 << 16


class Pipe:
    """A spool, and the end into which a training writes."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        self.spool = Spool(self._out)
        os.close(self._out)

    def write(self, count: int, byte: bytes = b"x") -> None:
        """Write lines of ``PIECE`` bytes, and wait until they were taken."""
        before = self.spool.size + self.spool.dropped
        for _ in range(count):
            os.write(self._in, byte * (PIECE - 1) + b"\n")
        end = time.monotonic() + 20.0
        while self.spool.size + self.spool.dropped < before + count * PIECE and time.monotonic() < end:
            time.sleep(0.001)

    def end(self) -> bytes:
        """Close it; what can be read then."""
        os.close(self._in)
        assert self.spool.ended.wait(20.0)
        return self.spool.path.read_bytes()


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    for name in ("MOST", "HEAD", "BEHIND"):
        monkeypatch.setattr(standard_input, name, {"MOST": 16}.get(name, 1) * PIECE)
    found = Pipe()
    yield found
    found.spool.close()


def held(path: Path) -> int:
    """Bytes that a file takes."""
    return path.stat().st_blocks * 512


needs_memory = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there are no files in memory")


@needs_memory
def test_what_was_read_is_given_up_when_room_is_needed(pipe: Pipe) -> None:
    pipe.spool.follow(lambda: pipe.spool.size)
    pipe.write(1, b"a")
    pipe.write(100)
    assert held(pipe.spool.path) <= 20 * PIECE
    pipe.write(1, b"z")
    text = pipe.end()
    assert len(text) == 102 * PIECE
    assert text.startswith(b"a" * (PIECE - 1))
    assert text.endswith(b"x\n" + b"z" * (PIECE - 1) + b"\n")
    assert not pipe.spool.trouble


@needs_memory
@pytest.mark.parametrize("position", [None, 0])
def test_a_training_never_waits_for_a_reader_that_stands_still(
    pipe: Pipe, position: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standard_input, "PATIENCE", 0.0)
    pipe.spool.follow(lambda: position)
    pipe.write(100)
    assert held(pipe.spool.path) <= 20 * PIECE
    assert pipe.end().endswith(b"x\n")
    assert "MB of standard input were left out" in pipe.spool.trouble


@needs_memory
def test_a_reader_that_begins_late_is_waited_for(pipe: Pipe) -> None:
    positions: Iterator[int | None] = iter([None, None, 0, 0, 8 * PIECE])
    pipe.spool.follow(lambda: next(positions, pipe.spool.size))
    pipe.write(40)
    assert not pipe.spool.trouble
    assert pipe.spool.size == 40 * PIECE


def test_a_training_never_waits_where_there_is_no_room(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(standard_input, "PATIENCE", 0.0)
    monkeypatch.setattr(standard_input.mmap, "mmap", full)
    pipe.write(100)
    assert "MB of standard input were left out" in pipe.spool.trouble
    assert not pipe.spool.ended.is_set()
    assert len(pipe.end()) <= 20 * PIECE


def test_the_last_line_is_whole(pipe: Pipe) -> None:
    os.write(pipe._in, b"step 1\nstep 2")
    assert pipe.end() == b"step 1\nstep 2\n"


@needs_memory
def test_nothing_is_left_behind_however_it_ends(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "springtui", "watch", "-", "--json"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.writelines(b'{"step": %d, "loss": 0.5}\n' % step for step in range(9))
        process.stdin.flush()
        assert b"started" in process.stdout.readline()
        process.kill()
    assert not list(tmp_path.iterdir())
