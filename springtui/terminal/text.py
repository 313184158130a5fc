"""Which characters the terminal can show, and text from files without control characters."""

from __future__ import annotations

import locale
import os
import unicodedata

_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode categories that can control a terminal or reverse text: controls, formats, surrogates, private use."""


_chosen = "auto"


def draw_ascii(choice: str) -> None:
    """Set the preference for ASCII drawings: ``on``, ``off`` or ``auto``."""
    global _chosen
    _chosen = choice


def ascii_only() -> bool:
    """Whether drawings use ASCII alone: as preferred, else where the locale is not UTF-8."""
    choice = _chosen if _chosen != "auto" else os.environ.get("SPRINGTUI_ASCII", "").lower()
    return choice in _ON if choice in _ON | _OFF else _locale_is_ascii()


_ON, _OFF = {"1", "on", "true"}, {"0", "off", "false"}


def _locale_is_ascii() -> bool:
    """Whether the locale's own encoding is not UTF-8; the C locale turns on Python's UTF-8 mode all the same."""
    return locale.getencoding().replace("-", "").replace("_", "").lower() != "utf8"


def plain_text(text: str) -> str:
    """The text with tabs and newlines replaced by spaces, and all else that could control a terminal by �."""
    return "".join(_plain(char) for char in text)


def _plain(char: str) -> str:
    if char in "\t\n\r":
        return " "
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in _UNSAFE else char
