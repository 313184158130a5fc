"""What was asked of a worker, and whether it answered. Plain data: no widget, no file, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.records import Acknowledged, Control

from .terminal import plain_text

PATIENCE = 5.0
"""Seconds after which a request without an answer is reported as not acknowledged."""


@dataclass
class _Asked:
    control: Control
    words: str
    answer: Acknowledged | None = None


class Requests:
    """The requests of one screen to one run; the newest is what it shows."""

    def __init__(self) -> None:
        self._asked: dict[int, _Asked] = {}
        self._newest: _Asked | None = None

    def add(self, control: Control, words: str) -> None:
        """A request was written to the control file."""
        self._newest = self._asked[control.seq] = _Asked(control, words)

    def settle(self, answers: Iterable[Acknowledged]) -> None:
        """The worker's answers, as far as they are known."""
        for answer in answers:
            if (asked := self._asked.pop(answer.control, None)) is not None:
                asked.answer = answer

    def said(self, now: float, *, alive: bool | None) -> str:
        """The newest request's fate in words; empty where nothing was asked."""
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
        why = "no worker holds the run" if not alive else "the worker is alive and has not looked yet"
        return f"{asked.words}: not acknowledged for {waited:.0f} s: {why}"
