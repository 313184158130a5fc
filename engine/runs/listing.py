"""The runs under a home directory: finding one, listing all."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import HomeError, RunDirectoryError
from .directory import Run
from .files import make_private
from .home import default_home
from .names import CONFIG

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
    """The run named by its id, by a unique beginning of it, by ``last``, or by its path.

    The last is the newest whose configuration can be read, if any can.

    Raises:
        RunDirectoryError: there is none, or more than one.
    """
    if os.sep in name:
        return _run_at(Path(os.path.abspath(name)))  # noqa: PTH100 (resolving would follow a link)
    known = list_runs(home)
    if name == "last" and known:
        return next((run for run in known if run.is_readable()), known[0])
    fitting = [run for run in known if run.id.startswith(name)] if _ID.fullmatch(name) else []
    exact = [run for run in fitting if run.id == name]
    if len(exact or fitting) == 1:
        return (exact or fitting)[0]
    if fitting:
        raise RunDirectoryError(
            f"{name!r} fits {len(fitting)} runs, {', '.join(r.id for r in fitting[:4])} …; give more of it"
        )
    raise RunDirectoryError(f"there is no run {name!r} under {home / 'runs'}; springtui runs lists them")


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
