"""Whole logs at once: the runs under some paths with all their points."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import LogError
from .columns import Columns
from .found_run import FoundRun
from .named import require_named
from .registry import FORMATS
from .series import Series
from .source import Source

_PAUSE = 0.001
_REASONS = 3
"""Paths of which a refusal tells why they cannot be read."""


@dataclass(frozen=True, slots=True, eq=False)
class LogRun:
    """One run of another tool: what it is, and all that it logged up to now."""

    run: str
    """Its directory relative to the path that was read, ``.`` where it is that; ``#NAME`` is appended where one
    folder or database holds several runs. Of several paths, it begins with the path."""
    format: str
    """The format's name: tensorboard, wandb, csv, …"""
    settings: dict[str, Any]
    """Settings of the training, where the log tells them; nested names joined by dots."""
    scalars: dict[str, Series]
    """By tag, as it was logged: the points in the order in which they were logged, NaN and infinities kept."""
    problems: dict[str, int]
    """What was left out, in words, and how often."""
    same_as: str = ""
    """The ``run`` of another format that holds the same training and more of it; empty where there is none."""
    same_as_format: str = ""
    """The ``format`` of that run, since several logs may lie in one folder."""
    counts: dict[str, str] = field(default_factory=dict)
    """By tag, what its steps count where that is not the optimiser's steps: epoch, batch, sample, line or call."""

    def __repr__(self) -> str:
        points = sum(map(len, self.scalars.values()))
        same = f", same as {self.same_as!r} ({self.same_as_format})" if self.same_as else ""
        return f"<LogRun {self.run!r} ({self.format}): {len(self.scalars)} scalars, {points} points{same}>"


def read_logs(path: str | os.PathLike[str], *more: str | os.PathLike[str]) -> list[LogRun]:
    """All runs that logs under one or more files and folders hold, complete up to now, in order of their names.

    Raises:
        LogError: a path is missing or cannot be read, or there is no log that springtui reads under any of them.
    """
    return logs_of(open_source([path, *more]))


def open_source(paths: Sequence[str | os.PathLike[str]], names: Mapping[Path, str] | None = None) -> Source:
    """A source of the runs under paths, each of which is there.

    ``names``: by path, how a person calls it, where that is another way.

    Raises:
        LogError: a path is missing, or is neither a folder nor a plain file.
    """
    named = [Path(path) for path in paths]
    require_named(named)
    return Source(named, names=names)


def logs_of(source: Source, tell: Callable[[Source], object] = lambda _: None) -> list[LogRun]:
    """All runs of a source up to the present end of their logs; ``tell`` is called now and then while it reads.

    Raises:
        LogError: there is none.
    """
    columns: dict[int, Columns] = {}
    while source.scan() or not source.is_scanned or not source.is_read:
        for number, batch in source.poll():
            columns.setdefault(number, Columns()).take(batch)
        tell(source)
        time.sleep(min(source.wait, _PAUSE))
    if not source.runs:
        raise LogError(why_none(source))
    source.relate()
    source.close()
    runs = sorted(source.runs.values(), key=lambda run: (run.name, run.number))
    for run in runs:
        if run.same_as in columns and run.format is source.run(run.same_as).format:
            told = columns.get(run.number, Columns()).settings
            columns[run.same_as].settings = told | columns[run.same_as].settings
    return [_log_run(run, columns.pop(run.number, Columns()), source) for run in runs]


def _log_run(run: FoundRun, columns: Columns, source: Source) -> LogRun:
    scalars = {tag: points for tag in columns.tags if len(points := columns.series(tag))}
    same = source.run(run.same_as) if run.same_as is not None else None
    return LogRun(
        run=run.name,
        format=run.format.name,
        settings=columns.settings,
        scalars=scalars,
        problems=dict(columns.problems),
        same_as=same.name if same is not None else "",
        same_as_format=same.format.name if same is not None else "",
        counts=columns.counts,
    )


def why_none(source: Source) -> str:
    """What to say where no run was found; see ``refusal``."""
    called = dict(zip(source.paths, source.named, strict=True))
    told = {str(called.get(path, path)): why for path, why in (source.problems | source.unreadable).items()}
    return refusal(source.named, source.files, told)


def refusal(paths: Sequence[str], files: int, told: Mapping[str, str]) -> str:
    """What to say of paths without a log: what was looked at, what was recognised, and what springtui reads.

    ``files``: plain files that were looked at; ``told``: by path, what cannot be read and why.
    """
    looked = f"{files} file{'s' * (files != 1)} looked at"
    reasons = "".join(f"; {path}: {why}" for path, why in list(told.items())[:_REASONS])
    labels = ", ".join(dict.fromkeys(kind.label for kind in FORMATS))
    named = ", ".join(paths)
    return f"no log of a training was found in {named} ({looked}){reasons}. springtui reads {labels}"
