"""``springtui scalars``: prints all that logs of other tools hold, as JSON, CSV or a table."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ..terminal.text import plain_text
from .options import STANDARD_INPUT, json_option
from .output import print_message, print_table
from .session import Session, common, examples
from .standard_input import whole_input

if TYPE_CHECKING:
    import numpy as np

    from engine.logs.read import LogRun
    from engine.logs.series import Series
    from engine.logs.source import Source

_PIECE = 1 << 14
"""Points that are written at once."""
_TOLD_EVERY = 0.5
_QUIET = 1.0
"""Seconds of reading before a terminal is told how far it is."""
_CSV = ("run", "format", "tag", "step", "value", "time")


@click.command(
    short_help="Print what the logs of any training hold.",
    epilog=examples(
        "springtui scalars lightning_logs",
        "springtui scalars runs --json | jq -c '[.run, .format, (.scalars | keys)]'",
        "springtui scalars mlflow.db --csv > all.csv",
        "python train.py | springtui scalars - --json",
    ),
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@click.option(
    "--csv", "as_csv", is_flag=True, help="Print a row for each point: run, format, tag, step, value, time."
)
@json_option
@common
@click.pass_obj
def scalars(_session: Session, paths: tuple[Path, ...], as_csv: bool, as_json: bool) -> int:
    """Print every scalar that training logs hold: those of TensorBoard, wandb, MLflow, Lightning and others.

    PATH is a log, a run's folder, or a folder of runs; - reads standard input. Nothing is written beside the logs,
    and what is damaged is skipped and counted. Without an option a table tells which runs and scalars there are.

    With --json one object a line for each run and format: run (its directory relative to PATH, a dot where it is
    PATH; #NAME is appended where one file or folder holds several runs), format, same_as and same_as_format
    (only where it is the same training as a richer line: run and format of that line), settings, counts (by tag,
    where steps are no optimiser's steps: what they count), scalars (by tag: step, value and time, in the order of
    the log; time is in seconds since 1970), problems (what was skipped, with counts). Numbers that are not finite,
    and times that the log does not tell, are the words "nan", "inf" and "-inf".
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other; leave one out")
    with whole_input() if any(map(_is_input, paths)) else contextlib.nullcontext() as piped:
        runs = _read([piped if piped is not None and _is_input(path) else path for path in paths], piped)
    if as_csv:
        _print_csv(runs)
    elif as_json:
        for run in runs:
            sys.stdout.writelines(_json_line(run))
    else:
        _print_summary(runs)
    return 0


def _read(paths: list[Path], piped: Path | None) -> list[LogRun]:
    from engine.logs.read import logs_of, open_source

    names = {piped: STANDARD_INPUT} if piped is not None else {}
    progress, source = _Progress(), open_source(list(paths), names)
    try:
        runs = logs_of(source, progress.tell)
    finally:
        progress.clear()
    for path, why in (source.problems | source.unreadable).items():
        print_message(f"{names.get(path, path)}: {why}")
    return runs


def _is_input(path: Path) -> bool:
    return str(path) == STANDARD_INPUT


class _Progress:
    """How far logs have been read, on a terminal's standard error."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _QUIET
        self._is_shown = False

    def tell(self, source: Source) -> None:
        """Draw it anew, now and then."""
        if time.monotonic() < self._next or not sys.stderr.isatty():
            return
        self._next = time.monotonic() + _TOLD_EVERY
        runs = source.runs.values()
        read, size = sum(run.read for run in runs), sum(max(run.size, run.read) for run in runs)
        sys.stderr.write(f"\r{len(runs)} runs, {read / 1e6:.0f} of {size / 1e6:.0f} MB read\x1b[K")
        sys.stderr.flush()
        self._is_shown = True

    def clear(self) -> None:
        """Leave the line empty."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _json_line(run: LogRun) -> Iterator[str]:
    """The pieces of a run's line: ASCII, so that no control character of a log reaches a terminal."""
    head: dict[str, Any] = {"run": run.run, "format": run.format}
    if run.same_as:
        head |= {"same_as": run.same_as, "same_as_format": run.same_as_format}
    head |= {"settings": run.settings, "counts": run.counts}
    yield _text(head)[:-1] + ', "scalars": {'
    for number, (tag, points) in enumerate(run.scalars.items()):
        yield f"{', ' if number else ''}{_text(tag)}: {{"
        for name, column in (("step", points.step), ("value", points.value), ("time", points.time)):
            yield f'{"" if name == "step" else ", "}"{name}": ['
            for start in range(0, len(column), _PIECE):
                yield (", " if start else "") + _numbers(column[start : start + _PIECE])
            yield "]"
        yield "}"
    yield f'}}, "problems": {_text(run.problems)}}}\n'


def _text(value: Any) -> str:
    return json.dumps(_finite(value), allow_nan=False, default=str).replace("\x7f", "\\u007f")


def _finite(value: Any) -> Any:
    """Plain values with numbers that are not finite as words."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _numbers(column: np.ndarray[Any, np.dtype[Any]]) -> str:
    """Numbers with commas between them; of any shape [n]."""
    values = column.tolist()
    if not all(map(math.isfinite, values)):
        values = [value if math.isfinite(value) else str(value) for value in values]
    return msgspec.json.encode(values).decode("ascii")[1:-1].replace(",", ", ")


def _print_csv(runs: list[LogRun]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_CSV)
    for run in runs:
        for tag, points in run.scalars.items():
            named = (plain_text(run.run), run.format, plain_text(tag))
            for start in range(0, len(points), _PIECE):
                part = slice(start, start + _PIECE)
                columns = (points.step[part].tolist(), points.value[part].tolist(), points.time[part].tolist())
                for step, value, when in zip(*columns, strict=True):
                    writer.writerow((*named, step, value, "" if math.isnan(when) else when))
                sys.stdout.write(buffer.getvalue())
                buffer.seek(0)
                buffer.truncate()
    sys.stdout.write(buffer.getvalue())


def _print_summary(runs: list[LogRun]) -> None:
    rows = []
    for run in runs:
        same = f"same training as {run.same_as} ({run.same_as_format})" if run.same_as else ""
        for tag, points in run.scalars.items() or [("(no scalars yet)", None)]:
            rows.append((run.run, run.format, tag, *_summary(points), same))
    print_table(("RUN", "FORMAT", "TAG", "POINTS", "STEPS", "LAST", ""), rows)
    for run in runs:
        for what, count in run.problems.items():
            print_message(f"{run.run}: {what}: {count}")


def _summary(points: Series | None) -> tuple[str, str, str]:
    """Number of points, first and last step, last value."""
    if points is None:
        return "0", "", ""
    return f"{len(points)}", f"{points.step.min()} to {points.step.max()}", f"{points.value[-1]:.6g}"
