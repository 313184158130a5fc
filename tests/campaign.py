"""Damaged logs of every format by the thousand: each is read without a fault, in bounded time and memory.

    python tests/campaign.py [--logs 10000] [--seed 0] [--case NAME]

Copies of the real logs are damaged by seed and read by ``springtui scalars --json``, a batch at a time in a
process of its own. A fault is a traceback, an exit status other than 0 and 2, a line that is no JSON, a control
character, more than ``SECONDS`` of a core for one log, more than ``MEBIBYTES`` of memory for a batch, or a batch
that never ends. Each is printed with its case and seed: ``--case NAME --seed N --logs 1`` shows it again. Exit
status 1 where there was one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from support.logs import CASES
from support.mutate import mutated_copy

from springtui.cli import main as springtui

SECONDS = 5.0
MEBIBYTES = 700
BATCH = 100
PATIENCE = 300.0
"""Seconds after which a batch is given up."""
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
FAULT = "please report it"


def cases(named: str | None) -> list[str]:
    """The real logs that are there, or the one that is named."""
    there = sorted(folder.name for folder in CASES.iterdir() if len(list(folder.iterdir())) > 1)
    return there if named is None else [name for name in there if name == named]


def faults_of(case: str, seed: int) -> Iterator[str]:
    """Read one damaged log; what was wrong."""
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        copy = Path(folder) / "log"
        mutated_copy(CASES / case, copy, seed)
        out, err = io.StringIO(), io.StringIO()
        start = time.process_time()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = springtui(["scalars", str(copy), "--json", "--debug"])
            except BaseException:
                yield traceback.format_exc()
                return
        if (spent := time.process_time() - start) > SECONDS:
            yield f"took {spent:.1f} s of a core"
    told, said = out.getvalue(), err.getvalue()
    if status not in {0, 2} or FAULT in told + said:
        yield f"exit status {status}: {said[-2000:]}{''.join(re.findall(f'[^{{}}]*{FAULT}', told))}"
    if CONTROL.search(told) or CONTROL.search(said):
        yield "a control character came out"
    for line in told.splitlines():
        try:
            found = json.loads(line)
        except ValueError as error:
            yield f"a line is no JSON: {error}"
            continue
        if any(len({len(column) for column in points.values()}) != 1 for points in found["scalars"].values()):
            yield "columns differ in length"


def read_batch(names: list[str], first: int, count: int) -> int:
    """Read a batch in this process; prints a line of JSON for each fault, and the memory used."""
    print(json.dumps({"before": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}), flush=True)
    for seed in range(first, first + count):
        case = names[seed % len(names)]
        print(json.dumps({"seed": seed, "case": case, "faults": list(faults_of(case, seed))}), flush=True)
    print(json.dumps({"after": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}), flush=True)
    return 0


def run_batch(options: argparse.Namespace, first: int, count: int) -> list[dict[str, object]]:
    """What a process says of a batch; its end by force is a fault of the log that it was at."""
    command = [sys.executable, __file__, "--batch", "--seed", str(first), "--logs", str(count)]
    command += ["--case", options.case] if options.case else []
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, text=True, check=False)
        out, why = done.stdout, f"the process ended with {done.returncode}: {done.stderr[-500:]}"
        ended = done.returncode == 0
    except subprocess.TimeoutExpired as error:
        taken = error.stdout or b""
        out, why, ended = taken.decode() if isinstance(taken, bytes) else taken, "it never ended", False
    said = [json.loads(line) for line in out.splitlines()]
    if not ended:
        at = first + sum("seed" in line for line in said)
        names = cases(options.case)
        said.append({"seed": at, "case": names[at % len(names)], "faults": [why]})
    return said


def main() -> int:
    """Run the campaign; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case")
    parser.add_argument("--batch", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not CASES.is_dir():
        print(f"the real logs are not there: {CASES}")
        return 0
    names = cases(options.case)
    if options.batch:
        return read_batch(names, options.seed, options.logs)
    print(f"{options.logs} damaged copies of {len(names)} logs, seeds from {options.seed}", flush=True)
    faults, most, read = 0, 0, Counter[str]()
    last = options.seed + options.logs
    for first in range(options.seed, last, BATCH):
        for line in run_batch(options, first, min(BATCH, last - first)):
            most = max(most, int(str(line.get("after", 0))))
            if "seed" in line:
                read[str(line["case"])] += 1
                for fault in line["faults"] if isinstance(line["faults"], list) else []:
                    faults += 1
                    print(f"--case {line['case']} --seed {line['seed']} --logs 1: {fault}", flush=True)
        if most > MEBIBYTES:
            faults += 1
            print(f"seeds from {first}: {most} MiB", flush=True)
    print(", ".join(f"{name} {count}" for name, count in sorted(read.items())))
    print(f"{sum(read.values())} logs, {faults} faults, at most {most} MiB")
    return min(1, faults)


if __name__ == "__main__":
    sys.exit(main())
