"""Times of pulling chains per block and step: our compiled code, NumPy, torch and sdeint; and of the mean field.

Usage: python benchmarks/chain.py [THREADS]
"""

from __future__ import annotations

import json
import math
import random
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from engine.chain.chain import Chain
from engine.chain.ensemble import ChainEnsemble
from engine.chain.mean_field_cells import mean_field_cells
from engine.settings.chain import ChainConfig

BLOCKS, REPLICAS = 7, 1024
REPEATS = 5


def best(run: Callable[[], object]) -> float:
    """Seconds of the fastest of ``REPEATS`` runs."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def compiled(order: int, steps: int, threads: int) -> float:
    """Nanoseconds per block and step of our compiled code."""
    chain = ChainEnsemble(ChainConfig(order=order, blocks=BLOCKS, replicas=REPLICAS), threads=threads)  # type: ignore[arg-type]
    chain.advance(64)
    return best(lambda: chain.advance(steps)) / (BLOCKS * REPLICAS * steps) * 1e9


def numpy_way(order: int, steps: int) -> float:
    """Nanoseconds per block and step of our NumPy code, all replicas in one array."""
    chain = Chain(ChainConfig(order=order, blocks=BLOCKS, replicas=REPLICAS))  # type: ignore[arg-type]
    return best(lambda: chain.advance(steps)) / (BLOCKS * REPLICAS * steps) * 1e9


def torch_way(steps: int) -> float:
    """Nanoseconds per block and step in torch, first order, all replicas in one tensor."""
    x = torch.zeros(REPLICAS, BLOCKS + 2)
    x[:, -1] = 1.0

    def run() -> None:
        for _ in range(steps):
            z = x[:, 2:] - 2.0 * x[:, 1:-1] + x[:, :-2] + 0.029 * torch.randn(REPLICAS, BLOCKS)
            x[:, 1:-1] += 0.05 * ((z - 0.03).clamp(min=0.0) + (z + 0.138).clamp(max=0.0))

    return best(run) / (BLOCKS * REPLICAS * steps) * 1e9


def sdeint_way(steps: int) -> float:
    """Nanoseconds per block and step of sdeint's integrator, which the authors use (Itô SRK2), second order."""
    import sdeint

    size = 2 * BLOCKS

    def f(state: np.ndarray, _t: float) -> np.ndarray:
        x, v = state[:BLOCKS], state[BLOCKS:]
        p = np.concatenate(([0.0], x, [1.0]))
        pull = p[2:] - 2.0 * p[1:-1] + p[:-2]
        return np.concatenate((v, pull - v + np.where(v > 0, -0.03, 0.138)))

    def noise(_state: np.ndarray, t: float) -> np.ndarray:
        matrix = np.zeros((size, BLOCKS))
        matrix[BLOCKS:] = 0.029 * math.exp(-0.001 * t) * np.eye(BLOCKS)
        return matrix

    times = np.arange(steps + 1) * 0.05
    return best(lambda: sdeint.itoSRI2(f, noise, np.zeros(size), times)) / (BLOCKS * steps) * 1e9


def python_way(steps: int) -> float:
    """Nanoseconds per block and step in plain Python, first order, one replica, as in the authors' notebook."""

    def run() -> None:
        x = [0.0] * (BLOCKS + 1) + [1.0]
        for _ in range(steps):
            old = x[:]
            for i in range(1, BLOCKS + 1):
                z = old[i + 1] - 2.0 * old[i] + old[i - 1] + random.gauss(0.0, 0.029)
                x[i] += 0.05 * (z - 0.03 if z > 0.03 else z + 0.138 if z < -0.138 else 0.0)

    return best(run) / (BLOCKS * steps) * 1e9


def diagram() -> float:
    """Seconds for the mean field of 50 x 50 cells."""
    right, noise = np.meshgrid(np.linspace(0, 0.2, 50), np.linspace(0.005, 0.1, 50))
    return best(lambda: mean_field_cells(right.ravel(), 0.138, noise.ravel(), blocks=BLOCKS))


def main() -> None:
    """Print nanoseconds per block and step, and ratios, as JSON."""
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    torch.set_num_threads(threads)
    first, second = compiled(1, 10_000, threads), compiled(2, 10_000, threads)
    rivals = {"numpy": numpy_way(1, 200), "torch": torch_way(200), "python": python_way(2000)}
    rivals_2 = {"numpy": numpy_way(2, 200), "sdeint": sdeint_way(300)}
    result = {
        "threads": threads,
        "first_order_ns": {"springtui": round(first, 3), **{k: round(v, 1) for k, v in rivals.items()}},
        "first_order_times_faster": {k: round(v / first) for k, v in rivals.items()},
        "second_order_ns": {"springtui": round(second, 3), **{k: round(v, 1) for k, v in rivals_2.items()}},
        "second_order_times_faster": {k: round(v / second) for k, v in rivals_2.items()},
        "mean_field_50x50_s": round(diagram(), 3),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
