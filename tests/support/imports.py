"""Lists the modules that code imports in a new interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

from support.paths import ROOT

HEAVY = {"torch", "numba", "sklearn", "scipy"}


def modules_after(code: str, *, whole: bool = False) -> set[str]:
    """Top-level names, or ``whole`` names, in ``sys.modules`` of a new interpreter that has run the code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=ROOT, check=True
    )
    names = json.loads(done.stdout.splitlines()[-1])
    return {name if whole else name.split(".")[0] for name in names}
