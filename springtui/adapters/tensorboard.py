"""Writes any run as TensorBoard event files, as ``springtui export RUN --tensorboard DIR`` does."""

from __future__ import annotations

import importlib
import os
from pathlib import Path


def export(run: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """Write all records of the run to ``folder``/RUN, and return that path.

    Args:
        run: the run's directory, as ``probe.path``.
        folder: TensorBoard's ``--logdir``.

    Raises:
        ConfigError: tensorboard is not installed.
        HomeError: the folder cannot be written.
        RunDirectoryError: the run cannot be read.
    """
    engine = "springtui._engine"  # a script may have an engine.py of its own
    source = importlib.import_module(f"{engine}.runs.directory").Run(Path(run))
    export_tensorboard = importlib.import_module(f"{engine}.formats.tensorboard").export_tensorboard
    written: Path = export_tensorboard(source, Path(folder))
    return written
