"""Lines that differ from an earlier one in their numbers alone: read by a pattern made of it, much faster."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .line import DATE, DATE_WITHIN, TIME_NAMES, Line, Parts, number_of, read_line, time_of
from .words import name_of

_REPEATS = 3
"""Lines of one form from which a pattern is made of it."""
_MOST = 64
"""Patterns that are made for one log."""
_TRIED = 6
"""Patterns that a line is compared with, those that were met last."""
_MOST_FORMS = 1024
_TIME_DIGITS = 9
"""Characters of a number, above which it may be a time in seconds since 1970."""
_NEVER = -(10**9)
_LONGEST = 4096
"""Characters of a line that a pattern is made of."""
_SIGN = "[-+]?"
_VALUE = rf"({_SIGN}(?:(?>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?>(?:\.?[eE][-+]?[0-9]+)?)|(?i:nan|inf(?:inity)?)))"
_BROKEN = (
    rf"({_SIGN}(?>(?:[0-9]+\.[0-9]+|\.[0-9]+)(?:\.?[eE][-+]?[0-9]+)?|[0-9]+\.?[eE][-+]?[0-9]+|"
    r"(?i:nan|inf(?:inity)?)))"
)
"""A number that is not written as a whole one."""
_THOUSANDS = rf"({_SIGN}(?>[0-9]{{1,3}}(?:,[0-9]{{3}}){{1,6}}(?![0-9])(?:\.[0-9]+)?))"
_PLAIN = re.compile(rf"{_SIGN}(?>[0-9]+(?:\.[0-9]+)?)")
"""A number without letters."""
_WHOLE = "((?>[0-9]{1,18}))"
_OF = r"[ \t]{0,12}/[ \t]{0,12}"
_TIMES = (
    re.compile(r"(?>[0-9]{1,4}(?:[:./-][0-9]{1,6}){2,8})(?:[.,][0-9]+)?"),
    re.compile(r"[0-9]{1,3}:[0-9]{2}(?![0-9.])"),
    re.compile(r"(?>(?:[0-9]{1,4}[dhm] ?){1,3}[0-9]{1,2}(?:\.[0-9]+)?)(?=s?(?!\w))"),
)
_DRAWN = re.compile(r"\|[█▏▎▍▌▋▊▉# ]*\||[━╸╺]+")
"""What progress bars are drawn with."""
_BLANK = " \t"
_RANK_APART = re.compile(r"rank[ _:=][0-9]", re.IGNORECASE)
_LONGEST_PATTERN = 1 << 14
_WORDS_WITHIN = 300
"""Characters among which the words must stand that lines of a kind share."""


class Template:
    """A pattern for lines of one form, and what its groups are."""

    def __init__(
        self, pattern: str, line: Line, roles: Sequence[str], has_times: bool, with_commas: set[str]
    ) -> None:
        self.match = re.compile(pattern).fullmatch
        self.line = line
        """The line that it was made of."""
        self.names = [name for name, _ in line.pairs]
        self._places = {role: place for place, role in enumerate(roles)}
        self.columns = [
            (name, self._places[f"={name}"], number_of if name in with_commas else float) for name in self.names
        ]
        """By name, which group holds its value, and how it is read."""
        self.epoch, self.at, self.total = (self._places.get(role, -1) for role in ("epoch", "at", "total"))
        """Which groups hold these; -1 where none does."""
        self.date = self._places.get("minute", -1)
        """The first of four groups: minute, second, fraction and zone."""
        self._bounds = [(place - 1, place) for role, place in self._places.items() if role.startswith("bound")]
        """Groups of n and N in n/N, which is no place where n is larger."""
        if line.at is not None and not line.word and self.total >= 0:
            self._bounds.append((self.at, self.total))
        self.says_nothing = not (line.pairs or self.epoch >= 0 or self.at >= 0)
        self._may_be_dated = has_times and self.date < 0
        self._may_be_time = [place for name, place, _ in self.columns if name.lower() in TIME_NAMES]
        self._share = next(
            (self.names.index(name) for name in self.names if name_of(f"{name}: ").kind == "epoch"), -1
        )

    def is_sure(self, text: str, groups: Sequence[str]) -> bool:
        """Whether a line that fits says what the pattern makes of it."""
        return not (
            (self._may_be_dated and _is_dated(text))
            or any(len(groups[place]) > _TIME_DIGITS for place in self._may_be_time)
            or (self._bounds and any(int(groups[n]) > int(groups[of]) for n, of in self._bounds))
        )

    def are_sure(self, texts: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
        """The same of many lines, whose groups are ``columns``."""
        return not (
            (self._may_be_dated and any(map(_is_dated, texts)))
            or any(max(map(len, columns[place])) > _TIME_DIGITS for place in self._may_be_time)
            or any(
                int(n) > int(of)
                for one, other in self._bounds
                for n, of in zip(columns[one], columns[other], strict=True)
            )
        )

    def line_of(self, groups: Sequence[str]) -> Line:
        """What a line with these groups says."""
        known = self.line
        line = Line(known.words, None, None, None, known.word, None, known.epoch_name)
        line.pairs = [(name, read(groups[place])) for name, place, read in self.columns]
        line.explicit, line.is_bar = known.explicit, known.is_bar
        if self.epoch >= 0:
            line.epoch = int(groups[self.epoch])
        if self.at >= 0:
            line.at = int(groups[self.at])
        if self.total >= 0:
            line.total = int(groups[self.total])
        if self._share >= 0:
            line.share = line.pairs[self._share][1]
        if self.date >= 0:
            line.time = self.time_of(groups)
        return line

    def time_of(self, groups: Sequence[str]) -> float:
        """The time that a line with these groups tells; NaN where it tells none."""
        minute, second, fraction, zone = groups[self.date : self.date + 4]
        return time_of(minute, second, fraction, zone)


def _is_dated(text: str) -> bool:
    return "20" in text and DATE.search(text, 0, DATE_WITHIN) is not None


class Templates:
    """The patterns made of one log's lines."""

    def __init__(self) -> None:
        self._met: list[Template] = []
        """The one met last comes first."""
        self._forms: dict[tuple[object, ...], int] = {}
        """How often a line of a form came that no pattern fits."""
        self._made = 0

    def find(self, text: str) -> Template | None:
        """The pattern that a line fits."""
        for place, template in enumerate(self._met[:_TRIED]):
            if template.match(text):
                if place:
                    self._met.insert(0, self._met.pop(place))
                return template
        return None

    def learn(self, text: str, line: Line) -> None:
        """Take note of a line that no pattern fitted."""
        if self._made >= _MOST or len(text) > _LONGEST:
            return
        form = (line.words, line.word, line.epoch is None, line.at is None, *(name for name, _ in line.pairs))
        if len(self._forms) >= _MOST_FORMS:
            self._forms.clear()
        self._forms[form] = self._forms.get(form, 0) + 1
        if self._forms[form] >= _REPEATS:
            self._forms[form] = 0
            if template := made_of(text):
                self._made += 1
                self._met.insert(0, template)
            else:
                self._forms[form] = _NEVER


