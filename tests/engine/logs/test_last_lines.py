"""The last line of a log that nothing ends: read once the file has been left alone, and again where it goes on."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from support.logs import drained

from engine.logs.columns import Columns
from engine.logs.console.format import Console
from engine.logs.reader import Claim
from engine.logs.tables.format import TableFormat
from engine.logs.whole_lines import MOST_GUESSES, PATIENCE

LOGS = {
    "table": (TableFormat(), "step,loss\n1,1.5\n2,0.5\n3,0.2"),
    "console": (Console(), "step 1 loss=1.5\nstep 2 loss=0.5\nstep 3 loss=0.2"),
}


def left_alone(path: Path) -> None:
    """Make a file look as if nothing had been written for a while."""
    then = time.time() - 2 * PATIENCE
    os.utime(path, (then, then))


def append(path: Path, text: str) -> None:
    """Write on as a training does."""
    with path.open("a") as file:
        file.write(text)


def values(columns: Columns) -> list[float]:
    """The losses."""
    return columns.series("loss").value.tolist()


@pytest.mark.parametrize("kind", LOGS)
def test_the_last_line_needs_no_end_once_the_file_is_left_alone(tmp_path: Path, kind: str) -> None:
    format_, text = LOGS[kind]
    path = tmp_path / "a.log"
    path.write_text(text)
    reader = format_.reader(Claim(format_.name, tmp_path, (path,)))
    columns = drained(reader)
    assert 0.2 not in values(columns)
    left_alone(path)
    for _ in range(3):
        columns.take(reader.poll())
    assert values(columns) == [1.5, 0.5, 0.2]
    append(path, "\n" + ("4,0.1\n" if kind == "table" else "step 4 loss=0.1\n"))
    for _ in range(3):
        columns.take(reader.poll())
    assert values(columns) == [1.5, 0.5, 0.2, 0.1]


@pytest.mark.parametrize("kind", LOGS)
def test_a_last_line_that_goes_on_after_all_is_read_again(tmp_path: Path, kind: str) -> None:
    format_, text = LOGS[kind]
    path = tmp_path / "a.log"
    path.write_text(text)
    left_alone(path)
    reader = format_.reader(Claim(format_.name, tmp_path, (path,)))
    columns = drained(reader)
    assert values(columns) == [1.5, 0.5, 0.2]
    for _ in range(MOST_GUESSES + 2):
        append(path, "5")
        left_alone(path)
        for _ in range(4):
            columns.take(reader.poll())
    append(path, "\n")
    for _ in range(4):
        columns.take(reader.poll())
    assert values(columns) == [1.5, 0.5, float("0.2" + "5" * (MOST_GUESSES + 2))]
