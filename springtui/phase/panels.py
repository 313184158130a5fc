"""What the Phase screen's panels show, computed from the states of two sweeps."""

from __future__ import annotations

from collections.abc import Sequence

from engine.measures.registry import DEFAULT_MEASURE, DISTANCE
from engine.runs.status import Status
from engine.settings.sweep import SweepConfig
from engine.sweep.grid import cell_count, members
from engine.sweep.summary import Summary

from ..state.diagram import correlation_text, scaled_curve
from ..state.empty import why_empty
from ..state.knobs import NOISE_KINDS
from ..state.pictures import Series
from ..state.run_state import RunState
from ..state.wording import duration, lost_workers

UNDER_WAY = "the first networks are on their way: cells fill as their curves come"
NO_CHAIN = "no map was fitted for these axes, so there is no chain to compare with"
CHAIN_COMES = "the chain's diagram comes with the networks'"
CHAIN_NOT_MADE = "read-only: there is no finished diagram of the chain for these axes, and none is made"
NO_POINTS = "a point for every cell with networks"
NO_CELL = "the load curve of the cell under the cursor"


def networks_empty(state: RunState | None, recipe: str) -> str:
    """The text in place of the networks' diagram while it has no cell."""
    if state is None:
        return f"No diagram yet: g makes {recipe} on the embedded digits, t chooses another diagram."
    if state.is_over or state.status is Status.UNKNOWN:
        return why_empty(state.status, what="the diagram", remedy="g continues it")
    return state.note or UNDER_WAY


def chain_empty(
    config: SweepConfig | None, state: RunState | None, *, comes: bool, read_only: bool = False
) -> str:
    """The text in place of the chain's diagram while it has no cell; ``comes`` where it is still to be made."""
    if config is None and read_only:
        return CHAIN_NOT_MADE
    if config is None:
        return CHAIN_COMES if comes else NO_CHAIN
    if state is not None and state.is_over:
        return why_empty(state.status, what="the chain's diagram")
    return "the chain's diagram is being computed"


def noise_axis(config: SweepConfig) -> str:
    """The setting of the axis that is a kind of noise; empty where neither axis is."""
    kinds = {kind.key for kind in NOISE_KINDS}
    return next((axis for axis in (config.x_axis, config.y_axis) if axis in kinds), "")


def progress(
    config: SweepConfig | None, state: RunState | None, status: str, summaries: Sequence[Summary], recipe: str
) -> list[str]:
    """Parts of the progress line: recipe, data, status, correlation, networks done, time left and rate."""
    if state is None or config is None:
        return ["no diagram yet", f"g makes {recipe}"]
    total = state.total or cell_count(config) * members(config)
    parts = [f"{config.recipe} · {config.settings.get('dataset', 'digits')}", status]
    if state.lost and not state.is_over:
        parts.append(lost_workers(state.lost))
    correlation = correlation_text(summaries, brief=True)
    if not correlation.endswith("–"):  # the diagram's result comes before counts
        parts.append(correlation)
    parts.append(f"{state.done}/{total} networks")
    if rate := state.cells_per_second:
        parts += [f"left {duration(max(0, total - state.done) / rate)}", f"{rate:.2g}/s"]
    return parts


def cell_series(networks: Sequence[Summary], chains: Sequence[Summary], cell: int) -> list[Series]:
    """A cell's mean curve with its spread, and the chain's curve, scaled from 1 to 0 over the hidden layers."""
    series = []
    found = next((s for s in networks if s.cell == cell), None)
    if found is not None:
        mean = found.curves.get(DEFAULT_MEASURE, [])
        line = [] if found.reason else scaled_curve(mean[:-1])
        if line and (spread := found.spread.get(DEFAULT_MEASURE)):
            total = (mean[0] or 0.0) - (mean[-2] or 0.0)
            for sign in (1, -1):
                edge = [v + sign * (s or 0.0) / total for v, s in zip(line, spread, strict=False)]
                series.append(Series(list(range(len(edge))), edge, "", "fade1"))
        series.append(Series(list(range(len(line))), line, "networks", "primary"))
    twin = next((s for s in chains if s.cell == cell), None)
    if twin is not None:
        curve = [v for v in twin.curves.get(DISTANCE, []) if v is not None]
        series.append(Series(list(range(len(curve))), curve, "chain", "accent"))
    return series
