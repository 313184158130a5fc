"""The table of runs: Enter or a double click opens a run."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from ..widgets.table import Table


class RunTable(Table):
    """A table over the ids of runs."""

    EMPTY = "no runs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", id="table.open", tooltip="open the run"),
    ]
