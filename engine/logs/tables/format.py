"""Tables of any tool as formats: which files are runs, and which hold one scalar of a run each.

Nothing here imports numba: the reader is imported by the process that reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePath

from ..endings import may_be_table
from ..folder import Folder
from ..plain_yaml import SETTINGS
from ..reader import Claim, Format, Reader
from .sniff import Found, found_in

_MAIN = ("metrics.csv", "progress.csv", "results.csv", "history.csv", "training.log", "log.csv")
"""Names that tools give a run's table, the surest first: it is its folder's run, whatever stands beside it."""
_DEEPEST = 8
"""Folders below each other that a scalar's name may make of DVCLive's."""


class TableFormat(Format):
    """CSV and TSV files, by their content: a header that names a step or a metric, and rows of numbers.

    DeepSpeed writes a file for each scalar, named as the scalar: these are one run.
    """

    name = "csv"
    label = "CSV"

    def claims(self, folder: Folder) -> Iterator[Claim]:
        """A run for each table of a folder; one for all that hold one scalar each."""
        found = {
            name: table
            for name in folder.files
            if (folder.is_named or may_be_table(name)) and (table := found_in(folder.head(name))) is not None
        }
        parts = [name for name, table in found.items() if only_tag(name, table)]
        whole = [name for name in found if name not in parts]
        main = next((name for name in _MAIN if name in whole), whole[0] if len(whole) == 1 and not parts else "")
        beside = _settings_of(folder)
        if parts:
            files = tuple(folder.path / name for name in parts)
            yield Claim(self.name, folder.path, files, "scalars" if main else "", beside)
        for name in whole:
            yield Claim(self.name, folder.path, (folder.path / name,), "" if name == main else name, beside)

    def reader(self, claim: Claim) -> Reader:
        """Reads the table, or the tables, of a run."""
        from .reader import TableReader

        return TableReader(claim, lambda path, found: only_tag(path.name, found))


class DvcliveFormat(Format):
    """A folder with ``plots/metrics/**/NAME.tsv``, each with the columns step and NAME, and ``metrics.json``.

    ``metrics.json`` holds nothing but the last values; for a moment it is empty, while they are written.
    """

    name = "dvclive"
    label = "DVCLive"

    def claims(self, folder: Folder) -> Iterator[Claim]:
        """The run of a folder that ``Live`` was given."""
        if "metrics.json" not in folder.entries or "plots" not in folder.entries:
            return
        if files := tuple(_dvclive_tables(folder.folder("plots").folder("metrics"))):
            beside = (folder.path / "metrics.json", *_settings_of(folder))
            yield Claim(self.name, folder.path, files, beside=beside)

    def reader(self, claim: Claim) -> Reader:
        """Reads all tables of a run."""
        from .reader import TableReader

        plots = claim.folder / "plots" / "metrics"
        return TableReader(claim, lambda path, _found: path.relative_to(plots).with_suffix("").as_posix())


def _settings_of(folder: Folder) -> tuple[Path, ...]:
    return tuple(folder.path / name for name in SETTINGS if name in folder.entries)


def _dvclive_tables(folder: Folder, depth: int = 0) -> Iterator[Path]:
    """Files of scalars in a folder and below it, in the order of their names."""
    for name in folder.files:
        if name.endswith(".tsv") and (found := found_in(folder.head(name))) and "step" in found.names:
            yield folder.path / name
    if depth < _DEEPEST:
        for name in folder.folders:
            yield from _dvclive_tables(folder.folder(name), depth + 1)


def only_tag(name: str, found: Found) -> str:
    """The scalar that a file named as it holds beside the steps; empty where it is another table.

    DeepSpeed's file ``Train_Samples_train_loss.csv`` has the columns ``step`` and ``train_loss``, and its scalar's
    name is ``Train/Samples/train_loss``.
    """
    stem = PurePath(name).stem
    if len(found.names) != 2:
        return ""
    column = found.names[1]
    if not column or not stem.endswith(re.sub(r"[/ ]", "_", column)):
        return ""
    return stem[: len(stem) - len(column)].replace("Train_Samples_", "Train/Samples/") + column
