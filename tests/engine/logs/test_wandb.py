"""Files of wandb: history, axes, the machine's numbers, settings, console, end; live, damaged, resumed."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest

from engine.logs import frames
from engine.logs.columns import Columns
from engine.logs.folder import Folder
from engine.logs.reader import PIECE, Reader
from engine.logs.wandb import Wandb
from engine.logs.wandb.history import rows_plain
from engine.logs.wandb.history_jit import CompiledRows
from tests.support.framed_writer import (
    framed,
    history,
    message,
    metric,
    printed,
    settings,
    stats,
    summary,
    timestamp,
    wandb_record,
)
from tests.support.logs import CASES, drained, is_same, read_all, truth
from tests.support.mutate import mutated, mutations

DAY = 1_790_000_000.0


def run_record(name: str = "a run", **items: str) -> bytes:
    return wandb_record(17, message((1, "abc"), (4, settings(items)), (8, name), (17, timestamp(DAY))))


def rows(count: int, start: int = 0) -> list[bytes]:
    """Rows of three numbers, each with the summaries that wandb writes beside it."""
    rng = random.Random(start)
    out = []
    for step in range(start, start + count):
        items = {"loss": repr(rng.random()), "lr": "0.1", "val.acc": str(step)}
        out += [summary(items), history(step, items, DAY + step / 8), summary({"_runtime": "1"})]
    return out


def write(folder: Path, records: list[bytes], name: str = "run-abc.wandb") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(framed(records))
    return folder / name


def read(folder: Path, limit: int = PIECE) -> Columns:
    [columns] = read_all(Wandb(), folder, limit).values()
    return columns


def points(columns: Columns, tag: str) -> list[tuple[int, float]]:
    series = columns.series(tag)
    return list(zip(series.step.tolist(), series.value.tolist(), strict=True))


def same(left: Columns, right: Columns) -> bool:
    """Whether two hold the same points and words, bit by bit."""
    return sorted(left.tags) == sorted(right.tags) and all(
        np.array_equal(a, b, equal_nan=True)
        for tag in left.tags
        for a, b in (
            (left.series(tag).step, right.series(tag).step),
            (left.series(tag).value, right.series(tag).value),
            (left.series(tag).time, right.series(tag).time),
        )
    )


def poll_all(reader: Reader, columns: Columns) -> None:
    """Take all news that there are now."""
    while True:
        batch = reader.poll()
        columns.take(batch)
        if not batch.more:
            return


@pytest.mark.skipif(not CASES.is_dir(), reason="needs the shared logs")
@pytest.mark.parametrize("case", ["wandb_offline", "accelerate"])
def test_real_logs_equal_their_truth(case: str) -> None:
    found = read_all(Wandb(), CASES / case)
    for run, tags in truth(case).items():
        columns = next(columns for name, columns in found.items() if run == "." or name.endswith(run))
        assert not columns.problems
        for tag, expected in tags.items():
            assert columns.series(tag).step.tolist() == [step for step, _, _ in expected]
            for value, time, (_, logged, when) in zip(
                columns.series(tag).value, columns.series(tag).time, expected, strict=True
            ):
                assert is_same(value, logged)
                assert abs(time - when) < 5.0  # an open row's time is that of its last log call


@pytest.mark.skipif(not CASES.is_dir(), reason="needs the shared logs")
def test_a_real_log_gives_its_name_settings_axes_console_and_end() -> None:
    found = read_all(Wandb(), CASES / "wandb_offline")
    [columns] = [columns for name, columns in found.items() if name.endswith("uzpdkk7m")]
    assert (columns.name, columns.ended) == ("run0", "finished")
    assert columns.settings == {"lr": 0.1, "model.depth": 3}
    assert columns.axes == {"val/acc": "epoch"}
    assert "system/memory_percent" in columns.tags
    assert not [tag for tag in columns.tags if tag.startswith(("_", "hist", "txt"))]


def test_values_of_every_kind(tmp_path: Path) -> None:
    items = {
        "whole": "3", "negative": "-0.25", "exponent": "1e-7", "large": "1.7976931348623157e+308",
        "tiny": "5e-324", "long": "0.1000000000000000055511151231257827", "huge": "1e999", "yes": "true",
        "no": "false", "nan": "NaN", "inf": "Infinity", "minus": "-Infinity", "quoted": '"NaN"',
        "null": "null", "text": '"a text"', "list": "[1, 2]", "nothing": "", "odd": "1_000", "word": "nan",
        "object": '{"a": 1, "b": {"c": 2.5, "d": [1], "t": true}}', "bad": '{"a": ',
        "image": '{"_type": "x", "n": 1}',
    }  # fmt: skip
    write(tmp_path, [history(5, items, DAY)])
    columns = read(tmp_path)
    values = {tag: float(columns.series(tag).value[0]) for tag in columns.tags}
    assert math.isnan(values.pop("nan"))
    assert math.isnan(values.pop("quoted"))
    assert values == {
        "whole": 3.0, "negative": -0.25, "exponent": 1e-7, "large": 1.7976931348623157e308, "tiny": 5e-324,
        "long": 0.1, "huge": math.inf, "yes": 1.0, "no": 0.0, "inf": math.inf, "minus": -math.inf,
        "object.a": 1.0, "object.b.c": 2.5, "object.b.t": 1.0,
    }  # fmt: skip
    assert all(columns.series(tag).step.tolist() == [5] for tag in columns.tags)
    assert all(columns.series(tag).time.tolist() == [DAY] for tag in columns.tags)


def test_numbers_that_are_written_as_numbers(tmp_path: Path) -> None:
    items = [
        message((1, "yes"), (4, 1)), message((1, "whole"), (5, 2 * 7 - 1)), message((1, "number"), (6, 0.1)),
        message((1, "text"), (7, "x")), message((1, "json"), (8, "2.5")), message((1, "none"), (3, 1)),
    ]  # fmt: skip
    write(tmp_path, [wandb_record(2, message(*((1, item) for item in items), (2, message((1, 4)))))])
    columns = read(tmp_path)
    assert {tag: points(columns, tag) for tag in columns.tags} == {
        "yes": [(4, 1.0)], "whole": [(4, -7.0)], "number": [(4, 0.1)], "json": [(4, 2.5)],
    }  # fmt: skip


def test_media_are_left_out_and_what_stands_beside_them_is_not(tmp_path: Path) -> None:
    items = {
        "hist.bins": "[1, 2]", "hist.count": "3", "loss": "1", "hist._type": '"histogram"', "history": "2",
        "a.img._type": '"image-file"', "a.img.width": "4", "a.size": "5",
    }  # fmt: skip
    write(tmp_path, [history(0, items), history(1, {"loss": "2"})])
    columns = read(tmp_path)
    assert {tag: points(columns, tag) for tag in columns.tags} == {
        "loss": [(0, 1.0), (1, 2.0)], "history": [(0, 2.0)], "a.size": [(0, 5.0)],
    }  # fmt: skip


def test_steps_of_rows_with_a_counter_a_key_or_neither(tmp_path: Path) -> None:
    records = [
        history(None, {"a": "1"}), history(7, {"a": "2"}, counted=False), history(None, {"a": "3"}),
        wandb_record(2, message((1, message((1, "a"), (16, "4"))), (2, message((1, 20))))),
        history(None, {"a": "5", "_step": "1e99"}), history(None, {"a": "6", "_step": "-3"}),
        history(None, {"a": "7", "_step": '"x"'}),
    ]  # fmt: skip
    write(tmp_path, records)
    assert [step for step, _ in points(read(tmp_path), "a")] == [0, 7, 8, 20, 21, -3, -2]


def test_axes_a_name_goes_before_a_pattern_and_the_longest_pattern_wins(tmp_path: Path) -> None:
    row = {"val/x": "1", "val/y": "2", "test": "3", "epoch": "1", "tokens": "5", "q.w": "1"}
    definitions = [
        metric("*", "epoch"), metric("val/*", "samples"), metric("val/x", "tokens"), metric("q\\.w", "tok\\.s"),
    ]  # fmt: skip
    write(tmp_path, [history(0, row), *definitions, stats(DAY, {"cpu": "1"}), history(1, row)])
    assert read(tmp_path, 1).axes == {"val/x": "tokens", "val/y": "samples", "test": "epoch", "q.w": "tok.s"}


def test_the_machines_numbers_stand_at_the_step_of_the_row_before_them(tmp_path: Path) -> None:
    records = [stats(DAY, {"cpu": "5.0"}), *rows(3), stats(DAY + 9.5, {"cpu": "7.0", "gpu.0.temp": "60"})]
    write(tmp_path, records)
    columns = read(tmp_path)
    assert points(columns, "system/cpu") == [(0, 5.0), (2, 7.0)]
    assert columns.series("system/cpu").time.tolist() == [DAY, DAY + 9.5]
    assert points(columns, "system/gpu.0.temp") == [(2, 60.0)]


def test_settings_notes_alerts_console_and_failure(tmp_path: Path) -> None:
    net = '{"depth": 3, "sizes": [1, 2], "none": null}'
    config = {"lr": "0.1", "net": net, "_wandb": "{}", "bad": "{", "e": "{}"}
    records = [
        wandb_record(17, message((4, settings(config)), (8, "name"), (9, "a note"))),
        wandb_record(5, settings({"lr": "0.2", "late": '"x"'})),
        *rows(2),
        wandb_record(10, message((1, "title"), (2, "text"))),
        printed("a line\n"), printed(b"\xff\x1b[31m\r"), wandb_record(4, message((1, 1), (3, "old"))),
        wandb_record(18, message((1, 1))),
    ]  # fmt: skip
    path = write(tmp_path, records)
    columns = read(tmp_path)
    assert columns.settings == {
        "lr": 0.2, "net.depth": 3, "net.sizes": "[1, 2]", "net.none": None, "late": "x", "e": "{}",
    }  # fmt: skip
    assert [(remark.kind, remark.step, remark.text) for remark in columns.remarks] == [
        ("note", None, "a note"), ("warning", 1, "title: text"),
    ]  # fmt: skip
    assert (columns.name, columns.ended) == ("name", "failed")
    assert columns.problems == {"setting that is no JSON": 1}
    [claim] = Wandb().claims(Folder(tmp_path))
    assert Wandb().reader(claim).poll().console == b"a line\n\xff\x1b[31m\rold"
    assert claim.files == (path,)


def test_each_prefix_of_a_log_gives_a_prefix_of_its_columns(tmp_path: Path) -> None:
    whole = framed([run_record(lr="0.1"), *rows(4), stats(DAY, {"cpu": "1"}), printed("x\n")])
    (tmp_path / "run-abc.wandb").touch()
    [claim] = Wandb().claims(Folder(tmp_path))
    reader, columns = Wandb().reader(claim), Columns()
    counts = []
    with claim.files[0].open("wb", buffering=0) as log:
        for size in range(len(whole)):
            log.write(whole[size : size + 1])
            batch = reader.poll()
            assert not batch.anew
            assert not batch.problems
            columns.take(batch)
            counts.append(len(columns))
            if size % 40 == 0:
                assert len(read(tmp_path)) == len(columns)
    assert counts == sorted(counts)
    assert same(columns, read(tmp_path))
    assert len(columns) == 4 * 3 + 1


def test_a_replaced_log_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path, [run_record(), *rows(9)])
    [claim] = Wandb().claims(Folder(tmp_path))
    reader = Wandb().reader(claim)
    columns = drained(reader)
    path.unlink()
    columns.take(reader.poll())
    assert len(columns) == 27
    write(tmp_path, [run_record("another"), history(0, {"x": "1"})])
    poll_all(reader, columns)
    assert (columns.name, columns.tags) == ("another", ["x"])


def test_damage_loses_one_row_and_is_counted(tmp_path: Path) -> None:
    records = rows(20)
    data = bytearray(framed(records))
    at = data.index(b"loss", sum(len(record) + 7 for record in records[:13]))
    data[at] ^= 1
    write(tmp_path, []).write_bytes(data)
    columns = read(tmp_path)
    assert [step for step, _ in points(columns, "lr")] == [*range(4), *range(5, 20)]
    assert columns.problems == {"damaged record": 1}


def test_a_record_that_is_no_message_is_counted(tmp_path: Path) -> None:
    broken = [b"\xff" * 12, b"\x12\x05\x0a", message((2, b"\x0a\xff\x01")), message((17, b"\x43\x43"))]
    write(tmp_path, [*broken, b"", b"\x08\x01", *rows(2)])
    columns = read(tmp_path)
    assert columns.problems == {"damaged record": 4}
    assert len(columns) == 6


def test_claims_by_content_and_what_belongs_to_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "offline-run-20261127_141448-abc"
    path = write(folder, rows(1))
    (folder / "files").mkdir()
    (folder / "logs").mkdir()
    (folder / "notes.wandb").write_text("no such file")
    [claim] = Wandb().claims(Folder(folder))
    assert (claim.folder, claim.files, claim.run) == (folder, (path,), "")
    assert set(claim.beside) == {folder / "files", folder / "logs"}
    (folder / "run-new.wandb").touch()
    assert [claim.run for claim in Wandb().claims(Folder(folder))] == ["run-abc.wandb", "run-new.wandb"]
    assert not list(Wandb().claims(Folder(tmp_path / "missing")))


def resumed(folder: Path, number: int) -> Path:
    """Directory of a run that was started for the ``number``th time."""
    return folder / f"run-2026112{number}_101500-abc"


def ended(code: int) -> bytes:
    return wandb_record(18, message(*([(1, code)] if code else [])))


def test_a_resumed_run_is_one_run_whose_later_file_wins(tmp_path: Path) -> None:
    note = wandb_record(17, message((8, "name"), (9, "a note")))
    write(resumed(tmp_path, 1), [note, *rows(6), ended(1)])
    write(resumed(tmp_path, 2), [note, *[history(s, {"loss": str(-s)}, DAY + 50 + s) for s in (4, 5, 6)]])
    write(tmp_path / "offline-run-20261123_101500-abc", rows(2))
    [claim] = Wandb().claims(Folder(tmp_path))
    assert (claim.folder, claim.run, len(claim.files)) == (resumed(tmp_path, 1), "", 2)
    columns = drained(Wandb().reader(claim))
    assert columns.series("loss").step.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert columns.series("loss").value.tolist()[4:] == [-4, -5, -6]
    assert columns.series("lr").step.tolist() == [0, 1, 2, 3]
    assert [(remark.kind, remark.step, remark.text) for remark in columns.remarks] == [
        ("note", None, "a note"), ("resumed", 4, "resumed at step 4"),
    ]  # fmt: skip
    assert columns.ended == ""


def test_a_run_that_ended_goes_on_when_it_is_resumed(tmp_path: Path) -> None:
    write(resumed(tmp_path, 1), [*rows(6), ended(0)])
    [alone] = Wandb().claims(Folder(resumed(tmp_path, 1)))
    reader, columns = Wandb().reader(alone), Columns()
    poll_all(reader, columns)
    assert columns.ended == "finished"
    path = write(resumed(tmp_path, 2), [])
    [both] = Wandb().claims(Folder(tmp_path))
    assert both.key == alone.key
    reader.refresh(both)
    poll_all(reader, columns)
    assert (columns.ended, len(columns)) == ("", 18)
    path.write_bytes(framed([history(6, {"loss": "1"}, DAY + 90), ended(1)]))
    poll_all(reader, columns)
    assert (columns.ended, len(columns)) == ("failed", 19)


def test_processes_that_write_a_run_at_once_are_kept_apart(tmp_path: Path) -> None:
    first, second = resumed(tmp_path, 1), resumed(tmp_path, 2)
    write(first, rows(3))
    write(second, [metric("val.acc", "lr"), *rows(5)])
    [claim] = Wandb().claims(Folder(tmp_path))
    reader, columns = Wandb().reader(claim), Columns()
    poll_all(reader, columns)
    assert sorted(columns.tags) == sorted(f"{tag}#{n}" for tag in ("loss", "lr", "val.acc") for n in (1, 2))
    assert (len(columns.series("loss#1")), len(columns.series("loss#2"))) == (3, 5)
    assert columns.axes["val.acc#2"] == "lr#2"
    write(first, [*rows(3), history(3, {"loss": "1"}, DAY), ended(0)])
    poll_all(reader, columns)
    assert (len(columns.series("loss#1")), columns.ended) == (4, "")
    assert not reader.poll()


def test_an_older_file_that_goes_on_growing_is_kept_apart(tmp_path: Path) -> None:
    write(resumed(tmp_path, 1), rows(3))
    later = [history(step, {"loss": "1"}, DAY + 50 + step) for step in (2, 3)]
    write(resumed(tmp_path, 2), later)
    [claim] = Wandb().claims(Folder(tmp_path))
    reader, columns = Wandb().reader(claim), Columns()
    poll_all(reader, columns)
    assert columns.series("loss").step.tolist() == [0, 1, 2, 3]
    write(resumed(tmp_path, 1), rows(4))
    poll_all(reader, columns)
    assert columns.series("loss#1").step.tolist() == [0, 1, 2, 3]
    assert columns.series("loss#2").step.tolist() == [2, 3]


def test_mutated_logs_give_what_is_sound(tmp_path: Path) -> None:
    records = [run_record(lr="0.1"), metric("*", "step"), *rows(12), stats(DAY, {"cpu": "1"}), printed("x\n")]
    sound = {point for tag in ("loss", "lr") for point in points(_read_bytes(tmp_path, framed(records)), tag)}
    for data in mutations(framed(records), 300):
        columns = _read_bytes(tmp_path, data)
        # checksums leave no damaged value through
        assert {point for tag in ("loss", "lr") for point in points(columns, tag)} <= sound


VALUES = (
    "0.1", "-0", "1", "123456789012345678901234567890", "0.30000000000000004", "1e-400", "5.", "5.e3", ".5", "+1",
    "-", "-.5", "-inf", "nan", "NaN", "-NaN", "Infinity", "-Infinity", '"NaN"', '"-Infinity"', '"Infinity"', '"x"',
    "true", "false", "tru", "null", "[1]", '{"a": 1, "\\ud800": {"b": true}}', '{"_type": "x"}', "{", "", "1 ",
    "1e", "1_0", "1.7976931348623157e308", "4.9e-324", "9007199254740993", "8.5e-7", "1795833897.554004",
)  # fmt: skip
KEYS = (
    "a", "b", "a.b", "a.b.c", "", ".", "é", "x" * 5000, "h.n", "h._type", "_step", "_timestamp", "_runtime",
    "_wandb.x",
)  # fmt: skip


def odd_rows(rng: random.Random, count: int) -> list[bytes]:
    """Rows with keys, values and steps of all kinds, good and bad."""
    out = []
    for _ in range(count):
        fields: list[tuple[int, bytes]] = []
        for key in rng.choices([*KEYS, f"k{rng.randrange(900)}"], k=rng.randrange(9)):
            names = [(2, name) for name in key.split(".")] if rng.random() < 0.8 else [(1, key)]
            value = rng.choice([
                (16, rng.choice(VALUES)), (16, repr(rng.gauss(0, 1))), (4, rng.randrange(3)),
                (5, rng.getrandbits(64)), (6, rng.gauss(0, 9)), (8, "2.5"), (7, "1"), (3, 1),
            ])  # fmt: skip
            fields.append((1, message(*rng.sample([*names, value], len(names) + 1))))
        if rng.random() < 0.7:
            step = rng.choice([0, 7, -7, (1 << 62) - 1, 1 << 62, 1 << 63, rng.randrange(100)])
            fields.insert(rng.randrange(len(fields) + 1), (2, message((1, step))))
        if rng.random() < 0.1:
            fields.append((1, message((2, b"\xff\xfe"), (16, "1"))))
        out.append(wandb_record(rng.choice([2, 2, 2, 3, 7, 17]), message(*fields), rng.getrandbits(20)))
    return out


def assert_read_alike(records: list[bytes], compiled: CompiledRows) -> None:
    """Read records with compiled code and without; numbers equal to the last bit, words and counts too."""
    data = bytearray(b"".join(records))
    ends = np.cumsum([len(record) for record in records])
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    expected, found = rows_plain(data, starts, ends, 3), compiled.read(data, starts, ends, 3)
    assert (found.others, found.damaged, found.step) == (expected.others, expected.damaged, expected.step)
    assert set(found.points) == set(expected.points)
    for tag, series in expected.points.items():
        for column in ("step", "value", "time"):
            left, right = getattr(series, column), getattr(found.points[tag], column)
            assert np.array_equal(left.view(np.int64), right.view(np.int64)) or np.array_equal(
                left, right, equal_nan=True
            )


def test_compiled_and_plain_read_odd_rows_alike() -> None:
    rng, compiled = random.Random(4), CompiledRows()
    for _ in range(30):
        assert_read_alike(odd_rows(rng, 40), compiled)


def test_compiled_and_plain_read_damaged_rows_alike() -> None:
    rng, compiled = random.Random(5), CompiledRows()
    for number in range(300):
        records = [mutated(record, 7 * number + at) for at, record in enumerate(rows(1) + odd_rows(rng, 4))]
        assert_read_alike(records, compiled)


def test_compiled_code_knows_thousands_of_keys_over_pieces() -> None:
    compiled = CompiledRows()
    for piece in range(3):
        items = {f"layer {number}/{piece * number}": str(number) for number in range(1500)}
        assert_read_alike([history(piece, items)], compiled)


def test_a_large_log_is_read_alike_by_compiled_code_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path,
        [run_record(), *rows(4000), history(4001, {"hist.bins": "[1]", "hist._type": '"x"', "loss": "1"})],
    )
    columns = read(tmp_path)
    assert len(columns) == 3 * 4000 + 1
    monkeypatch.setattr(frames, "WORTH", 1 << 10)
    assert same(columns, read(tmp_path))
    assert same(columns, read(tmp_path, 1 << 15))


def _read_bytes(folder: Path, data: bytes) -> Columns:
    path = folder / "run-m.wandb"
    path.write_bytes(data)
    found = read_all(Wandb(), folder)
    return next(iter(found.values()), Columns())
