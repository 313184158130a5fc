"""Which metric a training declared to be the horizontal axis of which others, with ``define_metric``."""

from __future__ import annotations

from collections.abc import Iterable

from .. import protobuf
from ..protobuf import LENGTH, fields


class Axes:
    """The definitions of one run. A name goes before a pattern, and of patterns the longest one that fits.

    wandb itself takes any of several patterns that fit, not the same one in each run (seen with 0.31).
    """

    def __init__(self) -> None:
        self._exact: dict[str, str] = {}
        self._patterns: dict[str, str] = {}
        """By what a tag begins with."""
        self._told: dict[str, str] = {}
        """By tag, the axis that was told; empty where it has none."""
        self._is_new = False
        """Whether there are definitions that tags told before may fall under."""

    def define(self, data: bytearray, start: int, end: int) -> None:
        """Take the definition in a metric record.

        Raises:
            MessageError: it is no message.
        """
        name = pattern = axis = ""
        for part in fields(data, start, end):
            if part.wire != LENGTH or part.number not in (1, 2, 4):
                continue
            text = protobuf.text(data, part).replace("\\.", ".")
            if part.number == 1:
                name = text
            elif part.number == 2:
                pattern = text
            else:
                axis = text
        if name:
            self._exact[name] = axis
        elif pattern.endswith("*"):
            self._patterns[pattern[:-1]] = axis
        self._is_new = True

    def news(self, tags: Iterable[str]) -> dict[str, str]:
        """Axes by tag that were not told before; ``tags``: those with new points."""
        if not (self._exact or self._patterns):
            self._told.update(dict.fromkeys(tags, ""))
            return {}
        asked = {*self._told, *tags} if self._is_new else [tag for tag in tags if tag not in self._told]
        self._is_new = False
        axes = {*self._exact.values(), *self._patterns.values()}
        news = {}
        for tag in asked:
            axis = "" if tag in axes else self._axis(tag)
            if axis and self._told.get(tag) != axis:
                news[tag] = axis
            self._told[tag] = axis
        return news

    def _axis(self, tag: str) -> str:
        if tag in self._exact:
            return self._exact[tag]
        fitting = [begin for begin in self._patterns if tag.startswith(begin)]
        return self._patterns[max(fitting, key=len)] if fitting else ""
