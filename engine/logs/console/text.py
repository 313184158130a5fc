"""Printed bytes cut into lines of plain text: without colours, with the redraws of progress bars told apart."""

from __future__ import annotations

import re

LONGEST = 1 << 16
"""Bytes of a line that is read; of a longer one nothing is."""
_ENDS = re.compile(rb"\r\n|\n|\r(?!\n)")
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|.)|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]"
)
_CONTROLS = bytes([*range(9), *range(11, 32), 127])
_WHOLE_BAR = re.compile(rb"\d+(?:/\d+|it) \[\d+:\d\d[^\r\n]*\]\s*$")

_COUNTER = re.compile(r"\[[0-9]+:[0-9]{2}(?:<|, |:[0-9]{2})")
_BRACKETS = re.compile(r"[\[\]]")


def without_escapes(text: str) -> str:
    """A text without colours and other sequences for a terminal; of control characters it keeps tabs."""
    return _ESCAPES.sub("", text) if not text.isprintable() else text


class Drawn(str):
    """A line before which a lone carriage return stood: it was written over another, as a progress bar is."""

    __slots__ = ("cleared",)
    cleared: bool
    """What it was written over had been blanked: a line printed above a bar, which is drawn again after it."""


class Lines:
    """Cuts a stream of bytes into lines, however the stream is cut into pieces."""

    def __init__(self) -> None:
        self.too_long = 0
        """Lines longer than ``LONGEST`` up to now."""
        self._rest = b""
        self._passing = False
        """Whether a line that is too long is being passed over."""
        self._redrawn = self._cleared = False

    def feed(self, data: bytes) -> list[str]:
        """The lines that have become whole. A progress bar is whole with its closing bracket."""
        data = self._rest + data
        held = data[-1:] == b"\r"  # a line feed may follow
        found: list[str] = []
        at = 0
        if b"\r" not in data:
            at = self._plain(data, found)
        else:
            for end in _ENDS.finditer(data, 0, len(data) - held):
                self._add(data[at : end.start()], end.group() == b"\r", found)
                at = end.end()
        self._rest = data[at:]
        if len(self._rest) > LONGEST:
            self.too_long += not self._passing
            self._rest, self._passing = self._rest[-1:] if held else b"", True
        elif self._redrawn and not held and self._rest[-1:] in b" ]" and _is_whole_bar(self._rest):
            self._emit(self._rest, found)
            self._rest = b""
        return found

    @property
    def is_within_line(self) -> bool:
        """Whether a line has been begun and not ended."""
        return bool(self._rest)

    def finish(self) -> list[str]:
        """The line that was begun and will not be ended."""
        found: list[str] = []
        self._add(self._rest.removesuffix(b"\r"), False, found)
        self._rest = b""
        return found

    def _plain(self, data: bytes, found: list[str]) -> int:
        """Lines of data without carriage returns; returns where the last one ends."""
        end = data.rfind(b"\n") + 1
        if not end:
            return 0
        is_long = end > LONGEST and max(map(len, data[: end - 1].split(b"\n"))) > LONGEST
        if is_long or self._passing or self._redrawn or self._cleared:
            for line in data[: end - 1].split(b"\n"):
                self._add(line, False, found)
        else:
            found += [line for line in _plain(data[: end - 1]).split("\n") if line]
        return end

    def _add(self, line: bytes, is_drawn_over: bool, found: list[str]) -> None:
        """Take one line, ``is_drawn_over`` where a lone carriage return ends it."""
        if self._passing or len(line) > LONGEST:
            self.too_long += not self._passing
            self._passing = False
            self._cleared = False
        else:
            self._emit(line, found)
        if not is_drawn_over:
            self._cleared = False
        self._redrawn = is_drawn_over

    def _emit(self, line: bytes, found: list[str]) -> None:
        text = _plain(line)
        if text and not text.isspace():
            if self._redrawn:
                text = Drawn(text)
                text.cleared = self._cleared
            found.append(text)
            self._cleared = False
        elif text:
            self._cleared = self._redrawn


def _plain(data: bytes) -> str:
    """Printed text without the sequences that colour it and move the cursor."""
    text = data.decode(errors="replace")
    may_control = b"\xc2" in data or b"\xe2\x80" in data or len(data.translate(None, _CONTROLS)) < len(data)
    return _ESCAPES.sub("", text) if may_control else text


def end_of_bar(text: str) -> int:
    """Where the progress bar ends that a line begins with, if more was printed behind it; else 0."""
    if "it/s" not in text and "s/it" not in text:
        return 0
    if (start := _COUNTER.search(text)) is None:
        return 0
    depth = 0
    for bracket in _BRACKETS.finditer(text, start.start()):
        depth += 1 if bracket.group() == "[" else -1
        if not depth:
            return bracket.end() if text[bracket.end() :].strip() else 0
    return 0


def _is_whole_bar(line: bytes) -> bool:
    return line.count(b"[") == line.count(b"]") and _WHOLE_BAR.search(line[-2048:]) is not None
