"""The names of numbers in a printed line: what stands between two numbers is taken apart."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

LONGEST_NAME = 80
EVALUATIONS = frozenset(["val", "valid", "validation", "test", "eval", "evaluation", "dev"])
_PARTS = EVALUATIONS | {"train", "training"}
_BLANK, _QUOTES = " \t", "\"'"
_OPENING = _QUOTES + "(["
_WRAPPED = re.compile(r"(?:tensor|array|(?:np|numpy|torch|jnp)\.\w{1,16})[(\[]{1,2}$")
"""What a value may stand in: ``tensor(0.5)``."""
_SEPARATED = re.compile(r".*(?:[,;|│┃\t{}\[\]<>•]|\s\s|\s-+\s|: |= |\)\s)\s*(?=\S)", re.DOTALL)
"""What ends before the last words."""
_UNIT = re.compile(r" (?:[mun]?s|secs?|seconds|min|mins|minutes|h|hours|[kKMGT]i?B|it/s|steps/s)[.,;)\]]*(?= )")
"""A unit that a blank parts from its number."""
_SECTION = re.compile(r"([A-Za-z][\w.-]{0,24})\s?[:|]\s*\S*$")
_STOP = frozenset([
    "a", "after", "ago", "all", "and", "are", "as", "at", "be", "before", "by", "did", "does", "each",
    "every", "for", "found", "from", "had", "has", "have", "in", "into", "is", "it", "last", "least",
    "loaded", "loading", "more", "most", "new", "no", "not", "now", "of", "off", "on", "only", "or", "over",
    "out", "per", "reached", "same", "saved", "saving", "since", "size", "than", "that", "the", "then",
    "there", "this", "to", "took", "under", "until", "up", "use", "used", "using", "was", "were", "when",
    "which", "will", "with", "within",
])  # fmt: skip
"""Words that begin or end no name of a number; sentences hold them."""
_IGNORED = frozenset(["pid", "cuda", "rank", "port", "line", "device", "seed", "eta"])
_SOURCE = re.compile(r"\.(?:py|pyx|cc|cpp|cu|c|h|go|rs|java|js|ts)$")
_WHICH = (
    r"(?:(?:(?:train(?:ing|er)?|val(?:id(?:ation)?)?|test|eval(?:uation)?|global|current|optimi[sz]er|gradient|outer|learning)"
    r"[ _/.-]?){0,3}|.{0,40}\b(?:at|of|for|after) )"
)
_NUMBERED = r"(?:[ _]?(?:idx|index|no|num|number))?(?:\(\w{1,12}\))?"
_STEP = re.compile(
    rf"{_WHICH}(?P<word>step|iteration|iter|itr|it|batch|minibatch|episode|update|round|timesteps?|generation|trial"
    rf"|current_steps|total_timesteps|num_timesteps|step/max_steps){_NUMBERED}",
    re.IGNORECASE,
)
_EPOCH = re.compile(rf"{_WHICH}(?:epoch|ep){_NUMBERED}", re.IGNORECASE)


class Name(NamedTuple):
    """What a number is called."""

    name: str
    """Empty where it has no name."""
    is_explicit: bool
    """A colon, an equals sign or an arrow joins it to its number, not a blank alone."""
    kind: str
    """epoch, step (whose word follows in ``word``) or value."""
    word: str
    section: str
    """The word before the name that says which part of the training it is of: ``val`` of ``val: loss 0.5``."""
    start: int
    """Where in the text between the numbers the name begins."""


_NONE = Name("", False, "value", "", "", 0)


@lru_cache(8192)
def name_of(gap: str) -> Name:
    """The name of a number that follows the text ``gap``."""
    if unit := _UNIT.match(gap):
        gap = " " * unit.end() + gap[unit.end() :]
    before = max(0, len(gap) - LONGEST_NAME - 40)
    gap = gap[before:]
    text = _WRAPPED.sub("", gap.rstrip(_BLANK)).rstrip(_BLANK + _OPENING + "#")
    joined = text.endswith((":", "=", "->", "=>"))
    if not joined and len(text) == len(gap):
        return _NONE
    is_index = not joined and gap[len(text)] in "[("  # x[0], f(1): fine for Epoch[1], no name of a value
    text = text.rstrip(_BLANK + _QUOTES + ":=->")
    parted = _SEPARATED.match(text)
    start = parted.end() if parted else 0
    name = text[start:]
    stripped = name.lstrip(" \t\"'-–—*#:=.,;(/\\>~")
    start += len(name) - len(stripped)
    name = stripped
    if name.startswith(("INFO:", "DEBUG:")):
        start, name = start + name.rfind(":") + 1, name[name.rfind(":") + 1 :]
    if not _is_name(name, joined):
        return _NONE
    section = _SECTION.search(text[:start].rstrip())
    step = None
    kind = "value"
    if _EPOCH.fullmatch(name):
        kind = "epoch"
    elif step := _STEP.fullmatch(name):
        kind = "step"
    elif is_index:
        return _NONE
    return Name(
        name, joined, kind, step["word"].lower() if step else "", section[1] if section else "", before + start
    )


def _is_name(name: str, joined: bool) -> bool:
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        return False
    if not (name[0].isalpha() or name[0] in "_%@") or name[-1] in ";,.":
        return False
    if name.count("]") > name.count("[") or name.count(")") > name.count("("):
        return False
    lower = name.lower()
    words = lower.split()
    if words[-1] in _IGNORED or "=" in name or _SOURCE.search(lower):
        return False
    if joined:
        return len(words) <= 7
    return len(words) <= 4 and words[-1] not in _STOP and words[0] not in _STOP


def part_of(words: str) -> str:
    """The first word that says which part of the training it is: train, val or test; empty where none does."""
    return next((word for word in words.lower().split() if word in _PARTS), "")
