"""Files of SwanLab: scalars, the machine's numbers, settings, console, end; live and damaged."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from engine.logs.columns import Columns
from engine.logs.folder import Folder
from engine.logs.swanlab import SwanLab
from tests.support.framed_writer import SWANLAB, Content, framed, message, timestamp
from tests.support.logs import read_all
from tests.support.mutate import mutations

DAY = 1_790_000_000.0


def record(kind: int, content: bytes) -> bytes:
    return message((1, 1), (2, timestamp(DAY)), (kind, content))


def scalar(key: str, step: int, value: float, time: float = DAY) -> bytes:
    fields: list[tuple[int, Content]] = [(1, key), (3, 1), (4, timestamp(time))]
    if step:
        fields.insert(1, (2, step))
    return record(13, message(*fields, (5, message(*([(1, value)] if value else [])))))


def log() -> list[bytes]:
    """A run of each kind of record that is read."""
    return [
        record(10, message((1, "project"), (4, "a name"), (5, "what it is"), (10, "abc"))),
        record(16, message((1, "a line"), (4, 1))),
        record(12, message((1, 1), (2, 1), (3, "loss"), (13, "epoch"))),
        *(scalar("loss", step, 1 / (step + 1), DAY + step / 4) for step in range(5)),
        scalar("zero", 0, 0.0), scalar("nan", 7, math.nan), scalar("inf", 7, -math.inf), scalar("back", -3, 1.0),
        scalar("__swanlab__.cpu.pct", 1, 50.0), record(14, message((1, "image"), (2, 7))),
        record(16, message((1, "another"), (2, 1), (4, 2))),
        record(11, message((1, 2), (2, "RuntimeError"))),
    ]  # fmt: skip


def read(folder: Path) -> Columns:
    return next(iter(read_all(SwanLab(), folder).values()), Columns())


def points(columns: Columns) -> dict[str, list[tuple[int, float]]]:
    return {
        tag: list(zip(columns.series(tag).step.tolist(), columns.series(tag).value.tolist(), strict=True))
        for tag in columns.tags
    }


def test_what_a_log_holds(tmp_path: Path) -> None:
    (tmp_path / "run-abc.swanlab").write_bytes(framed(log(), SWANLAB))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "config.yaml").write_text(
        "lr:\n  desc: ''\n  sort: 0\n  value: 0.1\nnet:\n  desc: ''\n  sort: 1\n  value:\n    depth: 3\n"
    )
    columns = read(tmp_path)
    found = points(columns)
    assert math.isnan(found.pop("nan")[0][1])
    assert found == {
        "loss": [(step, 1 / (step + 1)) for step in range(5)], "zero": [(0, 0.0)], "inf": [(7, -math.inf)],
        "back": [(-3, 1.0)], "system/cpu.pct": [(1, 50.0)],
    }  # fmt: skip
    assert columns.series("loss").time.tolist() == [DAY + step / 4 for step in range(5)]
    assert (columns.name, columns.ended) == ("a name", "failed")
    assert columns.settings == {"lr": 0.1, "net.depth": 3}
    assert columns.axes == {"loss": "epoch"}
    assert [remark.text for remark in columns.remarks] == ["what it is"]
    assert not columns.problems
    [claim] = SwanLab().claims(Folder(tmp_path))
    assert SwanLab().reader(claim).poll().console == b"a line\nanother\n"
    assert claim.beside == (tmp_path / "files",)


def test_each_prefix_of_a_log_gives_a_prefix_of_its_points(tmp_path: Path) -> None:
    whole = framed(log(), SWANLAB)
    (tmp_path / "run-abc.swanlab").touch()
    [claim] = SwanLab().claims(Folder(tmp_path))
    reader, columns = SwanLab().reader(claim), Columns()
    counts = []
    with claim.files[0].open("wb", buffering=0) as file:
        for at in range(len(whole)):
            file.write(whole[at : at + 1])
            columns.take(reader.poll())
            counts.append(len(columns))
    assert counts == sorted(counts)
    assert str(points(columns)) == str(points(read(tmp_path)))
    assert not columns.problems


def test_a_log_that_is_replaced_is_read_anew_with_its_settings(tmp_path: Path) -> None:
    path, config = tmp_path / "run-abc.swanlab", tmp_path / "files" / "config.yaml"
    config.parent.mkdir()
    config.write_text("lr:\n  value: 0.1\n")
    path.write_bytes(framed(log(), SWANLAB))
    [claim] = SwanLab().claims(Folder(tmp_path))
    reader, columns = SwanLab().reader(claim), Columns()
    columns.take(reader.poll())
    path.unlink()
    path.write_bytes(framed([scalar("x", 1, 2.0)], SWANLAB))
    columns.take(reader.poll())
    assert (points(columns), columns.settings) == ({"x": [(1, 2.0)]}, {"lr": 0.1})


@pytest.mark.parametrize("content", [b"\xff" * 9, message((13, b"\x0a\xff"))])
def test_a_record_that_is_no_message_is_counted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run-abc.swanlab").write_bytes(framed([content, scalar("x", 1, 2.0)], SWANLAB))
    columns = read(tmp_path)
    assert (columns.problems, len(columns)) == ({"damaged record": 1}, 1)


def test_mutated_logs_give_what_is_sound(tmp_path: Path) -> None:
    whole = framed(log(), SWANLAB)
    (tmp_path / "run-abc.swanlab").write_bytes(whole)
    sound = {(tag, *map(str, point)) for tag, found in points(read(tmp_path)).items() for point in found}
    with (tmp_path / "run-abc.swanlab").open("wb", buffering=0) as file:
        for data in mutations(whole, 300):
            file.seek(0)
            file.truncate()
            file.write(data)
            found = points(read(tmp_path))
            assert {(tag, *map(str, point)) for tag, each in found.items() for point in each} <= sound


def test_a_folder_of_other_files_holds_no_run(tmp_path: Path) -> None:
    (tmp_path / "notes.swanlab").write_text("text")
    (tmp_path / "other.txt").write_bytes(SWANLAB)
    assert not list(SwanLab().claims(Folder(tmp_path)))
