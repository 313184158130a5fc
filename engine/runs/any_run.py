"""What is asked of a run by those who only look at it, whoever writes it: springtui itself, or another tool."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

from ..settings.run import RunConfig
from .label import Label
from .log import EventLog
from .records import Event
from .status import Observation


class Printed(NamedTuple):
    """The end of what a training printed."""

    mark: object
    """Differs once more was printed."""
    lines: list[str]
    """Oldest first."""


class AnyRun(ABC):
    """A run that can be looked at. Threads may share it."""

    path: Path
    """The run's directory."""
    is_foreign = False
    """Whether another tool writes it, so that nothing is asked of it and nothing written beside it."""
    format = ""
    """What another tool's log is called on the screens; empty for springtui's own."""

    @property
    @abstractmethod
    def id(self) -> str:
        """Tells the run from the others in a list."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """train, chain, sweep, probe, or log for another tool's; empty where that is not known."""

    @abstractmethod
    def config(self) -> RunConfig | None:
        """The settings that springtui made the run with; None where it is another tool's.

        Raises:
            RunDirectoryError: the file is missing, damaged, or of a newer springtui.
        """

    @abstractmethod
    def label(self) -> Label:
        """The name, the note and the pin that somebody gave the run."""

    @abstractmethod
    def created(self) -> float:
        """When the run was made or began, in seconds since the epoch; 0 where that is not known."""

    @abstractmethod
    def log(self) -> EventLog:
        """The records of the run."""

    @abstractmethod
    def last_events(self, count: int) -> list[Event]:
        """The ``count`` newest records, oldest first, at the same cost for every length of the log."""

    @abstractmethod
    def signature(self) -> tuple[int, ...]:
        """Differs from an earlier one once anything of the run has changed."""

    @abstractmethod
    def observe(self) -> Observation:
        """How the run stands, and by which facts. Never raises."""

    @abstractmethod
    def is_gone(self) -> bool:
        """Whether the run's directory was removed."""

    @abstractmethod
    def printed(self, known: object = None) -> Printed | None:
        """The end of what the training printed; None where that is known, by its mark, or cannot be read."""

    @abstractmethod
    def size(self) -> int:
        """Bytes of the run's files."""
