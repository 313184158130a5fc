"""Damages copies of valid run directories at random, by seed."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.runs.directory import Run
from engine.runs.label import write_label
from engine.runs.listing import open_home
from engine.runs.records import (
    Acknowledged,
    Cell,
    Console,
    Curve,
    Ended,
    Gpu,
    Health,
    Note,
    Scalars,
    Started,
    Usage,
)
from engine.settings.chain import ChainConfig
from engine.settings.probe import ProbeConfig
from engine.settings.run import Settings
from engine.settings.train import TrainConfig
from engine.sweep.diagrams import make_sweep

FILES = (
    "config.json",
    "events.jsonl",
    "control.jsonl",
    "lock",
    "label.json",
    "worker.log",
    "checkpoint.safetensors",
)
LINES = ("events.jsonl", "control.jsonl")
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, -(2**70), 1e308, -0.5, "", "x" * 5000, "\x1b[2J\x9b31m\u202e", "\ud800", [], {},
    [[[]]], {"kind": "curve"}, ["a", 1, None], "NaN", [1e308] * 50,
)  # fmt: skip
HUGE = 3 << 20


def sound_runs(home: Path) -> list[Path]:
    """Write a finished run of each kind; their directories."""
    sweep = make_sweep("data-noise", {}, axes={"x": ("data_noise", (0.0, 0.5)), "y": ("negative_slope", (0.0,))})
    chain = ChainConfig(blocks=3, steps=50)
    made = []
    for settings in (TrainConfig(epochs=9), chain, sweep, ProbeConfig()):
        run = Run.create(open_home(home), settings)
        _fill(run, settings)
        made.append(run.path)
    return made


def _fill(run: Run, settings: Settings) -> None:
    control = run.ask("set", lr=0.1)
    writer = run.writer()
    settings_in_force = {"negative_slope": 0.1, "lr": 0.1}
    towers = [{"path": path, "layers": ["a", "b"], "logits": False} for path in ("image", "text")]
    facts = {"towers": towers} if run.kind == "probe" else {}
    writer.write(Started(pid=1, host="here", settings=settings_in_force, layers=["a", "b"], total=9, facts=facts))
    for at in range(6):
        curve = {"trace_ratio": [2.0, 1.0 / (at + 1)], "distance": [1.0, 0.5, 0.0]}
        scalars = {"train_loss": 1.0 / (at + 1), "test_accuracy": 0.1 * at, "rate": 10.0}
        if run.kind == "sweep":
            cell = Cell(cell=at % 2, member=at // 2, final=True, at=9, curves=curve, scalars=scalars, done=at)
            writer.write(cell)
        elif run.kind == "probe":
            writer.write(Usage(step=at, cpu=0.5, memory=9, gpus=[Gpu(index=0, name="gpu", memory=9, reserved=10)]))
            for path in ("image", "text"):
                writer.write(Curve(at=at, step=at, path=path, curves=curve, scalars=scalars))
                health = {"dead": [0.1, 0.5], "scale": [2.0, math.nan]}
                writer.write(Health(step=at, path=path, layers=["a", "b"], measures=health))
            writer.write(Scalars(step=at, epoch=0.1 * at, scalars={"loss": 0.5, "gone": -math.inf}))
            writer.write(Console(offset=10 * at))
        else:
            writer.write(Curve(at=at, step=at, curves=curve, scalars=scalars, positions=[0.1, 0.2, 0.3]))
    writer.write(Acknowledged(control=control.seq, action="set", step=5, settings={"lr": 0.1}))
    writer.write(Note(text="so far"))
    writer.write(Ended(reason="finished", text="done", at=9, summary={"load_curve": {"trace_ratio": [2.0, 0.2]}}))
    writer.release()
    write_label(run.path, name="mine", text="a note", pinned=True)
    run.log_path.write_text("a line\n")
    run.checkpoint_path.write_bytes((24).to_bytes(8, "little") + b'{"__metadata__":{"a":1}}' + b"\0" * 64)


def mutated(sound: Path, into: Path, number: int, secret: Path) -> Path:
    """Copy a valid run to ``into`` and damage it once or twice; the same ``number`` gives the same damage."""
    chance = random.Random(number)
    run = into / f"20260101-{number:06d}-{sound.name.split('-')[2]}-{number:06x}"
    shutil.copytree(sound, run)
    for _ in range(chance.choice([1, 1, 1, 2])):
        name = chance.choice(FILES + LINES + ("events.jsonl", "config.json"))
        mutation = chance.choice(MUTATIONS)
        path = run / name
        if not os.path.lexists(path) or not path.is_file() or path.is_symlink():
            continue
        mutation(path, chance, secret)
    return run


def _truncate(path: Path, chance: random.Random, _: Path) -> None:
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size + 1)])


def _flip_bits(path: Path, chance: random.Random, _: Path) -> None:
    data = bytearray(path.read_bytes())
    for _number in range(chance.randint(1, 12) if data else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def _reorder(path: Path, chance: random.Random, _: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    chance.shuffle(lines)
    path.write_bytes(b"".join(lines + lines[: chance.randint(0, 3)]))


def _huge_line(path: Path, chance: random.Random, _: Path) -> None:
    filler = chance.choice([b"x", b"[", b"\0", b'"', b"9", b'{"a":'])
    end = chance.choice([b"", b"\n"])
    with path.open("ab") as file:
        file.write(filler * (HUGE // len(filler)) + end)


def _nest(path: Path, chance: random.Random, _: Path) -> None:
    depth = chance.choice([50, 2000, 200_000])
    inner = b"[" * depth + b"]" * depth
    whole = chance.choice(
        [inner, b'{"kind":"note","text":' + inner + b"}", b'{"a":' * depth + b"1" + b"}" * depth]
    )
    with path.open(chance.choice(["ab", "wb"])) as file:
        file.write(whole + b"\n")


def _odd_values(path: Path, chance: random.Random, _: Path) -> None:
    """Replace or delete fields of some records."""
    try:
        records = [json.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return
    if path.name not in LINES:
        try:
            records = [json.loads(path.read_bytes())]
        except (ValueError, RecursionError):
            return
    for record in chance.sample(records, min(len(records), chance.randint(1, 4))):
        _spoil(record, chance)
    text = "\n".join(json.dumps(record) for record in records) + "\n"
    path.write_text(text)


def _spoil(record: Any, chance: random.Random) -> None:
    while isinstance(record, (dict, list)) and record:
        key = chance.choice(list(record) if isinstance(record, dict) else range(len(record)))
        if isinstance(record[key], (dict, list)) and record[key] and chance.random() < 0.6:
            record = record[key]
            continue
        if isinstance(record, dict) and chance.random() < 0.2:
            del record[key]
        else:
            record[key] = chance.choice(ODD)
        return


def _not_numbers(path: Path, chance: random.Random, _: Path) -> None:
    words = [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1" * 400, b"1" * 5000, b"0x10", b"1_0"]
    data = path.read_bytes()
    for old in chance.sample([b"1.0", b"0.1", b"0.5", b"10.0", b"9", b"2.0"], 3):
        data = data.replace(old, chance.choice(words), chance.randint(1, 5))
    path.write_bytes(data)


def _no_text(path: Path, chance: random.Random, _: Path) -> None:
    data = path.read_bytes()
    at = chance.randrange(len(data) + 1)
    path.write_bytes(data[:at] + chance.choice([b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\0\0"]) + data[at:])


def _empty(path: Path, _chance: random.Random, _: Path) -> None:
    path.write_bytes(b"")


def _missing(path: Path, _chance: random.Random, _: Path) -> None:
    path.unlink()


def _link(path: Path, chance: random.Random, secret: Path) -> None:
    path.unlink()
    path.symlink_to(chance.choice([str(secret), "/dev/zero", "/nonexistent", path.name]))


def _fifo(path: Path, _chance: random.Random, _: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _socket(path: Path, _chance: random.Random, _: Path) -> None:
    path.unlink()
    here = os.getcwd()  # noqa: PTH109 (a socket's path must be short)
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _folder(path: Path, _chance: random.Random, _: Path) -> None:
    path.unlink()
    path.mkdir()


MUTATIONS: tuple[Callable[[Path, random.Random, Path], None], ...] = (
    _truncate, _flip_bits, _reorder, _huge_line, _nest, _odd_values, _odd_values, _odd_values, _not_numbers,
    _no_text, _empty, _missing, _link, _fifo, _socket, _folder,
)  # fmt: skip
