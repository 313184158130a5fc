"""What the terminal can show, and how text from files is made harmless for it."""

from __future__ import annotations

import locale
import os
import unicodedata

_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode categories that can steer a terminal or turn text round: controls, formats, surrogates, private use."""


def ascii_only() -> bool:
    """Whether drawings must do without Unicode: ``SPRINGTUI_ASCII`` is set, or the locale is not UTF-8."""
    if os.environ.get("SPRINGTUI_ASCII", "") not in {"", "0"}:
        return True
    encoding = locale.getpreferredencoding(False)
    return encoding.replace("-", "").replace("_", "").lower() != "utf8"


def plain_text(text: str) -> str:
    """The text with everything that could steer a terminal replaced: tabs and newlines by a space, others by �."""
    return "".join(_plain(char) for char in text)


def _plain(char: str) -> str:
    if char in "\t\n\r":
        return " "
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in _UNSAFE else char
