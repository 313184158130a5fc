"""What a reader hands over: the news of one run since the batch before."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .series import Series


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that happened in a run: it was resumed, a note was logged, a text was written."""

    step: int | None
    """None where it belongs to no step."""
    time: float
    """Seconds since the epoch; NaN where the log does not say."""
    text: str
    kind: str = "note"
    """note, resumed or warning."""


@dataclass(slots=True)
class Batch:
    """News of a run, to be folded in the order of the fields: ``anew``, ``cuts``, ``points``, the rest."""

    anew: bool = False
    """All that was given before is void: the log was replaced, cut, or written again otherwise."""
    cuts: dict[str, int] = field(default_factory=dict)
    """By tag: its points from this step on, given in earlier batches, are void: a resumed run logged again."""
    points: dict[str, Series] = field(default_factory=dict)
    """By tag, as it was logged: the new points, in the order in which they were logged."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the training that became known: plain values (str, float, int, bool, None), nested names joined
    by dots."""
    remarks: list[Remark] = field(default_factory=list)
    counts: dict[str, str] = field(default_factory=dict)
    """By tag: what its steps count where not the optimiser's steps: epoch, batch, sample, episode, timestep,
    round, iteration, line or call."""
    axes: dict[str, str] = field(default_factory=dict)
    """By tag: the tag that the training declared to be its horizontal axis (of wandb, ``define_metric``)."""
    console: bytes = b""
    """What the training printed, where the log holds it."""
    problems: Counter[str] = field(default_factory=Counter)
    """How often something was left out in this batch, by what it was, in words: ``damaged record``."""
    ended: str = ""
    """finished, failed or stopped, where the log says that the training has ended."""
    name: str = ""
    """The name that a person gave the run, where the log tells it."""
    read: int = 0
    """Bytes of the log that have been read by now."""
    size: int = 0
    """Bytes that the log holds now, as far as it is known."""
    more: bool = False
    """Whether more can be read at once: the batch was bounded. False once the present end is reached."""

    def __bool__(self) -> bool:
        """Whether there is any news in it."""
        return bool(
            self.anew or self.cuts or self.points or self.settings or self.remarks or self.counts or self.axes
            or self.console or self.problems or self.ended or self.name
        )  # fmt: skip
