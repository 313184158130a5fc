"""Writes a run's records as CSV and JSON, and its pictures, which ``figures`` and ``films`` draw.

Pictures need matplotlib, an optional extra. The app does not import it, but starts a process of the command line
(``export_aside``).
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from engine.errors import ConfigError, DataError, HomeError, RunError
from engine.measures.registry import DEFAULT_MEASURE, DISTANCE, MEASURE_OF
from engine.runs.directory import Run
from engine.runs.records import Cell, Curve, Event, finite
from engine.settings.chain import ChainConfig
from engine.settings.run import RunConfig
from engine.settings.sweep import SweepConfig
from engine.sweep.summary import Summary, summarise

from ..state.diagram import COLOURS, Colour, summaries_of
from ..state.run_state import RunState
from .tables import csv_of, curve_rows, health_rows, usage_rows

PICTURES, FILMS, DATA = ("png", "svg", "pdf"), ("gif",), ("csv", "json")
FORMATS = (*PICTURES, *FILMS, *DATA)
FIGURES = {
    "network": ("load-curve", "chain", "loss", "replay"),
    "chain": ("load-curve", "chain", "replay"),
    "sweep": ("phase", "replay"),
}
"""Figures by kind of run; ``network`` is any run with load curves of layers."""
USUAL = {"network": ("load-curve",), "chain": ("load-curve", "chain"), "sweep": ("phase",)}
INSTALL = "pip install 'springtui[figures]'"
_PATIENCE = 600.0
_SCALARS = ("test_accuracy", "train_accuracy", "train_loss", "hessian_trace")
"""Scalars in a cell's row, beside the statistics of its curve."""


class Wanted(NamedTuple):
    """The figures, formats and options to write."""

    figures: tuple[str, ...] = ()
    """Empty: those of ``USUAL`` for the kind of run."""
    formats: tuple[str, ...] = ()
    """Empty: PNG and SVG, CSV and JSON; GIF for a replay alone."""
    measure: str = DEFAULT_MEASURE
    colour: str = ""
    """Key of a phase diagram's colour; empty: test_accuracy, or asymmetry for chains."""
    frames: int = 80
    """Most frames of a replay."""


class Material(NamedTuple):
    """Everything in a run's directory, read and folded."""

    run: Run
    config: RunConfig
    records: list[dict[str, Any]]
    """Every line of the log that is a JSON object."""
    events: list[Event]
    """The records of them that this version knows."""
    state: RunState

    @property
    def kind(self) -> str:
        """Key of ``FIGURES``: network, chain or sweep."""
        settings = self.config.settings
        return "sweep" if isinstance(settings, SweepConfig) else self.system

    @property
    def system(self) -> str:
        """What was trained, pulled or swept: network or chain."""
        settings = self.config.settings
        if isinstance(settings, SweepConfig):
            return settings.system
        return "chain" if isinstance(settings, ChainConfig) else "network"


def read_material(run: Run) -> Material:
    """Read a run's configuration and all its records so far.

    Raises:
        RunDirectoryError: the configuration is missing or damaged.
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
    """The object that ``--records --json`` prints, and the JSON file: configuration, records, a sweep's cells."""
    result = {
        "run": material.run.id,
        "config": msgspec.to_builtins(material.config),
        "records": material.records,
    }
    if isinstance(material.config.settings, SweepConfig):
        result["cells"] = rows_of(material.config.settings, summaries_of(material.config.settings, material.state))
    return result


def export(material: Material, wanted: Wanted, folder: Path) -> list[Path]:
    """Write files named ``run-figure.ending``, and return their paths.

    Of a model with several towers each has its own figures, ``run-figure-tower.ending`` but for the main one.
    Layer health and the use of the machine, where they were recorded, are CSV files of their own.

    Raises:
        ConfigError: a figure or format is unknown, or not of this kind of run; matplotlib is not installed.
        DataError: the run has no record yet that a figure needs.
        HomeError: the folder cannot be written.
    """
    figures, formats = check(material, wanted)
    name = material.run.id
    encoders: dict[str, Callable[[], bytes]] = {}
    if "csv" in formats:
        encoders[f"{name}.csv"] = lambda: _csv(material).encode()
        for part, rows in (("health", health_rows(material.events)), ("usage", usage_rows(material.events))):
            if rows:
                encoders[f"{name}-{part}.csv"] = partial(lambda rows: csv_of(rows).encode(), rows)
    if "json" in formats:
        encoders[f"{name}.json"] = lambda: json.dumps(document(material), indent=1).encode() + b"\n"
    for figure in figures:
        for ending in formats:
            if ending in (FILMS if figure == "replay" else PICTURES):
                for tower, state in _towers(material.state, figure).items():
                    drawer = _drawer(material._replace(state=state), wanted, figure, ending)
                    encoders[f"{name}-{figure}{tower}.{ending}"] = drawer
    return [write_file(folder / file, encode) for file, encode in encoders.items()]


