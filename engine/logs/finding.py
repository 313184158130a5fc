"""Finding the runs under files and folders that a person named, and those that come later, a little at a time."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..runs.home import default_home
from ..runs.names import CHECKPOINT, CONFIG, CONTROL, EVENTS, LABEL, LOCK, TRIAL, TWIN_MAP, WORKER_LOG
from .folder import HEAD, Entry, Folder
from .reader import Claim, Format
from .recognised import unreadable

ROUND_SECONDS = 2.0
"""From one look at all folders to the next."""
_SHARE = 0.005
"""Share of a core that looking at folders that stay the same may take; with many, rounds come less often."""
_SHARE_OF_NEWS = 0.05
"""The same for listing those that have changed."""
_SLOWEST = 60.0
_SAME_TICK = 2.0
"""Seconds within which a change of a folder after it was listed may leave its time of change as it was."""
_DEEPEST = 64
_MOST_FOLDERS = 200_000
_UNDECIDED = 64
"""Files of a folder that nothing has recognised yet and that may become logs, which are looked at each round."""
_LOOKED_OVER = 2000
"""Files of a folder among which these are chosen."""
_YOUNG = 3600.0
"""Seconds since its last change within which a file that nothing has recognised may become a log."""
SKIPPED = frozenset({
    ".git", ".hg", ".svn", ".dvc", ".cache", ".venv", ".tox", ".nox", ".mypy_cache", ".ruff_cache",
    ".pytest_cache", ".ipynb_checkpoints", ".vscode", ".idea", "__pycache__", "node_modules", "site-packages",
})  # fmt: skip
"""Folders that hold no logs of trainings and may be huge; one that is named as a path is looked into."""
_ENVIRONMENT = ("pyvenv.cfg", "conda-meta")
"""What a folder holds that is an environment of Python."""
_SYSTEM = Path("/proc"), Path("/sys")
"""What is no file in these looks like one, and reading it may take something away."""
_OWN_FILES = (CONFIG, EVENTS, CONTROL, CHECKPOINT, WORKER_LOG, LOCK, TWIN_MAP, LABEL, TRIAL)


class Found(NamedTuple):
    """A run that a format claims."""

    format: Format
    claim: Claim


@dataclass(slots=True)
class Place:
    """What is known of one folder, or of one file that a person named."""

    path: Path
    root: int
    """Number of the path that it was found under."""
    depth: int = 0
    changed: int = -1
    """When the folder was last changed as it was listed, in nanoseconds; -1 where it never was."""
    listed: float = 0.0
    """When it was listed, in seconds since the epoch."""
    files: int = 0
    """Plain files in it."""
    newest: float = 0.0
    """When the newest of these was changed, in seconds since the epoch."""
    folders: list[Path] = field(default_factory=list)
    """Those in it that are to be looked into."""
    links: list[Path] = field(default_factory=list)
    """Links to folders that lie under none of the paths."""
    found: list[Found] = field(default_factory=list)
    is_own_run: bool = False
    """Whether it is a run directory of springtui."""
    error: str = ""
    """Why it cannot be read."""
    left_out: str = ""
    """What was not looked into for a limit, in words."""
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    """Logs in it that are recognised and not read, and what each is."""
    looked_into: dict[str, int] = field(default_factory=dict)
    """Folders below that a format looked into for it, and files that may gain runs: when each was last changed."""
    undecided: dict[str, int] = field(default_factory=dict)
    """Files that nothing has recognised and that may yet become logs: the size of each."""


class Search:
    """Looks through paths for runs, breadth first, in rounds; each folder is listed again only once it changed.

    A link to a folder is followed where it leads out of the paths, and never twice to the same folder: no circle
    is entered, and a run that is also reached by a link is found once. No link leads to a folder around a named
    path, nor to what the system shows of itself as files. A file or folder that one format claims is shown to no
    later one.
    """

    def __init__(self, paths: Sequence[Path], formats: Sequence[Format]) -> None:
        self.paths = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100 (resolving follows links)
        self.places: dict[Path, Place] = {}
        """By path, what was looked at."""
        self._formats = formats
        self._claimed: dict[Path, dict[str, Path]] = {}
        """By folder and name, for which place a format claimed it."""
        self._renewed: set[Path] = set()
        """Places whose claims nobody has been told of."""
        self._round: Iterator[Place] | None = None
        self._looks = 0
        """Grows whenever a place was looked at anew, or vanished."""
        self._counted: tuple[int, int, dict[Path, str]] = (0, 0, {})
        self.newest = 0.0
        """When the newest file was changed, in seconds since the epoch, as far as files were looked at."""
        self._unreadable: dict[Path, str] = {}
        self._is_cut = False
        """Whether there are more folders than are looked into."""
        self._next = 0.0
        self._spent = 0.0
        """Seconds of a core that this round has taken, ..."""
        self._spent_on_news = 0.0
        """... and those of them for listing what had changed."""
        self.is_complete = False
        """Whether all paths have been looked through once."""

    def step(self, budget: float = 0.05) -> list[Place]:
        """Look on for about ``budget`` seconds; the places where claims were made anew, or that vanished."""
        start = time.monotonic()
        if self._round is None:
            if start < self._next:
                return []
            self._round, self._spent, self._spent_on_news = self._look(), 0.0, 0.0
        used = time.thread_time()
        news = []
        for place in self._round:
            if place.path in self._renewed:
                self._renewed.discard(place.path)
                news.append(place)
            if time.monotonic() - start > budget:
                break
        else:
            self._round = None
        self._spent += time.thread_time() - used
        if self._round is None:
            self._next = time.monotonic() + self._pause()
            self.is_complete = True
        return news

    def _pause(self) -> float:
        """Seconds until the next round; the first round is no measure of what one costs."""
        if not self.is_complete:
            return ROUND_SECONDS
        same = (self._spent - self._spent_on_news) / _SHARE
        return min(_SLOWEST, max(ROUND_SECONDS, same, self._spent_on_news / _SHARE_OF_NEWS))

    def hurry(self) -> None:
        """Begin the next round at once."""
        self._next = 0.0

    @property
    def files(self) -> int:
        """Plain files that were looked over by now."""
        self._count()
        return self._counted[1]

    @property
    def errors(self) -> dict[Path, str]:
        """By path, why it cannot be looked at, or what in it was not looked into."""
        self._count()
        return self._counted[2]

    @property
    def unreadable(self) -> dict[Path, str]:
        """By path of a log that is recognised and not read, what it is."""
        self._count()
        return self._unreadable

    def _count(self) -> None:
        """Count anew where places were looked at since the last time."""
        if self._counted[0] != self._looks:
            places = self.places.values()
            errors = {
                place.path: "; ".join(filter(None, (place.error, place.left_out)))
                for place in places
                if place.error or place.left_out
            }
            if self._is_cut:
                errors.setdefault(self.paths[0], f"only the first {_MOST_FOLDERS:,} folders were looked into")
            self._counted = self._looks, sum(place.files for place in places), errors
            self.newest = max((place.newest for place in places), default=0.0)
            self._unreadable = dict(pair for place in places for pair in place.unreadable)

    @property
    def is_looking(self) -> bool:
        """Whether a round has been begun and not ended."""
        return self._round is not None

    @property
    def wait(self) -> float:
        """Seconds until there is something to look at."""
        return 0.0 if self.is_looking else max(0.0, self._next - time.monotonic())

    def _look(self) -> Iterator[Place]:
        """One round: every place, those that vanished last."""
        visited: set[tuple[int, int]] = set()
        seen: set[Path] = set()
        own_home = default_home()
        around = _identities(folder for path in self.paths for folder in path.parents)
        system = {device for device, _ in _identities(_SYSTEM)} - {device for device, _ in around}
        queue = deque((path, number, 0) for number, path in enumerate(self.paths))
        links: deque[tuple[Path, int, int]] = deque()
        while queue or links:
            path, root, depth = (queue or links).popleft()
            if path in seen:
                continue
            if len(seen) >= _MOST_FOLDERS:
                self._looks += not self._is_cut
                self._is_cut = True
                break
            place = self.places.get(path) or Place(path, root, depth)
            try:
                found = os.stat(path)  # noqa: PTH116 (thousands of them)
            except (OSError, ValueError) as error:
                if depth == 0:  # a path that was named stays, with the reason
                    seen.add(path)
                    self.places[path] = place
                    self._clear(place, getattr(error, "strerror", "") or str(error))
                    yield place
                continue
            if (found.st_dev, found.st_ino) in visited and stat.S_ISDIR(found.st_mode):
                continue
            if depth > 0 and (
                path == own_home or (found.st_dev, found.st_ino) in around or found.st_dev in system
            ):
                continue
            visited.add((found.st_dev, found.st_ino))
            seen.add(path)
            self.places[path] = place
            if not stat.S_ISDIR(found.st_mode):
                self._look_at_file(place, found)
            elif self._is_stale(place, found.st_mtime_ns):
                used = time.thread_time()
                self._list(place, found.st_mtime_ns)
                self._spent_on_news += time.thread_time() - used
            if depth >= _DEEPEST:
                if place.folders and not place.left_out:
                    place.left_out = f"folders that lie {_DEEPEST} deep were not looked into"
                    self._looks += 1
            else:
                queue.extend((below, root, depth + 1) for below in place.folders)
                links.extend((below, root, depth + 1) for below in place.links)
            yield place
        for path in [path for path in self.places if path not in seen]:
            gone = self.places.pop(path)
            self._clear(gone)
            yield gone

    def _clear(self, place: Place, error: str = "") -> None:
        """Take note that nothing is at a place any more."""
        self._release(place)
        if place.found or place.error != error:
            self._looks += 1
            self._renewed.add(place.path)
        place.found, place.folders, place.links, place.error = [], [], [], error
        place.changed, place.files, place.unreadable, place.left_out = -1, 0, [], ""

    def _is_stale(self, place: Place, changed: int) -> bool:
        if place.error or place.changed != changed or place.listed - changed / 1e9 < _SAME_TICK:
            return True
        return self._has_changed(place) or any(
            _size(place.path / name) != known for name, known in place.undecided.items()
        )

    def _has_changed(self, place: Place) -> bool:
        return any(_changed(path) != known for path, known in place.looked_into.items())

    def _look_at_file(self, place: Place, found: os.stat_result) -> None:
        """Ask of a file that was named, until a format recognises it, and again while it is short."""
        if not stat.S_ISREG(found.st_mode):
            self._clear(place, "it is no plain file")
            return
        if place.changed == found.st_mtime_ns and place.undecided.get("", -1) == found.st_size:
            return
        if place.found and place.undecided.get("", 0) >= HEAD and not self._has_changed(place):
            return
        place.changed, place.files, place.undecided = found.st_mtime_ns, 1, {"": found.st_size}
        place.newest = found.st_mtime
        place.error = ""
        self._release(place)
        folder = Folder(place.path.parent, frozenset({place.path.name}))
        self._ask(place, folder)
        place.looked_into = folder.watched

    def _list(self, place: Place, changed: int) -> None:
        """List a folder and ask of every format which runs it holds."""
        place.listed, place.changed = time.time(), changed
        self._release(place)
        folder = Folder(place.path, hidden=self._claimed)
        place.error = folder.error
        place.is_own_run = CONFIG in folder.entries and EVENTS in folder.entries
        if any(name in folder.entries for name in _ENVIRONMENT):
            folder.hide([place.path / name for name in folder.entries])
        if place.is_own_run:
            folder.hide([place.path / name for name in _OWN_FILES])
        outside = self._sort_links(folder)
        place.files = len(folder.files) + folder.passed_over
        self._ask(place, folder)
        below = [place.path / name for name in folder.folders if name not in SKIPPED]
        place.folders = [path for path in below if path.name not in folder.links]
        place.links = [path for path in below if path.name in outside]
        place.looked_into = {str(nested.path): _changed(str(nested.path)) for nested in folder.below()}
        place.looked_into |= folder.watched
        entries = [folder.entries[name] for name in folder.files[:_LOOKED_OVER]]
        place.undecided = _undecided(entries)
        place.newest = max((entry.changed for entry in entries), default=0) / 1e9
        unseen = folder.unseen
        place.left_out = f"{unseen:,} of its files were not looked into: there are too many" if unseen else ""

    def _ask(self, place: Place, folder: Folder) -> None:
        before, place.found = place.found, []
        place.unreadable = unreadable(folder)
        if any(path == place.path for path, _ in place.unreadable):
            folder.hide([place.path / name for name in folder.entries])
        self._looks += 1
        for kind in self._formats:
            try:
                claims = list(kind.claims(folder))
            except Exception as error:  # a fault in one format must not hide the runs of all others
                place.error = f"{type(error).__name__} in springtui ({kind.name}): please report it"
                continue
            place.found += [Found(kind, claim) for claim in claims]
            shared = dict.fromkeys((claim.files, claim.beside) for claim in claims)
            taken = [path for both in shared for paths in both for path in paths]
            folder.hide(taken)
            for path in taken:
                self._claimed.setdefault(path.parent, {})[path.name] = place.path
        if place.found != before:
            self._renewed.add(place.path)

    def _release(self, place: Place) -> None:
        """Forget what was claimed for a place, before it is asked for anew."""
        for both in {(claim.files, claim.beside) for _, claim in place.found}:
            for path in (path for paths in both for path in paths):
                names = self._claimed.get(path.parent, {})
                if names.get(path.name) == place.path:
                    del names[path.name]
                    if not names:
                        del self._claimed[path.parent]

    def _sort_links(self, folder: Folder) -> set[str]:
        """Names of links that lead out of the paths; those that lead to what is found anyway are hidden."""
        outside, inside = set(), []
        for name, leads_to in folder.links.items():
            target = Path(os.path.normpath(folder.path / leads_to))
            roots = [root for root in self.paths if target.is_relative_to(root)]
            if target.is_relative_to(_SYSTEM[0]) or target.is_relative_to(_SYSTEM[1]):
                folder.hide([folder.path / name])
            elif roots and not SKIPPED & set(target.relative_to(roots[0]).parts):
                inside.append(folder.path / name)
            else:
                outside.add(name)
        folder.hide(inside)
        return outside


def _undecided(entries: Sequence[Entry]) -> dict[str, int]:
    """Sizes of files that nothing claims, that are short, and that were changed not long ago."""
    now = time.time()
    young = [entry for entry in entries if entry.size < HEAD and now - entry.changed / 1e9 < _YOUNG]
    young.sort(key=lambda entry: -entry.changed)
    return {entry.name: entry.size for entry in young[:_UNDECIDED]}


def _identities(paths: Iterable[Path]) -> set[tuple[int, int]]:
    """Device and inode of each of these that is there."""
    found = set()
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            seen = path.stat()
            found.add((seen.st_dev, seen.st_ino))
    return found


def _changed(path: str) -> int:
    """When a folder was last changed, in nanoseconds; -1 where it is gone."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116
    except (OSError, ValueError):
        return -1


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return -1
