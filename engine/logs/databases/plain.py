"""Plain values out of what the tools wrote as text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

_WORDS = {"True": True, "False": False, "None": None}
_NUMBER = re.compile(r"[+-]?(\d{1,18}|(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?|inf|nan)")
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How trackio writes them, as text within JSON."""
LONGEST_SETTING = 4096
"""Characters of a setting that are kept."""
_DEEPEST = 20


def plain(text: str) -> str | int | float | bool | None:
    """The value that a setting's text stands for: 0.1, True; the text itself where it is no number."""
    if text in _WORDS:
        return _WORDS[text]
    if not _NUMBER.fullmatch(text):
        return text[:LONGEST_SETTING]
    return int(text) if text.lstrip("+-").isdigit() else float(text)


def number(value: object) -> float | None:
    """A logged value; None for what is no number."""
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return _NON_FINITE.get(value) if isinstance(value, str) else None


def leaves(nested: dict[str, Any], within: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(name, value) of everything in nested dictionaries, names joined by dots; media and tables are left out."""
    for name, value in nested.items():
        if not isinstance(value, dict):
            yield within + name, value
        elif "_type" not in value and depth < _DEEPEST:
            yield from leaves(value, f"{within}{name}.", depth + 1)
