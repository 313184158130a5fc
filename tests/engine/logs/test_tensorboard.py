"""TensorBoard's event files: real logs equal their truth, live growth, resumes, damage, two writers at once."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from support import tensorboard_writer as made
from support.logs import CASES, is_same, read_all, truth
from support.mutate import mutations

from engine.logs.columns import Columns
from engine.logs.folder import Folder
from engine.logs.reader import Reader
from engine.logs.tensorboard import reader as reader_module
from engine.logs.tensorboard.format import TensorBoard

needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the corpus of real logs is not here")
REAL = (
    "torch_tb_basic", "torch_tb_nan", "torch_tb_nested", "torch_tb_add_scalars", "torch_tb_hparams",
    "tensorboardx", "ignite",
)  # fmt: skip


def last_by_step(points: list[list[float]]) -> list[list[float]]:
    """Of repeated steps the last values, in the order of steps."""
    return sorted({point[0]: point for point in points}.values())


def assert_logged(columns: Columns, tag: str, expected: list[list[float]], name: str | None = None) -> None:
    """A tag holds what was logged: float32 values, and the times when the calls were made."""
    series = columns.series(name or tag)
    assert series.step.tolist() == [step for step, _, _ in expected]
    for value, time, (_, logged, when) in zip(series.value, series.time, expected, strict=True):
        with np.errstate(over="ignore"):
            rounded = float(np.float32(logged))
        assert is_same(float(value), logged) or is_same(float(value), rounded), tag
        assert abs(time - when) < 0.5


@needs_cases
@pytest.mark.parametrize("case", REAL)
@pytest.mark.parametrize("limit", [500, 1 << 23])
def test_real_logs_equal_their_truth(case: str, limit: int) -> None:
    found = read_all(TensorBoard(), CASES / case, limit)
    for run, tags in truth(case).items():
        for tag, expected in tags.items():
            assert_logged(found[run], tag, expected)


@needs_cases
def test_an_empty_file_waits_and_a_torn_one_gives_what_is_whole() -> None:
    (empty,) = read_all(TensorBoard(), CASES / "tb_empty").values()
    assert empty.tags == []
    (torn,) = read_all(TensorBoard(), CASES / "tb_torn_tail").values()
    (whole,) = read_all(TensorBoard(), CASES / "torch_tb_basic").values()
    for tag in torn.tags:
        count = len(torn.series(tag))
        assert torn.series(tag).value.tolist() == whole.series(tag).value[:count].tolist()
    assert sum(len(torn.series(tag)) for tag in torn.tags) == 143


@needs_cases
def test_a_purged_resume_leaves_the_later_file() -> None:
    (run,) = read_all(TensorBoard(), CASES / "torch_tb_resume_purge").values()
    assert_logged(run, "loss", last_by_step(truth("torch_tb_resume_purge")["."]["loss"]))
    assert [(remark.kind, remark.step) for remark in run.remarks] == [("resumed", 30)]


@needs_cases
def test_settings_and_texts() -> None:
    runs = read_all(TensorBoard(), CASES / "torch_tb_hparams")
    assert runs["lr0.1/hp"].settings == {"bs": 32, "amp": True, "opt": "sgd", "lr": 0.1}
    (run,) = read_all(TensorBoard(), CASES / "torch_tb_basic").values()
    assert [(remark.step, remark.text) for remark in run.remarks][:1] == [(19, "note: step 19")]
    trained = read_all(TensorBoard(), CASES / "hf_trainer")["out/runs/Nov27_14-10-56_vm"]
    assert trained.settings["learning_rate"] == 5e-5
    assert trained.settings["accelerator_config.even_batches"] is True
    assert read_all(TensorBoard(), CASES / "accelerate")["myproj"].settings == {"lr": 0.1, "bs": 8}


FIRST, SECOND = "events.out.tfevents.1700000000.host.7.9", "events.out.tfevents.1700000000.host.7.10"


def logged(start: float, steps: range, tag: str = "loss", every: float = 1.0, offset: float = 0.0) -> list[bytes]:
    """Records of one tag, the value being the step and an offset."""
    return [made.scalar(start + i * every, step, tag, step + offset) for i, step in enumerate(steps)]


def reader_of(folder: Path) -> Reader:
    (claim,) = TensorBoard().claims(Folder(folder))
    return TensorBoard().reader(claim)


def refreshed(reader: Reader, folder: Path) -> None:
    (claim,) = TensorBoard().claims(Folder(folder))
    reader.refresh(claim)


def grow(path: Path, parts: list[bytes]) -> None:
    with path.open("ab") as file:
        file.write(b"".join(parts))


def age(path: Path) -> None:
    """Make a file look as if it had last been written long ago."""
    os.utime(path, (1.7e9, 1.7e9))


def take(reader: Reader, columns: Columns, limit: int = 1 << 20) -> None:
    """Fold all that a reader has by now."""
    while True:
        batch = reader.poll(limit)
        columns.take(batch)
        if not batch.more:
            return


def test_every_prefix_of_a_growing_file_gives_a_prefix_of_the_points(tmp_path: Path) -> None:
    parts = [made.version(1.0), *logged(2, range(5)), *logged(9, range(2), "other"), *logged(20, range(5, 9))]
    data = b"".join(parts)
    ends = list(itertools.accumulate(map(len, parts)))
    path = made.write(tmp_path, [], FIRST)
    reader, columns = reader_of(tmp_path), Columns()
    for i in range(len(data)):
        grow(path, [data[i : i + 1]])
        take(reader, columns)
        whole = sum(end <= i + 1 for end in ends) - 1
        assert len(columns) == max(whole, 0)
    assert columns.series("loss").value.tolist() == [*range(9)]
    assert not columns.problems
    assert not reader.poll()


def test_files_follow_by_their_counters_as_numbers(tmp_path: Path) -> None:
    made.write(tmp_path, [made.version(1.0), *logged(5, range(4))], FIRST)
    made.write(tmp_path, [made.version(1.0), *logged(5, range(2, 6), every=0, offset=0.5)], SECOND)
    (run,) = read_all(TensorBoard(), tmp_path).values()
    assert run.series("loss").value.tolist() == [0, 1, 2.5, 3.5, 4.5, 5.5]


def test_a_later_file_wins_from_its_first_step_on_tag_by_tag(tmp_path: Path) -> None:
    made.write(tmp_path, [*logged(1, range(50)), *logged(60, range(0, 50, 10), "val")], FIRST)
    second = [*logged(1000, range(30, 60), offset=0.5), *logged(1040, range(40, 60, 10), "val", offset=0.5)]
    made.write(tmp_path, second, SECOND)
    (run,) = read_all(TensorBoard(), tmp_path).values()
    assert run.series("loss").step.tolist() == [*range(60)]
    assert run.series("loss").value.tolist() == [*range(30), *(i + 0.5 for i in range(30, 60))]
    assert run.series("val").value.tolist() == [0, 10, 20, 30, 40.5, 50.5]
    assert [(remark.kind, remark.step) for remark in run.remarks] == [("resumed", 30)]


def test_single_points_of_a_second_file_void_nothing(tmp_path: Path) -> None:
    for name, time, want in [
        ("evaluated later", 500, {"loss": [*range(100), 0.5]}),
        ("beside", 50, {"loss#1": [*range(100)], "loss#2": [0.5]}),
    ]:
        made.write(tmp_path / name, logged(1, range(100)), FIRST)
        made.write(tmp_path / name, logged(time, [0], offset=0.5), SECOND)
        (run,) = read_all(TensorBoard(), tmp_path / name).values()
        assert {tag: run.series(tag).value.tolist() for tag in run.tags if run.count(tag)} == want
        assert not run.remarks


def test_points_without_steps_are_all_kept(tmp_path: Path) -> None:
    for name, start, count in ((FIRST, 1, 10), (SECOND, 50, 5)):
        made.write(tmp_path, [made.scalar(start + i, 0, "loss", start + i) for i in range(count)], name)
    (run,) = read_all(TensorBoard(), tmp_path).values()
    assert run.series("loss").value.tolist() == [*range(1, 11), *range(50, 55)]


def test_a_second_writer_is_known_once_the_first_goes_on(tmp_path: Path) -> None:
    first = made.write(tmp_path, logged(1, range(50)), FIRST)
    made.write(tmp_path, logged(50, [0], offset=0.5), SECOND)
    reader, columns = reader_of(tmp_path), Columns()
    for step in range(50, 100):
        grow(first, [made.scalar(1 + step, step, "loss", step)])
        take(reader, columns)
    assert columns.series("loss#1").value.tolist() == [*range(100)]
    assert columns.series("loss#2").value.tolist() == [0.5]


def test_a_value_from_before_a_resume_goes_on_voids_nothing(tmp_path: Path) -> None:
    made.write(tmp_path, logged(1, range(100)), FIRST)
    second = made.write(tmp_path, logged(500, [0], offset=0.5), SECOND)
    reader, columns = reader_of(tmp_path), Columns()
    take(reader, columns)
    for step in (50, 51, 52):
        grow(second, [made.scalar(500 + step, step, "loss", -step)])
        take(reader, columns)
    assert columns.series("loss").step.tolist() == [*range(50), 0, 50, 51, 52]
    assert [(remark.kind, remark.step) for remark in columns.remarks] == [("resumed", 50)]


@pytest.mark.parametrize("limit", [1, 1 << 20])
def test_a_later_file_with_one_earlier_step_is_no_resume(tmp_path: Path, limit: int) -> None:
    """An evaluation of an old checkpoint, into the training's folder."""
    made.write(tmp_path, logged(1, range(50)), FIRST)
    made.write(
        tmp_path, [made.version(99), made.scalar(100, 7, "loss", 0.25), made.scalar(100, 7, "f1", 1)], SECOND
    )
    (run,) = read_all(TensorBoard(), tmp_path, limit).values()
    assert run.series("loss").value.tolist() == [*range(50), 0.25]
    assert run.series("f1").step.tolist() == [7]
    assert not run.remarks


