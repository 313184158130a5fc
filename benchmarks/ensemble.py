"""Times of training by compiled code, by eager PyTorch, and of the matrix products alone.

All in one run, on two cores, in alternating rounds; the best round of each counts, since other work on the machine
can only add time. Prints a table, then one line of JSON.

    python benchmarks/ensemble.py [--rounds N] [--cores N]
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine.datasets.load import Dataset
from engine.ensemble.member import Group, MemberTrainer, member_of
from engine.ensemble.threads import single_threaded
from engine.ensemble.trainer import CompiledTrainer
from engine.networks.trainer import Trainer
from engine.settings.fields import make
from engine.settings.train import TrainConfig

SAMPLES, SIDE, WIDTH, CLASSES, HIDDEN = 2560, 10, 100, 10, 7
EPOCHS = 100
CASES: dict[str, dict[str, float]] = {
    "plain": {},
    "data noise 0.4": {"data_noise": 0.4},
    "dropout 0.1": {"dropout": 0.1},
}


def images() -> Dataset:
    """Random images of the paper's number and size; the time does not depend on their content."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, 2 * SAMPLES)
    x = rng.random((CLASSES, SIDE * SIDE))[y] + rng.normal(size=(2 * SAMPLES, SIDE * SIDE))
    x = x.astype(np.float32)
    return Dataset("made", x[:SAMPLES], y[:SAMPLES], x[SAMPLES:], y[SAMPLES:], CLASSES)


def config_of(case: str, batch: int) -> TrainConfig:
    return make(TrainConfig, {"batch_size": batch, "epochs": EPOCHS, "early_stop": False, **CASES[case]})


def at_once(job: Callable[[], object], cores: int) -> float:
    """Seconds per job of ``cores`` jobs at once, a thread each."""
    workers = [threading.Thread(target=job) for _ in range(cores)]
    start = time.perf_counter()
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    return (time.perf_counter() - start) / cores


def products(batch: int, steps: int) -> Callable[[], None]:
    """A function that does a step's matrix products alone: forward and both gradients of all eight maps."""

    def job() -> None:
        torch.set_num_threads(1)
        a, w, o = torch.randn(batch, WIDTH), torch.randn(WIDTH, WIDTH), torch.empty(batch, WIDTH)
        g, v, k = torch.empty(WIDTH, WIDTH), torch.randn(WIDTH, CLASSES), torch.empty(batch, CLASSES)
        gv, turned = torch.empty(WIDTH, CLASSES), w.t().contiguous().t()
        for _ in range(steps):
            for _ in range(HIDDEN):
                torch.mm(a, turned, out=o)
                torch.mm(a.t(), o, out=g)
                torch.mm(o, w, out=a)
            torch.mm(a, v, out=k)
            torch.mm(a.t(), k, out=gv)
            torch.mm(k, v.t(), out=a)
            a.fill_(0.5)  # else the numbers overflow, and then slow the products down

    return job


def eager(case: str, batch: int, threads: int, steps: int) -> float:
    """Seconds per step of the PyTorch ``Trainer``."""
    torch.set_num_threads(threads)
    trainer = Trainer(config_of(case, batch), images())
    for _ in range(2):
        run_steps(trainer, 1)
    start = time.perf_counter()
    run_steps(trainer, steps)
    return (time.perf_counter() - start) / steps


def single(case: str, batch: int, steps: int) -> float:
    """Seconds per step of ``CompiledTrainer``, as ``springtui train`` runs it."""
    trainer = CompiledTrainer(config_of(case, batch), images())
    run_epochs(trainer, 2)
    begun, start = trainer.step_count, time.perf_counter()
    while trainer.step_count < begun + steps:
        run_epochs(trainer, 1)
    return (time.perf_counter() - start) / (trainer.step_count - begun)


def run_epochs(trainer: CompiledTrainer, epochs: int) -> None:
    for _ in range(epochs):
        for _ in trainer.run_epoch(lambda: SAMPLES):
            pass


def run_steps(trainer: Trainer, steps: int) -> None:
    epoch = trainer.run_epoch()
    next(epoch)
    for _ in range(steps):
        if next(epoch, epoch) is epoch:
            epoch = trainer.run_epoch()
            next(epoch)


def ours(case: str, batch: int, epochs: int, cores: int) -> float:
    """Seconds per epoch and network of compiled code, ``cores`` networks at once."""
    group = Group(config_of(case, batch), images())
    ready = [(MemberTrainer(group, member_of(group.config)), group.workspace()) for _ in range(cores)]
    for trainer, work in ready:
        trainer.run_epoch(work)

    def job() -> None:
        trainer, work = ready.pop()
        for _ in range(epochs):
            trainer.run_epoch(work)

    return at_once(job, cores) / epochs


def case_times(case: str, batch: int, cores: int, rounds: int) -> dict[str, float]:
    """Milliseconds per step and network, by method; the best of ``rounds``."""
    per_epoch = SAMPLES // batch
    steps, epochs = (30, 30) if per_epoch == 1 else (300, 1)
    best: dict[str, float] = {}
    for _ in range(rounds):
        with single_threaded():
            times = {
                "ours": ours(case, batch, epochs, cores) / per_epoch,
                "single": single(case, batch, steps),
                "products": at_once(products(batch, steps), cores) / steps,
            }
        times["eager"] = min(eager(case, batch, threads, min(steps, 100)) for threads in {1, cores})
        best = {name: min(1e3 * value, best.get(name, np.inf)) for name, value in times.items()}
    return best


def whole(cores: int) -> float:
    """Seconds per network of 100 epochs, from its initial weights to its load curve."""
    start = time.perf_counter()
    group = Group(config_of("plain", SAMPLES), images())

    def two() -> None:
        torch.set_num_threads(1)
        work = group.workspace()
        for _ in range(2):
            trainer = MemberTrainer(group, member_of(group.config))
            while not trainer.finished:
                trainer.run_epoch(work)
            trainer.measure()

    with single_threaded():
        at_once(two, cores)
    return (time.perf_counter() - start) / (2 * cores)


def main() -> int:
    """Print the table and the JSON; exit status 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    args = parser.parse_args()
    rows = []
    names = ("products", "ours", "single", "eager")
    print(f"{'batch':>6} {'case':15} " + " ".join(f"{n:>9}" for n in names) + "  ours/products eager/ours")
    for batch in (SAMPLES, 5):
        for case in CASES:
            t = case_times(case, batch, args.cores, args.rounds)
            row = {"batch_size": batch, "case": case, **{f"{name}_ms_per_step": t[name] for name in t}}
            row |= {"over_products": t["ours"] / t["products"], "faster_than_eager": t["eager"] / t["ours"]}
            rows.append(row)
            print(
                f"{batch:6} {case:15} {t['products']:9.3f} {t['ours']:9.3f} {t['single']:9.3f} "
                f"{t['eager']:9.3f}  "
                f"{row['over_products']:13.2f} {row['faster_than_eager']:10.1f}",
                flush=True,
            )
    seconds = min(whole(args.cores) for _ in range(max(1, args.rounds // 2)))
    print(
        f"ms per step and network, {args.cores} networks at once on {args.cores} cores; "
        "single (as springtui train) and eager: one at a time"
    )
    print(f"a full-batch network of {EPOCHS} epochs, from its initial weights to its load curve: {seconds:.2f} s")
    print(json.dumps({"benchmark": "ensemble", "cores": args.cores, "seconds_per_network": seconds, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
