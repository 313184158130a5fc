"""The requests to a run's worker, as it reads them from ``control.jsonl``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ..errors import RunDirectoryError
from .files import last_lines, read_lines
from .names import CONTROL
from .records import Control, decode_control

if TYPE_CHECKING:
    from .directory import Run


def last_request(run: Run) -> Control | None:
    """The newest request to a run's worker; None where there is none, or where it cannot be read."""
    for line in last_lines(run.path / CONTROL, 1):
        with contextlib.suppress(RunDirectoryError):
            return decode_control(line)
    return None


class ControlReader:
    """Reads the requests to a run's worker, each once.

    Requests that an earlier worker answered are left out. Of those that it left unanswered, ``set`` still counts;
    a pause or a stop was meant for that worker and is left out.
    """

    def __init__(self, run: Run) -> None:
        self._path = run.path / CONTROL
        self._offset = 0
        self._answered = run.answered()
        self._waiting: list[Control] = []
        if run.was_begun():
            self._waiting = [control for control in self._read_to_the_end() if control.action == "set"]

    def new(self) -> list[Control]:
        """The requests that came since the last call; damaged lines are passed over."""
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
