"""Which parser an event file gets: the compiled one, once there is enough to be read."""

from __future__ import annotations

import importlib.util

from .found import Parser
from .framing import PlainParser
from .tags import Tags

WORTH = 1 << 24
"""Bytes of event files, in all, from which on compiled code is loaded: NumPy reads them in a quarter of a second,
which is less than loading takes."""


class Choice:
    """Counts what a process has to read."""

    def __init__(self) -> None:
        self._expected = 0
        self._can_compile = importlib.util.find_spec("numba") is not None

    def expect(self, size: int) -> None:
        """So many bytes more are about to be read."""
        self._expected += size

    def parser(self, tags: Tags, present: Parser | None = None) -> Parser:
        """A parser that goes on with these tags: the present one, or the compiled one once it is worth it."""
        if not self._can_compile or self._expected < WORTH:
            return present or PlainParser(tags)
        try:
            from .framing_jit import CompiledParser
        except ImportError:
            self._can_compile = False
            return present or PlainParser(tags)
        return present if isinstance(present, CompiledParser) else CompiledParser(tags)


CHOICE = Choice()
"""That of this process."""
