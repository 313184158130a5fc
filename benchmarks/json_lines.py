"""Reading a large log of JSON lines to columns, beside bare loops of msgspec and json that keep nothing.

User and system time of this process, in pairs in an order drawn by lot; imports and compiling come before. Twelve
keys a line, floats of full precision, as ``json.dumps`` writes them.

Usage: python benchmarks/json_lines.py [MEGABYTES] [REPEATS]
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from engine.logs.batch import Batch
from engine.logs.columns import Columns
from engine.logs.folder import Folder
from engine.logs.lines import JsonLines
from engine.logs.reader import Reader

TAGS = ("loss", "grad_norm", "lr", "acc", "val/loss", "val/acc", "tokens", "throughput", "entropy")


def write(path: Path, megabytes: float) -> int:
    """Write a log of about this size, in 10⁶ bytes; its lines."""
    chance = np.random.default_rng(0)
    size, count = 0, 0
    with path.open("w") as file:
        while size < megabytes * 1e6:
            rows = chance.standard_normal((1000, len(TAGS)))
            for row in rows.tolist():
                values = dict(zip(TAGS, row, strict=True))
                line = {"step": count, "epoch": count / 1000, "time": 1.8e9 + count / 8, **values}
                size += file.write(json.dumps(line) + "\n")
                count += 1
    return count


def bare(decode: Callable[[bytes], object]) -> Callable[[Path], int]:
    """A loop that decodes each line and keeps nothing."""

    def loop(path: Path) -> int:
        count = 0
        with path.open("rb") as file:
            for line in file:
                decode(line)
                count += 1
        return count

    return loop


def ours(path: Path) -> int:
    """Read to columns; the points of one tag."""
    columns, reader = Columns(), reader_of(path)
    while True:
        batch: Batch = reader.poll()
        columns.take(batch)
        if not batch.more:
            return len(columns.series(TAGS[0]))


def reader_of(path: Path) -> Reader:
    """The reader of the one log of a folder."""
    log = JsonLines()
    (claim,) = log.claims(Folder(path.parent))
    return log.reader(claim)


def main() -> None:
    """Print the times, in seconds of CPU, and the ratios to msgspec's."""
    megabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 200.0
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    sides: dict[str, Callable[[Path], int]] = {
        "msgspec": bare(msgspec.json.decode), "ours": ours, "json": bare(json.loads),
    }  # fmt: skip
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small" / "log.jsonl"
        small.parent.mkdir()
        write(small, 1.0)
        large = Path(folder) / "large" / "log.jsonl"
        large.parent.mkdir()
        lines = write(large, megabytes)
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for name in sides:
            sides[name](small)
        for number in range(repeats):
            for name in chance.sample(list(sides), len(sides)):
                if name == "json" and number:
                    continue  # slow, and no rival
                start = time.process_time()
                count = sides[name](large)
                taken[name].append(time.process_time() - start)
                assert count == lines, f"{name} read {count} of {lines} lines"
        best = {name: min(times) for name, times in taken.items()}
        size = large.stat().st_size / 1e6
        found = {
            "megabytes": round(size, 1), "lines": lines,
            "cpu_s": {name: [round(t, 2) for t in times] for name, times in taken.items()},
            "megabytes_per_s": {name: round(size / t) for name, t in best.items()},
            "speed_to_msgspec": {name: round(best["msgspec"] / t, 2) for name, t in best.items()},
        }  # fmt: skip
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
