"""A redraw of a plot, five curves of 200 points at 120x40: CPU time and bytes to the terminal.

First the drawing alone, three ways in turn: by this build; by plotext as ANSI text that is parsed into segments;
and by plotext with its cells read one by one, which is all that it offers besides text. Then the whole way, from
numbers to the terminal, of a small app in a real pseudo-terminal that redraws moving curves: this build, and in
turn with it a former one where there is a checkout of that with a virtual environment of its own.

Usage: python benchmarks/plot.py [--former CHECKOUT] [--rounds N]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import importlib.util
import json
import math
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COLUMNS, ROWS = 120, 40
CURVES, POINTS = 5, 200
ROLES = ("primary", "accent", "good", "theory", "warn")
REDRAWS = 30
"""In a round of the whole way."""
PAUSE = 0.03
"""Seconds between redraws: more than a frame's."""
SGR = re.compile(r"\x1b\[([0-9;]*)m")


def curves(step: int) -> list[Any]:
    """Five curves whose every point moves."""
    from springtui.widgets.plot import Series

    n = [float(i) for i in range(POINTS)]
    return [
        Series(
            n, [math.exp(-x / 60) * (1 + 0.2 * k) + 0.03 * math.sin(7 * x + 3 * k + step) for x in n], f"{k}", role
        )
        for k, role in enumerate(ROLES)
    ]


def plot_app() -> Any:
    """A plot that fills the screen of an app with our themes and our way to the terminal; ``r`` starts a round."""
    from springtui.widgets.plot import Plot

    names = (("springtui.app_base", "AppBase"), ("springtui.preferred", "PreferredApp"))
    base: Any = next(
        getattr(importlib.import_module(name), what) for name, what in names if importlib.util.find_spec(name)
    )

    class PlotApp(base):  # type: ignore[misc]
        def compose(self) -> Iterator[Plot]:
            yield Plot()

        async def on_key(self, event: Any) -> None:
            if event.key == "r":
                self.run_worker(self.redraws())

        async def redraws(self) -> None:
            plot, used = self.query_one(Plot), 0.0
            for step in range(REDRAWS):
                series = curves(step)
                began = time.process_time()
                plot.show(series)
                plot.redraw()
                await asyncio.sleep(PAUSE)
                used += time.process_time() - began
            with Path(os.environ["ROUNDS"]).open("a") as file:
                file.write(f"{1000 * used / REDRAWS}\n")

    return PlotApp()


# the drawing alone


def by_plotext(series: list[Any], colors: list[tuple[int, int, int]], width: int, height: int) -> Any:
    """plotext's picture, drawn as it was before this build did that itself."""
    import plotext

    plotext.terminal.limit(False, False)
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width, height)
    figure.theme("colorless")
    for one, color in zip(series, colors, strict=True):
        marker = plotext.marker("braille", plotext.pixel(color))
        figure.draw(figure.signal(list(one.x), list(one.y), marker=marker).lines())
    return figure.build()


def parsed(text: str) -> list[Any]:
    """ANSI text as lines of segments."""
    from rich.segment import Segment
    from rich.style import Style
    from textual.strip import Strip

    strips = []
    for line in text.split("\n"):
        segments, style = [], Style()
        for i, part in enumerate(SGR.split(line)):
            numbers = part.split(";")
            if i % 2 == 0:
                segments.append(Segment(part, style))
            elif numbers[:2] == ["38", "2"]:
                style = Style(color="#{:02x}{:02x}{:02x}".format(*(int(n) for n in numbers[2:5])))
            else:
                style = Style()
        strips.append(Strip(Segment.simplify(segments)))
    return strips


def read_out(matrix: Any) -> list[Any]:
    """Characters of plotext's canvas, and the colour of each that is a part of a curve."""
    return [
        [(char, matrix.get(y, x).foreground() if char > "\u2800" else None) for x, char in enumerate(line)]
        for y, line in enumerate(matrix.string(True).split("\n"))
    ]


