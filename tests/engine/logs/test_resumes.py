"""Steps backwards: which of them are a resumed training, and which only look like one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support.logs import drained

from engine.logs.columns import Columns
from engine.logs.folder import Folder
from engine.logs.lines import JsonLines
from engine.logs.reader import Format
from engine.logs.tables.format import TableFormat

JSON, CSV = JsonLines(), TableFormat()


def columns(folder: Path, kind: Format, lines: list[dict[str, Any]], limit: int) -> Columns:
    """A log of these lines, read in pieces of about ``limit`` bytes."""
    path = folder / ("log.jsonl" if kind is JSON else "log.csv")
    if kind is JSON:
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    else:
        names = list(lines[0])
        rows = [names, *([str(line.get(name, "")) for name in names] for line in lines)]
        path.write_text("".join(",".join(row) + "\n" for row in rows))
    [claim] = kind.claims(Folder(folder))
    return drained(kind.reader(claim), limit)


def training(steps: Iterable[int], **more: float) -> list[dict[str, Any]]:
    return [{"step": step, "loss": number + 0.5, **more} for number, step in enumerate(steps)]


EACH = pytest.mark.parametrize("limit", [97, 1 << 20])
KINDS = pytest.mark.parametrize("kind", [JSON, CSV], ids=["jsonl", "csv"])


@EACH
@KINDS
@pytest.mark.parametrize(
    "lines",
    [
        [line for epoch in range(5) for line in training(range(20), epoch=epoch)],
        [line for epoch in range(1, 6) for line in training(range(3 * epoch, 3 * epoch + 20), epoch=epoch)],
        [line for _ in range(5) for line in training(range(20))],
        [*training(range(100)), *training([-1])],
        [*training(range(100)), *training([0])],
        [*training(range(100)), *training([50])],
        [*training(range(50)), *training([10]), *training(range(50, 100))],
        training([*range(30), *(step for n in range(30, 80) for step in (n, n - 2))]),
        training([*range(30), 31, 30, *range(32, 60)]),
    ],
    ids=["epochs", "later epochs", "batches", "step -1", "step 0", "at the end", "within", "ranks", "late"],
)  # fmt: skip
def test_other_steps_backwards_void_nothing(
    tmp_path: Path, kind: Format, lines: list[dict[str, Any]], limit: int
) -> None:
    found = columns(tmp_path, kind, lines, limit)
    assert found.series("loss").step.tolist() == [line["step"] for line in lines]
    assert found.series("loss").value.tolist() == [line["loss"] for line in lines]
    assert not found.remarks
    assert not found.problems


@EACH
@KINDS
@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (range(1, 150), range(100, 300), 99),
        (range(0, 100, 10), range(80, 200, 10), 8),
        (range(3000), range(1000, 1150), 1000),
        (range(100), [*range(60, 70), *range(60, 110)], 60),
    ],
    ids=["on", "sparse", "far back", "twice"],
)
def test_a_resumed_training_voids_what_it_logs_again(
    tmp_path: Path, kind: Format, before: Iterable[int], after: Iterable[int], kept: int, limit: int
) -> None:
    after = list(after)
    found = columns(tmp_path, kind, training(before) + training(after), limit)
    last = after[after.index(min(after), 1) if after.count(min(after)) > 1 else 0 :]
    assert found.series("loss").step.tolist() == [*list(before)[:kept], *last]
    assert (found.remarks[-1].kind, found.remarks[-1].step) == ("resumed", last[0])
