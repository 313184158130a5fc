"""All runs under some paths, found and read live: what an app or a verb asks for news."""

from __future__ import annotations

import heapq
import math
import os
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

from .batch import Batch
from .finding import Found, Place, Search
from .found_run import FoundRun, Key
from .own import OtherRun, joined_to
from .reader import PIECE, Claim, Format
from .registry import FORMATS
from .relation import Relation
from .series import Series

_FRESH = 0.35
"""Seconds from one look at a log to the next where it was seen to grow within ``_FRESH_FOR`` seconds."""
_FRESH_FOR = 20.0
_LIVE = 0.6
"""The same for a log that was changed within the last hour: with it a record is seen within a second."""
_LIVE_FOR = 3600.0
_QUIET = 5.0
_QUIET_FOR = 86400.0
_OLD = 20.0
_SHARE = 0.01
"""Share of a core that looking at logs that do not grow may take; with many, looks come less often."""
_NAP = 0.1
"""Seconds to wait at least, so that all logs that are due soon are looked at together."""
_TURN = 0.1
"""Seconds after which one call of ``poll`` returns."""
_LOOK = 1 << 20
"""Bytes that are read of one log at a time: a reader takes many times as much memory for a moment."""
_LEAST = 1 << 16
"""Bytes that a look is counted for at least, so that a call does not go on for ever where nothing is read."""
_FAULTS = 3