@pytest.mark.parametrize("limit", [1, 1 << 20])
def test_with_one_tag_that_goes_on_all_of_a_file_are_resumed(tmp_path: Path, limit: int) -> None:
    made.write(tmp_path, [*logged(1, range(50)), *logged(60, range(0, 50, 10), "val")], FIRST)
    second = [made.scalar(1000, 20, "val", 0.5), *logged(1000, range(21, 24), offset=0.5)]
    made.write(tmp_path, second, SECOND)
    (run,) = read_all(TensorBoard(), tmp_path, limit).values()
    assert run.series("loss").value.tolist() == [*range(21), 21.5, 22.5, 23.5]
    assert run.series("val").value.tolist() == [0, 10, 0.5]
    assert {remark.kind for remark in run.remarks} == {"resumed"}


def test_a_resume_that_starts_while_it_is_watched(tmp_path: Path) -> None:
    first = made.write(tmp_path, logged(1, range(50)), FIRST)
    reader, columns = reader_of(tmp_path), Columns()
    take(reader, columns)
    second = made.write(tmp_path, [made.version(99)], SECOND)
    refreshed(reader, tmp_path)
    take(reader, columns)
    assert len(columns) == 50
    for step in range(30, 60):
        grow(second, [made.scalar(100 + step, step, "loss", -step)])
        take(reader, columns)
    assert columns.series("loss").value.tolist() == [*range(30), *(-step for step in range(30, 60))]
    grow(first, [made.scalar(52, 50, "loss", 50)])
    take(reader, columns)
    assert columns.series("loss").value.tolist() == [*range(30), *(-step for step in range(30, 60))]


