"""What ``springtui export`` writes of a run: its records as CSV and JSON here, its pictures by
``figures`` and ``films``.

Pictures need matplotlib, an optional extra, and are drawn in a process of the command line: the app starts one
(``export_aside``) and imports none of it.
"""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from engine.errors import ConfigError, DataError, HomeError, RunError
from engine.runs.directory import Run
from engine.runs.records import Cell, Curve, Event
from engine.settings.chain import ChainConfig
from engine.settings.run import RunConfig
from engine.settings.sweep import SweepConfig
from engine.sweep.summary import MEASURES, Summary, summarise

from ..state.diagram import COLOURS, Colour, summaries_of
from ..state.measures import SEPARATIONS
from ..state.run_state import RunState

PICTURES, FILMS, DATA = ("png", "svg", "pdf"), ("gif",), ("csv", "json")
FORMATS = (*PICTURES, *FILMS, *DATA)
FIGURES = {
    "network": ("load-curve", "chain", "loss", "replay"),
    "chain": ("load-curve", "chain", "replay"),
    "sweep": ("phase", "replay"),
}
"""What can be drawn of each kind of run; ``network`` is any run with load curves of layers."""
USUAL = {"network": ("load-curve",), "chain": ("load-curve", "chain"), "sweep": ("phase",)}
INSTALL = "pip install 'springtui[figures]'"
_PATIENCE = 600.0
_SCALARS = ("test_accuracy", "train_accuracy", "train_loss", "hessian_trace")
"""Of a diagram's cell, beside what its curve says."""


class Wanted(NamedTuple):
    """What a person asked to be written."""

    figures: tuple[str, ...] = ()
    """Empty: what is usual for the kind of run."""
    formats: tuple[str, ...] = ()
    """Empty: PNG and SVG, CSV and JSON; GIF for a replay alone."""
    measure: str = SEPARATIONS[0]
    colour: str = ""
    """Of a phase diagram; empty: test accuracy, of chains asymmetry."""
    frames: int = 80
    """At most so many in a replay."""


class Material(NamedTuple):
    """A run as it lies on the disk."""

    run: Run
    config: RunConfig
    records: list[dict[str, Any]]
    """Every line that is JSON, as it was written."""
    events: list[Event]
    """Those of them that this version knows."""
    state: RunState

    @property
    def kind(self) -> str:
        """network, chain or sweep: what can be drawn of it."""
        settings = self.config.settings
        return "sweep" if isinstance(settings, SweepConfig) else self.system

    @property
    def system(self) -> str:
        """network or chain."""
        settings = self.config.settings
        if isinstance(settings, SweepConfig):
            return settings.system
        return "chain" if isinstance(settings, ChainConfig) else "network"


def read_material(run: Run) -> Material:
    """Everything a run has recorded so far.

    Raises:
        RunDirectoryError: its config is missing or damaged.
    """
    config = run.config()
    records, events, state = [], [], RunState(run.id)
    log = run.log()
    for record in log.records():
        if (plain := log.decode_plain(record)) is not None:
            records.append(plain)
        if (event := log.decode(record)) is not None:
            events.append(event)
            state.fold(event)
    return Material(run, config, records, events, state)


def document(material: Material) -> dict[str, Any]:
    """What ``--json`` gives: the run's config and records; of a sweep its cells too."""
    told = {
        "run": material.run.id,
        "config": msgspec.to_builtins(material.config),
        "records": material.records,
    }
    if isinstance(material.config.settings, SweepConfig):
        told["cells"] = rows_of(material.config.settings, summaries_of(material.config.settings, material.state))
    return told


def export(material: Material, wanted: Wanted, folder: Path) -> list[Path]:
    """Write what is wanted, as ``run-figure.ending``; the paths.

    Raises:
        ConfigError: a figure or format is not one, or not of this kind of run; matplotlib is not installed.
        DataError: the run has not yet recorded what a figure needs.
        HomeError: the folder cannot be written.
    """
    figures, formats = check(material, wanted)
    name = material.run.id
    made: dict[str, Callable[[], bytes]] = {}
    if "csv" in formats:
        made[f"{name}.csv"] = lambda: _csv(material).encode()
    if "json" in formats:
        made[f"{name}.json"] = lambda: json.dumps(document(material), indent=1).encode() + b"\n"
    for figure in figures:
        for ending in formats:
            if ending in (FILMS if figure == "replay" else PICTURES):
                made[f"{name}-{figure}.{ending}"] = _drawer(material, wanted, figure, ending)
    return [_write(folder / file, make) for file, make in made.items()]


