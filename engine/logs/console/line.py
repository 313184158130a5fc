"""One printed line: where in the training it stands, and its numbers by name."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from .words import LONGEST_NAME, Name, name_of, part_of

_NUMBER = r"""
    (?>[0-9]{1,3}(?:,[0-9]{3}){1,6}(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?>(?:\.?[eE][-+]?[0-9]+)?)
"""
_TOKEN = re.compile(
    rf"""
    (?<![\w.@])(?:
      (?P<skip>
        (?>[0-9]{{1,4}}(?:[:./-][0-9]{{1,6}}){{2,8}})(?:[.,][0-9]+)?[A-Za-z]{{0,4}}
        | [0-9]{{1,3}}:[0-9]{{2}}(?![0-9.])
        | (?>(?:[0-9]{{1,4}}[dhm]\ ?){{1,3}}[0-9]{{1,2}}(?:\.[0-9]+)?s?)(?!\w)
        | (?>[0-9]{{1,4}})-(?:[0-9-]+)
      )
      | (?P<number>[-+]?(?:{_NUMBER}|(?i:nan|inf(?:inity)?)(?![\w.])))
        (?:\s{{0,12}}/\s{{0,12}}(?P<of>(?>[0-9]+)(?![.:/\w])))?
        (?P<unit>\ ?%|[a-zA-Zµμ]{{1,8}}(?:/[a-zA-Z]{{1,8}})?)?
        (?!\w)
    )
    """,
    re.VERBOSE,
)
_START = re.compile(
    r"\s*(?:\[\s*([0-9]{1,9})\s*,\s*([0-9]{1,12})\s*\]|\[([0-9]{1,12})\](?=\s)|([0-9]{1,12}):(?=\s))"
)
"""[epoch, batch] or [iteration] or iteration: before all else."""
DATE = re.compile(
    r"(?<![0-9])(20[0-9]{2}[-/][01][0-9][-/][0-3][0-9][ T][0-2][0-9]:[0-5][0-9]):"
    r"([0-6][0-9])(?:[.,]([0-9]{1,9}))?(Z|[+-][0-9]{2}:?[0-9]{2})?(?![0-9])"
)
DATE_WITHIN = 100
"""Characters at the start of a line among which its time is looked for."""
_BAR_MARKS = ("%|", "it/s", "s/it", "/step", "━", " [=")
RANK = re.compile(r"rank[ _:=]?([0-9]{1,5})", re.IGNORECASE)
_NO_LETTERS = re.compile(r"[\W\d_]+")
_DAYS = re.compile(r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b")
_FRACTION = re.compile(r"([0-9]+)\s*/\s*([0-9]+)")
_NUMERIC = re.compile(rf"([-+]?(?:{_NUMBER}|(?i:nan|inf(?:inity)?)))\ ?%?", re.VERBOSE)
TIME_NAMES = frozenset(["time", "timestamp", "_timestamp", "wall_time", "ts", "created"])
_MOST_PAIRS = 256
"""Of one line."""
_MOST_DIGITS = 18
"""Of a step: what has more fits no 64 bits."""


@dataclass(slots=True)
class Line:
    """What a line says."""

    words: str = ""
    """What stands before its first number with a name, without digits: the same for lines of one kind."""
    epoch: int | None = None
    at: int | None = None
    """The step, iteration or batch, where the line names one."""
    total: int | None = None
    """Of how many ``at`` is one."""
    word: str = ""
    """What ``at`` was called; empty where it has no name."""
    share: float | None = None
    """An epoch that is no whole number: how far the training is."""
    epoch_name: str = ""
    """What ``epoch`` was called, where it has a name."""
    pairs: list[tuple[str, float]] = field(default_factory=list)
    explicit: int = 0
    """How many of ``pairs``, the first ones, are joined to their names by more than a blank."""
    time: float = math.nan
    is_bar: bool = False
    """A progress bar stands in it."""


def number_of(text: str) -> float:
    """The value of a printed number."""
    return float(text.replace(",", ""))


@dataclass(slots=True)
class Parts:
    """How a line was taken apart, of which ``Template`` makes a pattern for others like it."""

    text: str = ""
    """The line, with a blank in the place of its time."""
    date: tuple[int, int] | None = None
    """Where in ``text`` that blank is, and where the time ended in the line."""
    tokens: list[tuple[re.Match[str], str]] = field(default_factory=list)
    """The numbers, each with its role: ``epoch``, ``at``, ``fraction``, a value's name after an equals sign, or
    nothing."""
    is_odd: bool = False
    """Its form depends on more than on what stands between its numbers."""


def read_line(text: str, parts: Parts | None = None) -> Line:
    """Take a line apart; one without numbers gives no pairs and no place. ``parts`` is told how it was done."""
    line = Line()
    parts = parts or Parts()
    if "20" in text and (date := DATE.search(text, 0, DATE_WITHIN)):
        line.time = time_of(*date.groups())
        text = text[: date.start()] + " " + text[date.end() :]
        parts.date = date.span()
    parts.text = text
    brace = text.find('{"')
    parts.is_odd = brace >= 0
    if brace >= 0 and _read_json(text[brace:], line):
        line.words = _words(text[:brace])
        return line
    _Tokens(text, line, parts).read()
    return line


class _Tokens:
    """Takes the numbers of one line one after the other."""

    def __init__(self, text: str, line: Line, parts: Parts) -> None:
        self._text = text
        self._line = line
        self._parts = parts
        self._blank: list[tuple[str, float]] = []
        """Pairs whose name only a blank joins to its number."""
        self._names: set[str] = set()
        self._fractions: list[tuple[int, int]] = []
        """n/N without a name, before the first value."""
        self._first = -1
        """Where the name of the first value begins, or a bar's n/N."""
        line.is_bar = any(mark in text for mark in _BAR_MARKS)
        self._lead: tuple[str, int] | None = None
        """A first value that is a whole number: the epoch, if a fraction in brackets follows."""
        self._section = ""

    def read(self) -> None:
        text, line = self._text, self._line
        end = self._read_start()
        for token in _TOKEN.finditer(text, end):
            if len(line.pairs) + len(self._blank) == _MOST_PAIRS:
                self._parts.is_odd = True
                break
            name = name_of(text[end : token.start()])
            if not name.name and token["number"] and token["number"][-1].isalpha():
                continue  # a word of a name: ``number of nan iterations``
            role = "" if token["skip"] else self._take(token, name, end)
            self._parts.tokens.append((token, role))
            end = token.end()
        if self._fractions and line.at is None:
            if line.epoch is None and len(self._fractions) > 1:
                line.epoch = self._fractions.pop(0)[0]
            line.at, line.total = self._fractions[0]
        line.explicit = len(line.pairs)
        line.pairs += self._blank
        line.words = _words(text if self._first < 0 else text[: self._first])
        part = part_of(line.pairs[0][0]) if line.pairs else ""
        if part and part_of(line.words) != part:
            line.words = f"{line.words} {part}".lstrip()

    def _read_start(self) -> int:
        text, line = self._text, self._line
        if text[:1] not in "[0123456789 \t" or (start := _START.match(text)) is None:
            return 0
        self._parts.is_odd = True
        epoch, batch, *single = start.groups()
        if batch:
            line.epoch, line.at = int(epoch), int(batch)
        else:
            line.at = int(single[0] or single[1])
        return start.end()

    def _take(self, token: re.Match[str], name: Name, gap_start: int) -> str:
        """Take a number; returns its role."""
        line = self._line
        digits, of = token["number"], token["of"]
        is_whole = digits.isdecimal() and len(digits) <= _MOST_DIGITS and (of is None or len(of) <= _MOST_DIGITS)
        is_bracketed = name.kind == "value" and self._text[gap_start : token.start()].rstrip().endswith("[")
        if not name.name or (is_bracketed and is_whole and of):
            if is_whole and of:
                return self._take_fraction(int(digits), int(of), gap_start, token.start(), token.end())
            if is_whole and token["unit"] == "it" and line.at is None:
                line.at = int(digits)
                return "at"
            return ""
        if name.kind == "epoch" and line.epoch is None and is_whole and not token["unit"]:
            line.epoch, line.epoch_name = int(digits), name.name
            return "epoch"
        if name.kind == "step" and is_whole and not token["unit"] and not line.word:
            self._parts.is_odd |= line.at is not None
            line.at, line.total, line.word = int(digits), int(of) if of else None, name.word
            return "at"
        if name.kind != "value":
            self._parts.is_odd |= is_whole
        elif is_whole and not self._names and ":" in name.name and self._text.startswith(" - ", token.end()):
            return ""  # module:function:line - message
        return self._take_value(token, name, gap_start, is_whole)

    def _take_fraction(self, n: int, of: int, gap_start: int, start: int, end: int) -> str:
        line = self._line
        if self._lead is not None and self._text[gap_start:start].strip() in ("[", "("):
            name, value = self._lead
            line.pairs = [pair for pair in line.pairs if pair[0] != name]
            self._blank = [pair for pair in self._blank if pair[0] != name]
            self._names.discard(name)
            line.epoch, self._lead, self._first = value, None, -1
            self._parts.is_odd = True
        is_counter = line.is_bar and self._text.startswith(" [", end)
        if self._text.startswith("]", end) and self._text[gap_start:start].rstrip().endswith("["):
            is_counter |= line.epoch is None and not self._fractions  # ``loss: 2.3  [   64/60000]``
        if (is_counter or not self._names) and n <= of:
            self._fractions.append((n, of))
            if line.is_bar and not self._names:
                self._first = gap_start
            return "fraction"
        self._parts.is_odd |= n > of
        return ""

    def _take_value(self, token: re.Match[str], name: Name, gap_start: int, is_whole: bool) -> str:
        line = self._line
        value = number_of(token["number"])
        if token["of"] and is_whole:
            self._parts.is_odd = True
            total = int(token["of"])
            percent = self._text[token.end() : token.end() + 10].lstrip(" (")[:1].isdecimal()
            value = math.nan if not total else value / total * (100 if percent and "%" in self._rest(token) else 1)
        if name.kind == "epoch" and line.share is None:
            line.share = value
        if line.is_bar and not self._fractions:
            if self._text.startswith("|", token.end()):
                return ""  # how full the bar is
            if is_whole:
                self._parts.is_odd = True
                return ""  # of what it is a bar: ``Validation DataLoader 0: 17%|``
        key = name.name
        if key.lower() in TIME_NAMES and 1e9 < value < 1e10:
            line.time = value
            self._parts.is_odd = True
            return ""
        self._section = name.section or self._section
        if key in self._names:
            key = f"{self._section}/{key}"
            if not self._section or key in self._names:
                return ""
        self._lead = (key, int(value)) if is_whole and not self._names and not token["of"] else None
        if not self._names and not (line.is_bar and self._fractions):
            self._first = gap_start + name.start
        self._names.add(key)
        (line.pairs if name.is_explicit else self._blank).append((key, value))
        return f"={key}"

    def _rest(self, token: re.Match[str]) -> str:
        return self._text[token.end() : token.end() + 12].partition(")")[0]


def _words(text: str) -> str:
    text = text[:400]
    rank = RANK.search(text)
    words = _NO_LETTERS.sub(" ", _DAYS.sub("", text)).strip()[:LONGEST_NAME]
    return f"rank{rank[1]} {words}" if rank else words


def time_of(minute: str, second: str, fraction: str | None, zone: str | None) -> float:
    """Seconds since the epoch of a time as it was printed; NaN where there is no such time."""
    return _minute(minute, zone) + int(second) + (float(f"0.{fraction}") if fraction else 0.0)


@lru_cache(1024)
def _minute(text: str, zone: str | None) -> float:
    """The time of a minute: in this machine's zone unless it names another."""
    zone = "+00:00" if zone == "Z" else zone or ""
    try:
        return datetime.fromisoformat(text.replace("/", "-") + zone).timestamp()
    except (ValueError, OverflowError, OSError):
        return math.nan


def _read_json(text: str, line: Line) -> bool:
    """Take the object that the text begins with; False where it is none."""
    try:
        found, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    _take_object(found, "", line, 0)
    line.explicit = len(line.pairs)
    return True


def _take_object(found: dict[str, Any], prefix: str, line: Line, depth: int) -> None:
    for key, value in found.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and depth < 8:
            _take_object(value, f"{name}.", line, depth + 1)
        elif isinstance(value, str):
            if fraction := _FRACTION.fullmatch(value.strip()[:40]):
                _take_member(name, int(fraction[1]), int(fraction[2]), line)
            elif (numeric := _NUMERIC.fullmatch(value.strip()[:40])) is not None:
                _take_member(name, number_of(numeric[1]), None, line)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            _take_member(name, value, None, line)


def _take_member(name: str, value: float, of: int | None, line: Line) -> None:
    known = name_of(f"{name}: ")
    if not known.name:
        return
    is_whole = isinstance(value, int) and 0 <= value < 10**_MOST_DIGITS
    if known.kind == "step" and is_whole and not line.word:
        line.at, line.total, line.word = int(value), of, known.word
    elif known.kind == "epoch" and is_whole and line.epoch is None:
        line.epoch, line.epoch_name = int(value), known.name
    elif known.name.lower() in TIME_NAMES and 1e9 < value < 1e10:
        line.time = float(value)
    elif of is None:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf if value > 0 else -math.inf
        if known.kind == "epoch" and line.share is None:
            line.share = number
        line.pairs.append((name, number))