def check(material: Material, wanted: Wanted) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The figures and formats to write, defaults filled in.

    Raises:
        ConfigError: a figure or format is not allowed, nothing would be written, or matplotlib is not installed.
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
    """Export a run's usual figures and data in another process; pictures only where matplotlib is installed.

    For the app; blocks until the process ends, so call it from a thread. Only the user may read the files, as
    those of a run; files that the command line writes may be read by others.

    Raises:
        RunError: the process failed; the message is the process's.
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
        message = done.stderr.decode("utf-8", "replace").strip()
        raise RunError(message.removeprefix("springtui: error: ") or f"export ended with status {done.returncode}")
    return [Path(file) for file in json.loads(done.stdout)["files"]]


def written(files: Sequence[Path]) -> str:
    """The app's message after an export."""
    named = f"written: {', '.join(file.name for file in files)} in {files[0].parent}"
    pictured = any(file.suffix[1:] in PICTURES for file in files)
    return named if pictured else f"{named}; pictures need matplotlib: {INSTALL}"


def _towers(state: RunState, figure: str) -> dict[str, RunState]:
    """The towers of which a figure is drawn, by the part of the file's name; an empty one for the main tower."""
    found = {"": state}
    for tower in state.towers[1:] if figure != "loss" else []:
        own = state.of_tower(tower.path)
        if own.latest is not None:
            found.setdefault("-" + re.sub(r"[^\w.-]+", "_", tower.path), own)
    return found


def _drawer(material: Material, wanted: Wanted, figure: str, ending: str) -> Callable[[], bytes]:
    """A function that draws a figure and returns the bytes of its file."""
    from . import figures, films

    state, settings = material.state, material.config.settings
    measure = DISTANCE if material.system == "chain" else wanted.measure
    if isinstance(settings, SweepConfig):
        colour = colour_of(settings, wanted.colour)
        if figure == "replay":
            return lambda: films.replay_phase(settings, _stages(settings, material.events, wanted.frames), colour)
        return lambda: figures.encode(figures.phase(settings, summaries_of(settings, state), colour), ending)
    if figure == "replay":
        path = state.latest.path if state.latest is not None else ""
        curves = [event for event in material.events if isinstance(event, Curve) and event.path == path]
        return lambda: films.replay(state, curves, measure, wanted.frames)
    draw = {"load-curve": figures.load_curve, "chain": figures.chain, "loss": figures.loss}[figure]
    return lambda: figures.encode(draw(state, measure), ending)


def colour_of(config: SweepConfig, key: str) -> Colour:
    """The quantity that colours a diagram; by default test_accuracy, or asymmetry for chains.

    Raises:
        ConfigError: the key is unknown.
    """
    known = {colour.key: colour for colour in COLOURS}
    key = key.replace("-", "_") or ("test_accuracy" if config.system == "network" else "asymmetry")
    if key not in known:
        raise ConfigError(f"--colour {key} is not known; allowed: {', '.join(known)}")
    return known[key]


def _stages(config: SweepConfig, events: Iterable[Event], frames: int) -> list[list[Summary]]:
    """Summaries of the diagram at ``frames`` stages, at most, in the order in which members were finished."""
    cells = [event for event in events if isinstance(event, Cell) and event.final]
    if not cells:
        raise DataError("the sweep has no finished cell yet; a replay needs one")
    count = min(frames, len(cells))
    return [summarise(config, cells[: round(len(cells) * (i + 1) / count)]) for i in range(count)]


def rows_of(config: SweepConfig, summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """A flat record for each cell: axis values by name, statistics, scalars, and load curve D_0 … D_L."""
    return [
        {
            config.x_axis: s.x,
            config.y_axis: s.y,
            "seeds": s.done,
            "diverged": s.diverged,
            "cv": finite(s.cv),
            "asymmetry": finite(s.asymmetry),
            "curve_error": finite(s.curve_error),
            "regime": s.regime,
            "regime_reason": s.reason,
            "total_separation": finite(s.total_separation),
            **{key: s.scalars.get(key) for key in _SCALARS},
            "load_curve": s.curves.get(MEASURE_OF[config.system], []),
        }
        for s in summaries
    ]


def _csv(material: Material) -> str:
    """CSV with a row for each cell of a sweep, or for each curve and record of numbers of another run."""
    settings = material.config.settings
    if isinstance(settings, SweepConfig):
        return csv_of(rows_of(settings, summaries_of(settings, material.state)))
    return csv_of(curve_rows(material.events))


def write_file(path: Path, encode: Callable[[], bytes]) -> Path:
    """Write a temporary file and rename it, so that an old file stays until the new one is whole; its path.

    Other users may read it, unlike a run.

    Raises:
        HomeError: it cannot be written.
    """
    data = encode()
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
