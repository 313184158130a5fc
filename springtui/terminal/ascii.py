"""Text in ASCII for terminals that show nothing else; each other character is replaced by one of the same width.

Some widgets draw better ASCII themselves. What remains in their texts, borders and scroll bars is replaced here,
last of all, so that no byte above 127 is sent.
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
    """Replaces characters in the lines of every widget, borders and scroll bars included."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        return [each if each.text.isascii() else each._replace(text=in_ascii(each.text)) for each in segments]


def in_ascii(text: str) -> str:
    """The text in ASCII, of the same width in cells."""
    return text if text.isascii() else "".join(map(_sign, text))


@functools.lru_cache(4096)
def _sign(char: str) -> str:
    if char.isascii():
        return char
    if (sign := _SIGNS.get(char)) is not None:
        return sign
    if "\u2500" <= char <= "\u257f":  # corners and crossings of boxes
        return "+"
    if "\u2580" <= char <= "\u259f":
        return "#"
    if "\u2801" <= char <= "\u28ff":
        return "*"
    plain = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
    width = cell_len(char)
    return plain if plain and len(plain) == width else "?" * width
