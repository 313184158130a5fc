"""Blocks of lines made to batches: a line's step, what a tag's steps count, and where a run was resumed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..axis_names import COUNTS, plain
from ..batch import Batch, Remark
from ..resumes import Resumes
from ..series import Floats, Ints, Series, joined
from .block import Block
from .keys import EPOCH, MMENGINE_VAL, PARTS, Keys, Role
from .plain import time_of
from .tags import NEVER, Bools, News, Tag, backward, goes_back

BY_STEP, BY_EPOCH, BY_LINE = 0, 1, 2
_SHARED = ("time", "data_time")
"""What MMEngine's lines hold in training, with iterations as steps, and in validation, with epochs."""

_BELOW = 1 << 54
"""More than any two steps or epochs lie apart."""

Grouped = Callable[[Any, Any, Any, int], tuple[Any, Any, Any]]


def by_node(node: Any, line: Any, value: Any, nodes: int) -> tuple[Any, Any, Any]:
    """As that of ``walker``, without compiled code."""
    order = np.argsort(node, kind="stable")
    bounds = np.zeros(nodes + 1, dtype=np.int64)
    np.cumsum(np.bincount(node, minlength=nodes), out=bounds[1:])
    return bounds, line[order], value[order]


class Fold:
    """Folds the blocks of one log, in their order."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._records = 0
        self._step = math.nan
        """The last step that a line said."""
        self._has_steps = False
        self._highest = NEVER
        """How far the run's counter was since the beginning, or since the run was resumed."""
        self._iteration = (math.nan, math.nan)
        """Step and epoch of MMEngine's last line about training."""
        self._tags: dict[tuple[int, int], Tag] = {}
        """By node and part."""
        self._by_node: dict[int, list[Tag]] = {}
        self._names: set[str] = set()
        self._counts = {BY_STEP: "", BY_EPOCH: "epoch", BY_LINE: "line"}
        self._resumes = Resumes()
        self._epoch = math.nan
        """The last epoch that a line said."""
        self._open_at = -1
        """The line of this block from which on points may turn out to be those of a resumed training."""
        self._spared: set[Tag] = set()
        """Tags with a counter of their own when the steps last went back."""
        self._since: dict[Tag, list[Series]] = {}
        """The points that were handed over from such a line on."""
        self._again: dict[Tag, list[Series]] = {}
        """Those that are handed over again, since they became void together with those before."""

    def take(self, block: Block, text: bytes, grouped: Grouped = by_node) -> Batch:
        """The news of a block; ``text`` is what its dates stand in."""
        batch = Batch()
        n = block.lines
        if not n:
            return batch
        steps, modes, parts = self._steps(block)
        times = block.time[:n].copy()
        for line in np.flatnonzero(block.date[:n, 0] >= 0).tolist():
            start, stop = block.date[line]
            times[line] = time_of(text[start:stop].decode("ascii"))
        news = self._grouped(block, steps, modes, parts, grouped)
        self._resume(block, news, steps, modes, times, batch)
        self._learn_counts(block)
        for tag, found in news.items():
            self._give(tag, found, steps, modes, times, batch)
        for tag, again in self._again.items():
            if len(whole := joined(again)):
                tag.highest = max(tag.highest, float(whole.step.max()))
                new = batch.points.get(tag.name)
                batch.points[tag.name] = whole if new is None else joined([whole, new])
        self._again = {}
        self._records += n
        return batch

    def _steps(self, block: Block) -> tuple[Ints, npt.NDArray[np.int8], npt.NDArray[np.int8]]:
        """By line: its step, what that counts, and its part."""
        n = block.lines
        said, epoch, parts = block.step[:n], block.epoch[:n], block.part[:n]
        is_said = said == said
        index = np.arange(n)
        is_val, by_val_epoch = self._mmengine(block, is_said)
        is_said &= ~by_val_epoch
        parts = np.where(is_val & (parts == 0), np.int8(MMENGINE_VAL), parts)
        last = np.maximum.accumulate(np.where(is_said, index, -1))
        steps = np.where(last >= 0, said[last], self._step)
        modes = np.zeros(n, dtype=np.int8)
        unknown = steps != steps
        if unknown.any():
            by_epoch = unknown & (epoch == epoch)
            by_line = unknown & ~by_epoch
            steps = np.where(by_epoch, epoch, np.where(by_line, index + self._records, steps))
            modes[by_epoch], modes[by_line] = BY_EPOCH, BY_LINE
        if last[-1] >= 0:
            self._step = float(said[last[-1]])
        steps, modes = np.where(by_val_epoch, said, steps), np.where(by_val_epoch, np.int8(BY_EPOCH), modes)
        return steps.astype(np.int64), modes, parts

    def _mmengine(self, block: Block, is_said: Bools) -> tuple[Bools, Bools]:
        """By line, whether it is MMEngine's about a validation, and whether its key ``step`` then holds the epoch.

        Its lines about training say ``iter`` and ``step``, which are the same, and mostly ``epoch``.
        """
        iteration, step = self._keys.root("iter"), self._keys.root("step")
        n = block.lines
        if iteration < 0 or step < 0:
            return np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
        has_iteration = np.zeros(n, dtype=np.bool_)
        has_iteration[block.line[: block.points][block.node[: block.points] == iteration]] = True
        by_step = block.step_node[:n] == step
        epoch = np.full(n, np.nan)
        at_epoch = block.node[: block.points] == self._keys.root(EPOCH)
        epoch[block.line[: block.points][at_epoch]] = block.value[: block.points][at_epoch]
        is_training = is_said & by_step & has_iteration
        last = np.maximum.accumulate(np.where(is_training, np.arange(n), -1))
        known_step = np.where(last >= 0, block.step[:n][last], self._iteration[0])
        known_epoch = np.where(last >= 0, epoch[last], self._iteration[1])
        if last[-1] >= 0:
            self._iteration = float(known_step[-1]), float(known_epoch[-1])
        said = block.step[:n]
        is_val: Bools = by_step & ~has_iteration & (epoch != epoch) & (known_step == known_step)
        by_epoch: Bools = is_val & (said < known_step) & ~(said > known_epoch)
        return is_val, by_epoch

    def _grouped(
        self, block: Block, steps: Ints, modes: npt.NDArray[np.int8], parts: npt.NDArray[np.int8], grouped: Grouped
    ) -> dict[Tag, News]:
        """By tag: its points, without those that only say the step again."""
        p = block.points
        bounds, lines, values = grouped(block.node[:p], block.line[:p], block.value[:p], len(self._keys))
        has_parts = bool(parts.any())
        found: list[tuple[int, int, int, News]] = []
        for node in np.flatnonzero(np.diff(bounds)).tolist():
            at, of = lines[bounds[node] : bounds[node + 1]], values[bounds[node] : bounds[node + 1]]
            role = self._keys.nodes[node].role
            if role is Role.STEP:
                other = of != steps[at]
                at, of = at[other], of[other]
            elif role is Role.EPOCH:
                other = ~((modes[at] == BY_EPOCH) & (of == block.epoch[at]) & (steps[at] == of))
                at, of = at[other], of[other]
            if not has_parts or role is Role.EPOCH:
                if len(at):
                    found.append((int(at[0]), node, 0, News(at, of)))
                continue
            named = self._named_parts(node)[parts[at]]
            for part in np.unique(named).tolist():
                mine = named == part
                found.append((int(at[mine][0]), node, part, News(at[mine], of[mine])))
        return {self._tag(node, part): news for _, node, part, news in sorted(found, key=lambda one: one[:3])}

    def _named_parts(self, node: int) -> Ints:
        """By part, the part that a key's tag is named after; 0 where the tag needs no part's name."""
        tag = self._keys.nodes[node].tag
        return np.array([part if _name(tag, part) != tag else 0 for part in range(MMENGINE_VAL + 1)])

    def _tag(self, node: int, part: int) -> Tag:
        found = self._tags.get((node, part))
        if found is None:
            of = self._keys.nodes[node]
            name, count = _name(of.tag, part), 1
            while name in self._names:
                count += 1
                name = f"{_name(of.tag, part)} #{count}"
            self._names.add(name)
            found = self._tags[node, part] = Tag(name, of.role in (Role.STEP, Role.EPOCH))
            self._by_node.setdefault(node, []).append(found)
        return found

    def _resume(
        self,
        block: Block,
        news: dict[Tag, News],
        steps: Ints,
        modes: npt.NDArray[np.int8],
        times: Floats,
        batch: Batch,
    ) -> None:
        """Find where the run was resumed; void what it had logged from there on, and remember the highest steps.

        A tag resumes where its step is below its last one. Tags with counters of their own, whose steps are below
        those of the lines around them, are not touched when others resume.
        """
        main = self._counter(steps, modes)
        high = np.maximum(np.maximum.accumulate(main), self._highest)
        starts: list[int] = []
        lines = backward(main, high, self._highest, 0)
        while lines and len(starts) < self._resumes.room:
            line = lines.pop()
            since = starts[-1] if starts else -1
            of = self._of(line, block, news)
            if not any(goes_back(tag, found, line, since, main, high) for tag, found in of if not tag.is_counter):
                continue
            starts.append(line)
            for tag in self._tags.values():
                if tag.is_main and tag.reached >= main[line]:
                    tag.reached = NEVER
            high[line:] = np.maximum.accumulate(main[line:])
            lines = backward(main, high, NEVER, line)
        self._highest = int(high[-1])
        is_main = main >= high
        self._find_resumes(block, starts, main, is_main, steps, times, news, batch)
        for tag, found in news.items():
            if tag.is_counter:  # in lines with a counter of their own it says nothing of the run's epoch
                kept = is_main[found.lines] | (modes[found.lines] == BY_LINE)
                found.kept = kept if found.kept is None else found.kept & kept
            last = found.lines[-1]
            tag.is_main = bool(is_main[last])
            is_before_start = any(last < line and main[last] >= main[line] for line in starts)
            tag.reached = NEVER if is_before_start and tag.is_main else int(main[last])

    def _find_resumes(
        self,
        block: Block,
        starts: list[int],
        main: Ints,
        is_main: Bools,
        steps: Ints,
        times: Floats,
        news: dict[Tag, News],
        batch: Batch,
    ) -> None:
        """Void what is logged again, where the lines behind a step backwards prove a resume."""
        known = np.concatenate(([self._epoch], block.epoch[: block.lines]))
        last = np.maximum.accumulate(np.where(known == known, np.arange(len(known)), 0))
        epochs = known[last]
        self._epoch = float(epochs[-1])
        bounds = [*starts, len(main)]
        for number, end in enumerate(bounds):
            begin = bounds[number - 1] if number else 0
            if number:
                self._since, self._spared = {}, self._with_counters(begin, news, is_main)
                self._resumes.begin(
                    int(main[begin]), int(steps[begin]), float(times[begin]), epochs[begin : begin + 2].tolist()
                )
            counters = main[begin:end][is_main[begin:end] & (main[begin:end] > NEVER)]
            if (start := self._resumes.go_on(counters)) is None:
                continue
            self._cut(begin, start.step, news, steps, batch)
            self._again = {tag: [part.before(start.step) for part in parts] for tag, parts in self._again.items()}
            if not number:
                since, self._since = self._since, {}
                for tag in since.keys() - self._spared:
                    self._again[tag] = [part.since(start.step) for part in since[tag]]
            batch.remarks.append(Remark(start.step, start.time, f"resumed at step {start.step}", "resumed"))
        self._open_at = begin
        if self._resumes.start is None:
            self._since, self._open_at = {}, -1

    def _counter(self, steps: Ints, modes: npt.NDArray[np.int8]) -> Ints:
        """[lines]: a number that falls where the run was resumed: the step, below all of them the epoch.

        Epochs count until the log says a step. Lines that say neither, and validations by epoch, have the least.
        """
        is_by_epoch = modes == BY_EPOCH
        if self._has_steps:
            is_by_epoch[:] = False
        elif (by_step := np.flatnonzero(modes == BY_STEP)).size:
            is_by_epoch[by_step[0] :] = False
            self._has_steps = True
        return np.where(modes == BY_STEP, steps, np.where(is_by_epoch, steps - _BELOW, NEVER))

    def _of(self, line: int, block: Block, news: dict[Tag, News]) -> list[tuple[Tag, News]]:
        """The tags of a line."""
        first, last = np.searchsorted(block.line[: block.points], [line, line + 1]).tolist()
        tags = [tag for node in block.node[first:last].tolist() for tag in self._by_node.get(node, ())]
        return [(tag, news[tag]) for tag in tags if tag in news and news[tag].holds(line)]

    def _learn_counts(self, block: Block) -> None:
        """What the log's steps count, by the key of the last."""
        nodes = block.step_node[: block.lines]
        said = nodes[nodes >= 0]
        if len(said):
            self._counts[BY_STEP] = COUNTS.get(plain(self._keys.nodes[int(said[-1])].tag), "")

    def _give(
        self,
        tag: Tag,
        found: News,
        steps: Ints,
        modes: npt.NDArray[np.int8],
        times: Floats,
        batch: Batch,
    ) -> None:
        """Hand over a tag's points."""
        lines, values = found.lines, found.values
        if found.kept is not None:
            lines, values = lines[found.kept], values[found.kept]
        if tag.is_counter and len(lines):  # said in every line, it is new where it changes
            at = steps[lines]
            same_step = at == np.concatenate(([tag.last_step], at[:-1]))
            fresh = ~(same_step & (values == np.concatenate(([tag.last_value], values[:-1]))))
            lines, values = lines[fresh], values[fresh]
        if not len(lines):
            return
        last = lines[-1]
        tag.last_step, tag.last_value = float(steps[last]), float(values[-1])
        tag.highest = max(tag.highest, float(steps[lines].max()))
        # The values of a tag are a part of those of all; copied, they can be let go of one by one.
        if self._open_at >= 0:
            fresh = lines >= self._open_at
            self._since.setdefault(tag, []).append(Series(steps[lines[fresh]], values[fresh], times[lines[fresh]]))
        if len(lines) == len(steps):  # steps and times are the same for all such tags
            batch.points[tag.name] = Series(steps, values.copy(), times)
        else:
            batch.points[tag.name] = Series(steps[lines], values.copy(), times[lines])
        counts = self._counts[int(modes[last])]
        if counts != tag.counts:
            batch.counts[tag.name] = counts or "step"
            tag.counts = counts

    def _with_counters(self, line: int, news: dict[Tag, News], is_main: Bools) -> set[Tag]:
        """The tags with a counter of their own, as their last points before a line tell."""
        found = set()
        for tag in self._tags.values():
            of = news.get(tag)
            before = of.before(line) if of is not None else 0
            if not (is_main[of.lines[before - 1]] if of is not None and before else tag.is_main):
                found.add(tag)
        return found

    def _cut(self, line: int, step: int, news: dict[Tag, News], steps: Ints, batch: Batch) -> None:
        """Void what was logged from ``step`` on before ``line``, but for tags with a counter of their own."""
        for tag in self._tags.values():
            if tag in self._spared:
                continue
            found = news.get(tag)
            if found is not None and (before := found.before(line)):
                if found.kept is None:
                    found.kept = np.ones(len(found.lines), dtype=np.bool_)
                found.kept[:before] &= steps[found.lines[:before]] < step
            if tag.highest >= step:
                batch.cuts[tag.name] = min(step, batch.cuts.get(tag.name, step))
                tag.highest = step - 1
            if tag.last_step >= step:
                tag.last_step = math.nan


def _name(tag: str, part: int) -> str:
    """A tag's name in lines about a part of the samples."""
    if not part or (part == MMENGINE_VAL and tag not in _SHARED):
        return tag
    word = "val" if part == MMENGINE_VAL else PARTS[part - 1]
    return tag if tag.startswith(word) else f"{word}/{tag}"
