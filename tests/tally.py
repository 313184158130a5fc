"""What several runs of pytest came to, as one: each adds a line to a file, and the sum is said as pytest says it.

Give the file in one word, ``--tally=FILE``: before pytest knows the option, it takes a second word for a test, and
where that is there looks for options beside it alone.

Run as a script it needs no package: ``python tests/tally.py FILE PARTS`` prints the sum, and fails unless every
part is there, ran tests, and passed.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

OUTCOMES = ("failed", "passed", "skipped", "xfailed", "xpassed", "error")
"""As pytest orders them."""


class Tally:
    """A plugin that adds one line to a file at the end of a session: what came of it, and how long it took."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.began = time.monotonic()

    def pytest_terminal_summary(self, terminalreporter: Any, exitstatus: int) -> None:
        counts = {name: len(terminalreporter.getreports(name)) for name in OUTCOMES}
        part = {"counts": counts, "seconds": time.monotonic() - self.began, "exit_status": int(exitstatus)}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(part) + "\n")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tally", metavar="FILE", help="add what came of this session as a line to a file")


def pytest_configure(config: pytest.Config) -> None:
    """In the one process that hears of all tests."""
    if (file := config.getoption("tally")) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Tally(Path(file)))


def ended_well(part: Mapping[str, Any]) -> bool:
    counts = part["counts"]
    ran = counts["passed"] + counts["failed"] + counts["error"]
    return bool(part["exit_status"] == 0 and ran and not counts["failed"] + counts["error"])


def closing(parts: Iterable[Mapping[str, Any]], wanted: int) -> tuple[str, bool]:
    """pytest's closing line over all parts, and whether all is well.

    A part that is missing was never begun or died; one that ended badly without a test that did ran nothing, or
    was broken off. Each counts as an error.
    """
    parts = list(parts)
    total: Counter[str] = Counter()
    for part in parts:
        counts = part["counts"]
        total.update(counts)
        if not ended_well(part) and not counts["failed"] + counts["error"]:
            total["error"] += 1
    total["error"] += max(0, wanted - len(parts))
    seconds = sum(part["seconds"] for part in parts)
    words = [
        f"{total[name]} {name}{'s' if name == 'error' and total[name] > 1 else ''}"
        for name in OUTCOMES
        if total[name]
    ]
    line = f"{', '.join(words) or 'no tests ran'} in {seconds:.2f}s"
    return line, total["failed"] + total["error"] == 0 and total["passed"] > 0


def read(file: Path) -> list[dict[str, Any]]:
    """The parts that were counted; a line that was cut off is a part that died."""
    parts = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            parts.append(json.loads(line))
        except ValueError:
            continue
    return parts


def main(file: str, wanted: str) -> int:
    line, well = closing(read(Path(file)), int(wanted))
    print(line, flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
