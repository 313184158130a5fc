"""Tables in a training's output: rows below a line of names, and boxes with a name and a number in each row."""

from __future__ import annotations

import re

from .line import Line, number_of, read_line
from .words import name_of

_LONGEST = 400
"""Characters of a table's row."""
_MOST_ROWS = 256
_CELLS = re.compile(r"\s*[|│┃]\s*|\s{2,}|\t")
_BOX_ROW = re.compile(r"\|( *)([^|]{1,80}?) *\| *([^| ]{0,40}) *\|")
_NUMBER = re.compile(
    r"([-+]?(?:[0-9][0-9,]*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?(?i:nan|inf(?:inity)?))"
    r"(?:%|[a-zA-Z]{0,4})"
)
_STEP_OF = re.compile(r"([0-9]{1,18})(?:/[0-9]{1,18})?")
_HAS_DIGIT = re.compile(r"[0-9]")
_HEADER_WORDS = ("epoch", "step", "iter", "batch", "episode", "round", "update", "generation")
_BAR = re.compile(r":?\s+[0-9]{1,3}%\|.*$")


class Blocks:
    """Takes lines one after the other and gives what each says; a box is given with its last line."""

    def __init__(self) -> None:
        self._header: list[str] = []
        """The names of a table's columns."""
        self._step = -1
        """Which column is the step."""
        self._box: list[tuple[str, str, str]] = []
        """Of each row its section, its name and its value."""
        self._section = ""

    @property
    def is_idle(self) -> bool:
        """Whether no table and no box has been begun, so that a line may be read without it."""
        return not self._header and not self._box

    def take(self, text: str) -> list[Line]:
        """What the line says, and the box that it ended."""
        if len(text) <= _LONGEST:
            if text[0] == "|" and (row := _BOX_ROW.fullmatch(text.rstrip())):
                self._take_box_row(row)
                return []
            ended = self._box_ended() if self._box else []
            if not _HAS_DIGIT.search(text):
                self._take_header(text)
                return ended
            row_line = self._row(text) if self._header else None
            return [*ended, row_line or read_line(text)]
        return [read_line(text)] if _HAS_DIGIT.search(text) else []

    def _take_box_row(self, row: re.Match[str]) -> None:
        blanks, name, value = row.groups()
        if not value:
            self._section = name if name.endswith("/") else ""
        elif len(self._box) < _MOST_ROWS:
            self._box.append((self._section if len(blanks) > 1 else "", name, value))

    def _box_ended(self) -> list[Line]:
        """The box as one line; nothing where no row of it is a step."""
        line = Line(words="box")
        for section, name, value in self._box:
            known = name_of(f"{name}: ")
            if known.kind == "step" and not line.word and value.isdecimal():
                line.at, line.word = int(value), known.word
            elif known.kind == "epoch" and line.epoch is None and value.isdecimal():
                line.epoch, line.epoch_name = int(value), known.name
            elif known.name and (number := _NUMBER.fullmatch(value)):
                line.pairs.append((section + name, number_of(number[1])))
        line.explicit = len(line.pairs)
        self._box, self._section = [], ""
        return [line] if line.epoch is not None or line.at is not None else []

    def _take_header(self, text: str) -> None:
        lower = text.lower()
        if not any(word in lower for word in _HEADER_WORDS):
            return
        cells = _cells(text)
        if len(cells) == 1:
            cells = text.split()
        kinds = [name_of(f"{cell}: ").kind for cell in cells]
        steps = [kinds.index(kind) for kind in ("step", "epoch") if kind in kinds]
        if steps and len(cells) > 1 and all(name_of(f"{cell}: ").name == cell for cell in cells):
            self._header, self._step = cells, steps[0]

    def _row(self, text: str) -> Line | None:
        """The line as a row of the table; None where it is none."""
        plain, bars = _BAR.subn("", text)
        cells = _cells(plain)
        if len(cells) != len(self._header):
            cells = plain.split()
        if len(cells) != len(self._header):
            return None
        step = _STEP_OF.fullmatch(cells[self._step])
        if step is None:
            return None
        line = Line(words=f"table {self._header[self._step]}")
        for place, (name, cell) in enumerate(zip(self._header, cells, strict=True)):
            if place != self._step and (number := _NUMBER.fullmatch(cell)):
                line.pairs.append((name, number_of(number[1])))
        known = name_of(f"{self._header[self._step]}: ")
        if known.kind == "epoch":
            line.epoch, line.epoch_name = int(step[1]), known.name
        else:
            line.at, line.word = int(step[1]), known.word
        if bars:
            bar = read_line(text[len(plain) :])
            line.at, line.total, line.is_bar = bar.at, bar.total, True
        line.explicit = len(line.pairs)
        return line if line.pairs else None


def _cells(text: str) -> list[str]:
    return [cell for cell in _CELLS.split(text.strip().strip("|│┃").strip()) if cell]