async def drawing_alone(rounds: int) -> dict[str, float]:
    """Median milliseconds of CPU time of each way, tried in turn."""
    from springtui.widgets import frame
    from springtui.widgets.plot import Plot

    app = plot_app()
    taken: dict[str, list[float]] = {}
    async with app.run_test(size=(COLUMNS, ROWS)):
        plot = app.query_one(Plot)
        width, height = plot.size
        colors = [plot.color_of(role).rgb for role in ROLES]

        def by_us(series: list[Any]) -> None:
            plot._draw(series, width, height)

        def with_a_new_frame(series: list[Any]) -> None:
            frame._frame.cache_clear()
            by_us(series)

        ways: dict[str, Callable[[list[Any]], object]] = {
            "this_build": by_us,
            "this_build_with_a_new_frame": with_a_new_frame,
            "plotext_as_text_parsed": lambda series: parsed(by_plotext(series, colors, width, height).string()),
            "plotext_read_by_cell": lambda series: read_out(by_plotext(series, colors, width, height)),
        }
        for step in range(rounds + 1):
            for name, way in ways.items():
                series = curves(step)
                began = time.process_time()
                way(series)
                if step:  # the first imports what it needs
                    taken.setdefault(name, []).append(1000 * (time.process_time() - began))
    return {f"{name}_ms": round(statistics.median(values), 2) for name, values in taken.items()}


# from numbers to the terminal


@contextlib.contextmanager
def app_in_a_terminal(checkout: Path, python: Path, rounds_file: Path) -> Iterator[Any]:
    """The app of a checkout, drawn on and ready for rounds."""
    from _pty import Terminal

    own = {"PYTHONPATH": str(checkout), "ROUNDS": str(rounds_file), "SPRINGTUI_CONFIG": f"{rounds_file}.none"}
    words = [str(python), str(Path(__file__).resolve()), "--app"]
    with Terminal(words, columns=COLUMNS, rows=ROWS, env={**os.environ, **own}, cwd=checkout) as terminal:
        terminal.wait_for("waiting", 60)
        yield terminal


def one_round(terminal: Any, rounds_file: Path) -> tuple[float, float]:
    """Milliseconds of CPU time and bytes, of a redraw."""
    done = rounds_file.read_text().count("\n") if rounds_file.exists() else 0
    sent = len(terminal.raw)
    terminal.press("r")
    end = time.monotonic() + 120
    while not rounds_file.exists() or rounds_file.read_text().count("\n") == done:
        if time.monotonic() > end:
            raise RuntimeError("the app did not end its round")
        terminal.read(0.02)
    return float(rounds_file.read_text().split()[-1]), (len(terminal.raw) - sent) / REDRAWS


def whole_way(former: Path | None, rounds: int) -> dict[str, dict[str, float]]:
    """Medians of each build, whose rounds take turns."""
    builds = {"this_build": (ROOT, Path(sys.executable))}
    if former is not None:
        builds["former_build"] = (former, former / ".venv/bin/python")
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in builds}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        apps = {
            name: (stack.enter_context(app_in_a_terminal(*build, Path(folder) / name)), Path(folder) / name)
            for name, build in builds.items()
        }
        for turn in range(rounds + 1):
            for name, app in apps.items():
                figures = one_round(*app)
                if turn:  # the first imports what it needs
                    taken[name].append(figures)
    return {
        name: {
            "cpu_ms": round(statistics.median(cpu for cpu, _ in figures), 2),
            "bytes": round(statistics.median(sent for _, sent in figures)),
        }
        for name, figures in taken.items()
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--former", type=Path, help="a checkout of the build to compare with, with its .venv")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--app", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.app:
        plot_app().run()
        return
    result = {
        "curves": CURVES,
        "points": POINTS,
        "drawing_alone": asyncio.run(drawing_alone(asked.rounds)),
        "redraw_120x40": whole_way(asked.former, asked.rounds),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
