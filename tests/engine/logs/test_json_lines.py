"""Logs of JSON lines: real ones equal their truth, live growth, rewriting; compiled code reads as Python does."""

from __future__ import annotations

import json
import math
import os
import random
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.logs import CASES, claims_under, drained, is_same, read_all, truth
from support.mutate import mutations

from engine.logs.columns import Columns
from engine.logs.folder import Folder
from engine.logs.lines import JsonLines
from engine.logs.lines.reader import LinesReader
from engine.logs.reader import Claim, Reader

LOG = JsonLines()
PLAIN, COMPILED = 1 << 60, 0
"""From how many bytes on compiled code is used."""


def written(path: Path, lines: Iterable[Any]) -> Path:
    """A log with these lines: objects, or text as it stands."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(text + "\n" for text in texts))
    return path


def reader(path: Path, compiled_from: int = PLAIN) -> Reader:
    """A reader of one file."""
    return LinesReader(Claim("jsonl", path.parent, (path,)), compiled_from)


def columns(path: Path, compiled_from: int = PLAIN) -> Columns:
    """All columns of one file."""
    return drained(reader(path, compiled_from))


def points(found: Columns, tag: str) -> list[tuple[int, float]]:
    """Steps and values of a tag."""
    series = found.series(tag)
    return list(zip(series.step.tolist(), series.value.tolist(), strict=True))


def everything(found: Columns) -> dict[str, Any]:
    """All that is known of a log, to be compared; NaN equals NaN."""
    series = {tag: found.series(tag) for tag in found.tags}
    return {
        "points": {
            tag: (one.step.tolist(), [repr(v + 0.0) for v in one.value], [repr(t) for t in one.time.tolist()])
            for tag, one in series.items()
        },
        "settings": found.settings,
        "remarks": [(remark.step, repr(remark.time), remark.text) for remark in found.remarks],
        "counts": found.counts,
        "problems": dict(found.problems),
    }


def training(steps: Iterable[int]) -> list[dict[str, Any]]:
    """Lines of a training."""
    return [{"step": step, "loss": 1 / (step + 1), "time": 1.8e9 + step} for step in steps]


@pytest.mark.skipif(not CASES.is_dir(), reason="no shared cases")
@pytest.mark.parametrize("case", ["jsonl_plain", "llamafactory", "verl_file"])
@pytest.mark.parametrize("limit", [37, 1 << 23])
def test_real_logs_equal_their_truth(case: str, limit: int) -> None:
    (found,) = read_all(LOG, CASES / case, limit).values()
    (known,) = truth(case).values()
    assert sorted(found.tags) == sorted(known)
    for tag, logged in known.items():
        read = points(found, tag)
        assert [step for step, _ in read] == [step for step, _, _ in logged]
        assert all(is_same(value, other[1]) for (_, value), other in zip(read, logged, strict=True))
    assert not found.problems


@pytest.mark.skipif(not CASES.is_dir(), reason="no shared cases")
def test_times_and_settings_of_real_logs() -> None:
    (plain,) = read_all(LOG, CASES / "jsonl_plain").values()
    assert plain.series("loss").time[:2].tolist() == [1795788375.0, 1795788376.0]
    (factory,) = read_all(LOG, CASES / "llamafactory").values()
    assert factory.settings == {"total_steps": 100}
    assert np.isnan(factory.series("loss").time).all()


ALL_KINDS: list[Any] = [
    {"step": 1, "loss": 0.1 + 0.2, "val": {"acc": 1e-7, "deep": {"er": -3}}, "epoch": 1},
    {"step": 2, "loss": 12345678901234567890, "ok": True, "list": [1, {"a": 2}, "x"], "none": None, "epoch": 1},
    '{"step": 3, "loss": NaN, "val": {"acc": -Infinity}, "note": "a \\"b\\" \\\\ c"}',
    '{"step":4,"loss":Infinity,"val":{},"e":[]}',
    {"step": 5, "loss": "nan", "text": "not a number", "val.acc": 5, "epoch": 2},
    '  {"loss" : 1E+3 , "step" :6 }\t',
    "",
    '{"step": 7, "loss": 0.30000000000000004, "loss": 2}',
    '{"step": 8, "loss": 01}',
    '{"step": 9, "loss": 1e400}',
    '{"step": 9.0, "loss": 1., "x": 1}',
    '{"step": 10, "é": 2, "a\\u0062": 3, "loss": -0.0}',
    '{"step": 10, "lo',
    '{"step": 10, "lo{"step": 11, "loss": 4}',
    "[1, 2]",
    "12",
    {"step": 2.5, "loss": 3, "time": 17.5},
    {"loss": 8, "time": "2026-11-28T02:47:00+00:00"},
    {"iter": 5, "step": 12, "loss": 1, "timestamp": 1800000000123, "time": 1.8e9},
    {"step": "13/100", "loss": 1, "split": "val", "lr": "Infinity"},
    {"global_step/max_steps": "14/100", "loss": 1, "phase": "train"},
    {"step": 3, "loss": 30.0, "epoch": 1},
    {"step": 4, "loss": 40.0, "epoch": 1},
    {"data": {"loss": None, "other": 2, "step": 77}, "step": 5},
]


@pytest.mark.parametrize("limit", [1, 50, 1 << 20])
def test_compiled_code_gives_the_columns_that_python_gives(tmp_path: Path, limit: int) -> None:
    path = written(tmp_path / "a.jsonl", ALL_KINDS * 2)
    plain = everything(columns(path))
    assert everything(drained(reader(path, COMPILED), limit)) == everything(drained(reader(path), limit))
    assert plain["problems"] == {"damaged record": 10}
    in_pieces = everything(drained(reader(path), limit))["points"]
    assert {tag: found for tag, found in in_pieces.items() if found[0]} == plain["points"]


def test_compiled_code_gives_the_columns_that_python_gives_of_damaged_logs(tmp_path: Path) -> None:
    text = written(tmp_path / "all", training(range(4)) + ALL_KINDS[:20]).read_bytes()
    path = tmp_path / "a.jsonl"
    for number, damaged in enumerate(mutations(text, 300)):
        path.write_bytes(damaged)
        assert everything(columns(path, COMPILED)) == everything(columns(path)), number


def test_without_the_compiler_python_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.jsonl", ALL_KINDS)
    compiled = everything(columns(path, COMPILED))
    monkeypatch.setitem(sys.modules, "engine.logs.lines.walker", None)
    assert everything(columns(path, COMPILED)) == compiled


def test_numbers_are_read_to_the_last_bit(tmp_path: Path) -> None:
    chance = random.Random(3)
    values = [chance.uniform(-1, 1) * 10.0 ** chance.randint(-300, 300) for _ in range(3000)]
    path = written(tmp_path / "a.jsonl", ({"step": n, "x": value} for n, value in enumerate(values)))
    for compiled_from in (PLAIN, COMPILED):
        assert columns(path, compiled_from).series("x").value.tolist() == values


def test_every_cut_of_a_log_gives_the_beginning_of_its_columns(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole.jsonl", ALL_KINDS[:6] + training(range(20, 24))).read_bytes()
    path = tmp_path / "a.jsonl"
    end = columns(tmp_path / "whole.jsonl")
    live, following = reader(path), Columns()
    path.touch()
    for size in range(len(whole) + 1):
        with path.open("ab") as file:
            file.write(whole[size - 1 : size] if size else b"")
        following.take(live.poll())
        if size % 7 == 0:
            once = columns(path)
            assert everything(once) == everything(following)
            assert all(is_start(once.series(tag), end.series(tag)) for tag in once.tags)
            assert not once.problems
    assert everything(following) == everything(end)


def is_start(part: Any, whole: Any) -> bool:
    """Whether a series is the beginning of another."""
    n = len(part)
    return bool(
        (part.step == whole.step[:n]).all() and np.array_equal(part.value, whole.value[:n], equal_nan=True)
    )


def test_a_poll_without_news_is_empty_and_a_missing_file_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    live, found = reader(path), Columns()
    assert not live.poll()
    written(path, training(range(3)))
    found.take(live.poll())
    assert len(found.series("loss")) == 3
    assert not live.poll()
    path.unlink()
    assert not live.poll()
    written(path, training(range(5, 7)))
    batch = live.poll()
    assert batch.anew
    found.take(batch)
    assert points(found, "loss") == [(5, 1 / 6), (6, 1 / 7)]


def test_a_log_that_is_written_again_keeps_its_old_points_until_the_new_ones_come(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", training(range(9)))
    live, found = reader(path), Columns()
    found.take(live.poll())
    path.write_bytes(b"")
    found.take(live.poll())
    assert len(found.series("loss")) == 9
    with path.open("a") as file:  # the same inode, as verl's writer leaves it
        file.write('{"step": 0, "loss": 5.5}\n')
    found.take(live.poll())
    assert points(found, "loss") == [(0, 5.5)]
    text = path.read_text()
    path.write_text(text.replace("5.5", "6.5") + '{"step": 1, "loss": 6.25}\n')  # longer than before
    found.take(live.poll())
    assert points(found, "loss") == [(0, 6.5), (1, 6.25)]


def test_a_resumed_log_gives_the_later_values(tmp_path: Path) -> None:
    before = [{"step": n, "loss": float(n), **({"eval": n} if n % 4 == 0 else {})} for n in range(1, 10)]
    after = [{"step": n, "loss": 100.0 + n} for n in range(7, 12)]
    path = written(tmp_path / "a.jsonl", before + after)
    for limit in (1, 1 << 20):
        for compiled_from in (PLAIN, COMPILED):
            found = drained(reader(path, compiled_from), limit)
            steps = found.series("loss").step.tolist()
            assert steps == list(range(1, 12))
            assert found.series("loss").value.tolist()[5:8] == [6.0, 107.0, 108.0]
            assert found.series("eval").step.tolist() == [4]
            assert [(mark.kind, mark.step) for mark in found.remarks] == [("resumed", 7)]


def test_steps_that_each_epoch_counts_anew_are_all_kept(tmp_path: Path) -> None:
    lines = [{"epoch": e, "step": n, "loss": 10.0 * e + n} for e in [0, 1, 2, 3, 2, 3] for n in range(10)]
    path = written(tmp_path / "a.jsonl", lines)
    for limit in (1, 1 << 20):
        found = drained(reader(path), limit)
        assert points(found, "loss") == [(line["step"], line["loss"]) for line in lines]
        assert len(found.series("epoch")) == 60
        assert not found.remarks


@pytest.mark.parametrize("alone", [[5], [5, 5], [0], [900, 5]])
@pytest.mark.parametrize("after", [0, 10])
def test_a_line_of_an_earlier_step_that_stands_alone_voids_nothing(
    tmp_path: Path, alone: list[int], after: int
) -> None:
    steps = [*range(1000), *alone[-2:], *range(1000, 1000 + after)]
    if len(set(alone)) > 1:  # two that go back one after the other, with lines between
        steps = [*range(950), 900, *range(950, 1000), 5, *range(1000, 1000 + after)]
    path = written(tmp_path / "a.jsonl", ({"step": n, "loss": float(at)} for at, n in enumerate(steps)))
    for limit in (1, 1 << 20):
        found = drained(reader(path), limit)
        assert points(found, "loss") == [(n, float(at)) for at, n in enumerate(steps)]
        assert not found.remarks


def test_resumes_are_the_same_line_by_line_and_at_once(tmp_path: Path) -> None:
    chance = random.Random(5)
    for number in range(60):
        lines, step = [], 0
        for _ in range(30):
            step += chance.choice([0, 1, 1, 1, 10])
            if chance.random() < 0.1:
                step = chance.randrange(step + 1)
            tags = chance.sample(["loss", "acc", "val"], chance.choice([1, 2]))
            lines.append({"step": step, **dict.fromkeys(tags, chance.random())})
        path = written(tmp_path / "a.jsonl", lines)
        grown, whole = drained(reader(path), 1), columns(path)
        for tag in {*grown.tags, *whole.tags}:
            assert points(grown, tag) == points(whole, tag), number
        assert [mark.step for mark in grown.remarks] == [mark.step for mark in whole.remarks]


def test_counters_of_their_own_are_no_resume(tmp_path: Path) -> None:
    lines = []
    for epoch in range(1, 4):
        lines += [{"step": 100 * epoch + n, "loss": 1.0} for n in range(10)]
        lines += [{"step": epoch, "val_loss": 2.0}]
    path = written(tmp_path / "a.jsonl", lines)
    for limit in (1, 1 << 20):
        found = drained(reader(path), limit)
        assert len(found.series("loss")) == 30
        assert found.series("val_loss").step.tolist() == [1, 2, 3]
        assert not found.remarks


def test_parts_with_counters_of_their_own_are_tags_of_their_own(tmp_path: Path) -> None:
    lines = [
        {"split": "train", "step": 100, "loss": 1.0, "epoch": 1},
        {"split": "val", "step": 1, "loss": 2.0, "val_acc": 0.5, "epoch": 1},
        {"split": "train", "step": 200, "loss": 0.5, "epoch": 2},
        {"split": "val", "step": 2, "loss": 1.5, "val_acc": 0.6, "epoch": 2},
    ]
    path = written(tmp_path / "a.jsonl", lines)
    for compiled_from in (PLAIN, COMPILED):
        found = columns(path, compiled_from)
        assert sorted(found.tags) == ["epoch", "train/loss", "val/loss", "val_acc"]
        assert points(found, "val/loss") == [(1, 2.0), (2, 1.5)]


def test_steps_in_no_order_are_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", ({"step": n, "loss": n} for n in range(1000, 0, -1)))
    assert len(columns(path).series("loss")) > 800


def test_epochs_and_lines_are_the_steps_where_there_are_no_others(tmp_path: Path) -> None:
    by_epoch = columns(written(tmp_path / "a.jsonl", ({"epoch": n, "loss": n / 2} for n in range(4))))
    assert by_epoch.tags == ["loss"]
    assert by_epoch.series("loss").step.tolist() == [0, 1, 2, 3]
    assert by_epoch.counts == {"loss": "epoch"}
    by_line = columns(written(tmp_path / "b.jsonl", ({"epoch": n / 4, "loss": n / 2} for n in range(4))))
    assert by_line.series("loss").step.tolist() == [0, 1, 2, 3]
    assert by_line.counts == {"loss": "line", "epoch": "line"}
    both = columns(
        written(tmp_path / "c.jsonl", [{"step": 5, "epoch": 1, "loss": 1}, {"epoch": 1, "val": 2}, {"done": 3}])
    )
    assert points(both, "val") == [(5, 2.0)]
    assert points(both, "epoch") == [(5, 1.0)]
    assert points(both, "done") == [(5, 3.0)]


def test_times(tmp_path: Path) -> None:
    lines = [
        {"step": 1, "loss": 1, "time": 1.8e9},
        {"step": 2, "loss": 1, "timestamp": 1_800_000_000_500},
        {"step": 3, "loss": 1, "created": "2027-01-15T08:00:01Z"},
        {"step": 4, "loss": 1, "time": 0.25},
        {"step": 5, "loss": 1, "time": "00:12"},
        {"step": 6, "loss": 1, "time": "2027-99-99T00:00:00"},
    ]
    for compiled_from in (PLAIN, COMPILED):
        found = columns(written(tmp_path / "a.jsonl", lines), compiled_from)
        times = found.series("loss").time.tolist()
        assert times[:3] == [1.8e9, 1.8e9 + 0.5, 1.8e9 + 1]
        assert all(math.isnan(time) for time in times[3:])
        assert points(found, "time") == [(4, 0.25)]


def test_null_is_a_number_only_under_verls_data(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", ['{"step": 1, "data": {"actor/loss": null}, "x": null}'] * 2)
    found = columns(path)
    assert found.tags == ["actor/loss"]
    assert np.isnan(found.series("actor/loss").value).all()


def test_ms_swift(tmp_path: Path) -> None:
    lines: list[Any] = [
        {"loss": 2.5, "token_acc": 0.5, "epoch": 0.1, "global_step/max_steps": "5/100", "percentage": "5.00%"},
        {"eval_loss": 2.0, "epoch": 0.1, "global_step/max_steps": "5/100", "elapsed_time": "1s"},
        {"train_runtime": 9.5, "train_loss": 2.5, "epoch": 2.0, "global_step/max_steps": "100/100"},
    ]
    for compiled_from in (PLAIN, COMPILED):
        (found,) = read_all(LOG, written(tmp_path / "logging.jsonl", lines).parent).values()
        found = columns(tmp_path / "logging.jsonl", compiled_from)
        assert points(found, "eval_loss") == [(5, 2.0)]
        assert points(found, "epoch") == [(5, 0.1), (100, 2.0)]
        assert found.settings == {"max_steps": 100}


def test_stable_baselines_and_ray(tmp_path: Path) -> None:
    ours = written(
        tmp_path / "progress.json",
        [{"time/iterations": n, "rollout/ep_rew_mean": n / 2, "time/total_timesteps": 2048 * n} for n in (1, 2)],
    )
    found = columns(ours)
    assert points(found, "rollout/ep_rew_mean") == [(2048, 0.5), (4096, 1.0)]
    assert found.counts["rollout/ep_rew_mean"] == "timestep"
    result = {"loss": math.nan, "training_iteration": 1, "trial_id": "e3_00000", "done": False, "pid": 7}
    result |= {"timestamp": 1_800_000_000, "config": {"lr": 0.1, "net": {"kind": "mlp", "sizes": [1, 2]}}}
    lines = [result, result | {"training_iteration": 2, "info": {"learner": 1.5}}]
    for compiled_from in (PLAIN, COMPILED):
        found = columns(written(tmp_path / "result.json", lines), compiled_from)
        assert sorted(found.tags) == ["info/learner", "loss"]
        assert found.settings == {"lr": 0.1, "net.kind": "mlp"}
        assert found.series("loss").time.tolist() == [1.8e9, 1.8e9]


def test_mmengine_is_one_run_and_its_validation_counts_epochs(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    for epoch in (1, 2):
        for n in (10, 20):
            at = 20 * (epoch - 1) + n
            lines.append({"lr": 0.1, "time": 0.3, "loss": 1 / at, "epoch": epoch, "iter": at, "step": at})
        lines.append({"acc/top1": epoch / 2, "time": 0.1, "step": epoch})
    folder = tmp_path / "work" / "20261128_024700" / "vis_data"
    folder.mkdir(parents=True)
    text = written(folder / "scalars.json", lines).read_bytes()
    (folder / "20261128_024700.json").write_bytes(text[: text.rfind(b"\n", 0, -1) + 1])
    (claim,) = claims_under(LOG, tmp_path)
    assert claim.folder == folder.parent
    assert claim.files == (folder / "scalars.json",)
    assert claim.beside == (folder / "20261128_024700.json",)
    for compiled_from in (PLAIN, COMPILED):
        for limit in (1, 1 << 20):
            found = drained(LinesReader(claim, compiled_from), limit)
            assert points(found, "acc/top1") == [(1, 0.5), (2, 1.0)]
            assert found.counts == {"acc/top1": "epoch", "val/time": "epoch"}
            assert found.series("time").step.tolist() == [10, 20, 30, 40]
            assert points(found, "epoch") == [(10, 1.0), (20, 1.0), (30, 2.0), (40, 2.0)]
            assert "iter" not in found.tags


def test_mmengine_with_iterations_alone(tmp_path: Path) -> None:
    lines = [
        {"time": 0.3, "loss": 1.5, "iter": 10, "step": 10},
        {"acc": 0.5, "time": 0.1, "step": 10},
        {"time": 0.2, "loss": 1.0, "iter": 20, "step": 20},
        {"acc": 0.75, "time": 0.1, "step": 20},
    ]
    for limit in (1, 1 << 20):
        found = drained(reader(written(tmp_path / "a.json", lines)), limit)
        assert points(found, "acc") == [(10, 0.5), (20, 0.75)]
        assert points(found, "time") == [(10, 0.3), (20, 0.2)]
        assert found.counts == {}


def test_what_is_no_log_is_not_claimed(tmp_path: Path) -> None:
    chat = {
        "id": 3,
        "messages": [{"role": "user", "content": "how do I " * 9}, {"role": "assistant", "content": "so"}],
    }
    written(tmp_path / "chat.jsonl", [chat] * 9)
    written(
        tmp_path / "pairs.jsonl", ({"prompt": "a" * 40, "completion": "b" * 40, "score": n / 3} for n in range(9))
    )
    written(
        tmp_path / "steps.jsonl",
        ({"question": "q" * 200, "answer": "a" * 99, "step": n, "x": 1} for n in range(9)),
    )
    written(tmp_path / "labels.jsonl", ({"image": f"{n}.png", "label": n % 3} for n in range(9)))
    written(tmp_path / "vectors.jsonl", ({"embedding": [0.5, 0.25], "id": n} for n in range(9)))
    written(tmp_path / "config.json", [{"lr": 0.1, "steps": 9, "epoch": 4}])
    (tmp_path / "pretty.json").write_text(json.dumps({"step": 1, "loss": 0.5}, indent=1))
    (tmp_path / "array.json").write_text("[" * 5000)
    (tmp_path / "deep.json").write_text('{"a":' * 5000)
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "text.log").write_text("step 1 loss 0.5\n")
    written(tmp_path / "other.jsonl", [{"kind": "started", "seq": 0, "time": 1.8e9}, {"kind": "curve", "step": 1}])
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert list(LOG.claims(Folder(tmp_path))) == []


@pytest.mark.parametrize(
    ("line", "is_log"),
    [
        ({"image_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5}, False),
        ({"x": 0.5, "y": 0.25}, False),
        ({"x": 0.5, "time": 1.7e9}, True),
        ({"x": 0.5, "created": "2026-01-02T03:04:05"}, True),
        ({"train_loss": 0.5}, True),
    ],
)
def test_without_a_step_a_time_or_a_metric_must_be_named(
    tmp_path: Path, line: dict[str, Any], is_log: bool
) -> None:
    written(tmp_path / "a.jsonl", [line] * 5)
    assert bool([*JsonLines().claims(Folder(tmp_path))]) == is_log


def test_a_log_with_its_first_line_alone_is_claimed_by_its_name(tmp_path: Path) -> None:
    written(tmp_path / "a.jsonl", [{"step": 1, "loss": 0.5}])
    (claim,) = LOG.claims(Folder(tmp_path))
    assert claim.run == ""


def test_logs_in_one_folder_are_runs_by_name(tmp_path: Path) -> None:
    written(tmp_path / "a.jsonl", training(range(4)))
    written(tmp_path / "b", training(range(5, 9)))
    found = read_all(LOG, tmp_path)
    assert sorted(found) == [".#a.jsonl", ".#b"]
    (alone,) = claims_under(LOG, tmp_path / "b")
    assert alone.run == ""


def test_a_line_without_end_is_passed_over_in_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.logs.whole_lines.LONGEST", 4096)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"step": 1, "loss": 1}\n' + b"x" * 20_000)
    live, found = reader(path), Columns()
    for _ in range(60):
        found.take(live.poll(512))
    with path.open("ab") as file:
        file.write(b'y\n{"step": 2, "loss": 2}\n')
    for _ in range(60):
        found.take(live.poll(512))
    assert points(found, "loss") == [(1, 1.0), (2, 2.0)]
    assert found.problems == {"too long line": 1}


def test_tags_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.logs.lines.keys.MOST", 50)
    monkeypatch.setattr("engine.logs.lines.reader.MOST", 50)
    path = written(tmp_path / "a.jsonl", ({"step": n, f"k{n}": n, "loss": n} for n in range(200)))
    for compiled_from in (PLAIN, COMPILED):
        found = columns(path, compiled_from)
        assert len(found.tags) == 48
        assert len(found.series("loss")) == 200
