"""Draws animated GIFs of a run with the figures' functions; imported by the command line, never by the app."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from engine.errors import DataError
from engine.runs.records import Curve
from engine.settings.sweep import SweepConfig
from engine.sweep.summary import Summary

from ..state.diagram import Colour, grid_of
from ..state.run_state import RunState
from .figures import curve_axes, draw_chain, new_figure, phase, positions_of

_GIF_DPI = 80
_GIF_COLOURS = 64
_FRAME_MS, _LAST_MS = 90, 2000
_OVERSHOOT = 0.25
"""Most space, in lengths of the chain, that is shown beyond wall and target."""


def replay(state: RunState, curves: Sequence[Curve], measure: str, frames: int) -> bytes:
    """An animated GIF of a run's load curve and of the chain with this curve, from the first record to the last.

    At most ``frames`` frames of 90 ms, the last one of 2 s.

    Raises:
        DataError: the run has fewer than two curves.
    """
    if len(curves) < 2:
        raise DataError(f"{state.run_id} has {len(curves)} load curve; a replay needs two")
    figure = new_figure(7.0, 4.6, still=True)
    axes = figure.subplots(2, 1, height_ratios=(3, 1))
    figure.subplots_adjust(left=0.11, right=0.98, top=0.94, bottom=0.02, hspace=0.3)
    span, reach = _span(curves, measure), _reach(state, curves, measure)

    def draw(curve: Curve) -> None:
        for one in axes:
            one.clear()
        curve_axes(axes[0], state, measure, at=curve)
        axes[0].set_ylim(*span)
        try:
            draw_chain(axes[1], positions_of(state, curve, measure))
        except DataError:
            axes[1].set_axis_off()
        axes[1].set_xlim(*reach)

    images = []
    for curve in picked(curves, frames):
        draw(curve)
        images.append(_pixels(figure))
    return _gif(images)


def replay_phase(config: SweepConfig, steps: Sequence[Sequence[Summary]], colour: Colour) -> bytes:
    """An animated GIF of a diagram, a frame for each of the steps; all frames have the same range of colours."""
    ranges = [(grid.low, grid.high) for summaries in steps if (grid := grid_of(config, summaries, colour))]
    if ranges:
        colour = colour._replace(fixed=(min(low for low, _ in ranges), max(high for _, high in ranges)))
    images = [_pixels(phase(config, summaries, colour, noted=False)) for summaries in steps]
    return _gif(images)


def picked(curves: Sequence[Curve], frames: int) -> list[Curve]:
    """At most ``frames`` of the curves, with the first and last; denser at the start, where most changes."""
    last = len(curves) - 1
    count = min(frames, len(curves))
    places = {max(i, round(last * (i / max(1, count - 1)) ** 2)) for i in range(count)}
    return [curves[place] for place in sorted(places)]


def _span(curves: Sequence[Curve], measure: str) -> tuple[float, float]:
    values = [v for curve in curves for v in curve.curves.get(measure, []) if v is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _reach(state: RunState, curves: Sequence[Curve], measure: str) -> tuple[float, float]:
    """Least and largest x to show: all positions of the chain, at most ``_OVERSHOOT`` beyond wall and target."""
    places = [0.0, 1.0]
    for curve in curves:
        with contextlib.suppress(DataError):
            places += positions_of(state, curve, measure)
    return max(-_OVERSHOOT, min(places)) - 0.02, min(1.0 + _OVERSHOOT, max(places)) + 0.02


def _pixels(figure: Figure) -> Any:
    from PIL import Image

    figure.set_dpi(_GIF_DPI)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba())).convert("RGB")


def _gif(images: Sequence[Any]) -> bytes:
    """A GIF of images, with one palette from the first and the last, so that unchanged pixels cost nothing."""
    from PIL import Image

    width, height = images[-1].size
    both = Image.new("RGB", (width, 2 * height))
    both.paste(images[0], (0, 0))
    both.paste(images[-1], (0, height))
    palette = both.quantize(_GIF_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    out = io.BytesIO()
    times = [_FRAME_MS] * (len(frames) - 1) + [_LAST_MS]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=False)
    return out.getvalue()
