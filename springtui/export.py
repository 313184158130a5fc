"""Writes a diagram as PNG, SVG, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from engine.config import SweepConfig
from engine.files import replace_file
from engine.sweep import MEASURES, Summary

from .diagram import Colour, grid_of
from .palette import LEVELS, color, ink, level
from .widgets.heat_map import Grid

CELL = (72, 60)
MARGIN = (80, 40, 24, 84)
"""Pixels left, above, right and below the cells."""


def export_diagram(
    folder: Path, name: str, config: SweepConfig, summaries: Sequence[Summary], colour: Colour
) -> list[Path]:
    """Write ``name``.png, .svg, .csv and .json; the paths.

    Raises:
        SpringtuiError: the folder cannot be written.
        OSError: likewise.
    """
    grid = grid_of(config, summaries, colour)
    if grid is None:
        return []
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    title = f"{config.recipe or config.system}: {colour.title}"
    written = {
        "png": _png(grid, title),
        "svg": svg(grid, title).encode(),
        "csv": _csv(config, summaries).encode(),
        "json": json.dumps(rows_of(config, summaries), indent=1).encode() + b"\n",
    }
    paths = []
    for ending, data in written.items():
        paths.append(folder / f"{name}.{ending}")
        replace_file(paths[-1], data)
    return paths


def rows_of(config: SweepConfig, summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """A flat record for each cell."""
    return [
        {
            config.x_axis: s.x,
            config.y_axis: s.y,
            "seeds": s.done,
            "diverged": s.diverged,
            "cv": _finite(s.cv),
            "asymmetry": _finite(s.asymmetry),
            "total_separation": _finite(s.total_separation),
            **{key: s.scalars.get(key) for key in ("test_accuracy", "train_accuracy", "train_loss")},
            "load_curve": s.curves.get(MEASURES[config.system], []),
        }
        for s in summaries
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _csv(config: SweepConfig, summaries: Sequence[Summary]) -> str:
    rows = rows_of(config, summaries)
    points = max((len(row["load_curve"]) for row in rows), default=0)
    out = io.StringIO()
    names = [name for name in rows[0] if name != "load_curve"]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*names, *(f"D_{i}" for i in range(points))])
    for row in rows:
        writer.writerow([row[name] for name in names] + list(row["load_curve"]))
    return out.getvalue()


def _size(grid: Grid) -> tuple[int, int]:
    left, above, right, below = MARGIN
    return left + CELL[0] * len(grid.columns) + right, above + CELL[1] * len(grid.rows) + below


def _corner(grid: Grid, index: int) -> tuple[int, int]:
    row, column = divmod(index, len(grid.columns))
    return MARGIN[0] + CELL[0] * column, MARGIN[1] + CELL[1] * row


def _paint(grid: Grid, index: int) -> tuple[str, str]:
    """The cell's colour and what is legible on it."""
    number = level(grid.values[index], grid.low, grid.high)
    if number is None:
        return "#808080", "#ffffff"
    return color(number).hex, ink(color(number)).hex


def _points(grid: Grid, index: int) -> list[tuple[float, float]]:
    """The cell's load curve in pixels."""
    curve = grid.curves[index]
    x, y = _corner(grid, index)
    wide, tall = CELL[0] - 16, CELL[1] - 20
    return [
        (x + 8 + wide * i / (len(curve) - 1), y + 8 + tall * (1.0 - min(1.1, max(-0.1, v))))
        for i, v in enumerate(curve)
    ]


def svg(grid: Grid, title: str) -> str:
    """The diagram as SVG text."""
    width, height = _size(grid)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{MARGIN[0]}" y="24" font-size="15">{escape(title)}</text>',
    ]
    for index, value in enumerate(grid.values):
        (x, y), (fill, line) = _corner(grid, index), _paint(grid, index)
        parts.append(f'<rect x="{x}" y="{y}" width="{CELL[0]}" height="{CELL[1]}" fill="{fill}"/>')
        if len(grid.curves[index]) > 1:
            points = " ".join(f"{px:.1f},{py:.1f}" for px, py in _points(grid, index))
            parts.append(f'<polyline points="{points}" fill="none" stroke="{line}" stroke-width="1.5"/>')
        text = f"{value:.{grid.digits}f}" if math.isfinite(value) else "–"
        parts.append(f'<text x="{x + CELL[0] - 5}" y="{y + 14}" text-anchor="end" fill="{line}">{text}</text>')
    parts += [
        f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
        for x, y, anchor, text in _labels(grid)
    ]
    for number, (x, y, w, h) in enumerate(_legend(grid)):
        parts.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="{color(number).hex}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _labels(grid: Grid) -> list[tuple[int, int, str, str]]:
    """Every text around the cells: place, alignment and words."""
    below = MARGIN[1] + CELL[1] * len(grid.rows)
    found = [
        (MARGIN[0] + CELL[0] * c + CELL[0] // 2, below + 18, "middle", name) for c, name in enumerate(grid.columns)
    ]
    found += [
        (MARGIN[0] - 8, MARGIN[1] + CELL[1] * r + CELL[1] // 2, "end", name) for r, name in enumerate(grid.rows)
    ]
    middle = MARGIN[0] + CELL[0] * len(grid.columns) // 2
    found.append((middle, below + 38, "middle", f"columns: {grid.column_title}; rows: {grid.row_title}"))
    found.append((MARGIN[0] - 8, below + 66, "end", f"{grid.low:.{grid.digits}f}"))
    found.append((MARGIN[0] + 12 * LEVELS + 8, below + 66, "start", f"{grid.high:.{grid.digits}f}"))
    return found


def _legend(grid: Grid) -> list[tuple[int, int, int, int]]:
    below = MARGIN[1] + CELL[1] * len(grid.rows)
    return [(MARGIN[0] + 12 * n, below + 54, 12, 16) for n in range(LEVELS)]


def _png(grid: Grid, title: str) -> bytes:
    """The same picture in pixels."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", _size(grid), "#ffffff")
    pen = ImageDraw.Draw(image)
    pen.text((MARGIN[0], 12), title, fill="#000000")
    for index, value in enumerate(grid.values):
        (x, y), (fill, line) = _corner(grid, index), _paint(grid, index)
        pen.rectangle((x, y, x + CELL[0] - 1, y + CELL[1] - 1), fill=fill)
        if len(grid.curves[index]) > 1:
            pen.line(_points(grid, index), fill=line, width=2)
        text = f"{value:.{grid.digits}f}" if math.isfinite(value) else "-"
        pen.text((x + CELL[0] - 5, y + 4), text, fill=line, anchor="ra")
    anchors = {"middle": "ms", "end": "rs", "start": "ls"}
    for x, y, anchor, text in _labels(grid):
        pen.text((x, y), text, fill="#000000", anchor=anchors[anchor])
    for number, (x, y, w, h) in enumerate(_legend(grid)):
        pen.rectangle((x, y, x + w - 1, y + h - 1), fill=color(number).hex)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
