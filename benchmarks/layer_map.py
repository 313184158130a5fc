"""A redraw of Watch's heat map of layers: CPU time of one, of 200 layers after 5000 records, in a live run.

Each redraw follows a new record: the table of the layers over steps is brought up to date, the heat map is joined
to the screen's size and painted, and so is the selected layer's curve; the parts are given too. Every value is
noise, so that cells beside each other seldom have one colour: the most that a redraw can cost.

Usage: python benchmarks/layer_map.py [--layers N] [--records N] [--rounds N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from engine.runs.records import Curve, Health, Started
from springtui.app import SpringApp
from springtui.state.run_state import RunState

SIZES = ((120, 40), (80, 24), (200, 60))


def filled(layers: int, records: int, rng: random.Random) -> RunState:
    """The state of a run whose loads and gradients are noise."""
    names = ["input", *(f"transformer.h.{i // 4}.mlp.{'abcd'[i % 4]}" for i in range(layers))]
    state = RunState("made")
    state.fold(Started(pid=1, host="gone", settings={}, layers=names, total=0))
    for step in range(records):
        add(state, step, rng)
    return state


def add(state: RunState, step: int, rng: random.Random) -> None:
    """One more record of loads, and one of health."""
    count = len(state.layers)
    state.fold(Curve(at=step, step=step, curves={"trace_ratio": [rng.gauss(0, 1) for _ in range(count)]}))
    norms = [10.0 ** rng.gauss(-3, 1) for _ in range(count - 2)] + [math.nan]
    state.fold(Health(step=step, layers=state.layers[1:], measures={"grad_norm": norms}))


async def times_of(home: Path, size: tuple[int, int], state: RunState, rounds: int, rng: random.Random) -> Any:
    """Milliseconds of CPU of redraws, as median and most, whole and by part."""
    from engine.runs.directory import Run
    from springtui.app import Opening
    from springtui.watch.screen import WatchScreen
    from springtui.widgets.curves_plot import CurvesPlot
    from springtui.widgets.layer_map import LayerMap

    app = SpringApp(home, opening=Opening("watch", Run(home / "runs" / "20260101-000000-probe-000000")))
    parts: dict[str, list[float]] = {"table": [], "map": [], "curve": []}
    async with app.run_test(size=size) as pilot:
        screen = app.screen
        assert isinstance(screen, WatchScreen)
        for _ in range(5):
            if screen.tab == "times":
                break
            await pilot.press("right_square_bracket")
            await pilot.pause(0.3)
        picture, plot = screen.query_one(LayerMap), screen.query_one("#layer-curve", CurvesPlot)
        view, latest = screen.layers_view, state.latest
        view.quantity = "grad_norm"
        for i in range(rounds):
            assert latest is not None
            add(state, latest.step + 1 + i, rng)
            for part, call in (
                ("table", lambda: view.draw_times(state, "trace_ratio", "probe", None)),
                ("map", picture.redraw),
                ("curve", plot.redraw),
            ):
                began = time.process_time()
                call()
                parts[part].append(1e3 * (time.process_time() - began))
    whole = [sum(each) for each in zip(*parts.values(), strict=True)]
    return {
        name: {"median_ms": round(statistics.median(found), 2), "most_ms": round(max(found), 2)}
        for name, found in {**parts, "all": whole}.items()
    }


def main() -> None:
    """Print one JSON object for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=200)
    parser.add_argument("--records", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    rng = random.Random(0)
    state = filled(options.layers, options.records, rng)
    for size in SIZES:
        with tempfile.TemporaryDirectory() as home:
            found = asyncio.run(times_of(Path(home), size, state, options.rounds, rng))
        print(json.dumps({"columns": size[0], "rows": size[1], "layers": options.layers, **found}), flush=True)


if __name__ == "__main__":
    main()
