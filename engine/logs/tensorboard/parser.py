"""Which parser an event file gets: the compiled one, once there is enough to be read."""

from __future__ import annotations

import importlib.util
import threading

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
        self.can_compile = importlib.util.find_spec("numba") is not None
        self._compiled: type[Parser] | None = None
        """The compiled parser, once its code is there."""
        self._compiling: threading.Thread | None = None

    def expect(self, size: int) -> None:
        """So many bytes more are about to be read."""
        self._expected += size

    def parser(self, tags: Tags, present: Parser | None = None) -> Parser:
        """A parser that goes on with these tags: the present one, or the compiled one once it is worth it.

        Where the code must be compiled first, which takes many seconds and happens once on a machine, a thread
        does that, and NumPy parses meanwhile.
        """
        if self._compiled is None and self.can_compile and self._expected >= WORTH:
            self._load()
        if self._compiled is None:
            return present or PlainParser(tags)
        return present if isinstance(present, self._compiled) else self._compiled(tags)

    def _load(self) -> None:
        try:
            from .compiled import CompiledParser, compile_all, is_compiled
        except ImportError:
            self.can_compile = False
            return
        if is_compiled():
            self._compiled = CompiledParser
        elif self._compiling is None:
            self._compiling = threading.Thread(target=compile_all, name="compile", daemon=True)
            self._compiling.start()


CHOICE = Choice()
"""That of this process."""
