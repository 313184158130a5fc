"""What the terminal can show, and how text from files is made harmless for it."""

from __future__ import annotations

import locale
import os
import unicodedata

_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode categories that can steer a terminal or turn text round: controls, formats, surrogates, private use."""


_chosen = "auto"


def draw_ascii(choice: str) -> None:
    """The preference ``on``, ``off`` or ``auto``, from now on."""
    global _chosen
    _chosen = choice


def ascii_only() -> bool:
    """Whether drawings must do without Unicode: as chosen, else where the locale is not UTF-8."""
    said = _chosen if _chosen != "auto" else os.environ.get("SPRINGTUI_ASCII", "").lower()
    return said in _ON if said in _ON | _OFF else _locale_is_plain()


_ON, _OFF = {"1", "on", "true"}, {"0", "off", "false"}


def _locale_is_plain() -> bool:
    """By the locale itself: Python's UTF-8 mode, which the C locale switches on, says nothing of the terminal."""
    return locale.getencoding().replace("-", "").replace("_", "").lower() != "utf8"


def is_behind(driver: object) -> bool:
    """Whether the terminal has yet to take what was drawn before, as over a slow link: no time to draw more.

    Textual writes from a thread whose queue holds 30 writes, seconds of delay on a slow link; it tells nobody.
    """
    if (pace := getattr(driver, "pace", None)) is not None:
        return bool(pace.is_behind())
    queue = getattr(getattr(driver, "_writer_thread", None), "_queue", None)
    return queue is not None and queue.qsize() > 0


def plain_text(text: str) -> str:
    """The text with everything that could steer a terminal replaced: tabs and newlines by a space, others by �."""
    return "".join(_plain(char) for char in text)


def _plain(char: str) -> str:
    if char in "\t\n\r":
        return " "
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in _UNSAFE else char
