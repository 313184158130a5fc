"""``springtui export``: a run's figures and data, to share or to publish."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from engine.errors import ConfigError
from engine.measures.registry import DEFAULT_MEASURE, SEPARATIONS
from engine.runs.listing import find_run, is_run_directory

from .completion import complete_list, complete_names
from .options import json_option, run_argument
from .output import print_json, print_line
from .session import Session, common, examples


def _figures() -> list[str]:
    from ..export.export import FIGURES

    return list(dict.fromkeys(name for names in FIGURES.values() for name in names))


def _formats() -> tuple[str, ...]:
    from ..export.export import FORMATS

    return FORMATS


def _colours() -> list[str]:
    from ..state.diagram import COLOURS

    return [colour.key for colour in COLOURS]


@click.command(
    short_help="Write a run's figures and data.",
    epilog=examples(
        "springtui export last",
        "springtui export last --records --json | jq '.records[-1]'",
        "springtui export last --figure chain --json | jq -r '.files[]'",
        "springtui export last --figure replay --out talk",
        "springtui export 20260101-120000-sweep-1a2b3c --format svg,csv --colour cv",
        "springtui export last --figure load-curve --measure fuzziness --format pdf",
        "springtui export last --tensorboard logs && tensorboard --logdir logs",
        "springtui export ./lightning_logs --out numbers",
    )
    + "\n\n\b\nFigures:\n"
    + "  load-curve  the newest load curve and each layer's load; a network's with the chain it behaves like\n"
    + "  chain       blocks and springs, of a chain or as a network's load curve has them\n"
    + "  loss        training loss and accuracy over epochs\n"
    + "  phase       a sweep's phase diagram, a small load curve in every cell\n"
    + "  replay      an animated GIF from the first record to the last",
)
@run_argument
@click.option(
    "--figure",
    "figures",
    multiple=True,
    metavar="F",
    shell_complete=complete_names(_figures),
    help="What to draw; repeatable. Else what is usual for the kind of run.",
)
@click.option(
    "--format",
    "formats",
    metavar="A,B",
    shell_complete=complete_list(_formats),
    help="Of png, svg, pdf, gif, csv, json. Else png, svg, csv and json, and gif for a replay.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where to. Else the directory here.",
)
@click.option(
    "--measure",
    default=DEFAULT_MEASURE,
    show_default=True,
    type=click.Choice(SEPARATIONS),
    help="Of a network's load curve.",
)
@click.option(
    "--colour",
    metavar="Q",
    shell_complete=complete_names(_colours),
    help="Of a diagram: test_accuracy, cv, asymmetry, total_separation, hessian_trace or train_loss.",
)
@click.option(
    "--frames",
    default=80,
    show_default=True,
    type=click.IntRange(2, 1000),
    metavar="N",
    help="Of a replay, at most.",
)
@click.option(
    "--tensorboard",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write TensorBoard event files to DIR/RUN: curves, loads, regime, scalars, layer health, usage.",
)
@click.option("--records", is_flag=True, help="With --json: print all records, and write no file.")
@json_option
@common
@click.pass_obj
def export(
    session: Session,
    run: str,
    figures: tuple[str, ...],
    formats: str | None,
    out: Path | None,
    measure: str,
    colour: str | None,
    frames: int,
    tensorboard: Path | None,
    records: bool,
    as_json: bool,
) -> int:
    """Write a run's figures and data as files; or print its records with --records --json.

    RUN is an id or a name, a beginning of one that fits no other run, last, or a path. A path may also be a log of
    another tool, or a folder of them: each run is written as CSV and JSON, or with --tensorboard. Of a live run
    the present state is written. Pictures need matplotlib: pip install 'springtui[figures]'; csv and json need
    nothing. --tensorboard needs TensorBoard: pip install 'springtui[tensorboard]'; given alone, it writes only
    event files.

    The same files are written with --json, which prints one object: run, config and files, the paths. With
    --records --json no file is written, and the object has run, config and records, of a sweep also cells.
    """
    from ..export.export import Wanted, document, read_material
    from ..export.export import export as write

    named = [name for name, given in (("--figure", figures), ("--format", formats), ("--out", out)) if given]
    if records:
        _check_records([*named, *(["--tensorboard"] if tensorboard is not None else [])], as_json=as_json)
    if (log := _log_at(run)) is not None:
        if figures:
            raise ConfigError(f"--figure cannot be drawn of {log}, a log of another tool: leave it out")
        return _export_logs(log, split_formats(formats), out, tensorboard, records=records, as_json=as_json)
    found = find_run(session.look_home(), run)
    material = read_material(found)
    if records:
        print_json(document(material))
        return 0
    wanted = Wanted(figures, split_formats(formats), measure, colour or "", frames)
    files = write(material, wanted, out or Path()) if named or tensorboard is None else []
    if tensorboard is not None:
        from engine.formats.tensorboard import export_tensorboard

        files.append(export_tensorboard(found, tensorboard))
    if as_json:
        config = msgspec.to_builtins(material.config)
        print_json({"run": found.id, "config": config, "files": [str(file) for file in files]})
    for file in () if as_json else files:
        print_line(str(file))
    return 0


def _log_at(name: str) -> Path | None:
    """The file or folder that an argument names, as ``watch`` takes it, where that is no run of springtui."""
    path = Path(name)
    if (os.sep in name or name == ".") and os.path.lexists(path) and not is_run_directory(path):
        return path
    return None


def _export_logs(
    path: Path,
    formats: tuple[str, ...],
    out: Path | None,
    tensorboard: Path | None,
    *,
    records: bool,
    as_json: bool,
) -> int:
    """Write or print the runs that other tools logged under a path; the exit status."""
    from engine.logs.whole import whole_runs

    from ..export.logs import export_log, file_name, log_document

    for run in whole_runs([path]):
        if records:
            print_json(log_document(run))
            continue
        files = export_log(run, formats, out or Path()) if formats or out or tensorboard is None else []
        if tensorboard is not None:
            from engine.formats.tensorboard import export_tensorboard

            files.append(export_tensorboard(run, tensorboard, file_name(run)))
        if as_json:
            print_json({"run": run.id, "format": run.format, "files": [str(file) for file in files]})
        for file in () if as_json else files:
            print_line(str(file))
    return 0


def _check_records(written: list[str], *, as_json: bool) -> None:
    """Raise UsageError where --records stands without --json, or beside options that write files."""
    if not as_json:
        raise click.UsageError("--records prints JSON: give --json with it")
    if written:
        raise click.UsageError(f"--records writes no file, and {', '.join(written)} would; leave one of them out")


def split_formats(text: str | None) -> tuple[str, ...]:
    """The formats in a text such as ``png,svg``; empty for None.

    Raises:
        ConfigError: a format is unknown, or the text names none.
    """
    wanted = tuple(part.strip().lower() for part in (text or "").split(",") if part.strip())
    for name in wanted:
        if name not in _formats():
            raise ConfigError(f"--format {name} is not known; allowed: {', '.join(_formats())}")
    if text is not None and not wanted:
        raise ConfigError(f"--format {text!r} names none; allowed: {', '.join(_formats())}")
    return tuple(dict.fromkeys(wanted))
