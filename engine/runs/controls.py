"""What was asked of a run: the worker's reader of ``control.jsonl``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RunDirectoryError
from .files import Tail
from .records import Control, decode_control

if TYPE_CHECKING:
    from .directory import Run


class Controls:
    """The worker's reader of ``control.jsonl``; what an earlier worker of the run answered is not asked again.

    Nor does a pause or a stop that an earlier worker left unanswered reach the one that takes the run up again;
    a moved setting does.
    """

    def __init__(self, run: Run, *, skip_old: bool = False) -> None:
        self._tail = Tail(run.path / "control.jsonl")
        self._answered = run.answered()
        self._waiting: list[Control] = []
        if skip_old:
            while self._tail.read():
                pass
        elif run.was_begun():
            while left := self._read():
                self._waiting += [control for control in left if control.action == "set"]

    def new(self) -> list[Control]:
        """What has been asked since the last call; damaged lines are passed over."""
        found, self._waiting = self._waiting + self._read(), []
        return found

    def _read(self) -> list[Control]:
        found = []
        for line in self._tail.read():
            try:
                control = decode_control(line)
            except RunDirectoryError:
                continue
            if control.seq not in self._answered:
                found.append(control)
        return found
