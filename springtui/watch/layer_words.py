"""What the Layers tab shows: columns and lines of its table, and all that is known of the selected layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..state.layers import Layers, LeftOut, Point, TowerLayers, is_number
from ..state.wording import decimals, measure_label, number
from ..terminal.text import plain_text
from ..widgets.table import Column, Line

NOT_DESCRIBED = "recorded before the probe noted modules, axes and what it leaves out"
_NAME_LEAST = 20
"""Cells that the names keep before further columns are shown."""
_LOAD_TITLE = "LOAD"
_CONSTANTS = {
    "module": "MODULE", "shape": "SHAPE", "axes": "AXES", "reduction": "REDUCTION", "why": "WHY", "role": "ROLE"
}  # fmt: skip
"""Titles of the columns that never change, in the order from left to right, behind the load and layer health."""
_HEALTH = {
    "grad_norm": "GRADIENT", "update_ratio": "UPDATE", "dead": "DEAD", "saturated": "SATURATED", "scale": "SCALE",
    "effective_rank": "RANK",
}  # fmt: skip
"""Short titles of the measures of layer health."""
_MOST = {"module": 18, "shape": 16, "why": 26}
"""Cells of long columns at most."""
_IMPORTANCE = ("reduction", "module", "role", "shape", "why", "axes")
"""Columns that never change in the order in which they are shown where there is room."""
_NUMBER_WIDTH = {"load": 7}
"""Cells of columns of numbers at least, so that columns keep their places while numbers change; else 8."""
LEFT_OUT = "left out"


class Row(NamedTuple):
    """A line of the table and what it is about."""

    line: Line
    path: str = ""
    """The tower."""
    point: Point | None = None
    left_out: LeftOut | None = None


def no_such_facts(kind: str) -> str:
    """The sentence for a run of a kind that describes no points."""
    return (
        NOT_DESCRIBED
        if kind == "probe"
        else f"a {kind or 'run'} records no modules, axes or roles: LoadProbe does"
    )


def rows_of(layers: Layers, kind: str) -> dict[str, Row]:
    """The lines of the table by id: the points of each tower, then what was left out, under headings."""
    rows: dict[str, Row] = {}
    if not layers.described:
        rows["note"] = _heading(no_such_facts(kind))
    for tower in layers.towers:
        if len(layers.towers) > 1:
            rows[f"tower\n{tower.path}"] = _heading(f"tower {tower.path}")
        for point in tower.points:
            rows[id_of(tower.path, point.name)] = Row(Line(_cells(point, tower)), tower.path, point)
    if layers.left_out:
        rows[LEFT_OUT] = _heading(f"left out ({len(layers.left_out)})")
    for i, one in enumerate(layers.left_out):
        words = f"{one.module}: {one.reason}" if one.module else one.reason
        rows[f"{LEFT_OUT}\n{i}"] = Row(Line({"name": one.name}, rest=words), left_out=one)
    return rows


def id_of(path: str, name: str) -> str:
    """The id of a point's line."""
    return f"point\n{path}\n{name}"


def _heading(text: str) -> Row:
    return Row(Line({"name": text}, heading=True))


def _cells(point: Point, tower: TowerLayers) -> dict[str, str]:
    load = tower.loads.get(point.name)
    found = {
        "name": point.name,
        "module": point.module,
        "shape": shape_in_words(point.shape, point.samples_axis),
        "axes": _axes(point),
        "reduction": point.reduction,
        "why": point.why,
        "role": point.role,
        "load": "" if load is None else decimals(load, 3),
    }
    for measure, values in tower.health.items():
        value = values.get(point.name)
        found[measure] = number(value) if is_number(value) else ""
    return found


def shape_in_words(shape: Sequence[int], samples_axis: int | None = None) -> str:
    """A shape as 197×768, with N for the length of the samples' axis: N×197×768."""
    return "×".join("N" if axis == samples_axis else str(size) for axis, size in enumerate(shape))


def _axes(point: Point) -> str:
    """The axes of samples and features, counted from 0: N0 F2."""
    return " ".join(
        f"{name}{axis}"
        for name, axis in (("N", point.samples_axis), ("F", point.features_axis))
        if axis is not None
    )


def columns_of(rows: dict[str, Row], width: int) -> list[Column]:
    """The columns that fit into ``width`` cells beside the names, without those that are empty on every line."""
    lines = [row.line.cells for row in rows.values() if row.point is not None]
    known = {"name", "load", *_CONSTANTS}
    health = [key for key in dict.fromkeys(key for cells in lines for key in cells) if key not in known]
    numbers = ["load", *health]
    titles = {"load": _LOAD_TITLE, **{key: _short(key) for key in health}, **_CONSTANTS}
    longest = max((len(cells["name"]) for cells in lines), default=0)
    room = width - 2 - max(8, min(_NAME_LEAST, longest))
    chosen: dict[str, int] = {}
    for key in (*numbers, *_IMPORTANCE):
        texts = [text for cells in lines if (text := cells.get(key))]
        least = _NUMBER_WIDTH.get(key, 8) if key in numbers else 0
        wide = max(len(titles[key]), least, min(max(map(len, texts), default=0), _MOST.get(key, 14)))
        if texts and room >= wide + 2:
            chosen[key] = wide
            room -= wide + 2
    shown = [
        Column(key, title, chosen[key], right=key in numbers) for key, title in titles.items() if key in chosen
    ]
    return [Column("name", "LAYER", 0, cut_left=True), *shown]


def _short(measure: str) -> str:
    """The title of a column of a measure."""
    return _HEALTH.get(measure) or measure.replace("_", " ").upper()


def about(row: Row | None, layers: Layers, measure: str) -> str:
    """Lines on the selected layer: its whole name, and all that is known of it."""
    if row is None:
        return ""
    if row.left_out is not None:
        out = row.left_out
        what = f"{out.module}, left out: " if out.module else "left out: "
        return plain_text(out.name) + "\n" + plain_text(what + (out.reason or "no reason was recorded"))
    point = row.point
    if point is None:
        return ""
    tower = next((tower for tower in layers.towers if tower.path == row.path), None)
    lines = [point.name, _numbers(point, tower, measure), " · ".join(_module(point)), _reduction(point)]
    return "\n".join(plain_text(line) for line in lines if line)


def _module(point: Point) -> list[str]:
    shape = shape_in_words(point.shape, point.samples_axis)
    parts = [text for text in (" ".join((point.module, shape)).strip(),) if text]
    features = "features" if point.features is None else f"{point.features} features"
    axes = [
        f"{what} on axis {axis}"
        for what, axis in (("samples", point.samples_axis), (features, point.features_axis))
        if axis is not None
    ]
    if point.features_axis is None and point.features is not None:
        axes.append(features)
    return [*parts, *([", ".join(axes)] if axes else [])]


def _reduction(point: Point) -> str:
    reduction = f"reduction {point.reduction}" if point.reduction else ""
    why = f": {point.why}" if reduction and point.why else point.why
    role = f"role {point.role}" if point.role else ""
    return " · ".join(part for part in (reduction + why, role) if part)


def _numbers(point: Point, tower: TowerLayers | None, measure: str) -> str:
    if tower is None:
        return ""
    parts = []
    if point.name in tower.loads:
        parts.append(f"load {decimals(tower.loads[point.name], 3)} in {measure_label(measure)}")
    for health, values in tower.health.items():
        if not any(map(is_number, values.values())):
            continue  # as the saturated part, where no activation function is bounded
        value = values.get(point.name)
        parts.append(f"{measure_label(health)} {number(value) if is_number(value) else 'not known'}")
    return " · ".join(parts)