def test_a_session_that_starts_again_voids_what_came_after(tmp_path: Path) -> None:
    parts = [*logged(1, range(10)), *logged(20, range(10), "val"), made.event(40, 6, made.session(1))]
    made.write(tmp_path, [*parts, *logged(41, range(6, 8), offset=0.5)])
    (run,) = read_all(TensorBoard(), tmp_path).values()
    assert run.series("loss").value.tolist() == [0, 1, 2, 3, 4, 5, 6.5, 7.5]
    assert run.series("val").value.tolist() == [*range(6)]
    in_pieces = read_all(TensorBoard(), tmp_path, 1)["."]
    assert in_pieces.series("loss").value.tolist() == run.series("loss").value.tolist()


def test_two_writers_at_once_are_kept_apart(tmp_path: Path) -> None:
    made.write(tmp_path, [*logged(1, range(10)), *logged(5, range(4), "lr")], FIRST)
    made.write(tmp_path, logged(1.5, range(10), offset=0.5), SECOND)
    for limit in (1, 1 << 20):
        (run,) = read_all(TensorBoard(), tmp_path, limit).values()
        assert run.tags == ["loss#1", "lr", "loss#2"]
        assert run.series("loss#2").value.tolist() == [step + 0.5 for step in range(10)]
        assert not run.remarks


def test_a_file_that_was_taken_for_ended_grows_on(tmp_path: Path) -> None:
    """Whether two files are one writer after the other or two at once shows only with time."""
    first = made.write(tmp_path, logged(1, range(5)), FIRST)
    second = made.write(tmp_path, [made.version(6)], SECOND)
    reader, columns = reader_of(tmp_path), Columns()
    for step in range(5, 40):
        grow(first, logged(1 + step, range(step, step + 1)))
        grow(second, logged(1.5 + step, range(step - 5, step - 4), offset=0.5))
        take(reader, columns)
    assert columns.tags == ["loss#1", "loss#2"]
    assert columns.series("loss#1").value.tolist() == [*range(40)]
    assert columns.series("loss#2").value.tolist() == [step + 0.5 for step in range(35)]


