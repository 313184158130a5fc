"""One run of TensorBoard: the event files of a directory, as one log."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..batch import Batch, Remark
from ..reader import PIECE, Claim, Reader
from ..series import Series, joined
from .event_file import EventFile, Piece
from .events import Notable
from .found import Found
from .names import name_order
from .tags import SCALARS
from .writers import Span, sessions_of, span_of

_TEXT = "/text_summary"
"""What torch and others append to the tag of a text."""
_ARGUMENTS = "args"
"""The tag under which Hugging Face's trainer logs its arguments, as the text of a JSON object."""
MOST_TEXT, _LONGEST = 1 << 23, 1 << 14
"""Characters that are kept, of all texts of a run and of one."""
_TOO_MUCH_TEXT = "text beyond the first 8 MiB"
_MOST_SETTINGS = 1000
"""Settings that are taken from one text; a model's configuration may list thousands of labels."""
_MOST_ALONE = 1000
"""Points of one step that may be no resume."""
_FAR = 4
"""Times the usual distance of two points, from which on a file's first point does not belong to those after it."""
_MOST_RESTARTS = 20
"""How often a run is read again because its files turn out to be ordered otherwise; then they stay as they are."""


@dataclass(slots=True, eq=False)
class _Source:
    """One file of the run."""

    file: EventFile
    span: Span
    place: tuple[int, int] = (0, 0)
    """Its session, and its place in the session."""
    has_given: bool = False
    """Whether points of it were handed over."""
    resumes: bool = False
    """Whether it is known to go on from an earlier step."""


@dataclass(slots=True)
class _Curve:
    """What was handed over of one tag of the run."""

    giver: _Source
    """The file whose points came last."""
    highest: int
    """The highest step."""
    lowest: int
    count: int
    """Number of points that were handed over."""
    doubt: tuple[_Source, Series] | None = None
    """A later file and its points of one step, which is below the highest: they may stand alone, as of an
    evaluation. They were given; once that file goes on, they are where the training was resumed."""


@dataclass(slots=True)
class _News:
    """What one piece of a file becomes: a batch, while it is put together."""

    batch: Batch
    parts: dict[str, list[Series]] = field(default_factory=dict)
    resumed: tuple[int, float, int] | None = None
    """Step and time at which the file took over from an earlier one, and the highest step before."""