def check(material: Material, wanted: Wanted) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The figures and formats that were meant.

    Raises:
        ConfigError: one is not allowed, nothing would be written, or matplotlib is not installed.
    """
    possible = FIGURES[material.kind]
    for figure in wanted.figures:
        if figure not in possible:
            allowed = ", ".join(possible)
            raise ConfigError(
                f"--figure {figure} cannot be drawn of {material.run.id}, a {material.kind}; allowed: {allowed}"
            )
    only_film = wanted.figures == ("replay",) or (not wanted.figures and wanted.formats == FILMS)
    figures = wanted.figures or (("replay",) if only_film else USUAL[material.kind])
    formats = wanted.formats or (FILMS if only_film else ("png", "svg", *DATA))
    if "replay" in figures and not wanted.formats and "gif" not in formats:
        formats = (*formats, "gif")
    for figure in wanted.figures:
        fitting = FILMS if figure == "replay" else PICTURES
        if not set(formats) & {*fitting, *DATA}:
            raise ConfigError(f"--figure {figure} is written as {', '.join(fitting)}, not as {', '.join(formats)}")
    if set(formats) - set(DATA) and importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(
            f"pictures are drawn by matplotlib, which is not installed: {INSTALL}; or write data alone with "
            f"--format csv,json"
        )
    return figures, formats


def export_aside(run: Run, folder: Path, colour: str = "") -> list[Path]:
    """Let a process of its own write what is usual for a run; pictures only where matplotlib is installed.

    For the app; waits for it, so call it from a thread. What it writes no other user may read, as a run; a person
    who names a folder on the command line may mean to share it.

    Raises:
        RunError: it failed; the message is its own.
    """
    command = [sys.executable, "-P", "-m", "springtui", "export", str(run.path.absolute()), "--json"]
    command += ["--out", str(folder.absolute()), *(["--colour", colour] if colour else [])]
    if importlib.util.find_spec("matplotlib") is None:
        command += ["--format", "csv,json"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False, umask=0o077
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunError(f"cannot export {run.id}: {error}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise RunError(said.removeprefix("springtui: error: ") or f"export ended with status {done.returncode}")
    return [Path(file) for file in json.loads(done.stdout)["files"]]


def written(files: Sequence[Path]) -> str:
    """What the app says of an export."""
    named = f"written: {', '.join(file.name for file in files)} in {files[0].parent}"
    pictured = any(file.suffix[1:] in PICTURES for file in files)
    return named if pictured else f"{named}; pictures need matplotlib: {INSTALL}"


def _drawer(material: Material, wanted: Wanted, figure: str, ending: str) -> Callable[[], bytes]:
    from . import figures, films

    state, settings = material.state, material.config.settings
    measure = MEASURES["chain"] if material.system == "chain" else wanted.measure
    if isinstance(settings, SweepConfig):
        colour = colour_of(settings, wanted.colour)
        if figure == "replay":
            return lambda: films.replay_phase(settings, _stages(settings, material.events, wanted.frames), colour)
        return lambda: figures.encode(figures.phase(settings, summaries_of(settings, state), colour), ending)
    if figure == "replay":
        curves = [event for event in material.events if isinstance(event, Curve)]
        return lambda: films.replay(state, curves, measure, wanted.frames)
    draw = {"load-curve": figures.load_curve, "chain": figures.chain, "loss": figures.loss}[figure]
    return lambda: figures.encode(draw(state, measure), ending)


def colour_of(config: SweepConfig, key: str) -> Colour:
    """The quantity that a diagram is coloured by; chains have no accuracy.

    Raises:
        ConfigError: there is none of that name.
    """
    known = {colour.key: colour for colour in COLOURS}
    key = key.replace("-", "_") or ("test_accuracy" if config.system == "network" else "asymmetry")
    if key not in known:
        raise ConfigError(f"--colour {key} is not known; allowed: {', '.join(known)}")
    return known[key]


def _stages(config: SweepConfig, events: Iterable[Event], frames: int) -> list[list[Summary]]:
    """The diagram after each of some steps in which members came in."""
    cells = [event for event in events if isinstance(event, Cell) and event.final]
    if not cells:
        raise DataError("the sweep has no finished cell yet; a replay needs one")
    count = min(frames, len(cells))
    return [summarise(config, cells[: round(len(cells) * (i + 1) / count)]) for i in range(count)]


def rows_of(config: SweepConfig, summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """A flat record for each cell: both axes by name, what it amounts to, and its load curve, D_0 … D_L."""
    return [
        {
            config.x_axis: s.x,
            config.y_axis: s.y,
            "seeds": s.done,
            "diverged": s.diverged,
            "cv": _finite(s.cv),
            "asymmetry": _finite(s.asymmetry),
            "total_separation": _finite(s.total_separation),
            **{
                key: s.scalars.get(key)
                for key in ("test_accuracy", "train_accuracy", "train_loss", "hessian_trace")
            },
            "load_curve": s.curves.get(MEASURES[config.system], []),
        }
        for s in summaries
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _csv(material: Material) -> str:
    """One row a cell of a sweep, one row a load curve of anything else; lists take a column a point."""
    settings = material.config.settings
    if isinstance(settings, SweepConfig):
        rows: list[dict[str, Any]] = rows_of(settings, summaries_of(settings, material.state))
    else:
        rows = [_row(event) for event in material.events if isinstance(event, Curve)]
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def _row(curve: Curve) -> dict[str, Any]:
    lists = {"positions": curve.positions, "spread": curve.spread, "linear_probes": curve.linear_probes}
    told = {name: values for name, values in lists.items() if values}
    return {"at": curve.at, "step": curve.step, "time": curve.time, **curve.scalars, **curve.curves, **told}


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """``load_curve`` becomes D_0, D_1 …; other lists their name and a number."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, list):
            stem = "D" if name == "load_curve" else name
            flat |= {f"{stem}_{i}": point for i, point in enumerate(value)}
        else:
            flat[name] = value
    return flat


def _write(path: Path, make: Callable[[], bytes]) -> Path:
    """Beside, then renamed: what was there stays until the new one is whole. Others may read it, unlike a run."""
    data = make()
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise HomeError(f"cannot write {path}: {error.strerror}; choose another folder with --out") from error
    return path