@pytest.mark.parametrize("limit", [1, 1 << 20])
def test_a_damaged_record_is_skipped_and_counted(tmp_path: Path, limit: int) -> None:
    parts = logged(1, range(20))
    for i, at in ((5, 20), (9, -1)):
        damaged = bytearray(parts[i])
        damaged[at] ^= 1
        parts[i] = bytes(damaged)
    parts[12] = made.record(b"\x09short")
    made.write(tmp_path, parts)
    (run,) = read_all(TensorBoard(), tmp_path, limit).values()
    assert run.series("loss").step.tolist() == [i for i in range(20) if i not in (5, 9, 12)]
    assert run.problems == {"damaged record": 3}


@pytest.mark.parametrize("limit", [1, 1 << 20])
def test_a_damaged_length_is_stepped_over(tmp_path: Path, limit: int) -> None:
    parts = logged(1, range(20))
    parts[5] = b"\xff" * 12 + parts[5][12:]
    made.write(tmp_path, parts)
    (run,) = read_all(TensorBoard(), tmp_path, limit).values()
    assert run.series("loss").step.tolist() == [i for i in range(20) if i != 5]
    assert run.problems == {"damaged record": 1}


def test_zeros_are_waited_for_until_the_file_is_old(tmp_path: Path) -> None:
    """Network file systems show zeros where bytes have not come yet; after a crash they stay."""
    parts = logged(1, range(20))
    zeros = bytes(len(parts[5]))
    path = made.write(tmp_path, [*parts[:5], zeros, *parts[6:]])
    reader, columns = reader_of(tmp_path), Columns()
    take(reader, columns)
    assert len(columns) == 5
    age(path)
    take(reader, columns)
    assert columns.series("loss").step.tolist() == [i for i in range(20) if i != 5]
    assert columns.problems == {"damaged record": 1}
    path.write_bytes(b"".join([*parts[:5], zeros]))
    reader, columns = reader_of(tmp_path), Columns()
    take(reader, columns)
    path.write_bytes(b"".join(parts))
    take(reader, columns)
    assert columns.series("loss").step.tolist() == [*range(20)]
    assert not columns.problems


def test_the_last_record_may_still_be_written(tmp_path: Path) -> None:
    parts = logged(1, range(3))
    path = made.write(tmp_path, [*parts[:2], parts[2][:12], bytes(len(parts[2]) - 12)])
    reader, columns = reader_of(tmp_path), Columns()
    take(reader, columns)
    assert len(columns) == 2
    path.write_bytes(b"".join(parts))
    take(reader, columns)
    assert columns.series("loss").step.tolist() == [0, 1, 2]
    path.write_bytes(b"".join([*parts[:2], parts[2][:-1] + b"x"]))
    reader, columns = reader_of(tmp_path), Columns()
    take(reader, columns)
    age(path)
    take(reader, columns)
    assert (len(columns), columns.problems) == (2, {"damaged record": 1})


def test_a_file_that_is_replaced_or_cut_is_read_anew(tmp_path: Path) -> None:
    path = made.write(tmp_path, logged(1, range(9)))
    reader, columns = reader_of(tmp_path), Columns()
    take(reader, columns)
    path.write_bytes(b"".join(logged(50, range(3), "other")))
    take(reader, columns)
    assert columns.tags == ["other"]
    path.write_bytes(b"".join(logged(70, range(30))))
    take(reader, columns)
    assert columns.tags == ["loss"]
    assert columns.series("loss").time[0] == 70
    path.unlink()
    take(reader, columns)
    assert len(columns) == 30


def test_a_large_record_is_stepped_over(tmp_path: Path) -> None:
    large = made.record(made.text(4, bytes((1 << 23) + 1)))
    made.write(tmp_path, [*logged(1, range(2)), large, *logged(5, range(2, 4))])
    (run,) = read_all(TensorBoard(), tmp_path).values()
    assert run.series("loss").step.tolist() == [0, 1, 2, 3]
    assert run.problems == {"record of more than 8 MiB": 1}


def hparams(content: bytes) -> bytes:
    """A record of the hparams plugin."""
    tag = "_hparams_/session_end_info"
    return made.event(1, 0, made.summary([made.tensor(tag, made.whole(1, 1), "hparams", content)]))


