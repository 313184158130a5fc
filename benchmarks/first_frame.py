"""From process start to the first painted frame of the lab, beside importing torch alone and Python's own start.

With ``--former PATH`` also of another build, in alternating starts: medians, spreads and the ratio, of the seconds
that pass and of the app's CPU time until then, which other work on the machine disturbs less. Both builds find
their modules compiled, as after an installation, in a folder of the benchmark's own; ``--uncompiled`` keeps what
the environment says (PYTHONDONTWRITEBYTECODE leaves a checkout's modules to be compiled at every start).

The wanted figure is a ratio of at most 0.8 to the build of the release before.
Usage: python benchmarks/first_frame.py [STARTS] [--former PATH]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from _pty import ROOT, SwiftTerminal, lab
from _sides import arguments, ratio, side_by_side, spread

SIZE = (120, 40)
SIGNS = ("Nonlinearity", "Chain", "Quit")
"""The sliders, the panels and the footer stand on the screen."""
PATIENCE = 60.0
WARM_UP = 2
"""Starts of each that bring files into the page cache, and modules compiled into their folder."""
WANTED = 0.8


class Frame(NamedTuple):
    """Seconds until the first frame is complete."""

    wall: float
    cpu: float


def first_frame(build: Path, environment: dict[str, str]) -> Frame:
    """Start the app once, and kill it when it has drawn."""
    with lab(*SIZE, build, environment) as terminal:
        swift = SwiftTerminal(terminal)
        swift.start()
        try:
            seen, end = 0, time.monotonic() + PATIENCE
            while time.monotonic() < end:
                for piece in swift.came[seen:]:
                    seen += 1
                    terminal.draw(piece.data)
                    if all(sign in terminal.text() for sign in SIGNS):
                        return Frame(piece.moment - terminal.started, piece.cpu)
                time.sleep(0.02)
        finally:
            swift.stop()
        raise RuntimeError(f"no frame in {PATIENCE} s; the screen:\n{terminal.text()}")


def command(*argv: str) -> float:
    """Seconds that a Python command takes."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *argv], check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Print the medians, and the ratios to them, as JSON."""
    given = arguments(__doc__, "starts", 15, uncompiled="compile modules as the environment says")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as compiled:  # a dying worker may write there
        environment: dict[str, str] = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
        measure = partial(first_frame, environment={} if given.uncompiled else environment)
        frames = side_by_side(measure, given.former, given.repeats, WARM_UP)
    command("-c", "import torch")
    torch = [command("-c", "import torch") for _ in range(max(3, given.repeats // 3))]
    bare = [command("-c", "pass") for _ in range(max(3, given.repeats // 3))]
    ours = [frame.wall for frame in frames[ROOT]]
    result: dict[str, Any] = {
        "starts": given.repeats,
        "first_frame_s": spread(ours),
        "first_frame_cpu_s": spread([frame.cpu for frame in frames[ROOT]]),
        "import_torch_s": round(statistics.median(torch), 3),
        "bare_python_s": round(statistics.median(bare), 3),
        "import_torch_over_first_frame": round(statistics.median(torch) / statistics.median(ours), 2),
    }
    if given.former is not None:
        former = frames[given.former]
        result["former_s"] = spread([frame.wall for frame in former])
        result["former_cpu_s"] = spread([frame.cpu for frame in former])
        result["to_former"] = ratio(ours, [frame.wall for frame in former])
        result["to_former_cpu"] = ratio([f.cpu for f in frames[ROOT]], [f.cpu for f in former])
        result["wanted_ratio"] = WANTED
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
