"""What the Runs screen shows, computed from rows of the catalogue."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.color import Color
from textual.markup import escape

from engine.runs.status import Status

from ..state.curves import legend as curves_legend
from ..state.cycling import next_of
from ..state.empty import why_empty
from ..state.pictures import Series
from ..state.wording import UNITS, age_in_words, fitting, number, percent, status_in_words
from ..terminal.text import plain_text
from ..widgets.table import Column, Line
from .catalogue import SORTS, Catalogue, Row
from .overlay import LOAD_CURVE

_LOG_ROOM = {"accuracy": 90}
"""Widths from which a column has room beside that of formats."""
COLUMNS = (
    Column("name", "NAME", 30),
    Column("kind", "KIND", 6, shown_from=90),
    Column("state", "STATE", 9, colored=True),
    Column("progress", "DONE", 6, right=True),
    Column("loss", "LOSS", 8, right=True),
    Column("accuracy", "ACCURACY", 9, right=True),
    Column("age", "AGE", 5, right=True),
    Column("size", "SIZE", 8, right=True, shown_from=96),
)
LOG_COLUMNS = (
    Column("name", "NAME", 30, cut_left=True),
    Column("kind", "FORMAT", 14),
    *(column._replace(shown_from=max(column.shown_from, _LOG_ROOM.get(column.key, 0))) for column in COLUMNS[2:]),
)
"""Columns for other tools' runs, whose paths differ at their ends."""
COLORS = {
    Status.RUNNING: "success", Status.PAUSED: "warning", Status.STARTING: "accent", Status.FINISHED: "primary",
    Status.STOPPED: "secondary", Status.DIVERGED: "error", Status.FAILED: "error", Status.CRASHED: "error",
    Status.DAMAGED: "error",
}  # fmt: skip
_THEMED = {
    "primary": "$primary", "accent": "$accent", "good": "$success", "warn": "$warning", "muted": "$secondary",
}  # fmt: skip
"""The theme's colour of a curve's role, in markup."""
NO_RUNS = "no runs yet: Escape, then the lab begins one"
NO_LOGS = "waiting for records: nothing that springtui reads has come yet"
NONE_FITS = "no run fits the filter; / changes it"
_HINTS = (
    "x stops", "g resumes", "e names", "a notes", "* pins", "w duplicates", "D deletes", "S reverses the order",
)  # fmt: skip


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


def line_of(row: Row | None, *, marked: bool) -> Line:
    """A run's line of the table; cells that are not known yet are blank."""
    if row is None:
        return Line({})
    about = row.about
    cells = {
        "name": row.name,
        "kind": row.run.format or row.kind,
        "state": status_in_words(row.status, is_foreign=row.run.is_foreign),
        "progress": _progress(row),
        "loss": "" if row.loss is None else number(row.loss),
        "accuracy": "" if row.accuracy is None else percent(row.accuracy),
        "age": age_in_words(max(0.0, now() - row.created)) if row.created else "",
        "size": size_in_words(row.size) if about else "",
    }
    return Line(cells, COLORS.get(row.status, "foreground"), marked, row.label.pinned)


def _progress(row: Row) -> str:
    at, total = row.about.get("at"), row.about.get("total")
    if at is None:
        return ""
    return f"{100 * at / total:.0f}%" if total else str(at)


def size_in_words(size: float) -> str:
    """Bytes as 512 B, 1.2 kB, 34 MB."""
    for unit, each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= each:
            return f"{size / each:.3g} {unit}"
    return f"{size:.0f} B"


def head(catalogue: Catalogue, shown: int, sort: tuple[str, bool], wanted: str, described: int | None) -> str:
    """The head line: number of runs, order and filter."""
    total = len(catalogue.rows)
    live = sum(row.goes_on for row in catalogue.rows.values())
    parts = [f"{total} runs" if total != 1 else "1 run"]
    if live:
        parts.append(f"{live} going on")
    parts.append(f"by {sort[0]}{', reversed' if sort[1] else ''}")
    if wanted:
        parts.append(f"filter {wanted}: {shown} shown")
    if described is not None:
        parts.append(f"reading {described}/{total}")
    return plain_text(" · ".join(parts))


