"""Any run as TensorBoard event files; on the command line ``springtui export RUN --tensorboard DIR``."""

from __future__ import annotations

import importlib
import os
from pathlib import Path


def export(run: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """Write all that the run has recorded to ``folder``/RUN, and return that path.

    Args:
        run: the run's directory, as ``probe.path``.
        folder: TensorBoard's ``--logdir``.

    Raises:
        ConfigError: tensorboard is not installed.
        HomeError: the folder cannot be written.
        RunDirectoryError: the run cannot be read.
    """
    engine = "springtui._engine"  # ours, whatever a script's own engine.py is
    made = importlib.import_module(f"{engine}.runs.directory").Run(Path(run))
    written: Path = importlib.import_module(f"{engine}.formats.tensorboard").export_tensorboard(made, Path(folder))
    return written
