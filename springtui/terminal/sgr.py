"""Styles as SGR escape sequences (select graphic rendition), and the shortest one from a style to another."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from rich.color import Color, ColorSystem
from rich.style import Style

_ATTRIBUTES = {
    "bold": "1", "dim": "2", "italic": "3", "underline": "4", "blink": "5", "blink2": "6", "reverse": "7",
    "conceal": "8", "strike": "9", "underline2": "21", "frame": "51", "encircle": "52", "overline": "53",
}  # fmt: skip
_ON_BLANKS = frozenset({"4", "7", "9", "21", "51", "52", "53"})
"""Attributes that can be seen on a blank."""
_OFF = {"1": "22", "2": "22", "4": "24", "7": "27"}
"""Codes that switch an attribute off on every terminal; other attributes need a reset."""


@dataclass(frozen=True, eq=False, slots=True)
class Sgr:
    """The parameters of a style's escape sequence; an empty colour is the default one. Made by ``sgr`` alone."""

    attributes: frozenset[str]
    foreground: str
    background: str
    shows_on_blanks: bool
    """Whether a blank in this style differs from one with the same background."""


def sgr(attributes: Iterable[str] = (), foreground: str = "", background: str = "") -> Sgr:
    """The style with these parameters; equal styles are one object, so that ``is`` compares them."""
    return _interned(frozenset(attributes), foreground, background)


@functools.cache
def _interned(attributes: frozenset[str], foreground: str, background: str) -> Sgr:
    return Sgr(attributes, foreground, background, not attributes.isdisjoint(_ON_BLANKS))


PLAIN = sgr()


@functools.lru_cache(4096)
def sgr_of(style: Style, system: ColorSystem) -> tuple[Sgr, Sgr]:
    """A style's parameters in a colour system, and the part of them that is visible on a blank."""
    attributes = [code for name, code in _ATTRIBUTES.items() if getattr(style, name)]
    whole = sgr(attributes, _color(style.color, system, True), _color(style.bgcolor, system, False))
    return whole, whole if whole.shows_on_blanks else sgr(background=whole.background)


def _color(color: Color | None, system: ColorSystem, foreground: bool) -> str:
    if color is None or color.is_default:
        return ""
    return ";".join(color.downgrade(system).get_ansi_codes(foreground))


@functools.lru_cache(4096)
def shortest_change(now: Sgr, wanted: Sgr, *, blank: bool = False) -> tuple[str, Sgr]:
    """The shortest escape sequence from one style to another, and the style that is then in force.

    Before a ``blank`` text, parameters that are invisible on blanks stay as they are.
    """
    if blank and not now.shows_on_blanks and not wanted.shows_on_blanks:
        wanted = sgr(now.attributes, now.foreground, wanted.background)
    if wanted is now:
        return "", now
    if wanted is PLAIN:
        return "\x1b[0m", wanted
    afresh = ["0", *_difference(PLAIN, wanted)]
    dropped = now.attributes - wanted.attributes
    if dropped <= _OFF.keys():
        off = {_OFF[code] for code in dropped}
        kept = [code for code in now.attributes if _OFF.get(code) not in off]  # 22 switches off bold and dim alike
        step = [*sorted(off), *_difference(sgr(kept, now.foreground, now.background), wanted)]
    else:
        step = afresh
    return f"\x1b[{min(';'.join(step), ';'.join(afresh), key=len)}m", wanted


def _difference(now: Sgr, wanted: Sgr) -> list[str]:
    """The codes to add where every attribute in force is wanted."""
    codes = sorted(wanted.attributes - now.attributes)
    if now.foreground != wanted.foreground:
        codes.append(wanted.foreground or "39")
    if now.background != wanted.background:
        codes.append(wanted.background or "49")
    return codes