def made_of(text: str) -> Template | None:
    """A pattern for lines like this one; None where a line's numbers may change what its words mean."""
    parts = Parts()
    line = read_line(text, parts)
    if parts.is_odd or _RANK_APART.search(text, 0, _WORDS_WITHIN):
        return None
    builder = _Builder(text, line, parts)
    return builder.built()


class _Builder:
    def __init__(self, text: str, line: Line, parts: Parts) -> None:
        self._original = text
        self._line = line
        self._parts = parts
        self._pattern: list[str] = []
        self._roles: list[str] = []
        self._has_times = False
        self._with_commas: set[str] = set()

    def built(self) -> Template | None:
        text, tokens = self._parts.text, self._parts.tokens
        fractions = self._fraction_roles()
        end = 0
        is_before_values = True
        for token, role in tokens:
            self._add_gap(end, token.start())
            is_before_values &= not role.startswith("=")
            name = name_of(text[end : token.start()])
            if role == "fraction":
                role = fractions.pop(0)
            if token["skip"]:
                made = self._add_time(token.group())
            elif role in ("epoch", "at", "epoch/", "at/"):
                made = self._add_place(token, role)
            elif role.startswith("="):
                made = self._add_value(token, role, name.kind)
            else:
                made = self._add_other(token)
            if not made or (is_before_values and token.start() > _WORDS_WITHIN):
                return None
            end = token.end()
        self._add_gap(end, len(text))
        pattern = "".join(self._pattern)
        if len(pattern) > _LONGEST_PATTERN:
            return None
        return Template(pattern, self._line, self._roles, self._has_times, self._with_commas)

    def _fraction_roles(self) -> list[str]:
        """What each n/N without a name is, as the reading of a line decides in the end."""
        roles = [role for _, role in self._parts.tokens]
        fractions = [""] * roles.count("fraction")
        if fractions and "at" not in roles:
            first = 0
            if "epoch" not in roles and len(fractions) > 1:
                fractions[0], first = "epoch/", 1
            fractions[first] = "at/"
        return fractions

    def _add_gap(self, start: int, end: int) -> None:
        text, date = self._parts.text, self._parts.date
        if date is not None and start <= date[0] < end:
            self._add_text(text[start : date[0]])
            self._pattern.append(DATE.pattern)
            self._roles += ["minute", "second", "fraction", "zone"]
            start = date[0] + 1
        self._add_text(text[start:end])

    def _add_text(self, text: str) -> None:
        """Text as it is, with as many blanks at its ends and as long a bar as there may be."""
        inner = text.strip(_BLANK)
        if not inner:
            self._pattern.append("[ \\t]+" if text else "")
            return
        if text[0] in _BLANK:
            self._pattern.append("[ \\t]+")
        end = 0
        for drawn in _DRAWN.finditer(inner):
            self._pattern.append(re.escape(inner[end : drawn.start()]))
            self._pattern.append(r"\|[█▏▎▍▌▋▊▉# ]*\|" if drawn.group()[0] == "|" else "[━╸╺]+")
            end = drawn.end()
        self._pattern.append(re.escape(inner[end:]))
        if text[-1] in _BLANK:
            self._pattern.append("[ \\t]+")

    def _add_time(self, text: str) -> bool:
        digits = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        for known in _TIMES:
            if known.fullmatch(digits):
                self._pattern += [known.pattern, re.escape(text[len(digits) :])]
                self._has_times = True
                return True
        return False

    def _add_place(self, token: re.Match[str], role: str) -> bool:
        self._pattern.append(_WHOLE)
        self._roles.append(role.rstrip("/"))
        if token["of"]:
            self._pattern += [_OF, _WHOLE]
            self._roles.append("total" if role.startswith("at") else "bound" if role == "epoch/" else "")
        self._pattern.append(re.escape(token["unit"] or ""))
        return True

    def _add_value(self, token: re.Match[str], role: str, kind: str) -> bool:
        self._pattern.append(_BROKEN if kind != "value" else _THOUSANDS if "," in token["number"] else _VALUE)
        self._roles.append(role)
        if "," in token["number"]:
            self._with_commas.add(role[1:])
        self._pattern.append(re.escape(token["unit"] or ""))
        return not token["of"]

    def _add_other(self, token: re.Match[str]) -> bool:
        self._pattern.append(_PLAIN.pattern)
        if token["of"]:
            self._pattern += [_OF, "(?>[0-9]{1,18})"]
        self._pattern.append(re.escape(token["unit"] or ""))
        return _PLAIN.fullmatch(token["number"]) is not None
