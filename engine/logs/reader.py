"""What every format gives: claims on the runs of a folder, and a reader for each run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from .batch import Batch
from .folder import Folder

PIECE = 1 << 23
"""Bytes that a reader takes of its log at once, unless a caller says otherwise."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One run that a format found in a folder."""

    format: str
    """The format's name."""
    folder: Path
    """The run's directory: that which a person would call the run, not the folder of a part of it."""
    files: tuple[Path, ...]
    """What the run is read from, in the order in which it was written; files, or folders where the format reads
    whole folders. No later format is shown them."""
    run: str = ""
    """Name of the run within its file or folder, where these hold several: of a database ``#NAME`` is shown."""
    beside: tuple[Path, ...] = ()
    """Further files and folders that belong to the run and that no later format should read: copies, settings."""

    @property
    def key(self) -> tuple[str, Path, str]:
        """The same for the same run, also once further files have come."""
        return self.format, self.folder, self.run


class Reader(ABC):
    """Reads one run in place, piece by piece. It holds no lock, writes nothing, and keeps no points."""

    shared: object | None = None
    """What is read for several runs at once, as a database: a look at one of the runs finds the news of all. None
    where the run has files of its own."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim

    @abstractmethod
    def poll(self, limit: int = PIECE) -> Batch:
        """The news since the last call, from about ``limit`` bytes of the log; never raises for bad content.

        A call that finds nothing new costs no more than a look at the files. What is damaged is skipped and
        counted in ``problems``; an unfinished record at the end is left for a later call. Where a file cannot be
        read, the batch is empty and a later call tries again.
        """

    def waiting(self) -> Collection[str]:
        """Of the runs that share a log, those whose news were found and not yet taken, by ``Claim.run``."""
        return ()

    def refresh(self, claim: Claim) -> None:
        """Take note of the run's present files, which are listed anew every few seconds."""
        self.claim = claim

    def close(self) -> None:  # noqa: B027 (most readers hold nothing open)
        """Let go of open files; no call follows."""


class Format(ABC):
    """A kind of log that springtui reads."""

    name: str
    """A short word, as ``springtui scalars`` prints it: tensorboard, wandb, csv."""
    label: str
    """As screens show it: TensorBoard."""
    habit: str = ""
    """When such a writer's records reach the disk: "this writer flushes every 15 s"; empty where at once."""

    @abstractmethod
    def claims(self, folder: Folder) -> Iterable[Claim]:
        """The runs of this format in a folder, by the content of its files; names alone are no evidence.

        Looks at the folder's own files, and into folders below where the format spreads a run over several. Cheap
        tests come first: a folder may hold thousands of files of other kinds.
        """

    @abstractmethod
    def reader(self, claim: Claim) -> Reader:
        """A reader for one of these runs; may import what it needs."""
