"""Curves of several runs for one plot: read in a thread, bounded, and kept while the files do not change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.measures.registry import DEFAULT_MEASURE, DISTANCE
from engine.runs.any_run import AnyRun
from engine.runs.records import Curve

from ..state.layers import newest_health
from ..state.pictures import Series
from ..state.run_state import RunState
from ..state.sampling import LONG, newest_state, sampled_state
from ..state.timeline import Points, Timeline
from ..terminal.text import plain_text
from .layer_match import TowerCurve

LOAD_CURVE = "load curve"
_KEPT = 48
_RECORDS = 64
_PIECE = 1 << 18
ROLES = ("primary", "accent", "good", "warn", "muted", "fade1")


@dataclass
class Picture:
    """A run's newest curves and its histories."""

    curve: Curve | None = None
    histories: dict[str, Points] = field(default_factory=dict)
    towers: list[TowerCurve] = field(default_factory=list)
    """The newest curve of each tower, the main one first; empty where there is none."""

    @property
    def load_curve(self) -> list[float]:
        """D_0 … D_L of the trace ratio, or a chain's y - x_l, [L + 1]; empty where there is no curve."""
        if self.curve is None:
            return []
        curves = self.curve.curves
        found = curves.get(DEFAULT_MEASURE) or curves.get(DISTANCE) or next(iter(curves.values()), [])
        return [float("nan") if v is None else v for v in found]


class Overlay:
    """Reads and keeps the curves of runs, and makes the series of a plot."""

    def __init__(self) -> None:
        self._pictures: OrderedDict[str, tuple[object, Picture]] = OrderedDict()

    def known(self, run_id: str) -> Picture | None:
        """The curves last read of a run, which may be out of date; None where none were read."""
        found = self._pictures.get(run_id)
        return found[1] if found else None

    def read(self, run: AnyRun, signature: object) -> Picture:
        """A run's curves; read from the disk only where the signature differs from the last one's."""
        found = self._pictures.get(run.id)
        if found is None or found[0] != signature:
            found = signature, _read(run)
            self._pictures[run.id] = found
        self._pictures.move_to_end(run.id)
        while len(self._pictures) > _KEPT:
            self._pictures.popitem(last=False)
        return found[1]

    def quantities(self, run_ids: Sequence[str]) -> list[str]:
        """What can be plotted of these runs: the load curve, and every scalar over time."""
        pictures = [picture for run_id in run_ids if (picture := self.known(run_id)) is not None]
        names = dict.fromkeys(name for picture in pictures for name in picture.histories)
        has_curve = any(picture.curve is not None for picture in pictures) or not names
        return [*([LOAD_CURVE] if has_curve else []), *names]

    def shown(self, run_ids: Sequence[str], wanted: str) -> str:
        """The quantity to plot of these runs: the wanted one where there is one, else the first that there is.

        Of runs without load curves a loss goes before the others.
        """
        known = self.quantities(run_ids)
        return wanted if wanted in known else next((name for name in known if "loss" in name.casefold()), known[0])

    def series(self, names: Sequence[tuple[str, str]], quantity: str) -> list[Series]:
        """A curve for each run, given as (id, name); colours repeat where there are many runs."""
        found = []
        for i, (run_id, name) in enumerate(names):
            picture = self.known(run_id)
            if picture is None:
                continue
            role = ROLES[i % len(ROLES)]
            if quantity == LOAD_CURVE:
                curve = picture.load_curve
                found.append(Series(list(range(len(curve))), curve, plain_text(name), role))
            elif quantity in picture.histories:
                found.append(Series(*picture.histories[quantity], plain_text(name), role))
        return found


def _read(run: AnyRun) -> Picture:
    """Curves of a run; a short log is read whole, a long one sampled."""
    log = run.log()
    newest = newest_state(run, _RECORDS)
    curve = newest.latest
    timeline = Timeline(log, run.id)
    if (bulk := log.bulk()) is not None:
        timeline.take_bulk(bulk)
        return Picture(curve, timeline.histories())
    while timeline.offset < LONG and (piece := log.read(timeline.offset, _PIECE)).end != timeline.offset:
        timeline.take(piece)
    if timeline.offset >= LONG:
        state = sampled_state(log, run.id)
        histories = {name: history.points() for name, history in state.history.items()}
        curves = {tower.path: tower.curve for tower in _towers(newest)}
        towers = [tower._replace(curve=curves.get(tower.path, tower.curve)) for tower in _towers(state)]
        return Picture(curve or state.latest, histories, towers)
    view = timeline.view()
    return Picture(curve, view.histories, _towers(view.state))


def _health(state: RunState, path: str) -> dict[str, dict[str, float]]:
    """By measure of layer health, the newest known values of a tower's layers."""
    history = state.health.get(path)
    return {name: newest_health(state, path, name) for name in (history.measures if history is not None else ())}


def _towers(state: RunState) -> list[TowerCurve]:
    """The newest curves of a run, with the names of their points."""
    return [
        TowerCurve(tower.path, tower.layers, curve, _health(state, tower.path))
        for tower in state.towers
        if (curve := state.of_tower(tower.path).latest) is not None
    ]
