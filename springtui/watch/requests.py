"""Requests to a worker, their answers, and both in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from engine.errors import ConfigError
from engine.runs.records import Acknowledged, Control
from engine.settings.fields import parse_value
from engine.settings.run import RunConfig

from ..terminal.text import plain_text

PATIENCE = 5.0
"""Seconds after which a request without an answer is reported as not acknowledged."""


@dataclass
class _Asked:
    control: Control
    words: str
    answer: Acknowledged | None = None


class Requests:
    """The requests of one screen to one run; ``newest_in_words`` describes the newest."""

    def __init__(self) -> None:
        self._asked: dict[int, _Asked] = {}
        self._newest: _Asked | None = None

    def add(self, control: Control, words: str) -> None:
        """Add a request that was written to the control file; ``words`` describe it."""
        self._newest = self._asked[control.seq] = _Asked(control, words)

    def settle(self, answers: Iterable[Acknowledged]) -> None:
        """Take in the worker's answers."""
        for answer in answers:
            if (asked := self._asked.pop(answer.control, None)) is not None:
                asked.answer = answer

    def newest_in_words(self, now: float, *, alive: bool | None) -> str:
        """The newest request and its answer in words; empty if there is none. ``now``: seconds since the epoch."""
        if self._newest is None:
            return ""
        asked, answer = self._newest, self._newest.answer
        if answer is not None:
            if answer.error:
                return f"{asked.words}: refused: {plain_text(answer.error)}"
            return f"{asked.words}: acknowledged at step {answer.step}"
        waited = now - asked.control.time
        if waited < PATIENCE:
            return f"{asked.words}: asked …"
        if alive is None:
            why = "whether a process holds the run cannot be seen from here"
        else:
            why = "its process is alive and has not answered yet" if alive else "no process holds the run"
        return f"{asked.words}: not acknowledged for {waited:.0f} s: {why}"


def movable(config: RunConfig | None) -> list[str]:
    """Names of the settings that can change while the run goes on."""
    return sorted(getattr(type(config.settings), "live", ())) if config is not None else []


def parse_move(config: RunConfig | None, text: str) -> dict[str, Any]:
    """The setting in ``key=value``, by its name, if it can change while the run goes on.

    Raises:
        ConfigError: names what is wrong and what is allowed.
    """
    key, sign, value = text.partition("=")
    key = key.strip().replace("-", "_")
    if not sign or not key:
        raise ConfigError(f"{text!r} is not of the form key=value; for example lr=0.01")
    if config is None:
        raise ConfigError("the run's configuration cannot be read, so nothing can be checked")
    cls: Any = type(config.settings)
    parsed = parse_value(cls, key, value.strip())
    if key not in movable(config):
        raise ConfigError(f"{key!r} cannot change while it runs; these can: {', '.join(movable(config))}")
    return {key: parsed}
