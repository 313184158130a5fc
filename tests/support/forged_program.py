"""``python -m springtui``, whose workers come from the forge that the environment names; a script for tests."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path


def main() -> None:
    tests = str(Path(__file__).parents[1])
    sys.path[0] = str(Path.cwd())  # as -m has it
    sys.path.insert(0, tests)
    from engine.runs import launch
    from support.worker_forge import ADDRESS, Requests

    sys.path.remove(tests)
    launch.subprocess = Requests(os.environ.pop(ADDRESS))  # type: ignore[assignment]
    runpy.run_module("springtui", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
