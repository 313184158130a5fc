"""What a look at something comes to, and how a program is asked for it."""

from __future__ import annotations

import shutil
import subprocess
from typing import Literal, NamedTuple

State = Literal["ok", "warn", "fail"]


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    state: State
    detail: str
    remedy: str = ""


def ask(*command: str) -> str:
    """What a program prints, or nothing where it is not there or does not answer."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
