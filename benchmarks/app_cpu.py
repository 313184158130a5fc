"""CPU time of the app's own process, user and system, while the lab shows a training network and a chain.

The workers are processes of their own and are not counted. They and whatever else the machine does compete for its
cores and caches, which makes the same work cost more: so CPU time is taken, not time that passes, and with
``--former PATH`` another build is measured in alternation, pairs in an order drawn by lot. What the app had to
do is told with it: records that the two runs wrote, and bytes to the terminal.

The wanted figure is a ratio of at most 1 to the build of the release before.
Usage: python benchmarks/app_cpu.py [TIMES] [--former PATH]
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from _pty import ROOT, SwiftTerminal, Terminal, cpu_clock, lab
from _sides import arguments, ratio, side_by_side, spread

SIZE = (120, 40)
WARM_UP_SECONDS = 5.0
"""From the first accuracy on the screen: workers have started, plotext is loaded, the curves have their points."""
SECONDS = 20.0
WANTED = 1.0


class Live(NamedTuple):
    """Some seconds of a live lab."""

    core_percent: float
    """The app's CPU time as a part of one core's."""
    records_per_s: float
    kilobytes_per_s: float


def records(home: Path) -> int:
    """Lines that all runs have written."""
    return sum(path.read_bytes().count(b"\n") for path in home.glob("runs/*/events.jsonl"))


def live(build: Path) -> Live:
    """Open a lab, let it settle, and watch it for a while."""
    with lab(*SIZE, build) as terminal:
        terminal.wait_for(lambda text: "test" in text and "epoch" in text, 120)
        swift = SwiftTerminal(terminal)
        swift.start()
        used = cpu_clock(terminal.process.pid)
        time.sleep(WARM_UP_SECONDS)
        before = time.perf_counter(), used(), records(terminal.home)
        time.sleep(SECONDS)
        after = time.perf_counter(), used(), records(terminal.home)
        pieces = swift.stop()
        require_live(terminal, [piece.data for piece in pieces])
    took, cpu, written = (b - a for a, b in zip(before, after, strict=True))
    sent = sum(len(piece.data) for piece in pieces if before[0] <= piece.moment < after[0])
    return Live(100 * cpu / took, written / took, sent / 1000 / took)


def require_live(terminal: Terminal, came: list[bytes]) -> None:
    """See that both runs still went on at the end."""
    terminal.draw(b"".join(came))
    for system in ("NETWORK  running", "CHAIN  running"):
        if system not in terminal.text():
            raise RuntimeError(f"not {system!r} at the end; the screen:\n{terminal.text()}")


def summary(found: list[Live]) -> dict[str, dict[str, float]]:
    """Spread of each figure."""
    return {name: spread([getattr(each, name) for each in found], 2) for name in Live._fields}


def main() -> None:
    """Print it as JSON."""
    given = arguments(__doc__, "labs", 6)
    found = side_by_side(live, given.former, given.repeats)
    result: dict[str, Any] = {"labs": given.repeats, "seconds_each": SECONDS, "live_120x40": summary(found[ROOT])}
    if given.former is not None:
        result["former"] = summary(found[given.former])
        sides = (found[ROOT], found[given.former])
        result["to_former"] = ratio(*([each.core_percent for each in side] for side in sides))
        result["wanted_ratio"] = WANTED
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
