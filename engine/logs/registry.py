"""The formats that springtui reads, in the order in which they are asked what a folder holds."""

from __future__ import annotations

from .documents.huggingface import HuggingFaceFormat
from .documents.sacred import SacredFormat
from .lines import JsonLines
from .reader import Format
from .tables.format import DvcliveFormat, TableFormat

FORMATS: tuple[Format, ...] = (
    HuggingFaceFormat(),
    DvcliveFormat(),
    SacredFormat(),
    JsonLines(),
    TableFormat(),
)
"""The more certain a format's evidence, the earlier it stands: a signature before a table, a table before text."""
