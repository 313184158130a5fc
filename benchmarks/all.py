"""Runs every benchmark; their output has the numbers in the table of docs/evidence.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Exit status 0 if every benchmark ended with 0."""
    failed = 0
    for script in sorted(HERE.glob("*.py")):
        if script.name != Path(__file__).name and not script.name.startswith("_"):
            print(f"== {script.name}", flush=True)
            failed += subprocess.run([sys.executable, str(script)], check=False).returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
