"""What trainings print: recognised in files, and read as it comes."""

from __future__ import annotations

import math
import os
import random
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from support.logs import CASES, drained, is_same, read_all, truth
from support.mutate import mutations
from support.paths import ROOT

from engine.logs.columns import Columns
from engine.logs.console.format import Console
from engine.logs.console.parser import LineParser
from engine.logs.console.template import Templates
from engine.logs.console.text import LONGEST
from engine.logs.folder import Folder

CONSOLE_CASES = (
    "stdout_epoch_plain", "stdout_mnist", "stdout_nanogpt", "stdout_torchtitan", "stdout_tqdm",
    "torchtune_disklogger",
)  # fmt: skip


def parsed(printed: str | bytes, pieces: int = 1 << 30) -> Columns:
    """What the parser makes of printed text that comes in pieces."""
    data = printed.encode() if isinstance(printed, str) else printed
    parser, columns = LineParser(), Columns()
    for start in range(0, len(data), pieces):
        columns.take(parser.feed(data[start : start + pieces]))
    columns.take(parser.finish())
    return columns


def points(columns: Columns, tag: str) -> list[tuple[int, float]]:
    series = columns.series(tag)
    return list(zip(series.step.tolist(), series.value.tolist(), strict=True))


def repeated(line: str, steps: int = 4, **format_of: object) -> str:
    """A line printed for steps from 1, with {n} the step and {v} a value of it."""
    return "".join(line.format(n=n, v=1 / n, **format_of) + "\n" for n in range(1, steps + 1))


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared logs are not there")
@pytest.mark.parametrize("case", CONSOLE_CASES)
def test_cases_are_as_they_were_logged(case: str) -> None:
    found = read_all(Console(), CASES / case)
    assert list(found) == ["."]
    for tag, expected in truth(case)["."].items():
        got = points(found["."], tag)
        wanted = {step: value for step, value, _ in expected}
        if case == "stdout_tqdm":  # it prints only some iterations
            assert len(got) > 20
        else:
            assert [step for step, _ in got] == list(wanted)
        assert all(is_same(value, wanted[step], 1e-4) for step, value in got), tag


