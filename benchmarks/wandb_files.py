"""A .wandb file of 100 MB beside ``wandb leet``: CPU of either process, from its start to the last point.

The file has the structure of real ones: rows of ten metrics, and two summaries a row. ``leet`` is wandb's own
terminal interface, which must draw as well; it runs in a pseudo-terminal and has read the file once its processes
are at rest. ``python benchmarks/wandb_files.py [MB]``.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from _pty import ROOT, Terminal
from support.framed_writer import framed, history, message, settings, summary, wandb_record

METRICS = 10
START = 1_790_000_000.0
QUIET_SECONDS = 3.0
"""Without a tenth of a core's work, after which a rival is taken to have read all."""


def write(path: Path, size: int) -> int:
    """Write a log of about ``size`` bytes; the number of its points."""
    rng = random.Random(0)
    records = [wandb_record(17, message((1, "bench"), (4, settings({"lr": "0.1"})), (8, "bench")))]
    written = row = 0
    while written < size:
        items = {f"train/metric {number}": repr(rng.random()) for number in range(METRICS)}
        items["_runtime"] = repr(row / 8)
        time_of = START + row / 8
        whole = history(row, items, time_of)
        records += [
            summary({**items, "_timestamp": repr(time_of), "_step": str(row)}), whole, summary({"_runtime": "1"})
        ]  # fmt: skip
        written += sum(len(record) + 7 for record in records[-3:])
        row += 1
    path.write_bytes(framed(records))
    return row * METRICS


def read(path: Path) -> None:
    """Read a log to its end and print what it took: CPU seconds of start and imports, and of reading."""
    from engine.logs.columns import Columns
    from engine.logs.folder import Folder
    from engine.logs.wandb import Wandb

    if "plain" in sys.argv:
        sys.modules["numba"] = None  # type: ignore[assignment]  # as if it were not installed
    [claim] = Wandb().claims(Folder(path.parent))
    start = _cpu()
    reader, columns = Wandb().reader(claim), Columns()
    while True:
        batch = reader.poll()
        columns.take(batch)
        if not batch.more:
            break
    for tag in columns.tags:
        columns.series(tag)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"start": start, "whole": _cpu(), "points": len(columns), "peak_mb": round(peak)}))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def ours(path: Path, *more: str) -> dict[str, float]:
    """What a process of ours took for a log."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), "read", str(path), *more],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {**json.loads(done.stdout), "wall": round(time.perf_counter() - start, 2)}


def leet(path: Path) -> dict[str, float]:
    """What wandb leet's processes took until they were at rest."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "WANDB_CONFIG_DIR": home, "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
        argv = [sys.executable, "-m", "wandb", "leet", "run", str(path)]
        with Terminal(argv, columns=160, rows=45, env=env, cwd=Path(home)) as terminal:
            start = time.perf_counter()
            seen = [(start, 0.0)]
            peak = 0
            while True:
                terminal.read(0.2)
                used, resident = _tree(terminal.process.pid)
                peak = max(peak, resident)
                now = time.perf_counter()
                seen.append((now, used))
                past = [cpu for at, cpu in seen if at <= now - QUIET_SECONDS]
                if past and used - past[-1] < 0.1 * QUIET_SECONDS:
                    return {
                        "whole": past[-1],
                        "wall": round(now - QUIET_SECONDS - start, 2),
                        "peak_mb": peak >> 20,
                    }


def _tree(pid: int) -> tuple[float, int]:
    used, resident = 0.0, 0
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        with one.oneshot():
            times = one.cpu_times()
            used += times.user + times.system
            resident += one.memory_info().rss
    return used, resident


def main() -> int:
    """Exit status 0."""
    if sys.argv[1:2] == ["read"]:
        read(Path(sys.argv[2]))
        return 0
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run-bench.wandb"
        points = write(path, megabytes * 1_000_000)
        print(f"{path.stat().st_size / 1e6:.0f} MB, {points} points")
        ours(path)  # compiled once on this machine
        compiled, rival = ours(path), leet(path)
        for name, found in (("springtui", compiled), ("springtui, plain", ours(path, "plain")), ("leet", rival)):
            print(f"{name}: {found}")
        print(f"CPU of the whole process: leet {rival['whole'] / compiled['whole']:.1f} times ours")
    return 0


if __name__ == "__main__":
    sys.exit(main())