def hint(
    marked: int,
    deleted: int,
    width: int,
    *,
    runs: int,
    read_only: bool = False,
    have_layers: bool = True,
    trouble: str = "",
) -> str:
    """The line on what keys do with the runs, and on marked and deleted ones; cut to ``width``.

    ``trouble`` says why nothing new is read; empty while all is well.
    """
    parts = [plain_text(trouble)] if trouble else []
    parts += [f"{marked} marked"] if marked else []
    if marked == 2:
        parts[-1] += ": o overlays them" + (", B compares them by layer" if have_layers else "")
    if deleted:
        parts.append(f"{deleted} deleted, U brings back")
    hints = ("read-only: runs are looked at, and none is changed",) if read_only else _HINTS if runs else ()
    return fitting([*parts, *hints], width)


def about(row: Row | None, room: int) -> str:
    """Facts of the run under the cursor, at most ``room`` lines."""
    if row is None:
        return ""
    found = row.about
    lines = [row.id] if row.label.name and row.label.name not in row.id else []
    lines += row.label.text.splitlines()
    if found.get("text"):
        lines.append(str(found["text"]))
    if found.get("total"):
        lines.append(f"{UNITS.get(row.kind, '')} {found['at']} of {found['total']}".strip())
    infinite = found.get("not_finite", {})
    lines += [
        f"{name.replace('_', ' ')} {infinite.get(name) or number(value)}"
        for name, value in found.get("values", {}).items()
    ]
    return "\n".join(plain_text(line) for line in lines[:room])


def why_no_curve(rows: Sequence[Row], quantity: str, *, is_read: bool) -> str:
    """The text in place of the plot where these runs have no curve of the quantity.

    ``is_read`` says whether the curves of all of them have been read.
    """
    if not rows:
        return "no run is chosen"
    if not is_read or not all(row.about for row in rows):
        return "reading …"
    if all(row.kind == "sweep" for row in rows):
        return "a diagram: Enter shows it"
    if any(quantity in row.about.get("not_finite", {}) for row in rows):
        return "it is not finite: " + ", ".join(dict.fromkeys(_not_finite(rows, quantity)))
    if quantity != LOAD_CURVE or len(rows) > 1:
        return "none of these runs has it: c shows another quantity"
    row = rows[0]
    if row.run.is_foreign:
        return "waiting for records" if row.status in (Status.WAITING, Status.RUNNING) else "it holds no scalars"
    if row.status is Status.DAMAGED:
        return "its configuration is damaged; Enter shows what can be read"
    return why_empty(row.status, remedy="g goes on with it")


def legend(series: Sequence[Series], readout: Mapping[str, float], color_of: Callable[[str], Color]) -> Text:
    """Each overlaid run in the colour of its curve, and its value at the cursor."""
    text = Text()
    for one in series:
        text.append("─── ", Style(color=color_of(one.role).rich_color))
        value = f"  {number(readout[one.name], 4)}" if one.name in readout else ""
        text.append(f"{one.name}{value}\n")
    if not readout:
        text.append("\nTab and arrows move a cursor that reads the values out.")
    return text


def _not_finite(rows: Sequence[Row], quantity: str) -> list[str]:
    """The newest value of a quantity where it is NaN or infinite."""
    found = (row.about.get("not_finite", {}).get(quantity, "") for row in rows)
    return [one for one in found if one]


def legend_below(series: Sequence[Series], width: int) -> str:
    """The legend of several runs' curves as markup, as many as have room below a plot; empty for one."""
    room, shown = width - 6, []
    for one in series if len(series) > 1 else ():
        room -= cell_len(one.name) + 4
        if room < 0:
            break
        shown.append((escape(one.name), _THEMED.get(one.role, "$foreground")))
    return curves_legend(*shown) if shown else ""


def overlay_title(quantity: str, rows: Sequence[Row]) -> str:
    """The plot's title; names of other tools' scalars stay as they are."""
    of_logs = bool(rows) and all(row.run.is_foreign for row in rows)
    if quantity == LOAD_CURVE:
        what = "Scalars" if of_logs else "Load curve"
    else:
        what = quantity if of_logs or "/" in quantity else quantity.replace("_", " ").capitalize()
    return f"{what} of {len(rows)} runs" if len(rows) > 1 else what


def next_sort(column: str) -> str:
    """The column to sort by after this one."""
    return next_of(tuple(SORTS), column)
