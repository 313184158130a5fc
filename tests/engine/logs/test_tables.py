"""Tables of other tools: what their rows say, live, rewritten, resumed and damaged."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.logs import CASES, drained, is_same, read_all, truth
from support.mutate import mutations
from support.table_writers import LightningCsv, SbCsv, write_deepspeed

from engine.logs.columns import Columns
from engine.logs.folder import Folder
from engine.logs.tables import rows_jit, rows_plain
from engine.logs.tables.format import DvcliveFormat, TableFormat, only_tag
from engine.logs.tables.reader import TableReader
from engine.logs.tables.sniff import found_in

CSV, DVCLIVE = TableFormat(), DvcliveFormat()
NEEDS_CASES = pytest.mark.skipif(not CASES.is_dir(), reason="the logs of real tools are not there")
SMALL = (
    "epoch,step,loss,val_loss,note\r\n0,9,0.5,,a\r\n0,19,0.25,0.75,b\r\n1,29,nan,-inf,\r\n"
    '1,39,"0.125",1e-3,c\r\n1,,7,8,d\r\n2,49,0.1,2\r\n'
)


def points(columns: Columns) -> dict[str, list[tuple[int, float]]]:
    """Of each tag with points: (step, value) of each."""
    return {
        tag: list(zip(columns.series(tag).step.tolist(), columns.series(tag).value.tolist(), strict=True))
        for tag in columns.tags
        if len(columns.series(tag))
    }


def as_text(columns: Columns) -> str:
    """All of it, so that NaN equals NaN."""
    times = {tag: columns.series(tag).time.tolist() for tag in points(columns)}
    return repr((points(columns), times, sorted(columns.problems.items()), columns.counts, columns.remarks))


def read_file(path: Path, text: str | bytes, limit: int = 1 << 23) -> Columns:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    [columns] = read_all(CSV, path, limit).values()
    return columns


def assert_truth(found: Columns, want: dict[str, list[list[float]]], relative: float = 0.0) -> None:
    for tag, logged in want.items():
        have = points(found)[tag]
        assert [step for step, _ in have] == [step for step, *_ in logged], tag
        assert all(is_same(a, b, relative) for (_, a), (_, b, *_) in zip(have, logged, strict=True)), tag


@NEEDS_CASES
def test_lightning() -> None:
    found = read_all(CSV, CASES / "lightning")
    want = truth("lightning")
    assert sorted(found) == ["csv_logs/version_0", "csv_logs/version_1"]
    for run, columns in found.items():
        assert set(columns.tags) == set(want[run])
        assert_truth(columns, want[run])
        assert columns.settings == {"lr": 0.05}
        assert not columns.problems


@NEEDS_CASES
def test_ultralytics_steps_are_epochs_from_one() -> None:
    [columns] = read_all(CSV, CASES / "ultralytics").values()
    assert_truth(columns, truth("ultralytics")["."], relative=5e-6)
    assert set(columns.counts.values()) == {"epoch"}


@NEEDS_CASES
def test_fastai_keeps_the_last_fit_and_passes_durations_over() -> None:
    [columns] = read_all(CSV, CASES / "fastai").values()
    last = {tag: logged[-2:] for tag, logged in truth("fastai")["."].items()}
    assert columns.tags == ["train_loss", "valid_loss"]
    assert_truth(columns, last)


@NEEDS_CASES
def test_dvclive_is_one_run_of_many_tables() -> None:
    found = read_all(DVCLIVE, CASES / "dvclive")
    assert list(found) == ["dvclive"]
    assert set(found["dvclive"].tags) == set(truth("dvclive")["."])
    assert_truth(found["dvclive"], truth("dvclive")["."])
    assert found["dvclive"].settings == {"lr": 0.1}


def test_cells_of_every_kind(tmp_path: Path) -> None:
    columns = read_file(tmp_path / "any", SMALL)
    assert repr(points(columns)) == repr(
        {
            "epoch": [(9, 0.0), (19, 0.0), (29, 1.0), (39, 1.0), (39, 1.0), (49, 2.0)],
            "loss": [(9, 0.5), (19, 0.25), (29, math.nan), (39, 0.125), (39, 7.0), (49, 0.1)],
            "val_loss": [(19, 0.75), (29, -math.inf), (39, 0.001), (39, 8.0), (49, 2.0)],
        }
    )
    assert columns.problems == {"row with too few cells": 1}


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_separators_blanks_quotes_and_marks(tmp_path: Path, separator: str) -> None:
    rows = [('"global_step"', ' "loss"', "lr ", "lr"), (" 1", " 0.5 ", '" 2 "', "3"), ("2 ", "NA", "", "4")]
    text = "\ufeff# made by hand\n\n" + "\n".join(separator.join(row) for row in rows) + "\n"
    columns = read_file(tmp_path / "t.txt", text)
    assert points(columns) == {"loss": [(1, 0.5)], "lr": [(1, 2.0)], "lr.2": [(1, 3.0), (2, 4.0)]}
    assert not columns.problems


@pytest.mark.parametrize(
    ("cell", "time"),
    [("1795788505.25", 1795788505.25), ("1795788505250", 1795788505.25),
     ("2026-11-27T14:08:25.250000+00:00", 1795788505.25), ("2026-11-27 14:08:25.25Z", 1795788505.25)],
)  # fmt: skip
def test_times_are_dates(tmp_path: Path, cell: str, time: float) -> None:
    columns = read_file(tmp_path / "t.csv", f"time,step,loss\n{cell},1,2\nwhen?,2,3\n")
    assert columns.series("loss").time.tolist()[0] == pytest.approx(time, abs=1e-3)
    assert math.isnan(columns.series("loss").time[1])
    assert columns.tags == ["loss"]


def test_episodes_of_a_monitor_are_counted_and_timed(tmp_path: Path) -> None:
    text = '#{"t_start": 1795836411.5, "env_id": "CartPole-v1"}\nr,l,t\n13.0,13,6.5\n15.0,15,7\n'
    columns = read_file(tmp_path / "0.monitor.csv", text)
    assert points(columns) == {"r": [(0, 13.0), (1, 15.0)], "l": [(0, 13.0), (1, 15.0)]}
    assert columns.series("r").time.tolist() == [1795836418.0, 1795836418.5]
    assert set(columns.counts.values()) == {"episode"}


def test_time_since_the_start_is_a_scalar(tmp_path: Path) -> None:
    columns = read_file(tmp_path / "t.csv", "epoch,time,loss\n1,5.5,2\n")
    assert points(columns) == {"time": [(1, 5.5)], "loss": [(1, 2.0)]}


@pytest.mark.parametrize(
    ("header", "row", "step"),
    [("epoch,step,loss", "1,2,3", 2), ("epoch,iter,loss", "1,2,3", 2), ("epoch,Global Step,loss", "1,2,3", 2),
     ("time/total_timesteps,time/iterations,loss", "7,1,3", 7), ("step,epoch,loss", "x,4,3", 4),
     ("epoch,loss", "0.25,3", 0), (",loss,val_acc", "8,3,1", 0)],
)  # fmt: skip
def test_the_column_of_steps(tmp_path: Path, header: str, row: str, step: int) -> None:
    columns = read_file(tmp_path / "t.csv", f"{header}\n{row}\n")
    assert columns.series("loss").step.tolist() == [step]


def test_rows_are_counted_where_nothing_else_is(tmp_path: Path) -> None:
    columns = read_file(tmp_path / "t.csv", "train_loss;val_loss\n3;4\n2;\n1;2\n")
    assert points(columns) == {"train_loss": [(0, 3.0), (1, 2.0), (2, 1.0)], "val_loss": [(0, 4.0), (2, 2.0)]}
    assert columns.counts == {"train_loss": "line", "val_loss": "line"}


def test_damaged_rows_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    text = "step,loss,acc\n1,2,3\n2,0.5,0.62,0.5,7\n#,4,5\n3,4x,5\n4\n5,1_0,6\n6,7,8,\n\n7,\x00,9\n"
    columns = read_file(tmp_path / "t.csv", text)
    assert points(columns) == {
        "loss": [(1, 2.0), (6, 7.0)],
        "acc": [(1, 3.0), (3, 5.0), (5, 6.0), (6, 8.0), (7, 9.0)],
    }
    assert columns.problems == {
        "row with too many cells": 1, "damaged row": 1, "cell that is no number": 3, "row with too few cells": 1
    }  # fmt: skip


def test_a_line_that_never_ends_is_passed_over(tmp_path: Path) -> None:
    columns = read_file(tmp_path / "t.csv", b"step,loss\n1,2\n" + b"7" * (17 << 20) + b"\n2,3\n", 1 << 20)
    assert points(columns) == {"loss": [(1, 2.0), (2, 3.0)]}
    assert columns.problems == {"too long line": 1}


def test_any_cut_gives_the_first_points_and_growth_all(tmp_path: Path) -> None:
    """A torn row waits; what a column means does not depend on how much of the file is there."""
    whole = points(read_file(tmp_path / "whole.csv", SMALL))
    path = tmp_path / "live" / "grows.csv"
    path.parent.mkdir()
    start = SMALL.index("a\r\n") + 3
    path.write_text(SMALL[:start], newline="")
    [claim] = CSV.claims(Folder(path.parent))
    growing, columns = CSV.reader(claim), Columns()
    for end in range(start, len(SMALL) + 1):
        path.write_text(SMALL[:end], newline="")
        columns.take(growing.poll())
        now = points(drained(CSV.reader(claim)))
        assert all(repr(now[tag]) == repr(whole[tag][: len(now[tag])]) for tag in now)
        assert repr(now) == repr(points(columns))
    assert repr(points(columns)) == repr(whole)


@pytest.mark.parametrize("limit", [1, 7, 64, 1000])
def test_small_pieces_give_the_same(tmp_path: Path, limit: int) -> None:
    columns = read_file(tmp_path / "t.csv", SMALL)
    assert as_text(read_file(tmp_path / "t.csv", SMALL, limit)) == as_text(columns)


def test_lightning_rewrites_the_file_when_a_metric_comes_late(tmp_path: Path) -> None:
    log = LightningCsv(tmp_path / "metrics.csv")
    log.log(step=9, train_loss=0.5, epoch=0)
    [claim] = CSV.claims(Folder(tmp_path))
    reader, columns = CSV.reader(claim), Columns()
    columns.take(reader.poll())
    log.log(step=19, train_loss=0.25, epoch=0)
    columns.take(reader.poll())
    inode = log.path.stat().st_ino
    log.log(step=19, late=8.0, epoch=0)
    assert log.path.stat().st_ino == inode
    batch = reader.poll()
    assert batch.anew
    columns.take(batch)
    assert points(columns) == {
        "epoch": [(9, 0.0), (19, 0.0), (19, 0.0)], "late": [(19, 8.0)], "train_loss": [(9, 0.5), (19, 0.25)],
    }  # fmt: skip


def test_stable_baselines_adds_columns_at_the_end(tmp_path: Path) -> None:
    log, step = SbCsv(tmp_path / "progress.csv"), "time/total_timesteps"
    log.log(**{"time/fps": 900, step: 2048})
    [claim] = CSV.claims(Folder(tmp_path))
    reader, columns = CSV.reader(claim), Columns()
    columns.take(reader.poll())
    log.log(**{"time/fps": 800, step: 4096, "train/loss": 0.5})
    columns.take(reader.poll())
    log.log(**{"time/fps": 700, step: 6144, "train/loss": 0.25})
    columns.take(reader.poll())
    log.close()
    assert points(columns) == {
        "time/fps": [(2048, 900.0), (4096, 800.0), (6144, 700.0)], "train/loss": [(4096, 0.5), (6144, 0.25)],
    }  # fmt: skip


def test_the_old_curve_stays_until_the_new_file_holds_a_row(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("epoch,loss\n0,3\n1,2\n")
    [claim] = CSV.claims(Folder(tmp_path))
    reader, columns = CSV.reader(claim), Columns()
    columns.take(reader.poll())
    for text, want in (
        ("", [(0, 3.0), (1, 2.0)]), ("epoch,loss\n", [(0, 3.0), (1, 2.0)]), ("epoch,loss\n0,9\n", [(0, 9.0)]),
        ("epoch,loss\n0,7\n1,6\n", [(0, 7.0), (1, 6.0)]),
    ):  # fmt: skip
        path.write_text(text)
        columns.take(reader.poll())
        assert points(columns) == {"loss": want}
    path.unlink()
    columns.take(reader.poll())
    assert points(columns) == {"loss": [(0, 7.0), (1, 6.0)]}
    assert not reader.poll()


def test_a_file_rewritten_while_it_is_read_gives_no_shifted_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,loss\n0,9,3\n")
    [claim] = CSV.claims(Folder(tmp_path))
    reader, columns = CSV.reader(claim), Columns()
    columns.take(reader.poll())
    with path.open("a") as file:
        file.write("0,19,2\n")
    read, calls = os.pread, 0

    def rewritten_between(fd: int, size: int, at: int) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 3:  # the head and the bytes before are those of the old file, what is read now is not
            path.write_text("epoch,loss,step,val\n0,3,9,\n0,2,19,\n0,,19,7\n")
        return read(fd, size, at)

    monkeypatch.setattr(os, "pread", rewritten_between)
    for _ in range(3):
        columns.take(reader.poll())
        assert points(columns)["loss"] in ([(9, 3.0)], [(9, 3.0), (19, 2.0)])
    assert points(columns) == {
        "epoch": [(9, 0.0), (19, 0.0), (19, 0.0)], "loss": [(9, 3.0), (19, 2.0)], "val": [(19, 7.0)],
    }  # fmt: skip
    assert not columns.problems


def test_deepspeed_writes_a_file_for_each_scalar_and_its_header_at_each_start(tmp_path: Path) -> None:
    names = ["Train/Samples/train_loss", "Train/Samples/lr"]
    write_deepspeed(tmp_path, names, [8, 16, 24], [3.0, 2.0, 1.0])
    [claim] = CSV.claims(Folder(tmp_path))
    reader, columns = CSV.reader(claim), Columns()
    columns.take(reader.poll())
    write_deepspeed(tmp_path, names, [16, 24], [7.0, 6.0])
    columns.take(reader.poll())
    want = [(8, 3.0), (16, 7.0), (24, 6.0)]
    assert points(columns) == dict.fromkeys(sorted(names), want)
    assert set(columns.counts.values()) == {"sample"}
    assert [(remark.step, remark.kind) for remark in columns.remarks] == [(16, "resumed")]
    at_once = read_all(CSV, tmp_path)["."]
    assert as_text(at_once) == as_text(columns)


def test_a_table_of_a_run_that_is_replaced_voids_only_its_own_points(tmp_path: Path) -> None:
    write_deepspeed(tmp_path, ["loss", "lr"], [1, 2], [5.0, 6.0])
    [claim] = CSV.claims(Folder(tmp_path))
    reader, columns = CSV.reader(claim), Columns()
    columns.take(reader.poll())
    (tmp_path / "lr.csv").write_text("step,lr\n1,9\n")
    columns.take(reader.poll())
    assert points(columns) == {"loss": [(1, 5.0), (2, 6.0)], "lr": [(1, 9.0)]}


def test_another_header_in_the_middle_begins_other_columns(tmp_path: Path) -> None:
    columns = read_file(tmp_path / "t.csv", "epoch,loss\n0,3\n1,2\nepoch,acc,loss\n1,0.5,7\n2,0.6,6\n")
    assert points(columns) == {"loss": [(0, 3.0), (1, 7.0), (2, 6.0)], "acc": [(1, 0.5), (2, 0.6)]}


def test_several_tables_of_a_folder_are_runs_of_their_own(tmp_path: Path) -> None:
    for name in ("metrics.csv", "b.csv", "step_time.csv"):
        (tmp_path / name).write_text("step,loss,acc\n1,2,3\n2,1,4\n")
    (tmp_path / "hparams.yaml").write_text("lr: 0.1\nmodel:\n  depth: 3\n  sizes:\n  - 1\n  - 2\n")
    claims = list(CSV.claims(Folder(tmp_path)))
    assert sorted(claim.run for claim in claims) == ["", "b.csv", "step_time.csv"]
    assert {path.name for claim in claims for path in claim.beside} == {"hparams.yaml"}
    assert read_all(CSV, tmp_path)["."].settings == {"lr": 0.1, "model.depth": 3, "model.sizes": "1, 2"}


NO_LOGS = {
    "iris": "sepal,petal,kind\n5.1,3.5,a\n4.9,3.0,b\n",
    "numbers": "x1,x2,y\n1,2,3\n4,5,6\n",
    "no header": "1,2,3\n4,5,6\n",
    "shuffled": "step,price\n" + "".join(f"{(17 * i) % 31},{i}\n" for i in range(31)),
    "texts": "id,step,title,body,author\na,1,b,c,d\nb,2,e,f,g\n",
    "requirements": "numpy==2.0\nstep==1,<2\n",
    "console": "epoch 1, loss 0.5\nepoch 2, loss 0.25\n",
    "source": "import os, step\nfor step, loss in x:\n    print(step, loss)\n",
    "only a header": "step,loss\n",
    "torn row": "step,loss\n1,2",
    "binary": "step,loss\x00\n1,2\n",
    "rounds of a match": "round,home,away\n1,2,3\n2,1,0\n",
    "empty": "",
    "wide": "step,loss" + "x" * 70_000 + "\n1,2\n",
}


@pytest.mark.parametrize("kind", NO_LOGS)
def test_what_is_no_log_is_left_alone(tmp_path: Path, kind: str) -> None:
    (tmp_path / "metrics.csv").write_text(NO_LOGS[kind])
    assert list(CSV.claims(Folder(tmp_path))) == []
    assert list(DVCLIVE.claims(Folder(tmp_path))) == []


def test_a_scalar_is_named_by_its_file_only_where_the_file_names_it() -> None:
    found = found_in(b"step,train_loss\n1,2\n")
    assert found is not None
    assert only_tag("Train_Samples_train_loss.csv", found) == "Train/Samples/train_loss"
    assert only_tag("log.csv", found) == ""


def random_table(chance: random.Random) -> bytes:
    """A table of odd cells, some rows of the wrong width, of a random separator."""
    odd = (b"", b" ", b" 7 ", b'"8"', b'" 9 "', b'"', b'""', b'"a""b"', b"x", b"1x", b"\r", b"\t", b"1e",
           b"nan", b"0.12345678901234567890123", b'"5"x', b"9" * 30, b"NA", b"\0",
           b"5e-324", b"step", b"-inf")  # fmt: skip
    separator = chance.choice((b",", b"\t", b";"))
    lines = [separator.join((b"epoch", b"step", b"loss", b"note")), separator.join((b"0", b"1", b"0.5", b"a"))]
    for _ in range(12):
        width = 4 if chance.random() < 0.8 else chance.randrange(8)
        number = repr(chance.random()).encode()
        cells = [number if chance.random() < 0.6 else chance.choice(odd) for _ in range(width)]
        lines.append(separator.join(cells))
    return b"".join(line + chance.choice((b"\n", b"\r\n")) for line in lines)


def both_ways(path: Path) -> tuple[Columns, Columns]:
    """What compiled code and plain Python read of a table that was claimed before it was damaged."""
    [claim] = CSV.claims(Folder(path.parent))
    compiled, in_python = (
        TableReader(claim, lambda *_: "", read) for read in (rows_jit.read_rows, rows_plain.read_rows)
    )
    return drained(compiled), drained(in_python)


def test_plain_python_reads_the_same(tmp_path: Path) -> None:
    chance, path = random.Random(5), tmp_path / "metrics.csv"
    for _ in range(100):
        path.write_bytes(random_table(chance))
        if not list(CSV.claims(Folder(tmp_path))):
            continue
        compiled, in_python = both_ways(path)
        assert as_text(compiled) == as_text(in_python), path.read_bytes()


def test_damaged_tables_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(SMALL, newline="")
    [claim] = CSV.claims(Folder(tmp_path))
    read = 0
    for number, data in enumerate(mutations(SMALL.encode() * 2, 300)):
        path.write_bytes(data)
        compiled = drained(
            TableReader(claim, lambda *_: "", rows_jit.read_rows), limit=1 << 20 if number % 2 else 50
        )
        in_python = drained(TableReader(claim, lambda *_: "", rows_plain.read_rows))
        assert as_text(compiled) == as_text(in_python), data
        read += len(compiled) > 0
    assert read > 200


def test_many_columns_are_read_in_bounded_memory(tmp_path: Path) -> None:
    names = ",".join(f"layer.{number}.loss" for number in range(3000))
    row = ",".join("1" for _ in range(3000))
    columns = read_file(tmp_path / "t.csv", f"step,{names}\n" + "".join(f"{step},{row}\n" for step in range(9)))
    assert len(columns) == 27_000
    assert np.array_equal(columns.series("layer.2999.loss").step, np.arange(9))


def test_a_small_table_loads_no_compiled_code(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n1,0.5\n2,0.25\n3,0.125\n")
    code = (
        "import sys; from engine.logs.read import read_logs; read_logs(sys.argv[1]); print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
