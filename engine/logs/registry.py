"""The formats that springtui reads, in the order in which they are asked what a folder holds."""

from __future__ import annotations

from .databases.formats import Mlflow, Trackio
from .databases.mlflow_files import MlflowFiles
from .reader import Format

FORMATS: tuple[Format, ...] = (Mlflow(), Trackio(), MlflowFiles())
"""The more certain a format's evidence, the earlier it stands: a signature before a table, a table before text."""
