"""Runs of other tools read to the present end of their logs, to be taken as springtui's own are."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from ..errors import LogError
from .foreign import ForeignRun
from .read import open_source, why_none

_PAUSE = 0.001


def whole_runs(paths: Sequence[str | os.PathLike[str]]) -> list[ForeignRun]:
    """The runs under files and folders, in order of their names; each training once, in its richest format.

    Raises:
        LogError: a path is missing or cannot be read, or there is no log that springtui reads under any of them.
    """
    source = open_source([*paths])
    runs: dict[int, ForeignRun] = {}
    while source.scan() or not source.is_scanned or not source.is_read:
        for number, batch in source.poll():
            if number not in runs:
                found = source.run(number)
                runs[number] = ForeignRun(found.name, found.claim.folder, found.format.label, found.format.habit)
            runs[number].take(batch)
        time.sleep(min(source.wait, _PAUSE))
    if not source.runs:
        raise LogError(why_none(source))
    source.relate()
    source.close()
    shown = (found.number for found in source.runs.values() if found.same_as is None)
    return sorted((runs[number] for number in shown if number in runs), key=lambda run: run.id)