class EventReader(Reader):
    """Reads the files one after the other, in the order in which they were begun.

    A later file wins from its first step on, tag by tag. Files that were written at the same time are kept apart
    where they hold the same tag: it becomes ``tag#1``, ``tag#2``. What follows what is told by the times in the
    files; where a file that was taken for ended grows on, the run is given anew.
    """

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self._sources: list[_Source] = []
        self._apart: set[str] = set()
        """Tags that several files of one session hold."""
        self._restarts = 0
        self._is_anew = False
        self._forget()
        self._list(claim)

    def _forget(self) -> None:
        self._curves: dict[str, _Curve] = {}
        self._texts = 0
        self._owners: dict[tuple[int, str], _Source] = {}
        """By session and tag: the file that holds it."""

    def _list(self, claim: Claim) -> None:
        known = {source.file.path: source for source in self._sources}
        new = [path for path in claim.files if path not in known]
        if not new:
            return
        many = len(claim.files) > 1
        if many and len(self._sources) == 1:
            self._sources[0].span = span_of(self._sources[0].file.path)
        self._sources += [_Source(EventFile(path), span_of(path) if many else Span()) for path in new]
        self._arrange()

    def refresh(self, claim: Claim) -> None:
        """As ``Reader.refresh``. Files that are gone have been read as far as they were."""
        super().refresh(claim)
        self._list(claim)

    def _arrange(self) -> bool:
        """Find out which files follow one another; whether what was given still stands then."""
        self._sources.sort(key=lambda source: _begun(source.file.path, source.span))
        stands = True
        for source, place in zip(
            self._sources, sessions_of([source.span for source in self._sources]), strict=True
        ):
            stands = stands and (not source.has_given or source.place == place)
            source.place = place
        return stands

    def _start_over(self) -> Batch:
        """Read everything again from the next call on."""
        for source in self._sources:
            source.file.start_over()
            source.has_given = source.resumes = False
        self._forget()
        self._arrange()
        self._is_anew = True
        return self._with_sizes(Batch(more=True))

    def _with_sizes(self, batch: Batch) -> Batch:
        batch.read = sum(source.file.offset for source in self._sources)
        batch.size = sum(source.file.size for source in self._sources)
        return batch

    def poll(self, limit: int = PIECE) -> Batch:
        """As ``Reader.poll``: the next piece of the first file that has grown."""
        for i, source in enumerate(list(self._sources)):
            piece = source.file.read(limit)
            if piece.is_anew:
                source.span = Span()
                return self._start_over()
            if piece.found is None:
                continue
            if len(self._sources) > 1 and not self._may_follow(source, piece.found):
                self._restarts += 1
                return self._start_over()
            batch = self._folded(source, piece)
            if batch is None:
                return self._start_over()
            batch.anew, self._is_anew = self._is_anew, False
            batch.more = piece.more or i + 1 < len(self._sources)
            if batch or piece.more:
                return self._with_sizes(batch)
        batch = Batch(anew=self._is_anew)
        self._is_anew = False
        return self._with_sizes(batch)

    def _may_follow(self, source: _Source, found: Found) -> bool:
        """Whether these points can be handed over behind those that were."""
        is_longer = source.span.take(found.time)
        return not is_longer or self._restarts >= _MOST_RESTARTS or self._arrange()

    def _folded(self, source: _Source, piece: Piece) -> Batch | None:
        """A piece of a file as news of the run; None where the run must be read again."""
        news = _News(Batch(problems=piece.problems))
        found = piece.found
        if found is None:
            return news.batch
        start = 0
        for before, notable in found.notables:
            if notable.is_start:
                if not self._fold_points(source, found, slice(start, before), news):
                    return None
                start = before
            self._fold_notable(source, notable, news)
        if not self._fold_points(source, found, slice(start, None), news):
            return None
        for name, parts in news.parts.items():
            news.batch.points[name] = joined(parts)
        if news.resumed is not None:
            step, when, highest = news.resumed
            text = f"resumed at step {step}; what an earlier file logged up to step {highest} is left out"
            news.batch.remarks.append(Remark(step, when, text, "resumed"))
        return news.batch

    def _fold_points(self, source: _Source, found: Found, part: slice, news: _News) -> bool:
        """Fold some of the points of a piece; False where the run must be read again."""
        for number, points in source.file.parser.by_tag(found, part):
            tag = source.file.tags.names[number].decode("utf-8", "replace")
            name = self._name(source, tag)
            if name is None:
                return False
            kept = self._following(source, name, points, news)
            if kept is None:
                return False
            if not len(kept):
                continue
            source.has_given = True
            if name not in news.parts and source.file.tags.kinds[number] == SCALARS and (unit := _unit(tag)):
                news.batch.counts[name] = unit
            news.parts.setdefault(name, []).append(kept)
        return True

    def _name(self, source: _Source, tag: str) -> str | None:
        """What a tag of a file is called in the run; None where another file of its session holds it too."""
        if tag in self._apart:
            return f"{tag}#{source.place[1] + 1}"
        owner = self._owners.setdefault((source.place[0], tag), source)
        if owner is not source:
            self._apart |= {tag, *(_decoded(owner) & _decoded(source))}
            return None
        return tag

    def _following(self, source: _Source, name: str, points: Series, news: _News) -> Series | None:
        """The points that stand behind those given before; None where the run must be read again."""
        curve = self._curves.get(name)
        highest = int(points.step.max())
        if curve is None:
            self._curves[name] = _Curve(source, highest, int(points.step.min()), len(points))
            return points
        if curve.giver is not source:
            if curve.giver.place > source.place:
                if self._restarts >= _MOST_RESTARTS:
                    return points.before(int(points.step.min()))
                self._restarts += 1
                return None
            known = curve.doubt[1] if curve.doubt is not None and curve.doubt[0] is source else None
            whole = points if known is None else joined([known, points])
            first = int(whole.step[0])
            has_no_steps = curve.lowest == curve.highest and curve.count > 1
            is_back = first < curve.highest or (has_no_steps and first == curve.highest)
            if is_back and not source.resumes and _is_alone(whole):
                curve.doubt = source, whole
                return points
            if first <= curve.highest:
                points = self._take_over(source, name, whole, len(whole) - len(points), news)
            curve.giver, curve.doubt = source, None
        curve.lowest, curve.highest = min(curve.lowest, int(points.step.min())), max(curve.highest, highest)
        curve.count += len(points)
        return points

    def _take_over(self, source: _Source, name: str, whole: Series, given: int, news: _News) -> Series:
        """Let a later file's points void those before, but for first ones that lie far before the others.

        Such a value is logged before the training goes on. ``given``: points that were handed over.
        """
        start = _start(self._curves[name], whole)
        if not start:
            return self._resume(source, name, whole, news)
        points = whole.behind(start)
        kept = [part.before(int(points.step[0])) for part in news.parts.get(name, [])]
        if int(points.step[0]) <= self._curves[name].highest:
            points = self._resume(source, name, points, news)
            news.parts[name] = kept
        elif given > start:
            points, given = whole.behind(given), start
        return joined([whole.first(start).behind(given), points])

    def _resume(self, source: _Source, name: str, points: Series, news: _News) -> Series:
        """Void what earlier files logged of a tag from these points on, and give them, perhaps again.

        With the first tag that shows that a file goes on from an earlier step, so do those in doubt.
        """
        curve, first = self._curves[name], int(points.step[0])
        news.batch.cuts[name] = first
        news.parts.pop(name, None)
        step, when, most = news.resumed or (first, float(points.time[0]), curve.highest)
        news.resumed = min(step, first), when, max(most, curve.highest)
        goes_back, curve.highest = first < curve.highest, first - 1
        if goes_back and not source.resumes:
            source.resumes = True
            for other, its in self._curves.items():
                if other != name and its.doubt is not None and its.doubt[0] is source:
                    again = its.doubt[1]
                    if again.step[0] < first - _usual_distance(its):  # from before the training went on
                        continue
                    news.parts[other] = [self._resume(source, other, again, news)]
                    its.giver, its.doubt, its.highest = source, None, int(again.step.max())
        return points

    def _fold_notable(self, source: _Source, notable: Notable, news: _News) -> None:
        """Fold what a file says beside its points."""
        batch = news.batch
        for tag, text in notable.texts:
            name = tag.decode("utf-8", "replace").removesuffix(_TEXT)
            if self._texts >= MOST_TEXT:
                batch.problems[_TOO_MUCH_TEXT] += 1
            elif settings := _settings_of(name, text):
                batch.settings |= settings
                self._texts += len(text)
            else:
                batch.remarks.append(Remark(notable.step, notable.time, f"{name}: {text[:_LONGEST]}"))
                self._texts += min(len(text), _LONGEST)
        batch.settings |= notable.settings
        batch.ended = notable.ended or batch.ended
        if notable.is_start:
            self._purge(source, notable, news)

    def _purge(self, source: _Source, notable: Notable, news: _News) -> None:
        """Void what was logged from a step on, here or in earlier files: the training started there again."""
        for name, curve in self._curves.items():
            is_other_writer = curve.giver.place[0] == source.place[0] and curve.giver is not source
            if is_other_writer or curve.highest < notable.step:
                continue
            step, when, highest = news.resumed or (notable.step, notable.time, curve.highest)
            news.resumed = min(step, notable.step), when, max(highest, curve.highest)
            curve.highest, curve.doubt = notable.step - 1, None
            news.batch.cuts[name] = min(notable.step, news.batch.cuts.get(name, notable.step))
            if name in news.parts:
                news.parts[name] = [part.before(notable.step) for part in news.parts[name]]


