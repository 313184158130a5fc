"""Textual's driver for terminals with a ``FramePacer`` and a ``ScreenDiff``."""

from __future__ import annotations

from typing import Any

from textual import events
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from .diff import ScreenDiff
from .pacing import QUESTION, FramePacer
from .size import size_of

_DRAIN_SECONDS = 0.7


class PacedDriver(LinuxDriver):
    """Reports writes to a pacer, sends its query after every frame and keeps the answers from the app."""

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **options)
        self._size = self._size or self._get_terminal_size()
        self.pace = FramePacer(getattr(app, "frames_per_second", 60.0))
        self.pace.backlog = self._backlog
        self.screen_diff = ScreenDiff()
        self._may_ask = False

    def _get_terminal_size(self) -> tuple[int, int]:
        """Columns and rows: the terminal's own. Textual asks the environment first, and so misses a resize."""
        columns, rows = size_of(self._file.fileno()) if self._file is not None else (0, 0)
        return columns or 80, rows or 25

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self.screen_diff.forget()
        self._may_ask = self.input_tty

    def stop_application_mode(self) -> None:
        """Clear the screen first: GNU screen has no alternate one, so our lines would stay."""
        self.write("\x1b[0m\x1b[2J\x1b[H")
        super().stop_application_mode()

    def write(self, data: str) -> None:
        self.pace.wrote(len(data))
        super().write(data)

    def end_picture(self) -> None:
        """End a frame."""
        if self._may_ask and self.pace.ask():
            super().write(QUESTION)

    def process_message(self, message: Message) -> None:
        if isinstance(message, events.CursorPosition):
            self.pace.answered()
            return
        if isinstance(message, events.Key | events.MouseEvent | events.Paste):
            self.pace.pressed()
        super().process_message(message)

    def disable_input(self) -> None:
        self._may_ask = False
        if not self.exit_event.is_set():
            self.pace.wait_drained(_DRAIN_SECONDS)
        super().disable_input()

    def _backlog(self) -> int:
        return self._writer_thread._queue.qsize() if self._writer_thread is not None else 0
