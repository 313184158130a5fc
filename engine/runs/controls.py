"""What was asked of a run: the worker's reader of ``control.jsonl``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RunDirectoryError
from .files import read_lines
from .names import CONTROL
from .records import Control, decode_control

if TYPE_CHECKING:
    from .directory import Run


class Controls:
    """The worker's reader of ``control.jsonl``; what an earlier worker of the run answered is not asked again.

    Nor does a pause or a stop that an earlier worker left unanswered reach the one that takes the run up again;
    a moved setting does.
    """

    def __init__(self, run: Run, *, skip_old: bool = False) -> None:
        self._path = run.path / CONTROL
        self._offset = 0
        self._answered = run.answered()
        self._waiting: list[Control] = []
        if skip_old or run.was_begun():
            old = self._read_to_the_end()
            self._waiting = [] if skip_old else [control for control in old if control.action == "set"]

    def new(self) -> list[Control]:
        """What has been asked since the last call; damaged lines are passed over."""
        found, self._waiting = self._waiting + self._read(), []
        return found

    def _read_to_the_end(self) -> list[Control]:
        found: list[Control] = []
        before = -1
        while self._offset != before:
            before = self._offset
            found += self._read()
        return found

    def _read(self) -> list[Control]:
        """The unanswered requests on the next lines of the file."""
        piece = read_lines(self._path, self._offset)
        self._offset = piece.end
        found = []
        for line in piece.lines:
            try:
                control = decode_control(line)
            except RunDirectoryError:
                continue
            if control.seq not in self._answered:
                found.append(control)
        return found
