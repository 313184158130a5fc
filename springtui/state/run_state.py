"""The state of a run, folded from its records."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.measures.registry import DISTANCE, NETWORK_MEASURES, PROBES, rises
from engine.runs.records import (
    Acknowledged,
    Cell,
    Console,
    Curve,
    Ended,
    Event,
    Health,
    Note,
    Scalars,
    Started,
    Usage,
)
from engine.runs.status import Status
from engine.runs.towers import RecordedTower, towers_of

from .history import HISTORY_POINTS, History
from .layer_history import LayerHistory
from .tower import ECHOES, TowerCurves, add_echo, finite_numbers, point_names

__all__ = ["ECHOES", "HISTORY_POINTS", "History", "RunState", "has_logits", "points_of", "signed_curve"]

WARNINGS = 50
"""Number of warnings that are kept."""
USAGES = 240
"""Number of measurements of the machine's use that are kept."""


@dataclass
class RunState:
    """The state of a run after some of its records."""

    run_id: str
    status: Status = Status.STARTING
    layers: list[str] = field(default_factory=list)
    total: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings in force, from the worker's records."""
    facts: dict[str, Any] = field(default_factory=dict)
    initial: Curve | None = None
    latest: Curve | None = None
    """The first and the newest curve, of the main tower where a model has several."""
    echoes: deque[Curve] = field(default_factory=lambda: deque(maxlen=ECHOES))
    """Earlier curves, oldest first."""
    history: dict[str, History] = field(default_factory=dict)
    """Finite numbers by name: those of curves over epochs or steps, those logged between curves over steps."""
    logged: dict[str, float] = field(default_factory=dict)
    """The newest number of each name that was logged after the newest curve with that name; perhaps not finite."""
    step: int = 0
    """The step of the newest numbers that were logged between curves."""
    epoch: float | None = None
    """The epochs done when the training last logged them; over steps they are in ``history``."""
    others: dict[str, TowerCurves] = field(default_factory=dict)
    """By path, the curves of towers other than the main one."""
    separations: dict[str, LayerHistory] = field(default_factory=dict)
    """By path, the curves D_0 … D_L by measure over steps, one value for each point of the curve."""
    health: dict[str, LayerHistory] = field(default_factory=dict)
    """By path, the measures of layer health over steps."""
    usage: deque[Usage] = field(default_factory=lambda: deque(maxlen=USAGES))
    """What the process that writes the run used of its machine, oldest first."""
    console: int = 0
    """Bytes of ``console.log`` that had been written by the newest record."""
    started: float = 0.0
    resumed: float = 0.0
    """Times when the first worker and the present one began, in seconds since the epoch."""
    is_behind: bool = False
    """Whether a setting changed after the newest curve was measured."""
    ended: Ended | None = None
    refused: str = ""
    """Why the worker refused the last request."""
    note: str = ""
    warnings: tuple[Note, ...] = ()
    """The newest warnings of the worker, and its messages of errors."""
    lost: int = 0
    """Number of workers that a sweep's executor lost since the present worker began."""
    cells: dict[tuple[int, int], Cell] = field(default_factory=dict)
    """A sweep's finished members, by cell and member."""
    done: int = 0
    """Number of finished members, as the worker counts them."""
    present: dict[tuple[int, int], Cell] = field(default_factory=dict)
    """A sweep's members under way, by cell and member."""
    records: int = 0
    heard: float = 0.0
    """Time of the newest record, in seconds since the epoch."""

    @property
    def is_over(self) -> bool:
        """Whether the run has ended, by its last record or for lack of a worker."""
        return self.status.is_over

    @property
    def at(self) -> int:
        """Epochs, steps, or a sweep's members done; where a network is trained anew, epochs of that training."""
        if self.latest is None:
            return self.done or self.step
        epochs = self.latest.scalars.get("epochs")
        return self.latest.at if epochs is None else round(epochs)

    @property
    def goal(self) -> int:
        """Epochs, steps or members to do; 0 where there is no end."""
        hold = self.settings.get("hold")
        if self.latest is not None and "epochs" in self.latest.scalars:
            return int(hold) if isinstance(hold, int) else 0
        return self.total

    @property
    def values(self) -> dict[str, float | None]:
        """The newest number of each name, of the newest curve or logged since; None or NaN where not finite."""
        return {**(self.latest.scalars if self.latest is not None else {}), **self.logged}

    @property
    def towers(self) -> list[RecordedTower]:
        """The towers of a probed model, the main one first; of any other run one without a name."""
        if named := towers_of(self.facts):
            return named
        logits = bool(self.facts.get("logits", True))
        return [
            RecordedTower(self.main, self.layers, logits),
            *(RecordedTower(path, [], logits) for path in self.others),
        ]

    @property
    def main(self) -> str:
        """Path of the main tower, whose curves are ``initial``, ``latest`` and ``echoes``."""
        named = towers_of(self.facts)
        return named[0].path if named else self.initial.path if self.initial is not None else ""

    def of_tower(self, path: str) -> RunState:
        """The run as if the tower with this path were its main one; without a curve where it has none."""
        if path == self.main:
            return self
        tower = next(
            (tower for tower in self.towers if tower.path == path), RecordedTower(path, [], has_logits=True)
        )
        own = self.others.get(path, TowerCurves())
        of_curves = set(self.latest.scalars if self.latest is not None else ())
        shared = {name: history for name, history in self.history.items() if name not in of_curves}
        return replace(
            self,
            layers=tower.layers,
            initial=own.initial,
            latest=own.latest,
            echoes=own.echoes,
            history={**shared, **own.history},
        )

    @property
    def is_held(self) -> bool:
        """Whether the newest curve is of a network that waits at the end of its training."""
        return not self.is_over and self.latest is not None and bool(self.latest.scalars.get("held"))

    @property
    def elapsed(self) -> float:
        """Seconds from the start to the newest record."""
        last = self.ended.time if self.ended else self.latest.time if self.latest else self.started
        return max(0.0, last - self.started)

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end at the present rate; None where that is not known."""
        rate = self.latest.scalars.get("rate") if self.latest else None
        if self.latest is None or not rate or self.is_over or self.goal <= 0 or self.is_held:
            return None
        return max(0.0, (self.goal - self.at) / rate)

    @property
    def cells_per_second(self) -> float:
        """A sweep's members per second since its present worker began; 0 where that is not known."""
        times = [cell.time for cell in self.cells.values() if cell.time >= self.resumed]
        span = max(times, default=0.0) - self.resumed
        if self.is_over or self.status is Status.PAUSED or len(times) < 3 or span <= 0:
            return 0.0
        return len(times) / span

    def fold(self, event: Event) -> None:
        """Update the state by one record."""
        self.records += 1
        self.heard = max(self.heard, event.time)
        if isinstance(event, Curve):
            self._fold_curve(event)
        elif isinstance(event, Cell):
            self._fold_cell(event)
        elif isinstance(event, Started):
            self._fold_started(event)
        elif isinstance(event, Acknowledged):
            self._fold_acknowledged(event)
        elif isinstance(event, Ended):
            self.status, self.ended, self.note = Status(event.reason), event, event.text
        elif isinstance(event, Note):
            self._fold_note(event)
        elif isinstance(event, Scalars):
            self._fold_scalars(event)
        elif isinstance(event, Health):
            self.health.setdefault(event.path, LayerHistory()).add(event.step, event.layers, event.measures)
        elif isinstance(event, Usage):
            self.usage.append(event)
        elif isinstance(event, Console):
            self.console = event.offset

    def _fold_note(self, event: Note) -> None:
        if event.level != "info":
            self.warnings = (*self.warnings, event)[-WARNINGS:]
        if event.lost:
            self.lost += event.lost
        else:
            self.note = event.text

    def worker_is_gone(self, status: Status = Status.CRASHED) -> None:
        """Set the status that was observed after the worker ended."""
        if not self.is_over:
            self.status = status

    def worker_is_seen(self) -> None:
        """Note that a live worker holds the run."""
        if self.status in {Status.CRASHED, Status.UNKNOWN}:
            self.status = Status.STARTING

    def _fold_started(self, event: Started) -> None:
        self.status, self.ended, self.note, self.lost = Status.RUNNING, None, "", 0
        self.layers, self.total = event.layers, event.total
        self.settings, self.facts = dict(event.settings), dict(event.facts)
        self.started = self.started or event.time
        self.resumed = event.time

    def _fold_scalars(self, event: Scalars) -> None:
        self.logged, self.step = {**self.logged, **event.scalars}, event.step
        self.epoch = self.epoch if event.epoch is None else event.epoch
        for name, value in finite_numbers(event).items():
            self.history.setdefault(name, History()).add(event.step, value)

    def _fold_curve(self, event: Curve) -> None:
        first = self.main if self.initial is not None or towers_of(self.facts) else event.path
        is_main = event.path == first
        if is_main:
            self._fold_main(event)
        else:
            self.others.setdefault(event.path, TowerCurves()).fold(event)
        if names := point_names(event, self.facts, self.layers if is_main else []):
            self.separations.setdefault(event.path, LayerHistory()).add(event.step, names, event.curves)

    def _fold_main(self, event: Curve) -> None:
        self.is_behind = False
        before = self.latest.scalars.get("epochs") if self.latest is not None else None
        epochs = event.scalars.get("epochs")
        if before is not None and epochs is not None and epochs < before:  # trained anew
            self.history.clear()
            self.separations.clear()
            self.initial, self.logged = None, {}
        if self.initial is None:
            self.initial = event
        elif self.latest:
            add_echo(self.echoes, self.latest)
        self.latest = event
        self.logged = {name: value for name, value in self.logged.items() if name not in event.scalars}
        for name, value in event.scalars.items():
            if value is not None:
                self.history.setdefault(name, History()).add(self.at, value)

    def _fold_cell(self, event: Cell) -> None:
        key = event.cell, event.member
        self.done = event.done
        if event.final:
            self.cells[key] = event
            self.present.pop(key, None)
        elif key not in self.cells:
            self.present[key] = event

    def _fold_acknowledged(self, event: Acknowledged) -> None:
        self.refused = event.error
        if event.error:
            return
        changed = {name for name, value in event.settings.items() if self.settings.get(name) != value}
        self.is_behind = self.is_behind or bool(changed - {"hold", PROBES})
        self.settings = {**self.settings, **event.settings}
        if event.action == "pause":
            self.status = Status.PAUSED
        elif event.action == "resume":
            self.status = Status.RUNNING


def has_logits(state: RunState, measure: str) -> bool:
    """Whether the last point of a run's curves is the logits', which statistics leave out."""
    return measure != DISTANCE and (not state.layers or state.layers[-1] == "logits")


def points_of(curve: Curve, measure: str) -> Sequence[float | None]:
    """D_0 … D_L of a measure as they were recorded, [L + 1]; empty where it was not taken."""
    return curve.linear_probes or [] if measure == PROBES else curve.curves.get(measure, [])


def measures_of(state: RunState) -> list[str]:
    """The measures of separation that a network's run holds curves of, in the order in which they are shown."""
    curves = [curve for curve in (state.latest, state.initial, *state.echoes) if curve is not None]
    recorded = {name for history in state.separations.values() for name in history.measures}
    return [name for name in NETWORK_MEASURES if name in recorded or any(points_of(one, name) for one in curves)]


def signed_curve(curve: Curve, measure: str) -> list[float | None]:
    """D_0 … D_L of a measure, [L + 1], negated where the measure rises, so that separating lowers the curve."""
    values = points_of(curve, measure)
    if rises(measure):
        return [None if v is None else -v for v in values]
    return list(values)
