"""The formats that springtui reads, in the order in which they are asked what a folder holds."""

from __future__ import annotations

from .reader import Format
from .wandb import Wandb

FORMATS: tuple[Format, ...] = (Wandb(),)
"""The more certain a format's evidence, the earlier it stands: a signature before a table, a table before text."""