def _usual_distance(curve: _Curve) -> float:
    """Steps from one point of a curve to the next."""
    return (curve.highest - curve.lowest) / max(curve.count - 1, 1)


def _start(curve: _Curve, points: Series) -> int:
    """The number of the first point that belongs to those after it: the step before it may lie far back."""
    rising = np.flatnonzero(points.step > points.step[0])
    if not len(rising):
        return 0
    second = int(rising[0])
    is_far = points.step[second] - points.step[0] > _FAR * _usual_distance(curve)
    return second if is_far else 0


def _is_alone(points: Series) -> bool:
    """Whether points, which are few, are all of one step."""
    return len(points) <= _MOST_ALONE and bool((points.step == points.step[0]).all())


def _decoded(source: _Source) -> set[str]:
    """The tags of a file as far as it was read."""
    return {name.decode("utf-8", "replace") for name in source.file.tags.names}


def _begun(path: Path, span: Span) -> tuple[float, tuple[int, int, int, str]]:
    """What files are ordered by: when their first point was logged; where there is none, by the names' second."""
    order = name_order(path.name)
    return (span.first if span.count else order[0] + 1.0), order


def _unit(tag: str) -> str:
    """What the steps of one of Keras's tags count; empty for other tags."""
    if tag.startswith("epoch_"):
        return "epoch"
    if tag.startswith("batch_") or (tag.startswith("evaluation_") and tag.endswith("_vs_iterations")):
        return "batch"
    return ""


def _settings_of(name: str, text: str) -> dict[str, Any]:
    """The settings in a text that is a JSON object, nested names joined by dots; none where it is another text."""
    if not text.startswith("{"):
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    settings: dict[str, Any] = {}
    waiting = [("" if name == _ARGUMENTS else name, found)]
    while waiting:
        prefix, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{prefix}.{key}" if prefix else str(key), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            settings[prefix] = json.dumps(value)
        else:
            settings[prefix] = value
    return dict(itertools.islice(reversed(settings.items()), _MOST_SETTINGS))
