"""Reading a large CSV file to columns, beside a bare loop of the csv module that keeps nothing.

User and system time of this process, in an order drawn by lot; imports and compiling come before. Twelve columns,
the floats of full precision, as Lightning writes them: a step, an epoch, eight scalars of each row, two of every
tenth. Also told: the most memory, and the time of the plain Python that stands in where numba is missing, measured
on a part.

Usage: python benchmarks/table_files.py [MEGABYTES] [REPEATS]
"""

from __future__ import annotations

import csv
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from engine.logs.columns import Columns
from engine.logs.folder import Folder
from engine.logs.tables import rows_plain
from engine.logs.tables.format import TableFormat
from engine.logs.tables.reader import TableReader

EACH = [f"train/scalar_{number}" for number in range(8)]
LATE = ["val/loss", "val/acc"]
PLAIN_SHARE = 0.05
"""Of the file, which plain Python reads."""


def write(path: Path, megabytes: float) -> int:
    """Write a table of about this size, in 10⁶ bytes; its rows."""
    chance = np.random.default_rng(0)
    size, count = 0, 0
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "step", *EACH, *LATE])
        while size < megabytes * 1e6:
            rows = [
                [count // 1000, number, *row[:8], *(row[8:] if number % 10 == 9 else ("", ""))]
                for number, row in enumerate(chance.standard_normal((1000, 10)).tolist(), count)
            ]
            writer.writerows(rows)
            count += len(rows)
            size = file.tell()
    return count


def bare(path: Path) -> int:
    """Split each row with the csv module, and keep nothing."""
    count = -1
    with path.open(newline="") as file:
        for _ in csv.reader(file):
            count += 1
    return count


def ours(path: Path, in_python: bool = False) -> Columns:
    """Read to columns of numbers."""
    (claim,) = TableFormat().claims(Folder(path.parent))
    reader = TableReader(claim, lambda *_: "", rows_plain.read_rows if in_python else None)
    columns = Columns()
    while True:
        batch = reader.poll()
        columns.take(batch)
        if not batch.more:
            return columns


def most_memory(path: Path) -> float:
    """The most memory, in MiB, that reading a table took: its columns and what the reader needs beside them."""
    process, done = psutil.Process(), threading.Event()
    peak: list[int] = [0]

    def watch() -> None:
        while not done.wait(0.002):
            peak[0] = max(peak[0], process.memory_info().rss)

    before = process.memory_info().rss
    watcher = threading.Thread(target=watch)
    watcher.start()
    ours(path)
    done.set()
    watcher.join()
    return float(peak[0] - before) / (1 << 20)


def main() -> None:
    """Print the times, in seconds of CPU, and the ratio to the csv module's."""
    megabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 200.0
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as folder:
        for name in ("whole", "small"):
            (Path(folder) / name).mkdir()
        path, small = Path(folder) / "whole" / "metrics.csv", Path(folder) / "small" / "metrics.csv"
        rows = write(path, megabytes)
        write(small, PLAIN_SHARE * megabytes)
        ours(small)  # compiles
        memory = most_memory(path)
        sides: dict[str, Callable[[Path], object]] = {"csv": bare, "ours": ours}
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(repeats):
            for name in random.sample(sorted(sides), len(sides)):
                start = time.process_time()
                sides[name](path)
                taken[name].append(time.process_time() - start)
        start = time.process_time()
        ours(small, in_python=True)
        in_python = (time.process_time() - start) * path.stat().st_size / small.stat().st_size
        points, best = len(ours(path)), {name: min(times) for name, times in taken.items()}
        found = {
            "megabytes": round(path.stat().st_size / 1e6, 1), "rows": rows, "points": points,
            "cpu_s": {name: [round(t, 2) for t in times] for name, times in taken.items()},
            "speed_to_csv": round(best["csv"] / best["ours"], 2),
            "plain_python_cpu_s": round(in_python, 1),
            "most_memory_mib": round(memory), "columns_at_24_bytes_a_point_mib": round(24 * points / (1 << 20)),
        }  # fmt: skip
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
