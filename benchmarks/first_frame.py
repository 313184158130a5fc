"""Time from process start to the lab's first frame, compared with importing torch and with starting Python.

Usage: python benchmarks/first_frame.py [REPEATS]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

from _pty import lab


def first_frame() -> float:
    """Seconds from the process's start until sliders, footer and chain are on the screen."""
    with lab(120, 40) as terminal:
        terminal.wait_for(lambda text: "Nonlinearity" in text and "Quit" in text and "Chain" in text)
        return time.perf_counter() - terminal.started


def command(*argv: str) -> float:
    """Seconds that a Python command takes."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *argv], check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Print the medians in seconds, and a ratio, as JSON."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    first_frame(), command("-c", "import torch")  # fills the page cache
    frames = [first_frame() for _ in range(repeats)]
    torch = [command("-c", "import torch") for _ in range(max(3, repeats // 3))]
    bare = [command("-c", "pass") for _ in range(max(3, repeats // 3))]
    median = statistics.median(frames)
    result = {
        "first_frame_s": {"median": round(median, 3), "worst": round(max(frames), 3), "repeats": repeats},
        "import_torch_s": round(statistics.median(torch), 3),
        "bare_python_s": round(statistics.median(bare), 3),
        "import_torch_over_first_frame": round(statistics.median(torch) / median, 2),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
