"""Writes run directories without a worker: long logs, and many runs. Shared by tests and benchmarks."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.runs.records import Acknowledged, Curve, Ended, Event, Health, Started, encode
from engine.settings.chain import ChainConfig
from engine.settings.fields import make
from engine.settings.probe import ProbeConfig
from engine.settings.run import RunConfig
from engine.settings.train import TrainConfig

LAYERS = ["input", *(f"layer {i}" for i in range(1, 8)), "logits"]
SPIKE = 50.0
"""Loss of the record in the middle, which plots must show."""


def training_records(count: int, *, began: float = 1.7e9, moves: int = 10) -> Iterator[Event]:
    """Records of a training: ``count`` curves, 20 a second, and ``moves`` changes of data_noise."""
    settings = {"lr": 1e-3, "data_noise": 0.2, "negative_slope": 0.2}
    yield Started(seq=0, time=began, pid=1, host="gone", settings=settings, layers=LAYERS, total=count)
    seq = 1
    every = max(1, count // (moves + 1))
    for i in range(count):
        moment = began + i / 20
        if i and i % every == 0 and i // every <= moves:
            moved = {"data_noise": round(0.8 * i / count, 3)}
            yield Acknowledged(seq=seq, time=moment, control=seq, action="set", step=i, settings=moved)
            seq += 1
        part = 1.0 - 0.5 ** (8 * i / count)
        curve = [round(0.5 - part * (0.04 * j * j + 0.2 * j) + 1e-3 * ((i * 7 + j) % 11), 6) for j in range(9)]
        scalars = {
            "train_loss": SPIKE if i == count // 2 else 2.3 * (1 - part) + 0.01,
            "train_accuracy": 0.1 + 0.9 * part,
            "test_accuracy": 0.1 + 0.86 * part,
            "rate": 20.0,
        }
        curves = {"trace_ratio": curve, "fuzziness": curve, "inverse_fuzziness": [-d for d in curve]}
        yield Curve(seq=seq, time=moment, at=i, step=i, curves=curves, scalars=scalars)
        seq += 1


def make_run(home: Path, events: Iterator[Event] | list[Event], number: int = 0, *, began: float = 1.7e9) -> Path:
    """Write a training run with these records; its directory."""
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(began))}-train-{number:06x}"
    folder = home / "runs" / name
    folder.mkdir(mode=0o700, parents=True)
    config = make(TrainConfig, {"epochs": 100, "data_noise": 0.2, "negative_slope": 0.2})
    _write_config(folder, RunConfig(id=name, created=began, host="gone", version="0", settings=config))
    with (folder / "events.jsonl").open("wb") as file:
        file.writelines(encode(event) for event in events)
    (folder / "control.jsonl").touch()
    return folder


LEFT_OUT = [
    {"name": "lm_head", "module": "Linear", "reason": "its width grows with the batch"},
    {"name": "aux.*", "module": "12 LayerNorm", "reason": "not on the path from input to output"},
]


def probe_records(
    layers: Sequence[str],
    count: int = 40,
    *,
    towers: Sequence[str] = ("",),
    health: bool = True,
    described: bool = True,
    slope: float = 0.3,
    began: float = 1.7e9,
) -> Iterator[Event]:
    """Records of a probe, ten steps apart: a curve for each tower, and layer health where it is wanted.

    Each layer comes to a load of ``slope``, the third to twice that. The gradient of the last is not known, that
    of the second has a spike of 50 in the middle. ``described`` gives points, towers and what is left out.
    """
    points = {tower: ["input", *(f"{tower}.{name}" if tower else name for name in layers)] for tower in towers}
    main = points[towers[0]]
    facts: dict[str, Any] = {"reductions": dict.fromkeys(main, "flatten"), "logits": layers[-1] == "logits"}
    if described or len(towers) > 1:
        logits = layers[-1] == "logits"
        facts["towers"] = [{"path": path, "layers": names, "logits": logits} for path, names in points.items()]
    if described:
        facts["points"] = [_point(path, name, i) for path, names in points.items() for i, name in enumerate(names)]
        facts["left_out"] = LEFT_OUT
    yield Started(seq=0, time=began, pid=1, host="gone", settings={}, layers=main, total=0, facts=facts)
    seq = 1
    for i in range(count):
        learnt = 1.0 - 0.9**i
        for number, (path, names) in enumerate(points.items()):
            loads = [learnt * (slope + 0.1 * number) * (2 if j == 2 else 1) for j in range(len(layers))]
            curve = [0.5, *(0.5 - sum(loads[: j + 1]) for j in range(len(loads)))]
            yield Curve(
                seq=seq, time=began + i / 10, at=10 * i, step=10 * i, path=path, curves={"trace_ratio": curve},
                scalars={"loss": 2.0 * 0.9**i},
            )  # fmt: skip
            seq += 1
            if health:
                norms = [10.0 ** (-j / 2) for j in range(len(layers) - 1)] + [math.nan]
                norms[1] = 50.0 if i == count // 2 else norms[1]
                dead = [j / len(layers) for j in range(len(layers))]
                measures = {"grad_norm": norms, "dead": dead}
                yield Health(
                    seq=seq, time=began + i / 10, step=10 * i, path=path, layers=names[1:], measures=measures
                )
                seq += 1


def _point(path: str, name: str, index: int) -> dict[str, Any]:
    return {
        "name": name, "path": path, "module": "MLP" if index else "", "shape": [8, 197, 768], "samples_axis": 0,
        "features_axis": 2, "reduction": "token_mean" if index else "flatten",
        "why": "last map has 768 features" if index else "the model's input",
        "role": "logits" if name.endswith("logits") else "block" if index else "input", "features": 768,
    }  # fmt: skip


def make_probe_run(home: Path, events: Iterable[Event], number: int = 0, *, began: float = 1.7e9) -> Path:
    """Write a probe's run with these records; its directory."""
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(began))}-probe-{number:06x}"
    folder = home / "runs" / name
    folder.mkdir(mode=0o700, parents=True)
    settings = make(ProbeConfig, {})
    _write_config(folder, RunConfig(id=name, created=began, host="gone", version="0", settings=settings))
    with (folder / "events.jsonl").open("wb") as file:
        file.writelines(encode(event) for event in events)
    (folder / "control.jsonl").touch()
    return folder