def test_an_end_without_a_time_is_none(tmp_path: Path) -> None:
    """torch's add_hparams writes one together with the settings, at the start of many trainings."""
    made.write(tmp_path, [hparams(made.text(4, made.whole(1, 1))), *logged(1, range(3))])
    assert read_all(TensorBoard(), tmp_path)["."].ended == ""
    made.write(tmp_path, [*logged(1, range(3)), hparams(made.text(4, made.whole(1, 2) + made.double(2, 9.0)))])
    assert read_all(TensorBoard(), tmp_path)["."].ended == "failed"


def test_texts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "MOST_TEXT", 1 << 17)
    labels = json.dumps({"width": 3, "labels": {str(i): "x" for i in range(5000)}})
    inner = made.whole(1, 7) + made.text(8, labels.encode())
    notes = made.whole(1, 7) + made.text(8, b"word " * 4000)
    note = made.event(1, 1, made.summary([made.tensor("note", notes, "text")]))
    made.write(tmp_path, [note] * 12)
    made.write(tmp_path / "other", [made.event(0, 0, made.summary([made.tensor("model", inner, "text")]))])
    run, other = read_all(TensorBoard(), tmp_path).values()
    assert sum(len(remark.text) for remark in run.remarks) <= (1 << 17) + 12 * len("note: ")
    assert run.problems == {"text beyond the first 8 MiB": 4}
    assert (len(other.settings), other.settings["model.width"]) == (1000, 3)


def test_the_steps_of_keras(tmp_path: Path) -> None:
    tags = ("epoch_loss", "batch_loss", "evaluation_loss_vs_iterations", "lr")
    values = [made.event(1, 3, made.summary([made.tensor(tag, made.packed(1), "scalars")])) for tag in tags]
    made.write(tmp_path, [*values, made.scalar(2, 1, "epoch_time", 1)])
    (run,) = read_all(TensorBoard(), tmp_path).values()
    assert run.counts == dict(zip(tags[:3], ("epoch", "batch", "batch"), strict=True))


def test_what_is_no_event_file_is_not_claimed(tmp_path: Path) -> None:
    (tmp_path / "tfevents.txt").write_text("notes on tfevents files, longer than a header")
    (tmp_path / "data.tfrecord").write_bytes(made.record(b"a record of another kind"))
    assert not list(TensorBoard().claims(Folder(tmp_path)))
    made.write(tmp_path, [made.version(1.0)], "renamed.log")
    (claim,) = TensorBoard().claims(Folder(tmp_path))
    assert claim.files == (tmp_path / "renamed.log",)


def test_mutated_logs_never_raise_and_end(tmp_path: Path) -> None:
    parts = [
        made.version(1.0),
        *logged(1, range(12)),
        made.event(20, 6, made.session(1)),
        *logged(30, range(6, 9)),
    ]
    data = b"".join(parts)
    for number, damaged in enumerate(mutations(data, 300)):
        path = made.write(tmp_path / str(number % 3), [damaged])
        if number % 2:
            age(path)
        for columns in read_all(TensorBoard(), path.parent, 200 if number % 5 == 0 else 1 << 20).values():
            assert len(columns) <= 4 * 15


def test_tags_of_any_bytes(tmp_path: Path) -> None:
    odd = made.text(1, made.text(1, b"\xff\x1b[2J\xed\xa0\x80") + made.single(2, 1.0))
    made.write(tmp_path, [made.event(1, 1, made.summary([odd])), made.event(2, 1, made.text(5, odd))])
    (run,) = read_all(TensorBoard(), tmp_path).values()
    assert len(run) == 2
    run.tags[0].encode()


def test_what_add_hparams_puts_into_a_folder_named_by_the_time_is_of_the_run_above(tmp_path: Path) -> None:
    """torch's SummaryWriter.add_hparams, without a name: settings, and what the training came to."""
    made.write(tmp_path, logged(1, range(3)))
    start = made.text(1, made.text(1, b"lr") + made.text(2, made.double(2, 0.5)))
    tag = "_hparams_/session_start_info"
    told = made.event(1, 0, made.summary([made.tensor(tag, made.whole(1, 1), "hparams", made.text(3, start))]))
    for name, result in (("1700000001.25", "hparam/acc"), ("1700000002.5", "loss")):
        (tmp_path / name).mkdir()
        made.write(tmp_path / name, [told, made.scalar(1, 0, result, 0.75)])
    runs = read_all(TensorBoard(), tmp_path)
    assert sorted(runs) == [".", "1700000002.5"]  # a scalar of the training's own is no result
    assert runs["."].settings == {"lr": 0.5}
    assert len(runs["."].series("hparam/acc")) == 1
