"""Paths of the project and of the reference data."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("SPRINGTUI_SHARED", ROOT.parent / "shared"))
"""Folder of reference numbers and images on developers' machines; tests that need it are skipped without it."""
DATA = ROOT / "tests" / "data"
