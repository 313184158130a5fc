"""What this terminal, machine and installation can do, and what to do about each shortcoming.

Looks without importing anything heavy: versions come from the packages' metadata.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import locale
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, TextIO

from engine.errors import ConfigError, HomeError
from engine.rundir import open_home

from .themes import load_themes

State = Literal["ok", "warn", "fail"]
PACKAGES = ("textual", "rich", "plotext", "click", "numpy", "msgspec", "platformdirs", "safetensors")
HEAVY = ("torch", "scikit-learn")
SMALLEST, WHOLE = (80, 24), (120, 40)
_SIMPLE = ("linux", "vt", "screen", "xterm", "ansi", "cygwin")
_GIB = 1 << 30


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    state: State
    detail: str
    remedy: str = ""


def examine(home: Path) -> list[Check]:
    """Every check; one that cannot be made says so and does not keep the others from being made."""
    checks: list[Check] = []
    for look in (
        _python,
        _packages,
        _terminal,
        _size,
        _encoding,
        _tmux,
        functools.partial(_home, home),
        _themes,
        _machine,
        _data,
    ):
        try:
            checks += look()
        except (OSError, ValueError) as error:
            name = getattr(look, "__name__", "home").strip("_")
            checks.append(Check(name, "warn", f"could not look: {error}"))
    return checks


def _python() -> Iterator[Check]:
    yield Check("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _packages() -> Iterator[Check]:
    for name in (*PACKAGES, *HEAVY):
        try:
            yield Check(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "fail", "not installed", f"install springtui again; it brings {name}")


def _terminal() -> Iterator[Check]:
    term = os.environ.get("TERM", "")
    streams = [
        name
        for name, stream in (("input", sys.stdin), ("output", sys.stdout), ("error", sys.stderr))
        if not _is_terminal(stream)
    ]
    if streams:
        where = " and ".join(streams)
        yield Check("terminal", "warn", f"standard {where}: not a terminal", "run the lab in a terminal")
    elif term.lower() in {"", "dumb", "unknown"}:
        yield Check("terminal", "fail", f"TERM={term}", "set TERM to what yours is, often xterm-256color")
    else:
        yield Check("terminal", "ok", f"TERM={term}")
    yield Check("colours", *colours(os.environ))


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def colours(environ: Mapping[str, str]) -> tuple[State, str, str]:
    """State, detail and remedy for what the environment says of colours."""
    term, said = environ.get("TERM", "").lower(), environ.get("COLORTERM", "").lower()
    if environ.get("NO_COLOR"):
        return "ok", "none, as NO_COLOR asks", ""
    if said in {"truecolor", "24bit"} or term.endswith("-direct"):
        return "ok", "16 million", ""
    remedy = "if your terminal can do more: export COLORTERM=truecolor"
    if "256" in term:
        return "ok", "256", remedy
    if term.startswith(_SIMPLE):
        return "warn", f"16, going by TERM={term}", remedy
    return "ok", "not known; 256 are assumed", remedy


def _size() -> Iterator[Check]:
    columns, rows = shutil.get_terminal_size((0, 0))
    said = f"{columns} x {rows}"
    if (columns, rows) == (0, 0):
        yield Check("size", "warn", "not known", "run the lab in a terminal")
    elif columns < SMALLEST[0] or rows < SMALLEST[1]:
        yield Check("size", "fail", said, f"make it at least {SMALLEST[0]} x {SMALLEST[1]}")
    elif columns < WHOLE[0] or rows < WHOLE[1]:
        yield Check("size", "ok", said, f"from {WHOLE[0]} x {WHOLE[1]} the lab shows all at once")
    else:
        yield Check("size", "ok", said)


def _encoding() -> Iterator[Check]:
    name = locale.getpreferredencoding(False)
    if name.lower().replace("-", "") == "utf8":
        yield Check("encoding", "ok", name)
    else:
        yield Check("encoding", "warn", name, "set LANG=C.UTF-8, or use springtui --ascii")


def _tmux() -> Iterator[Check]:
    if not os.environ.get("TMUX"):
        return
    version = _ask("tmux", "-V") or "tmux, version not known"
    if os.environ.get("COLORTERM"):
        yield Check("tmux", "ok", version)
    else:
        remedy = "for all colours, in tmux.conf: set -as terminal-features ',*:RGB'; then export COLORTERM"
        yield Check("tmux", "warn", version, remedy)


def _home(home: Path) -> Iterator[Check]:
    """Whether runs can be kept; looks only, and makes nothing but a file that is gone at once."""
    remedy = "choose another with --home or SPRINGTUI_HOME"
    there = next((path for path in (home, *home.parents) if path.exists()), home)
    try:
        if home.exists():
            open_home(home)
        with tempfile.TemporaryFile(dir=there):
            pass
    except HomeError as error:
        yield Check("home", "fail", str(error))
        return
    except OSError as error:
        yield Check("home", "fail", f"cannot write under {there}: {error.strerror}", remedy)
        return
    free = shutil.disk_usage(there).free / _GIB
    state: State = "ok" if free >= 1 else "warn"
    made = "" if home.exists() else ", made with the first run"
    yield Check(
        "home", state, f"{home}, {free:.1f} GiB free{made}", "" if free >= 1 else f"make room, or {remedy}"
    )


def _themes() -> Iterator[Check]:
    warnings: list[str] = []
    try:
        names = [theme.name for theme in load_themes(warnings.append)]
    except (ConfigError, StopIteration) as error:
        yield Check("themes", "fail", str(error) or "none found", "install springtui again; they come with it")
        return
    for warning in warnings:
        yield Check("themes", "warn", warning, "mend or remove the file")
    yield Check("themes", "ok", ", ".join(names))


def _machine() -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    few = cores < 2
    yield Check(
        "cores", "warn" if few else "ok", f"{cores}", "a second core keeps the screen fluid" if few else ""
    )
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    small = total < 2
    yield Check("memory", "warn" if small else "ok", f"{total:.1f} GiB", "torch wants 2 GiB" if small else "")
    found = _ask("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
    if found:
        yield Check("gpu", "ok", "; ".join(found.splitlines()), "use it: springtui train --set device=auto")
    else:
        yield Check("gpu", "ok", "none found (nvidia-smi does not answer); runs use the processor")


def _data() -> Iterator[Check]:
    remedy = "install scikit-learn again; the digits come with it"
    found = importlib.util.find_spec("sklearn")  # finds the package, and does not import it
    if found is None or found.origin is None:
        yield Check("digits", "fail", "scikit-learn is not there", remedy)
        return
    file = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        yield Check("digits", "ok", "embedded, 1797 images of 8 x 8")
    else:
        yield Check("digits", "fail", "not in this scikit-learn", remedy)


def _ask(*command: str) -> str:
    """What a program prints, or nothing where it is not there or does not answer."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
