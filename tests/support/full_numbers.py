"""How often a test repeats what chance decides: some times in ``make test``, in full in ``make campaign``."""

from __future__ import annotations

import os

IS_FULL = bool(os.environ.get("SPRINGTUI_CAMPAIGN"))


def repeats(full: int, share: float) -> int:
    """``full`` in a campaign; else that share of it, at least one."""
    return full if IS_FULL else max(1, round(full * share))
