"""The paths that a person names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import LogError


def require_named(paths: Iterable[Path]) -> None:
    """See that each path is there, is a plain file or a folder, and may be read.

    Raises:
        LogError: one is not.
    """
    for path in paths:
        if not path.exists():
            raise LogError(f"there is no file or folder {path}; give the path of a log, or of a folder of runs")
        if not (path.is_file() or path.is_dir()):
            raise LogError(f"{path} is neither a plain file nor a folder; give the path of a log")
        if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
            raise LogError(f"{path} may not be read; make it readable")
