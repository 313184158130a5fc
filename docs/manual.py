"""Writes docs/man/springtui.1 from the commands: make manual, or python docs/manual.py"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from springtui.cli import cli  # noqa: E402
from springtui.manual import manual  # noqa: E402


def main() -> None:
    """Write the page beside the other documentation."""
    path = HERE / "man" / "springtui.1"
    path.parent.mkdir(exist_ok=True)
    path.write_text(manual(cli), "ascii")


if __name__ == "__main__":
    main()
