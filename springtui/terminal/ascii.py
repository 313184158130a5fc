"""Drawings for terminals that know ASCII only: a sign of the same width for everything else.

Widgets that know a better drawing make it themselves; what they, their borders, scroll bars and texts leave is
replaced here, last of all, so that no byte above 127 goes out.
"""

from __future__ import annotations

import functools
import unicodedata

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_SIGNS = {
    **dict.fromkeys("─━┄┅┈┉╌╍═╴╶╸╺╼╾—–‐‑−▔▀", "-"),
    **dict.fromkeys("│┃┆┇┊┋╎╏║▏▕▎▍▌▐╵╷╹╻", "|"),
    **dict.fromkeys("█▉▊▋▇▆▅▓▒■▪◼", "#"),
    **dict.fromkeys("▄▃▂▁", "_"),
    **dict.fromkeys("░·…․∙•", "."),
    **dict.fromkeys("●◉⬤", "O"),
    **dict.fromkeys("○◯∘°", "o"),
    **dict.fromkeys("→▶►▸⇒❯›", ">"),
    **dict.fromkeys("←◀◄◂⇐❮‹", "<"),
    **dict.fromkeys("↑▲△⇑", "^"),
    **dict.fromkeys("↓▼▽⇓", "v"),
    **dict.fromkeys("✓✔★☆", "*"),
    **dict.fromkeys("✗✘×✕", "x"),
    **dict.fromkeys("‘’′", "'"),
    **dict.fromkeys("“”″", '"'),
    **dict(zip("αβγδεζηθκλμνξοπρστφχψωΓΔΘΛΞΠΣΦΨΩ", "abgdezhqklmnxoprstfcpwGDQLXPSFPW", strict=True)),
    "╱": "/", "╲": "\\", "╳": "X", "ℓ": "l", "∂": "d", "√": "v", "∞": "8", "≤": "<", "≥": ">", "≈": "~", "∼": "~",
    "±": "~", "∈": "e", "∇": "V", "∑": "S", "\u2800": " ", "\ufffd": "?", "\U0001f50e": "> ", "⏎": "<",
}  # fmt: skip


class AsciiFilter(LineFilter):
    """Replaces signs in the lines of every widget, borders and scroll bars included."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        return [each if each.text.isascii() else each._replace(text=in_ascii(each.text)) for each in segments]


def in_ascii(text: str) -> str:
    """A text as wide, in ASCII."""
    return text if text.isascii() else "".join(map(_sign, text))


@functools.lru_cache(4096)
def _sign(char: str) -> str:
    if char.isascii():
        return char
    if (sign := _SIGNS.get(char)) is not None:
        return sign
    if "\u2500" <= char <= "\u257f":  # what is left of the boxes meets or turns
        return "+"
    if "\u2580" <= char <= "\u259f":
        return "#"
    if "\u2801" <= char <= "\u28ff":
        return "*"
    plain = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
    width = cell_len(char)
    return plain if plain and len(plain) == width else "?" * width
