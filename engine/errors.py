"""Every error springtui raises on purpose.

    SpringtuiError
    ├── InputError          the user can correct it: usage, input or environment (exit status 2)
    │   ├── ConfigError         a setting's name or value
    │   ├── DataError           a data file or data set
    │   ├── HomeError           the directory that holds the runs
    │   ├── LogError            a path that holds no log of another tool, or one that cannot be read
    │   ├── RunDirectoryError   a run directory that is missing, foreign or damaged
    │   └── TerminalError       a terminal that cannot show the app
    └── RunError            something failed while it ran (exit status 1)
        ├── DiskFullError       there is no room for what must be written
        ├── DivergedError       a loss or an activation stopped being finite
        ├── LockedError         another worker writes this run
        └── WorkerError         a worker process could not be started or died

A message names the thing, the value, what is allowed and what to do.

``ProbeWarning`` is no error: a probe that fails warns once, and the user's training goes on.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

_ALIKE = 0.65
"""Likeness, by difflib, from which a name is near: 'them' and 'theme' have 0.89, 'colour' and 'tour' 0.6."""
_SHORTEST_PART = 3
"""Characters from which a part of a name is taken for the name."""


class SpringtuiError(Exception):
    """Base of the tree; ``exit_status`` is that of the command."""

    exit_status = 1


class InputError(SpringtuiError):
    """The user can correct the cause."""

    exit_status = 2


class ConfigError(InputError):
    """A setting's name or value is not allowed."""


class DataError(InputError):
    """A data file or data set is missing, truncated or wrong."""


class HomeError(InputError):
    """The directory that holds the runs cannot be used."""


class LogError(InputError):
    """A path holds no log of another tool that springtui reads."""


class RunDirectoryError(InputError):
    """A run directory is missing, foreign or damaged."""


class TerminalError(InputError):
    """The terminal cannot show the app."""


class RunError(SpringtuiError):
    """Something failed while it ran."""


class DiskFullError(RunError):
    """There is no room for what must be written; what was written before is intact."""


class DivergedError(RunError):
    """A loss or an activation stopped being finite."""


class LockedError(RunError):
    """Another worker writes this run."""


class WorkerError(RunError):
    """A worker process could not be started, or died."""


class ProbeWarning(UserWarning):
    """A probe failed; the training that it watches is not affected."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name that is spelt much like a word, or else holds it; empty where none is near."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=_ALIKE)
    if not near and len(word) >= _SHORTEST_PART:
        near = difflib.get_close_matches(word, [name for name in names if word in name], n=1, cutoff=0.0)
    return next(iter(near), "")


def nearest_and_known(word: str, known: Iterable[str], aliases: Mapping[str, str] | None = None) -> str:
    """What an error message says after an unknown name: the nearest known one, if one is near, and all of them.

    ``aliases``: by other words for a known name, that name; they only serve to find the nearest.
    """
    names = list(known)
    others = {alias: name for alias, name in (aliases or {}).items() if name in names}
    near = nearest(word, [*names, *others])
    listed = ", ".join(names)
    return f"the nearest is {others.get(near, near)!r}. Known: {listed}" if near else f"known: {listed}"
