"""Steps that grow throughout a training, from the epochs, steps and shares that its lines name."""

from __future__ import annotations

import numpy as np

from ..series import Ints

_ROUNDS = frozenset(["batch", "minibatch", "it", "itr"])
"""Words for what is counted anew in every epoch; a step or an iteration is not, unless an epoch says so."""
_MOST_EPOCHS = 100_000
_LARGEST = 2**62


class Axis:
    """Places the lines of one kind.

    Within an epoch lines count batches from the start of the epoch, or go on counting: which one is seen when the
    epoch changes. An epoch is as long as its lines say (``[3/60]``), else as the largest batch that was printed.
    """

    def __init__(self) -> None:
        self.step: int | None = None
        """Of the line before."""
        self._epoch: int | None = None
        self._at: int | None = None
        self._offset = 0
        """Steps of all epochs before this one."""
        self._offsets: dict[int, int] = {}
        """By epoch, the steps before it."""
        self._length = 0
        """Steps of the present epoch, as far as is known."""
        self._stride = 0
        """The largest distance between two lines of an epoch."""
        self._goes_on: bool | None = None
        """Whether steps are counted on from epoch to epoch; None until the epoch has changed."""

    def place(
        self, epoch: int | None, at: int | None, total: int | None, word: str, stated: bool
    ) -> tuple[int, bool]:
        """The step of the next line, and whether the training went back, as a resumed one does.

        ``stated``: the line itself names the epoch; else it is that of an earlier line.
        """
        if at is None:
            step = epoch or 0
        else:
            self._turn(epoch, at, total, word, stated)
            step = self._offset + at
        step = min(step, _LARGEST)
        went_back = self.step is not None and step < self.step
        self.step = step
        return step, went_back

    def go_on(self, named: Ints) -> Ints | None:
        """The steps [n] of further lines in the same epoch; None where they go back or grow too large."""
        if self._at is None or self.step is None or named[0] < self._at:
            return None
        last = int(named[-1])
        if self._offset + last > _LARGEST:
            return None
        largest = max(int(named[0]) - self._at, int(np.diff(named).max(initial=0)))
        self._stride, self._length = max(self._stride, largest), max(self._length, last)
        self._at, self.step = last, self._offset + last
        return named + self._offset

    def go_on_in_epochs(self, named: Ints) -> Ints | None:
        """The same [n] of lines that name an epoch and no step."""
        if self.step is None or named[0] < self.step:
            return None
        self.step = int(named[-1])
        return named

    def _turn(self, epoch: int | None, at: int, total: int | None, word: str, stated: bool) -> None:
        last, self._at = self._at, at
        before, self._epoch = self._epoch, epoch
        if last is None:
            if stated and epoch and total:
                self._offset = (epoch - 1) * total  # counted from 1, or epoch 0 would have come before
        elif epoch is not None and before is not None and epoch > before:
            if at <= last:
                self._goes_on = False
            elif self._goes_on is None:
                self._goes_on = total is None or last + self._stride < total
            if not self._goes_on:
                self._offset += self._length * (epoch - before)
                self._length = 0
        elif epoch is not None and before is not None and epoch < before:
            self._offset = 0 if self._goes_on else self._offsets.get(epoch, 0)
        elif at < last:
            # Within an epoch that the line states, a bar is set back to 0 before the epoch's number changes.
            is_complete = total is not None and last + self._stride >= total
            if not stated and (is_complete or word in _ROUNDS):
                self._offset += self._length
                self._length = 0
        else:
            self._stride = max(self._stride, at - last)
        self._length = max(self._length, at, total or 0)
        if epoch is not None and len(self._offsets) < _MOST_EPOCHS:
            self._offsets.setdefault(epoch, self._offset)
