"""The formats that springtui reads, in the order in which they are asked what a folder holds."""

from __future__ import annotations

from .console.format import Console
from .reader import Format

FORMATS: tuple[Format, ...] = (Console(),)
"""The more certain a format's evidence, the earlier it stands: a signature before a table, a table before text."""
