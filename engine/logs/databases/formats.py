"""What a folder holds of MLflow and trackio, recognised by the tables of its databases."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from ..folder import Folder
from ..reader import Claim, Format, Reader

if TYPE_CHECKING:
    from .hub import Hub

_SIGNATURE = b"SQLite format 3\0"
_MOST_REMEMBERED = 10_000
"""Databases of other kinds that are remembered."""


class DatabaseFormat(Format):
    """Runs that share a database; the readers of one database share one look at it."""

    tables: frozenset[str]
    """The tables by which a database is recognised."""

    def __init__(self) -> None:
        self._hubs: WeakValueDictionary[Path, Hub] = WeakValueDictionary()
        self._claims: WeakKeyDictionary[Hub, list[Claim]] = WeakKeyDictionary()
        self._others: dict[Path, Any] = {}
        """Databases of other kinds: the state in which they were found to be so."""

    @abstractmethod
    def hub(self, path: Path) -> Hub:
        """What reads a database."""

    def beside(self, path: Path) -> tuple[Path, ...]:
        """The files that lie beside a database, its write-ahead log first."""
        return tuple(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal"))

    def claims(self, folder: Folder) -> Iterable[Claim]:
        for name in folder.files:
            if folder.entries[name].size and folder.start(name).startswith(_SIGNATURE):
                path = folder.path / name
                if (hub := self._known(path)) is not None:
                    for file in (path, self.beside(path)[0]):
                        folder.watch(file)
                    hub.refresh()
                    yield from self._claims_of(hub, path)

    def _claims_of(self, hub: Hub, path: Path) -> list[Claim]:
        """A claim a run; the same ones as before where there are no others: there may be thousands."""
        names, known = hub.named(), self._claims.get(hub, [])
        if names != [claim.run for claim in known]:
            beside = self.beside(path)
            known = self._claims[hub] = [Claim(self.name, path.parent, (path,), run, beside) for run in names]
        return known

    def reader(self, claim: Claim) -> Reader:
        from .reader import DatabaseReader

        return DatabaseReader(claim, self._hub_for)

    def _hub_for(self, claim: Claim) -> Hub:
        """A hub for one more reader."""
        path = claim.files[0]
        hub = self._hubs.get(path)
        if hub is None or hub.id_of(claim.run) in hub.joined:
            # A second reader of a run begins at the start, which the others are past.
            hub = self._hubs[path] = self.hub(path)
        if not hub.id_of(claim.run):
            hub.refresh()
        return hub

    def _known(self, path: Path) -> Hub | None:
        """The hub of a database of this kind; None for one of another."""
        if (hub := self._hubs.get(path)) is not None:
            return hub
        from .quiet import UNREADABLE, QuietDatabase, tables

        database = QuietDatabase(path)
        state = database.state()
        if state is None or self._others.get(path) == state:
            return None
        try:
            found = database.read_patiently(tables)
        except UNREADABLE:
            return None
        if found is None:
            return None
        if not self.tables <= found[0]:
            if len(self._others) >= _MOST_REMEMBERED:
                self._others.clear()
            self._others[path] = found[1]
            return None
        self._hubs[path] = hub = self.hub(path)
        return hub


class Mlflow(DatabaseFormat):
    """MLflow's SQLite database, by default ``mlflow.db``."""

    name = "mlflow"
    label = "MLflow"
    tables = frozenset({"experiments", "runs", "metrics"})

    def hub(self, path: Path) -> Hub:
        from .mlflow_rows import MlflowHub

        return MlflowHub(path)


class Trackio(DatabaseFormat):
    """trackio's SQLite database of a project."""

    name = "trackio"
    label = "trackio"
    habit = "this writer flushes about every 0.5 s"
    tables = frozenset({"metrics", "configs", "system_metrics"})

    def hub(self, path: Path) -> Hub:
        from .trackio_rows import TrackioHub

        return TrackioHub(path)

    def beside(self, path: Path) -> tuple[Path, ...]:
        return *super().beside(path), path.with_suffix(".lock")