def make_many(home: Path, count: int, epochs: int = 12) -> None:
    """Write ``count`` short trainings and chains with different ends, every fifth without a last record."""
    rng = random.Random(1)
    for i in range(count):
        began = 1.7e9 + 100.0 * i
        kind = "chain" if i % 7 == 3 else "train"
        name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(began))}-{kind}-{i:06x}"
        folder = home / "runs" / name
        folder.mkdir(mode=0o700, parents=True)
        settings = make(ChainConfig, {}) if kind == "chain" else make(TrainConfig, {"epochs": epochs, "seed": i})
        _write_config(folder, RunConfig(id=name, created=began, host="gone", version="0", settings=settings))
        (folder / "events.jsonl").write_bytes(
            b"".join(encode(e) for e in _short(i, kind, began, epochs, rng.random()))
        )
        (folder / "control.jsonl").touch()


def _short(number: int, kind: str, began: float, epochs: int, skill: float) -> Iterator[Event]:
    yield Started(time=began, pid=1, host="gone", settings={"lr": 1e-3}, layers=[], total=epochs)
    for i in range(epochs):
        part = 1.0 - 0.8**i
        curve = [0.5 - part * (0.04 * j * j * skill + 0.2 * j) for j in range(9)]
        measure = "distance" if kind == "chain" else "trace_ratio"
        scalars = {"rate": 300.0} if kind == "chain" else {
            "train_loss": 2.3 * 0.8**i + 0.1 * skill, "test_accuracy": 0.1 + 0.8 * part * skill, "rate": 20.0,
        }  # fmt: skip
        yield Curve(seq=i + 1, time=began + i, at=i, step=i, curves={measure: curve}, scalars=scalars)
    if number % 5:
        reason = ["finished", "stopped", "diverged", "failed"][number % 4]
        yield Ended(seq=epochs + 1, time=began + epochs, reason=reason, text=f"{reason} as it went", at=epochs)


def _write_config(folder: Path, config: RunConfig) -> None:
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
