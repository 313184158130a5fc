"""Makes every picture in the documentation with the program itself: make figures, or python docs/pictures.py

    python docs/pictures.py             all of them
    python docs/pictures.py theory      one part: theory, lab, phase or diagrams

The runs on the screens are made here with fixed seeds; times in their records are replaced by regular ones, so
that the same machine makes the same files.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]
os.environ["SPRINGTUI_CONFIG"] = os.devnull + ".none"  # not a user's preferences
os.environ["SPRINGTUI_ASCII"] = "off"
os.environ["SPRINGTUI_TOUR"] = "off"
for _name in ("NO_COLOR", "SPRINGTUI_THEME"):
    os.environ.pop(_name, None)

from textual.pilot import Pilot  # noqa: E402

from engine.runs.directory import Run  # noqa: E402
from engine.runs.listing import open_home  # noqa: E402
from engine.runs.records import Curve, Ended, Event  # noqa: E402
from engine.settings.chain import ChainConfig  # noqa: E402
from engine.settings.fields import make  # noqa: E402
from engine.settings.recipes import RECIPES  # noqa: E402
from engine.settings.train import TrainConfig  # noqa: E402
from engine.sweep.diagrams import make_sweep  # noqa: E402
from engine.workers.work import work  # noqa: E402
from springtui.app import SpringApp  # noqa: E402
from springtui.export.export import Wanted, export, read_material  # noqa: E402
from springtui.export.figures import encode  # noqa: E402
from springtui.export.screenshot import picture_of  # noqa: E402
from springtui.lab import panels as lab_panels  # noqa: E402
from springtui.lab.screen import LabScreen  # noqa: E402
from springtui.lab.session import LAB_CHAIN, Panel  # noqa: E402
from springtui.phase.screen import PhaseScreen  # noqa: E402
from springtui.state.knobs import NOISE_KINDS, two_hands_settings  # noqa: E402
from springtui.state.run_state import RunState  # noqa: E402
from springtui.widgets.chain_view import ChainView, show_chain  # noqa: E402
from springtui.widgets.plot import Plot  # noqa: E402

SIZE = (120, 40)
NONLINEARITY, NOISE = 0.8, 0.2
STARTED = 1_750_000_000.0
EPOCH_SECONDS = 0.08
Steps = Callable[[Pilot[int], SpringApp], Awaitable[None]]


def write(name: str, data: bytes) -> None:
    """Write a file below docs/, and print its path."""
    path = HERE / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    print(path.relative_to(ROOT), file=sys.stderr)


# the figures of the theory


def theory() -> None:
    """Make docs/figures/theory-*.svg, and the tables in docs/reproduction.md and docs/theory.md."""
    from balance import balance_table
    from theory_figures import FIGURES, maps_table

    put_table("reproduction.md", "maps", maps_table())
    put_table("theory.md", "balance", balance_table())
    for name, figure in FIGURES.items():
        write(f"figures/theory-{name}.svg", encode(figure(), "svg"))


def put_table(page: str, name: str, table: str) -> None:
    """Replace the table between two marks of this name in a page below docs/."""
    marks = (f"<!-- {name} -->", f"<!-- /{name} -->")
    text = (HERE / page).read_text("utf-8")
    before, after = text.split(marks[0])[0], text.split(marks[1])[1]
    write(page, f"{before}{marks[0]}\n{table}\n{marks[1]}{after}".encode())


# runs


def made(home: Path, settings: TrainConfig | ChainConfig) -> Run:
    """A finished run with these settings, made here."""
    run = Run.create(open_home(home), settings)
    work(run)
    return run


def network_run(home: Path) -> Run:
    """A run of the lab's network at the sliders' first values, for the lab's epochs."""
    knobs = {"negative_slope": round(1 - NONLINEARITY, 10), "data_noise": NOISE, "hessian": False}
    return made(home, make(TrainConfig, {**RECIPES["lab"].settings, **knobs}))


def chain_run(home: Path) -> Run:
    """A run of the chain that the lab shows beside this network."""
    layers = TrainConfig().depth - 1
    knobs = two_hands_settings(NONLINEARITY, NOISE_KINDS[0], NOISE, layers)
    settings = {**LAB_CHAIN, "hands": "both", "blocks": layers - 1, **knobs, "steps": 6000, "pace": 0.0}
    return made(home, make(ChainConfig, settings))


