"""Reads rows of tables: by compiled code once there is much to read, else by Python, which costs no loading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import rows_plain

ReadRows = Callable[..., tuple[int, int, int, bool]]
COMPILED_FROM = 1 << 19
"""Bytes of all tables of the process from which on compiled code is worth its loading: about a second."""


class _Choice:
    """Which of the two functions reads next."""

    def __init__(self) -> None:
        self._bytes = 0
        self._read: ReadRows = rows_plain.read_rows

    def __call__(self, text: Any, start: int, *rest: Any) -> tuple[int, int, int, bool]:
        if self._bytes < COMPILED_FROM:
            self._bytes += len(text) - start
            if self._bytes >= COMPILED_FROM:
                self._read = _compiled()
        return self._read(text, start, *rest)


def _compiled() -> ReadRows:
    try:
        from .rows_jit import read_rows
    except ImportError:  # numba is missing
        return rows_plain.read_rows
    return read_rows


read_rows: ReadRows = _Choice()
"""As ``rows_plain.read_rows``."""
