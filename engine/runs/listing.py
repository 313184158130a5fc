"""The runs under a home directory: finding one by its id or name, listing all."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import HomeError, RunDirectoryError
from .directory import Run, parse_id
from .files import make_private
from .home import default_home
from .label import LAST, NO_LABEL, given_names, label_changed, read_label
from .names import CONFIG
from .status import ago

_LISTED = 8
"""Most runs that an error message lists."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def open_home(home: Path | None = None) -> Path:
    """The home directory, which is made where it is missing and checked to be writable.

    Raises:
        HomeError: it cannot be made or written.
    """
    home = home or default_home()
    remedy = "choose another with --home or SPRINGTUI_HOME"
    try:
        for folder in (home, home / "runs"):
            make_private(folder)
    except OSError as error:
        raise HomeError(f"cannot make the home directory {home}: {error.strerror}; {remedy}") from error
    if not os.access(home / "runs", os.W_OK | os.X_OK):
        raise HomeError(f"the home directory {home} is not writable; make it so, or {remedy}")
    return home


def find_run(home: Path, name: str) -> Run:
    """The run of an id or a name, of an unambiguous beginning of either, of ``last``, or of a path.

    Names are those of ``names_of``. An id goes before a name, a name before the beginning of an id, and that
    before the beginning of a name; among several runs none is chosen. The last is the newest whose configuration
    can be read, if any can; a lab's network goes before the chain beside it. A path goes before a name that has a
    slash.

    Raises:
        RunDirectoryError: there is none, or more than one; the message lists them.
    """
    path = Path(os.path.abspath(name)) if os.sep in name else None  # noqa: PTH100 (resolving follows links)
    if path is not None and os.path.lexists(path):
        return _run_at(path)
    known = list_runs(home)
    if name == LAST and known:
        readable = [run for run in known if run.is_readable()]
        return next((run for run in readable if not _is_beside_a_network(run)), [*readable, *known][0])
    if (exact := next((run for run in known if run.id == name), None)) is not None:
        return exact
    named = [(run, given) for run in known for given in names_of(run)] if name else []
    if found := _only(run for run, given in named if given == name):
        return _one_of(found, f"{len(found)} runs are named {name!r}", "give an id")
    begun = [run for run in known if _ID.fullmatch(name) and run.id.startswith(name)]
    if found := begun or _only(run for run, given in named if given.startswith(name)):
        return _one_of(found, f"{name!r} fits {len(found)} runs", "give more of it, or an id")
    if path is not None:
        return _run_at(path)
    raise RunDirectoryError(f"there is no run {name!r} under {home / 'runs'}; springtui runs lists them")


def _is_beside_a_network(run: Run) -> bool:
    """Whether a readable run is the chain that a lab shows beside its network."""
    return run.kind == "chain" and run.config().origin == "lab"


def names_of(run: Run) -> list[str]:
    """The names that a run was given, by ``springtui note`` and by ``LoadProbe(name=)``; the one shown first."""
    label = read_label(run.path) if label_changed(str(run.path)) else NO_LABEL  # most runs have none
    settings = None
    if run.kind == "probe":
        with contextlib.suppress(RunDirectoryError):
            settings = run.config().settings
    return given_names(label, settings)


def _only(runs: Iterable[Run]) -> list[Run]:
    """The runs, each once."""
    return list({run.path: run for run in runs}.values())


def _one_of(found: list[Run], what: str, remedy: str) -> Run:
    """The only run of a list; else an error that says what they are and lists them."""
    if len(found) == 1:
        return found[0]
    listed = ", ".join(_in_words(run) for run in found[:_LISTED])
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    raise RunDirectoryError(f"{what}: {listed}{more}; {remedy}")


def _in_words(run: Run) -> str:
    """A run's id, name and age."""
    created = parsed[0] if (parsed := parse_id(run.id)) is not None else 0.0
    if parsed is None:
        with contextlib.suppress(RunDirectoryError):
            created = run.config().created
    facts = [*names_of(run)[:1], *([f"{ago(created)} ago"] if created else [])]
    return f"{run.id} ({', '.join(facts)})" if facts else run.id


def _run_at(path: Path) -> Run:
    if path.is_symlink():
        raise RunDirectoryError(f"{path} is a symbolic link, which is not followed; name {path.readlink()} itself")
    if not is_run_directory(path):
        raise RunDirectoryError(f"{path} is no run: it holds no {CONFIG}; springtui runs lists them")
    return Run(path)


def is_run_directory(path: Path) -> bool:
    """Whether a directory holds a run's configuration, or a link in its place."""
    return os.path.lexists(path / CONFIG)


def list_runs(home: Path) -> list[Run]:
    """Every run directory under a home, newest first; none where it cannot be read."""
    try:
        entries = list(os.scandir(home / "runs"))
    except OSError:
        return []
    names = [e.name for e in entries if _ID.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    return [Run(home / "runs" / name) for name in sorted(names, reverse=True)]