LINES = {
    "epoch 3 loss=0.12": ("epoch {n} loss={v:.6f} acc: 91%", "loss", 1, "epoch"),
    "nanoGPT": ("iter {n}: loss {v:.6f}, time 123.50ms, mfu -100.00%", "loss", 1, ""),
    "modded-nanogpt": ("step:{n}/200 val_loss:{v:.6f} train_time:123ms step_avg:24.6ms", "val_loss", 1, ""),
    "Megatron": (
        " [2026-11-27 14:00:01] iteration {n:8d}/     300 | consumed samples:          640 | "
        "elapsed time per iteration (ms): 123.4 | lm loss: {v:.6E} | number of nan iterations:   0 |",
        "lm loss", 1, "",
    ),
    "Megatron's validation": (
        " validation loss at iteration {n} | lm loss value: {v:.6E} | lm loss PPL: 1.6E+02 |",
        "lm loss value", 1, "",
    ),
    "torchtune": ("Step {n} | loss:{v:.6f} lr:2e-05 ", "loss", 1, ""),
    "torchtitan": (
        "[rank0]:[titan] 2026-11-27 14:00:01,123 - root - INFO - \x1b[31mstep:  {n}  \x1b[32mloss: {v:.6f}  "
        "\x1b[34mtps: 12,345\x1b[39m",
        "loss", 1, "",
    ),
    "verl": ("(TaskRunner pid=4072644) step:{n} - actor/loss:{v:.6f} - reward/mean@1:0.5", "actor/loss", 1, ""),
    "CIFAR tutorial": ("[1, {n:5d}] loss: {v:.6f}", "loss", 1, ""),
    "DCGAN": ("[0/5][{n}/1583]\tLoss_D: {v:.6f}\tD(x): 0.5\tD(G(z)): 0.6 / 0.01", "Loss_D", 1, ""),
    "ImageNet": ("Epoch: [0][  {n}/5005]\tTime  0.2 ( 0.5)\tLoss {v:.6f} (7.0e+00)\tAcc@1  10.00", "Loss", 1, ""),
    "steps within an epoch": ("Epoch [1/10], Step [{n}/600], Loss: {v:.6f}", "Loss", 1, ""),
    "MMEngine": (
        "2026/11/27 14:00:01 - mmengine - INFO - Epoch(train)  [1][{n}/60]  lr: 1.0e-03  eta: 0:00:10  "
        "loss: {v:.6f}",
        "loss", 1, "",
    ),
    "fairseq": ("2026-11-27 14:00:01 | INFO | train | epoch {n:03d} | loss {v:.6f} | ppl 3.1", "loss", 1, "epoch"),
    "timm": ("Train: 0 [   {n}/1251 (  0%)]  Loss: {v:.6f} (6.94)  LR: 1.0e-05", "Loss", 1, ""),
    "scikit-learn": ("Iteration {n}, loss = {v:.6f}", "loss", 1, ""),
    "XGBoost": ("[{n}]\ttrain-logloss:{v:.6f}\teval-auc:0.9", "train-logloss", 1, ""),
    "LightGBM": ("[{n}]\tvalid_0's auc: {v:.6f}\tvalid_0's binary_logloss: 0.1", "valid_0's auc", 1, ""),
    "CatBoost": ("{n}:\tlearn: {v:.6f}\ttest: 0.5\tbest: 0.5 (0)\ttotal: 50ms\tremaining: 4s", "learn", 1, ""),
    "detectron2": ("[11/27 14:00:01 d2.utils.events]:  eta: 0:00:10  iter: {n}  loss: {v:.6f}", "loss", 1, ""),
    "JSON in a line": ('INFO:root:{{"step": {n}, "val": {{"acc": {v:.6f}}}, "name": "x"}}', "val.acc", 1, ""),
    "a dictionary": ("{{'loss': {v:.6f}, 'nan': nan, 'step': {n}}}", "loss", 1, ""),
    "tensors": ("{{'loss': tensor({v:.6f}, device='cuda:0'), 'step': {n}}}", "loss", 1, ""),
    "ms-swift": (
        "{{'loss': {v:.6f}, 'memory(GiB)': 69.19, 'epoch': 0.26, 'global_step/max_steps': '{n}/94', "
        "'percentage': '12.77%', 'elapsed_time': '18m 26s'}}",
        "loss", 1, "",
    ),
    "a thousand": ("step {n} tokens: 1,234,567 loss: {v:.6f}", "loss", 1, ""),
    "source and line": ("I1127 14:00:01.123456 1234 train.py:10] step {n} loss {v:.6f}", "loss", 1, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_lines_of_many_trainings(name: str) -> None:
    line, tag, first, counts = LINES[name]
    columns = parsed(repeated(line, steps=6))
    got = points(columns, tag)
    assert [step for step, _ in got] == list(range(first, 7))
    assert [value for _, value in got] == pytest.approx([1 / n for n in range(first, 7)], abs=1e-6)
    assert columns.counts.get(tag, "") == counts
    assert not columns.problems


def test_numbers_as_they_are_printed() -> None:
    columns = parsed(
        repeated("step {n}: a=nan b=-inf c=1e-3 d=12,345.5 e=10.50GiB(13.20%) f=17% g=Infinity h: +2. i=.5")
    )
    values = {tag: columns.series(tag).value[0] for tag in columns.tags}
    assert math.isnan(values.pop("a"))
    assert values == {"b": -math.inf, "c": 1e-3, "d": 12345.5, "e": 10.5, "f": 17, "g": math.inf, "h": 2, "i": 0.5}


def test_what_is_no_number_of_a_training() -> None:
    line = "2026-11-27 14:00:0{n} 10.0.0.1:29500 v2.13.0 main.py:12 pid=77 "
    line += "step {n} eta: 0:01:02 t=1m02s, 3x4, loss=0.5"
    assert parsed(repeated(line)).tags == ["loss"]


def test_times_are_those_of_the_lines() -> None:
    columns = parsed(repeated("2026-11-27 14:00:0{n},250 step {n} loss=0.5"))
    local = datetime(2026, 11, 27, 14, 0, 1, 250_000).timestamp()
    assert columns.series("loss").time.tolist() == [local, local + 1, local + 2, local + 3]
    columns = parsed(repeated("[2026-11-27T14:00:0{n}Z] step {n} loss=0.5"))
    assert columns.series("loss").time[0] == 1795788001
    assert np.isnan(parsed(repeated("2026-19-47 14:00:0{n} step {n} loss=0.5")).series("loss").time).all()


def test_time_of_arrival_where_the_line_tells_none() -> None:
    parser, columns = LineParser(), Columns()
    for n in range(4):
        columns.take(parser.feed(f"step {n} loss=0.5\n".encode(), 100.0 + n))
    assert columns.series("loss").time.tolist() == [100, 101, 102, 103]


def test_parts_of_a_training_are_kept_apart() -> None:
    columns = parsed("".join(
        f"2026-11-27 14:00:01 | INFO | {part} | epoch {n:03d} | loss {n + offset}\n"
        for n in range(1, 5) for part, offset in (("train", 0.5), ("valid", 0.25))
    ))  # fmt: skip
    assert points(columns, "loss") == [(1, 1.5), (2, 2.5), (3, 3.5), (4, 4.5)]
    assert points(columns, "valid/loss") == [(1, 1.25), (2, 2.25), (3, 3.25), (4, 4.25)]
    columns = parsed(repeated("epoch {n}: train: loss 0.5 acc 0.9 | val: loss 0.4 acc 0.8"))
    assert columns.tags == ["loss", "acc", "val/loss", "val/acc"]


OTHERS = {
    "PyTorch's transfer learning": (
        "Epoch {n}/24\n----------\ntrain Loss: {n}.5 Acc: 0.{n}\nval Loss: {n}.25 Acc: 0.{n}5\n",
        {"train Loss": 1.5, "Acc": 0.1, "val Loss": 1.25, "val/Acc": 0.15}, [1, 2, 3, 4],
    ),
    "PyTorch's quick start": (
        "Epoch {n}\n----\nloss: {n}.5  [   64/60000]\nloss: {n}.75  [ 6464/60000]\n"
        "Test Error: \n Accuracy: 4{n}.9%\n",
        {"Accuracy": 41.9}, [6464, 66464, 126464, 186464],
    ),
    "PyTorch's word language model": (
        "| epoch   {n} |   200/ 2983 batches | ms/batch 30.0 | ppl 3000\n"
        "| end of epoch   {n} | valid loss  5.{n}\n",
        {"valid loss": 5.1}, [1, 2, 3, 4],
    ),
    "PyTorch's ImageNet": (
        "Epoch: [{n}][ 1/50]\tLoss {n}.9e+00 (7.0e+00)\n"
        "Test: [ 1/10]\tLoss 5.{n}e+00 (7.0e+00)\n *   Acc@1 {n} Acc@5 3{n}.0\n",
        {"Acc@1": 1.0, "Acc@5": 31.0}, [1, 2, 3, 4],
    ),
    "ML-Agents": (
        "[INFO] 3DBall. Step: {n}. Time Elapsed: 26.9 s. Mean Reward: 1.{n}.\n", {"Mean Reward": 1.1}, [1, 2, 3, 4]
    ),
    "CleanRL": (
        "global_step={n}, episodic_return=[{n}.]\nSPS: 1{n}\n", {"episodic_return": 1, "SPS": 11}, [1, 2, 3, 4]
    ),
    "Isaac Lab": (
        "      Learning iteration {n}/1500      \n\n   Computation: 1000 steps/s\n   Mean reward: {n}.5\n",
        {"Computation": 1000, "Mean reward": 1.5}, [1, 2, 3, 4],
    ),
    "DeepSpeed": (
        "[2026-11-27 14:00:01,123] [INFO] [logging.py:96:log_dist] [Rank 0] step={n}, lr=[9.6e-06], "
        "mom=[[0.9, 0.99]]\n",
        {"lr": 9.6e-6, "mom": 0.9}, [1, 2, 3, 4],
    ),
    "Chainer": (
        "epoch       iteration   main/loss\n{n}           {n}00         0.{n}\n",
        {"main/loss": 0.1}, [100, 200, 300, 400],
    ),
    "loguru": (
        "2026-11-27 14:00:01.123 | INFO     | __main__:train:42 - step {n} loss 0.{n}\n",
        {"loss": 0.1}, [1, 2, 3, 4],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_well_known_examples_print(name: str) -> None:
    printed, first, steps = OTHERS[name]
    columns = parsed(repeated(printed))
    for tag, value in first.items():
        assert columns.series(tag).step.tolist() == steps
        assert columns.series(tag).value[0] == pytest.approx(value)


def test_ranks_are_kept_apart() -> None:
    columns = parsed("".join(f"[rank{r}]: step {n} loss={n}.{r}\n" for n in range(4) for r in range(2)))
    assert points(columns, "loss") == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0)]
    assert points(columns, "rank1 rank step/loss") == [(0, 0.1), (1, 1.1), (2, 2.1), (3, 3.1)]


def test_batches_counted_anew_in_each_epoch_grow_on() -> None:
    lines = [f"Epoch {e} batch {b} loss={e}.{b}" for e in (1, 2, 3) for b in (0, 10, 20)]
    assert [step for step, _ in points(parsed("\n".join(lines)), "loss")] == [0, 10, 20, 20, 30, 40, 40, 50, 60]
    lines = [f"Epoch [{e}/3], Step [{b}/25], Loss: {e}.{b}" for e in (1, 2, 3) for b in (10, 20)]
    assert [step for step, _ in points(parsed("\n".join(lines)), "Loss")] == [10, 20, 35, 45, 60, 70]


def test_steps_that_go_on_from_epoch_to_epoch_stay() -> None:
    lines = [f"Epoch {s // 3} step {s} loss={s}" for s in range(9)]
    assert [step for step, _ in points(parsed("\n".join(lines)), "loss")] == list(range(9))
    lines = [f"Epoch {s // 30} [{s}/90] loss={s}" for s in range(0, 90, 7)]
    assert [step for step, _ in points(parsed("\n".join(lines)), "loss")] == list(range(0, 90, 7))


def test_an_epoch_named_in_a_line_of_its_own() -> None:
    printed = "".join(f"Epoch {e}/3\n" + "".join(f"step {b}: loss={e}.{b}\n" for b in range(4)) for e in (1, 2, 3))
    assert [step for step, _ in points(parsed(printed), "loss")] == [0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9]


@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize("pieces", [7, 1 << 20])
def test_a_line_of_an_earlier_step_that_stands_alone_voids_nothing(pieces: int, after: int) -> None:
    steps = [*range(20), 5, *range(20, 20 + after)]
    columns = parsed("".join(f"step {step} loss={place}.5\n" for place, step in enumerate(steps)), pieces)
    assert points(columns, "loss") == [(step, place + 0.5) for place, step in enumerate(steps)]
    assert not columns.remarks


def test_a_resumed_training_is_cut_and_marked() -> None:
    first = "".join(f"step {n} loss={n}.0\n" for n in range(10))
    again = "".join(f"step {n} loss={n}.5\n" for n in range(6, 12))
    expected = [(n, float(n)) for n in range(6)] + [(n, n + 0.5) for n in range(6, 12)]
    for pieces in (1 << 20, len(first), 7):
        columns = parsed(first + again, pieces)
        assert points(columns, "loss") == expected
        assert [(mark.kind, mark.step) for mark in columns.remarks] == [("resumed", 6)]


def test_lines_without_a_place_belong_to_the_last_one() -> None:
    printed = "".join(f"step {n} loss={n}\nvalidation: accuracy: 0.{n}\n" for n in range(10, 50, 10))
    assert points(parsed(printed), "accuracy") == [(10, 0.1), (20, 0.2), (30, 0.3), (40, 0.4)]
    printed = "".join(f"[epoch=1][batch={n}/320]:\n\t Train loss/train/total: {n}.5\n" for n in range(1, 5))
    assert points(parsed(printed), "Train loss/train/total") == [(n, n + 0.5) for n in range(1, 5)]


def test_progress_bars() -> None:
    def bar(n: int, shown: float) -> str:
        return f"\repoch 1: {n:3d}%|███   | {n}/60 [00:0{n % 10}<00:09, 9.9it/s, loss={shown:.2f}, lr=0.1]"

    printed = "".join(bar(n, 1 / max(n - 1, 1)) + bar(n, 1 / n) for n in range(1, 60))
    assert points(parsed(printed), "loss")[10:12] == [(11, 0.09), (12, 0.08)]
    nan = parsed("".join(bar(n, math.nan) * 2 for n in range(1, 9)))
    assert [step for step, _ in points(nan, "loss")] == list(range(1, 9))


def test_a_bar_counts_with_its_closing_bracket() -> None:
    parser, columns = LineParser(), Columns()
    for n in range(1, 5):
        columns.take(parser.feed(f"\r {n}/60 [00:01<00:09, 9.9it/s, a=[{n}], loss={n}.5".encode()))
        before = len(columns)
        columns.take(parser.feed(b"]"))
        assert len(columns) > before or n < 3
    assert points(columns, "loss") == [(1, 1.5), (2, 2.5), (3, 3.5), (4, 4.5)]


def test_lines_printed_above_a_bar_have_its_next_step() -> None:
    """As Transformers' Trainer prints them: v5 writes numbers in quotes and names no step."""
    printed = "\r  0%|          | 0/60 [00:00<?, ?it/s]"
    for n in range(5, 61, 5):
        printed += f"\r  8%|▊         | {n - 2}/60 [00:00<00:02, 20.10it/s]\r{' ' * 40}\r"
        printed += f"{{'loss': '{n}.5', 'grad_norm': 'nan', 'epoch': '{n / 20:g}'}}\n"
        printed += f"\r  8%|▊         | {n}/60 [00:00<00:02, 20.10it/s]"
        if n % 20 == 0:
            printed += f"\n\r  0%|          | 0/5 [00:00<?, ?it/s]\x1b[A\r{' ' * 40}\r\n\r{' ' * 40}\r\x1b[A"
            printed += (
                f"{{'eval_loss': '{n}.25', 'epoch': '{n // 20}'}}\n\r 33%|███▎  | {n}/60 [00:01<00:01, 20it/s]\n"
            )
            printed += "\r100%|██████████| 5/5 [00:00<00:00, 58.06it/s]\x1b[A\n\r      \x1b[A"
    columns = parsed(printed)
    assert points(columns, "loss") == [(n, n + 0.5) for n in range(5, 61, 5)]
    assert points(columns, "eval_loss") == [(n, n + 0.25) for n in (20, 40, 60)]
    assert points(columns, "epoch")[:4] == [(5, 0.25), (10, 0.5), (15, 0.75), (20, 1.0)]
    assert np.isnan(columns.series("grad_norm").value).all()


def test_dictionaries_without_a_step_are_counted() -> None:
    columns = parsed("".join(f"{{'loss': {n}.5, 'epoch': {n / 8}}}\n" for n in range(1, 7)))
    assert points(columns, "loss") == [(n, n + 0.5) for n in range(1, 7)]
    assert columns.counts["loss"] == "line"


def test_bars_within_bars() -> None:
    """Lines printed above two bars belong where the longer one stands; those behind a bar to its epoch."""
    printed = "\rEpochs:   0%|          | 0/3 [00:00<?, ?it/s]"
    for epoch in range(3):
        for n in range(0, 41, 10):
            printed += f"\n\rEpoch {epoch}:  25%|██▌  | {n}/40 [00:00<00:01, 9.9it/s, loss={epoch}.{n}]\x1b[A"
            printed += f"\r{' ' * 50}\n\r{' ' * 50}\r\x1b[Aval_loss: {epoch}.{n}\n" if n in (10, 30) else ""
            printed += f"\rEpochs:  33%|███▎  | {epoch}/3 [00:01<00:02, 1.20s/it]\n\x1b[A" if n in (10, 30) else ""
        printed += f"\rEpochs:  33%|███▎  | {epoch}/3 [00:01<00:02, 1.20s/it]"
        printed += f"2026-11-28 03:35:39,274 root INFO epoch {epoch} val_acc=0.{epoch}\n"
    columns = parsed(printed)
    assert sorted(columns.tags) == ["loss", "val_acc", "val_loss"]
    assert [step for step, _ in points(columns, "val_loss")] == [20, 40, 60, 80, 100, 120]
    assert points(columns, "val_acc") == [(0, 0.0), (1, 0.1), (2, 0.2)]


def test_numbers_in_what_a_bar_is_called() -> None:
    printed = "".join(f"\rloss {n}.5:  33%|███▎  | {n}/60 [00:00<00:01, 9.9it/s]" for n in range(5))
    assert points(parsed(printed), "loss") == [(n, n + 0.5) for n in range(5)]
    printed = "".join(f"\rValidation DataLoader 0:  33%|███▎  | {n}/60 [00:00<00:01, 9it/s]" for n in range(5))
    assert not parsed(printed).tags


def test_an_epoch_whose_bar_is_set_back_first() -> None:
    """As Lightning draws them."""
    printed = ""
    for epoch in range(3):
        for n in range(1, 4):
            printed += f"\rEpoch {epoch}: 9%|▉ | {n - 1}/3 [00:00<00:01, 9it/s, loss={epoch}.{n}]"
            printed += f"\rEpoch {epoch}: 9%|▉ | {n}/3 [00:00<00:01, 9it/s, loss={epoch}.{n}, val={epoch}]"
        printed += f"\rEpoch {epoch}: 9%|▉ | 0/3 [00:00<00:01, 9it/s, loss={epoch}.3, val={epoch}]"
    columns = parsed(printed)
    assert [step for step, _ in points(columns, "loss")] == list(range(10))
    assert not columns.remarks


def test_keras() -> None:
    printed = ""
    for epoch in (1, 2, 3):
        printed += f"Epoch {epoch}/3\n"
        for n in (1, 15, 30):
            shown = (
                f"\x1b[1m{n:2d}/30\x1b[0m \x1b[32m━━━━\x1b[0m\x1b[37m━━\x1b[0m \x1b[1m{n % 4}s\x1b[0m 39ms/step "
            )
            shown += f"- loss: {epoch}.{n}"
            printed += "\r" + shown + "\x08" * 70
        printed += f"\r30/30 ━━━━ 2s 69us/step - loss: {epoch}.30 - val_loss: {epoch}.5\n"
    printed += "\r10/10 ━━━━ 0s 4ms/step - loss: 9.0\n"
    columns = parsed(printed)
    assert [step for step, _ in points(columns, "loss")] == [1, 15, 30, 31, 45, 60, 61, 75, 90]
    assert points(columns, "val_loss") == [(30, 1.5), (60, 2.5), (90, 3.5)]


def test_tables() -> None:
    fastai = "epoch     train_loss  valid_loss  accuracy  time    \n" + "".join(
        f"{n}         {n}.5      {n}.25    0.9    00:03     \n" for n in range(4)
    )
    columns = parsed(fastai)
    assert columns.tags == ["train_loss", "valid_loss", "accuracy"]
    assert points(columns, "valid_loss") == [(0, 0.25), (1, 1.25), (2, 2.25), (3, 3.25)]
    sklearn = "      Iter       Train Loss   Remaining Time \n" + repeated(
        "         {n}           {v:.4f}            0.05s"
    )
    assert points(parsed(sklearn), "Train Loss")[:2] == [(1, 1.0), (2, 0.5)]


def test_boxes() -> None:
    """As stable-baselines3 prints them."""
    box = "-----------\n| time/              |          |\n|    total_timesteps | {n}      |\n"
    box += "| train/  |   |\n|    loss  | {v:.3g}  |\n"
    columns = parsed(repeated(box) + "---\n")
    assert columns.tags == ["train/loss"]
    assert points(columns, "train/loss")[:3] == [(1, 1.0), (2, 0.5), (3, 0.333)]


SMALL = (
    "using fused AdamW: True\nstep 0: train loss 1.5, val loss 2.5\n\x1b[1mEpoch 1/2\x1b[0m\r\n"
    + "".join(f"iter {n}: loss {n}.25, time 1,234.5ms é\n" for n in range(4))
    + "".join(f"\repoch 2:  8%|▊ | {n}/60 [00:00<00:01, 9it/s, acc=0.{n}]" for n in range(1, 5))
    + "\nstep 2: train loss 1.25, val loss 2\n{'x': 1, 'epoch': 0.5}\n"
    + "step 3: train loss 1, val loss nan\niter 1: loss 7\n"
).encode()


def test_every_cut_gives_a_beginning_of_the_whole() -> None:
    whole = parsed(SMALL)
    assert {"loss", "time", "acc", "train loss"} <= set(whole.tags)
    resumed = SMALL.rindex(b"iter 1")
    parser, live = LineParser(), Columns()
    for place in range(len(SMALL)):
        live.take(parser.feed(SMALL[place : place + 1]))
        if place < resumed:
            for tag in live.tags:
                got, final = live.series(tag), whole.series(tag)
                kept = min(len(got), len(final))
                assert got.step[:kept].tolist() == final.step[:kept].tolist()
                assert len(got) <= len(final) or tag in ("loss", "time")
    live.take(parser.finish())
    assert live.tags == whole.tags
    for tag in whole.tags:
        assert str(points(live, tag)) == str(points(whole, tag))


def test_a_file_that_grows_and_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(repeated("step {n} loss={v}"))
    (claim,) = Console().claims(Folder(tmp_path))
    assert (claim.folder, claim.run) == (tmp_path, "")
    reader = Console().reader(claim)
    columns = drained(reader, 16)
    assert len(columns.series("loss")) == 4
    assert not reader.poll()
    with path.open("a") as file:
        file.write("step 5 lo")
    assert not reader.poll().points
    with path.open("a") as file:
        file.write("ss=7\n")
    batch = reader.poll()
    assert batch.points["loss"].value.tolist() == [7]
    assert batch.console == b"ss=7\n"
    path.write_text(repeated("epoch {n} acc={v}"))
    batch = reader.poll()
    assert batch.anew
    assert list(batch.points) == ["acc"]
    os.truncate(path, 0)
    assert reader.poll().anew
    path.unlink()
    assert not reader.poll()


def test_bars_without_a_line_feed_may_be_longer_than_any_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.logs.whole_lines.LONGEST", 256)
    bars = "".join(f"\r {n}/60 [00:01<00:09, 9.9it/s, loss={n}.5]" for n in range(60))
    (tmp_path / "train.log").write_text(bars)
    (columns,) = read_all(Console(), tmp_path, 64).values()
    assert len(columns.series("loss")) == 60
    assert not columns.problems


def test_a_log_that_begins_with_its_own_source(tmp_path: Path) -> None:
    source = (ROOT / "engine" / "probe" / "load_probe.py").read_text()
    (tmp_path / "log.txt").write_text(source * 4 + "=" * 100 + "\n" + repeated("step:{n}/9 train_loss:{v}"))
    found = read_all(Console(), tmp_path)
    assert found["."].tags == ["train_loss"]


def test_several_logs_in_a_folder_are_told_apart(tmp_path: Path) -> None:
    for name in ("a.log", "b.out", "train.sh.o123", "notes.txt", ".hidden.log"):
        (tmp_path / name).write_text("notes\n" if name == "notes.txt" else repeated("step {n} loss={v}"))
    assert sorted(read_all(Console(), tmp_path)) == [".#a.log", ".#b.out", ".#train.sh.o123"]


def test_a_log_that_has_just_begun_waits(tmp_path: Path) -> None:
    (tmp_path / "train.log").write_text("loading data\n")
    assert not list(Console().claims(Folder(tmp_path)))
    assert list(Console().claims(Folder(tmp_path, frozenset({"train.log"}))))
    (tmp_path / "LICENSE").write_text("all rights\n")
    os.utime(tmp_path / "train.log", (0, 0))
    for name in ("LICENSE", "train.log"):
        assert not list(Console().claims(Folder(tmp_path, frozenset({name}))))
    (tmp_path / "train.log").write_text("loading data\nmany lines more, before the first one\nepoch 1 loss=0.5\n")
    assert list(Console().claims(Folder(tmp_path)))


def test_a_refused_file_that_grows_is_looked_at_again(tmp_path: Path) -> None:
    console = Console()
    (tmp_path / "out").write_text("a few words\n" * 9)
    assert not list(console.claims(Folder(tmp_path)))
    (tmp_path / "out").write_text("a few words\n" * 9 + repeated("step {n} loss={v}"))
    assert list(console.claims(Folder(tmp_path)))


NEGATIVE = (
    "numpy==2.4.6\ntorch==2.13.0\ntqdm>=4.60\nrich>=15,<16\n",
    "".join(f"  learning_rate{n} ................ 0.000{n}\n  seed ........ {n}\n" for n in range(9)),
    "Collecting numpy\n  Downloading numpy-2.4.6.whl (16.9 MB)\n     ━━━━━━━━ 16.9/16.9 MB 11.2 MB/s eta 0:00:00\n"
    * 9,
    "".join(f"{n},{n * 2},0.{n}\n" for n in range(50)),
    "".join(
        f"Nov 27 14:00:0{n} host sshd[12{n}]: Accepted password from 10.0.0.{n} port 5{n}22 ssh2\n"
        for n in range(9)
    ),
    "At step 1 of chapter 2 there are 3 rules.\nAt step 2 of chapter 3 there were 4.\nStep 3 of 5 ends in 6.\n",
    "batch_size: 32\nepochs: 10\nlr: 0.001\nmodel:\n  layers: 4\n" * 4,
    "int main() {\n" + "".join(f"  x[{n}] = {n}.5; /* step {n} */\n" for n in range(9)) + "}\n",
    "".join(f"test_{n} PASSED [ {n}%]\n" for n in range(1, 90)),
    "".join(f"CMake: [{n}/60] Building CXX object a{n}.o\n" for n in range(1, 60)),
)


@pytest.mark.parametrize("text", NEGATIVE)
def test_text_that_is_no_log(text: str) -> None:
    assert parsed(text).tags == []


def test_files_of_this_repository_are_no_logs() -> None:
    files = [*ROOT.glob("*.*"), *(ROOT / "docs").glob("*.md"), *(ROOT / "engine").glob("[a-r]*/*.py")]
    texts = [path for path in random.Random(1).sample(files, 60) if path.suffix in (".md", ".py", ".toml", ".txt")]
    taken = [path.name for path in texts if parsed(path.read_bytes()[:20000]).tags]
    assert not taken


def test_damaged_logs_end_and_raise_nothing() -> None:
    for data in mutations(SMALL, 300):
        columns = parsed(data)
        assert all(tag.isprintable() for tag in columns.tags)
        assert len(columns) <= len(data)


HOSTILE = ("=", "1", "1,111", "[", "{", '{"a":', "1:", "1/", "a ", " ", "-", "1 ", "\x1b[", "\x1b]", ".", "1.",
           "|", "a=", "1m", "nan ", "epoch 1 ", "e: ", "1-", "[1", "\u2588", "a1=1 ")  # fmt: skip


def test_hostile_lines_are_bounded() -> None:
    """In steps, not in seconds: every pattern is bounded, so that no line costs more than its length."""
    for part in HOSTILE:
        line = (part * LONGEST)[: LONGEST - 1] + "\n"
        columns = parsed(line)
        assert len(columns) <= 512
    columns = parsed("x" * (LONGEST + 1) + "\n" + repeated("step {n} loss={v}"))
    assert columns.problems == {"line that is too long": 1}
    assert len(columns.series("loss")) == 4
    assert parsed(b"y" * (3 * LONGEST), 1000).problems == {"line that is too long": 1}


def test_kinds_and_names_are_bounded() -> None:
    chance = random.Random(2)
    words = ["".join(chance.choices("abcdefgh", k=9)) for _ in range(3000)]
    parser = LineParser()
    for word in words:
        assert not parser.feed(f"{word} step 1 loss=0.5\n".encode())
    assert len(parsed(repeated("step {n} " + " ".join(f"k{n}=1" for n in range(900)))).tags) == 256


def without_patterns(data: bytes, monkeypatch: pytest.MonkeyPatch) -> Columns:
    """What the parser makes of printed bytes where it takes every line apart anew."""
    with monkeypatch.context() as patch:
        patch.setattr(Templates, "find", lambda self, text: None)
        return parsed(data)


def assert_same(one: Columns, other: Columns) -> None:
    assert one.tags == other.tags
    for tag in one.tags:
        left, right = one.series(tag), other.series(tag)
        assert left.step.tolist() == right.step.tolist()
        assert left.value.tobytes() == right.value.tobytes()
        assert left.time.tobytes() == right.time.tobytes()
    assert (one.counts, one.problems) == (other.counts, other.problems)
    assert [mark.step for mark in one.remarks] == [mark.step for mark in other.remarks]


def long_log(seed: int) -> bytes:
    """A log of many forms of lines, with rests of all kinds between them."""
    chance = random.Random(seed)
    forms = [line for line, *_ in LINES.values()]
    printed = []
    for _ in range(8):
        line = chance.choice(forms)
        start = chance.choice((0, 1, 95, 990))
        for n in range(start, start + chance.choice((3, 15, 40))):
            printed.append(line.format(n=n, v=chance.choice((n / 7, -n, 0.0, 1e-9 * n, float("nan"), 1e12))))
            if chance.random() < 0.1:
                printed.append(chance.choice((
                    "2026-11-27 14:00:01,123 WARNING x.py:3 retried shard 7", "Epoch 3", "no digits here", "",
                    "epoch 2: 5%|█▌  | 3/60 [00:01<00:10, 9it/s, loss=0.5]", "step 3: loss 1, time 1795788001.5",
                    "iter 12: loss 7.5, time 12.5ms, mfu 1.00%", "loss: nan, nan: 5 [7/6] 1:02:03",
                    "rank 3 step 4 a=1",
                )))  # fmt: skip
    return "\n".join(printed).encode() + b"\n"


@pytest.mark.parametrize("seed", range(12))
def test_patterns_read_what_the_slow_way_reads(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = long_log(seed)
    assert_same(parsed(data), without_patterns(data, monkeypatch))
    for damaged in mutations(data, 4, seed * 10):
        assert_same(parsed(damaged), without_patterns(damaged, monkeypatch))


def test_many_lines_at_once_are_what_one_by_one_gives() -> None:
    data = long_log(77) + repeated("Epoch {n} batch 7 loss={v}", 99).encode() * 2
    assert_same(parsed(data), parsed(data, 100))
