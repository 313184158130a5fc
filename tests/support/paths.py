"""Where the project and the reference data lie."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("SPRINGTUI_SHARED", ROOT.parent / "shared"))
"""Where the reference numbers and images lie on the developers' machines; tests that need them skip without."""
DATA = ROOT / "tests" / "data"