class Source:
    """The runs under files and folders that a person named, found and read a little at a time, live.

    One thread calls ``scan`` and ``poll`` in turn, ``wait`` seconds apart at most; neither raises for anything
    that files hold::

        source = Source([Path("logs")])
        while True:
            source.scan(0.05)
            for number, batch in source.poll():
                columns[number].take(batch)
            time.sleep(source.wait)

    ``runs`` grows while it looks, and is never shortened: a run whose files vanish is marked ``is_gone``, and one
    that turned out to be another, as a text that becomes a table, has ``instead``. The source keeps no points.

    A training may write its loads by a probe, in a run directory of springtui, and its losses by another tool.
    Where that directory is the other tool's folder, or lies in it or around it, and their times overlap, they are
    one run: ``own`` of the ``FoundRun`` is that directory. ``own_runs`` lists the directories that belong to none.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        formats: Sequence[Format] | None = None,
        names: Mapping[Path, str] | None = None,
    ) -> None:
        """``names``: by path, how a person calls it, where that is another way."""
        self._search = Search(paths, FORMATS if formats is None else formats)
        self.runs: dict[Key, FoundRun] = {}
        """In the order in which they were found."""
        self.own_runs: list[Path] = []
        """Run directories of springtui under these paths that belong to no run of another tool."""
        self.changes = 0
        """Grows whenever something about a run changes that is no news of its log."""
        self._relation = Relation(self.runs)
        self.named = [(names or {}).get(path, str(path)) for path in paths]
        """The paths as a person called them."""
        self._at: dict[Path, list[FoundRun]] = {}
        """By place, the runs that are claimed there."""
        self._by_number: list[FoundRun] = []
        self._unread: set[int] = set()
        """Numbers of the runs that have not been read to their ends once."""
        self._due: list[tuple[float, int]] = []
        """(when, number) of the runs to look at, the earliest first; those never read, newest first, lead."""
        self._was_looking = True
        self._ready: deque[FoundRun] = deque()
        """Runs of which more can be read at once."""
        self._leaders: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        """By what several runs are read from, the number of the one that is looked at for all, ..."""
        self._led: set[int] = set()
        """... and the numbers of the others."""
        self._cost = 1e-5
        """Seconds of a core that a look at a log that has not grown takes, on average."""

    @property
    def paths(self) -> list[Path]:
        """The paths that were named, made absolute."""
        return self._search.paths

    def scan(self, budget: float = 0.05) -> bool:
        """Look for runs for about ``budget`` seconds; whether there is more to look through at once."""
        news = self._search.step(budget)
        for place in news:
            self._take(place)
        if self._was_looking and not self._search.is_looking:
            self._join()
        self._was_looking = self._search.is_looking
        return self._was_looking

    def scan_again(self) -> None:
        """Have the next ``scan`` look through all paths anew, without waiting until it is time to."""
        self._search.hurry()

    @property
    def is_scanned(self) -> bool:
        """Whether all paths have been looked through once: runs found from now on are new."""
        return self._search.is_complete

    @property
    def is_read(self) -> bool:
        """Whether all runs found by now have been read to the end that they had."""
        return not self._unread

    @property
    def is_caught_up(self) -> bool:
        """Whether all paths were looked through, all runs read to the end that they had, and compared."""
        return self.is_scanned and self.is_read and not self._ready and self._relation.is_known

    @property
    def wait(self) -> float:
        """Seconds until ``scan`` or ``poll`` has something to do."""
        if self._ready or self._search.is_looking or not self._search.is_complete:
            return 0.0
        due = self._due[0][0] - time.monotonic() if self._due else math.inf
        return max(_NAP, min(self._search.wait, due))

    @property
    def files(self) -> int:
        """Plain files that were looked over by now."""
        return self._search.files

    @property
    def newest(self) -> float:
        """When the newest of them was changed, in seconds since the epoch; 0 where that is long ago."""
        return self._search.newest

    @property
    def problems(self) -> dict[Path, str]:
        """By path, why it cannot be looked through."""
        return self._search.errors

    @property
    def unreadable(self) -> dict[Path, str]:
        """By path of a log that is recognised and that springtui does not read, what it is, in words."""
        return self._search.unreadable

    def run(self, number: int) -> FoundRun:
        """The run of a number."""
        return self._by_number[number]

    def poll(self, limit: int = PIECE) -> list[tuple[int, Batch]]:
        """News of runs: (number, batch) in order of time, from about ``limit`` bytes of logs in all.

        Each run that is due gets its turn; those never read come first, the newest at the head.
        """
        news: list[tuple[int, Batch]] = []
        start, spent, looks = time.monotonic(), time.thread_time(), 0
        while limit > 0 and (run := self._next_run()) is not None:
            batch, before = self._look(run, min(limit, _LOOK)), run.read
            run.sketch.take(batch)
            run.has_settings = run.has_settings or bool(batch.settings)
            run.read, run.size = batch.read, batch.size
            limit -= max(_LEAST, run.read - before)
            if batch.more:
                self._ready.append(run)
            else:
                self._put_off(run, has_grown=run.is_complete and bool(batch))
                run.is_complete = True
                self._unread.discard(run.number)
            self._relation.note(run)
            looks += 1
            if batch:
                news.append((run.number, batch))
            if time.monotonic() - start > _TURN:
                break
        if looks and not news and not self._ready:
            self._cost += 0.1 * ((time.thread_time() - spent) / looks - self._cost)
        if not self._ready:
            self.changes += self._relation.tell_again(is_read=self.is_read)
        return news

    def relate(self) -> None:
        """Tell of each run whether it is the same training as another one, by what was read of both until now.

        ``poll`` calls it now and then; it costs nothing where all runs are of one format.
        """
        self.changes += self._relation.tell()

    def close(self) -> None:
        """Let go of all open files."""
        for run in self._by_number:
            if run.reader is not None:
                run.reader.close()
                run.reader = None

    def _next_run(self) -> FoundRun | None:
        """The run whose turn it is; those that are due go before those of which more can be read."""
        while self._due and self._due[0][0] <= time.monotonic():
            when, number = heapq.heappop(self._due)
            if self._by_number[number].due == when:
                return self._by_number[number]
        return self._ready.popleft() if self._ready else None

    def _look(self, run: FoundRun, limit: int) -> Batch:
        if run.instead is not None or run.is_gone:
            return Batch(read=run.read, size=run.size)
        try:
            if run.reader is None:
                run.reader = run.format.reader(run.claim)
            batch = run.reader.poll(limit)
        except Exception as error:  # a fault in one format must not end the watching of all other runs
            run.faults += 1
            name = type(error).__name__
            return Batch(
                problems=Counter({f"{name} in springtui: please report it": 1}), read=run.read, size=run.size
            )
        if run.since == math.inf and batch.points:
            run.since = min(_first_time(points) for points in batch.points.values())
        if run.is_anew:
            batch.anew, run.is_anew = True, False
        return batch

    def _put_off(self, run: FoundRun, *, has_grown: bool) -> None:
        """Say when to look at a run again."""
        if run.instead is not None or run.is_gone or run.faults >= _FAULTS:
            return
        now = time.time()
        is_leader = self._is_leader(run)
        has_found = is_leader and self._wake_others(run)
        if has_grown or has_found:
            run.changed = run.grown = now
        since = now - run.changed
        if now - run.grown < _FRESH_FOR:
            pause = _FRESH
        elif since < _LIVE_FOR:
            pause = _LIVE
        else:
            pause = _QUIET if since < _QUIET_FOR else _OLD
        if not is_leader:
            pause = _OLD
        often = len(self._by_number) - len(self._led)
        self._look_at(run, time.monotonic() + max(pause, min(_OLD, often * self._cost / _SHARE)))

    def _wake_others(self, run: FoundRun) -> bool:
        """Look at once at the runs whose news a look at this one has found; whether there are any."""
        names = run.reader.waiting() if run.reader is not None else ()
        for name in names:
            other = self.runs.get((run.claim.format, run.claim.folder, name))
            if other is not None and other.due > time.monotonic():
                self._look_at(other, 0.0)
        return bool(names)

    def _is_leader(self, run: FoundRun) -> bool:
        """Whether it is the run that is looked at for all that share its log; true where it shares none."""
        shared = run.reader.shared if run.reader is not None else None
        if shared is None:
            return True
        leader = self._by_number[self._leaders.setdefault(shared, run.number)]
        if leader.reader is None or leader.reader.shared is not shared:
            leader = run
            self._leaders[shared] = run.number
        (self._led.discard if leader is run else self._led.add)(run.number)
        return leader is run

    def _look_at(self, run: FoundRun, when: float) -> None:
        """Look at a run at some time, and no earlier or later."""
        run.due = when
        heapq.heappush(self._due, (when, run.number))

    def _take(self, place: Place) -> None:
        """Take note of the runs that a place holds now."""
        before = {run.key: run for run in self._at.get(place.path, [])}
        new = [found for found in place.found if found.claim.key not in before]
        here = [self._renew(before.pop(f.claim.key), f, place) for f in place.found if f.claim.key in before]
        here += [self._renew(_same_file(before, found), found, place) for found in new]
        self._at[place.path] = [*here, *(run for run in before.values() if self._keep(run, here))]

    def _renew(self, run: FoundRun | None, found: Found, place: Place) -> FoundRun:
        """The run of a claim: a known one that is told of it, else a new one."""
        name = self._name(found.claim, place)
        self.changes += 1
        run = run or self.runs.get(found.claim.key)
        if run is None:
            run = FoundRun(len(self._by_number), found, name)
            self._by_number.append(run)
            self._unread.add(run.number)
            self._look_at(run, -run.changed)
        else:
            self.runs.pop(run.key, None)
            if run.reader is not None and run.claim != found.claim:
                run.reader.refresh(found.claim)
            if run.is_gone:
                self._look_at(run, 0.0)
            run.claim, run.name, run.is_gone = found.claim, name, False
        self.runs[run.key] = run
        return run

    def _keep(self, run: FoundRun, others: Sequence[FoundRun]) -> bool:
        """Whether a run that is claimed no more stays a run: its log is not what another run is read from."""
        taken = {file: other.number for other in others for file in (*other.claim.files, *other.claim.beside)}
        run.instead = next((taken[file] for file in run.claim.files if file in taken), None)
        if run.instead is not None:
            del self.runs[run.key]
        run.is_gone = not any(os.path.lexists(file) for file in run.claim.files)
        if run.is_gone or run.instead is not None:
            self._unread.discard(run.number)
            if run.reader is not None:
                run.reader.close()
                run.reader, run.is_anew = None, True
        return run.instead is None

    def _join(self) -> None:
        """Tell which run directories of springtui hold the loads of which runs."""
        own = [path for path, place in self._search.places.items() if place.is_own_run]
        runs = list(self.runs.values())
        belongs = joined_to([OtherRun(run.claim.folder, run.since, run.changed) for run in runs], own)
        for run, directory in zip(runs, belongs, strict=True):
            if run.own != directory:
                run.own = directory
                self.changes += 1
        self.own_runs = [path for path in own if path not in belongs]

    def _name(self, claim: Claim, place: Place) -> str:
        named, root = self.named[place.root], self.paths[place.root]
        inside = claim.folder.relative_to(root).as_posix() if claim.folder.is_relative_to(root) else "."
        if len(self.paths) > 1:
            inside = named if inside == "." else f"{named.rstrip('/')}/{inside}"
        is_file = root in claim.files and claim.run == root.name
        return f"{inside}#{claim.run}" if claim.run and not is_file else inside


def _same_file(runs: dict[Key, FoundRun], found: Found) -> FoundRun | None:
    """Of runs that are claimed no more, and taken from them, the one that a claim under a new name is of."""
    for key, run in runs.items():
        if run.format is found.format and run.claim.files[:1] == found.claim.files[:1]:
            return runs.pop(key)
    return None


def _first_time(points: Series) -> float:
    """When the first of these points was logged; infinite where the log does not say."""
    return float(points.time[0]) if len(points) and math.isfinite(points.time[0]) else math.inf
