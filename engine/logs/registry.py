"""The formats that springtui reads, in the order in which they are asked what a folder holds."""

from __future__ import annotations

from .lines import JsonLines
from .reader import Format
from .tables.format import DvcliveFormat, TableFormat
from .wandb import Wandb

FORMATS: tuple[Format, ...] = (Wandb(), DvcliveFormat(), JsonLines(), TableFormat())
"""The more certain a format's evidence, the earlier it stands: a signature before a table, a table before text."""