def steadied(run: Run, total: int, pace: float) -> RunState:
    """The state of a run without its last record, its times replaced: ``pace`` seconds from curve to curve.

    Of a chain only the first and last curve are used, since the times of the others depend on the machine.
    """
    state = RunState(run.id)
    events = [event for event in run.events() if not isinstance(event, Ended)]
    curves = [event for event in events if isinstance(event, Curve)]
    if "-chain-" in run.id:
        events = [event for event in events if not isinstance(event, Curve) or event in (curves[0], curves[-1])]
    for event in events:
        state.fold(_timed(event, pace))
    state.total = total
    return state


def _timed(event: Event, pace: float) -> Event:
    if isinstance(event, Curve):
        return msgspec.structs.replace(
            event, time=STARTED + event.at * pace, scalars={**event.scalars, "rate": 1.0 / pace}
        )
    return msgspec.structs.replace(event, time=STARTED)


# screens


async def screen(home: Path, steps: Steps, size: tuple[int, int] = SIZE) -> bytes:
    """A screen of the app after some steps, as SVG; no worker is started."""

    app = SpringApp(home, begin_runs=False)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await steps(pilot, app)
        await pilot.pause()
        return picture_of(app).encode()


def lab_steps(states: dict[Panel, RunState]) -> Steps:
    """Steps that draw two runs in the lab."""

    async def steps(_: Pilot[int], app: SpringApp) -> None:
        shown = next(s for s in app.screen_stack if isinstance(s, LabScreen))
        shown.control.states = states
        shown._show_in_force()
        await shown._advise()
        lab_panels.show_states(shown, states, "trace_ratio", shown.predictions.predicted)
        show_chain(shown.query_one(ChainView), states["chain"])
        for plot in shown.query(Plot):
            if plot.is_stale():
                plot.redraw()
        shown.draw_words()

    return steps


async def _phase_steps(pilot: Pilot[int], app: SpringApp) -> None:
    await pilot.press("f")
    for _ in range(600):
        await pilot.pause(0.1)
        top = app.screen
        if isinstance(top, PhaseScreen) and all(len(cells) == 54 for cells in top.control.summaries.values()):
            break
    else:
        raise TimeoutError("the diagrams did not come")
    await pilot.press("right", "right", "right", "down", "down")
    await pilot.pause(1.0)
    await asyncio.to_thread(app.run_workers.stop_all)


async def _help_steps(pilot: Pilot[int], _: SpringApp) -> None:
    await pilot.press("?")


def lab() -> None:
    """Make docs/lab.svg, docs/help.svg, and docs/figures/example-*.svg of the same two runs."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        network, chain = network_run(home), chain_run(home)
        states: dict[Panel, RunState] = {
            "train": steadied(network, RECIPES["lab"].settings["epochs"], EPOCH_SECONDS),
            "chain": steadied(chain, LAB_CHAIN["steps"], 1 / 300.0),
        }
        write("lab.svg", asyncio.run(screen(home, lab_steps(states))))
        write("help.svg", asyncio.run(screen(home, _help_steps)))
        examples(network, chain, Path(folder) / "out")


def phase() -> None:
    """Make docs/phase.svg, and docs/figures/example-phase.svg of the same sweep; takes some minutes."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        sweep = Run.create(open_home(home), make_sweep("data-noise", {}, seeds=1))
        work(sweep)
        write("phase.svg", asyncio.run(screen(home, _phase_steps, (140, 45))))
        example(sweep, "phase", "svg", Path(folder) / "out")


def diagrams() -> None:
    """Make docs/diagrams.md and its pictures, from the sweeps recorded in docs/data."""
    if (script := HERE / "diagrams.py").is_file():
        subprocess.run([sys.executable, str(script)], check=True)


def examples(network: Run, chain: Run, out: Path) -> None:
    """Make the example figures of a network and a chain."""
    example(network, "load-curve", "svg", out)
    example(network, "loss", "svg", out)
    example(network, "replay", "gif", out)
    example(chain, "chain", "svg", out)


def example(run: Run, figure: str, ending: str, out: Path) -> None:
    """Make one example figure by the export's function."""
    wanted = Wanted(figures=(figure,), formats=(ending,), frames=48)
    for path in export(read_material(run), wanted, out):
        write(f"figures/example-{figure}.{ending}", path.read_bytes())


PARTS: dict[str, Callable[[], None]] = {"theory": theory, "lab": lab, "phase": phase, "diagrams": diagrams}


def main() -> None:
    """Make the parts named as arguments, or all."""
    wanted = sys.argv[1:] or list(PARTS)
    for name in wanted:
        if name not in PARTS:
            sys.exit(f"unknown part {name!r}; known: {', '.join(PARTS)}")
        PARTS[name]()


if __name__ == "__main__":
    main()
