"""The frame of a plot with ticks and labels, drawn by plotext as text and cached while the axes stay."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .raster import Codes
from .ticks import Axis

_BOX = "─│┌┐└┘├┤┬┴┼"
_ASCII = str.maketrans({"─": "-", "│": "|", **dict.fromkeys("┌┐└┘├┤┬┴┼", "+")})


class Frame(NamedTuple):
    """A plot without curves: code points, [height, width], and the canvas's position in it."""

    codes: Codes
    labels: npt.NDArray[np.bool_]
    """Whether a cell belongs to a label."""
    left: int
    top: int
    width: int
    height: int


def frame_of(width: int, height: int, upright: Axis, along: Axis, *, ascii_only: bool = False) -> Frame:
    """The frame of a plot in ``width`` × ``height`` cells.

    Labels that would touch are omitted; an axis without labels gets plotext's own.
    """
    return _frame(width, height, _key(upright), _key(along), ascii_only)


_Key = tuple[float, float, tuple[tuple[float, str], ...]]


def _key(axis: Axis) -> _Key:
    return axis.low, axis.high, tuple(axis.ticks)


@functools.lru_cache(32)
def _frame(width: int, height: int, upright: _Key, along: _Key, ascii_only: bool) -> Frame:
    import plotext  # costs 0.1 s, which the first frame need not wait for

    plotext.terminal.limit(False, False)  # else it clips to the terminal size that it detects
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width, height)
    figure.theme("colorless")
    _set(figure.ruler("y", "left"), upright)
    _set(figure.ruler("x", "lower"), along)
    lines = figure.build().string(True).split("\n")[:height]
    left = lines[0].find("┌") + 1
    bottom = next((number for number, line in enumerate(lines) if "└" in line), 1)
    right = max(left, lines[0].find("┐"))
    text = "".join(lines)
    labels = np.isin(_codes(text), _codes(_BOX + " "), invert=True)
    codes = _codes(text.translate(_ASCII)) if ascii_only else _codes(text)
    shape = height, width
    return Frame(codes.reshape(shape), labels.reshape(shape), left, 1, right - left, bottom - 1)


def _codes(text: str) -> Codes:
    return np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.uint32)


def _set(ruler: Any, axis: _Key) -> None:
    low, high, ticks = axis
    ruler.lim(low, high)
    if ticks:
        ruler.ticks([value for value, _ in ticks], [label for _, label in ticks])
