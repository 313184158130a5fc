"""The same picture in fewer bytes: of each style only what differs from the style before it.

Rich writes every piece of a line with its whole style before it and a reset behind it, forty bytes for a cell
whose neighbour has another colour. What a terminal shows does not depend on resets that the next style undoes,
nor, where only blanks stand, on the colour of their ink.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

_SEQUENCE = re.compile(r"(\x1b\[[0-9;]*m)|(\x1b\[[0-9;]*H)|(\x1b[^m]*?[@-~](?<!\x1b\[))")
_SHOWS_ON_BLANKS = {"4", "7", "9", "21", "53"}
"""Underline, reverse, strike, double underline and overline."""


class _Style(NamedTuple):
    attributes: frozenset[str] = frozenset()
    ink: str = ""
    ground: str = ""


_PLAIN = _Style()


def thrifty(text: str) -> str:
    """Output that draws the same; begins and ends with no style on."""
    if "\x1b[0m" not in text:
        return text
    out: list[str] = []
    now = wanted = _PLAIN
    at = 0
    for match in _SEQUENCE.finditer(text):
        if match.start() > at:
            now = _put(out, text[at : match.start()], now, wanted)
        at = match.end()
        if match.group(1):
            wanted = _after(wanted, match.group(1)[2:-1])
        else:
            if not match.group(2):  # what erases uses the ground
                out.append(_change(now, wanted))
                now = wanted
            out.append(match.group())
    if at < len(text):
        now = _put(out, text[at:], now, wanted)
    out.append(_change(now, wanted))
    return "".join(out)


def _put(out: list[str], text: str, now: _Style, wanted: _Style) -> _Style:
    """Write a text in a style; the style that is then on."""
    if now.ink != wanted.ink and not text.strip(" ") and not wanted.attributes & _SHOWS_ON_BLANKS:
        wanted = wanted._replace(ink=now.ink)
        if now.attributes - wanted.attributes and not now.attributes & _SHOWS_ON_BLANKS:
            wanted = wanted._replace(attributes=now.attributes)
    if now is not wanted:
        out.append(_change(now, wanted))
    out.append(text)
    return wanted


@functools.lru_cache(4096)
def _change(now: _Style, wanted: _Style) -> str:
    if now == wanted:
        return ""
    if wanted == _PLAIN:
        return "\x1b[0m"
    codes: list[str] = []
    if now.attributes - wanted.attributes:
        codes.append("0")
        now = _PLAIN
    codes += sorted(wanted.attributes - now.attributes)
    if now.ink != wanted.ink:
        codes.append(wanted.ink or "39")
    if now.ground != wanted.ground:
        codes.append(wanted.ground or "49")
    return f"\x1b[{';'.join(codes)}m" if codes else ""


@functools.lru_cache(4096)
def _after(style: _Style, codes: str) -> _Style:
    """The style once these codes have been taken in."""
    parts = (codes or "0").split(";")
    attributes, ink, ground = set(style.attributes), style.ink, style.ground
    while parts:
        code = parts.pop(0)
        number = int(code or "0")
        if number in {38, 48}:
            taken = 4 if parts[:1] == ["2"] else 2
            color, parts = ";".join([code, *parts[:taken]]), parts[taken:]
            ink, ground = (color, ground) if number == 38 else (ink, color)
        elif number == 0:
            attributes, ink, ground = set(), "", ""
        elif 30 <= number <= 39 or 90 <= number <= 97:
            ink = "" if number == 39 else code
        elif 40 <= number <= 49 or 100 <= number <= 107:
            ground = "" if number == 49 else code
        else:
            attributes.add(code)
    return _Style(frozenset(attributes), ink, ground)
