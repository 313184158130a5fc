"""Checks this terminal, machine and installation, with a remedy for each shortcoming.

Imports no heavy library: versions come from the packages' metadata.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import platformdirs

from engine.datasets.openml import SOURCES, kept_path
from engine.errors import ConfigError

from ..preferences.preferences import load_preferences
from ..preferences.themes import load_themes
from .check import Check
from .machine import look_at_home, look_at_machine
from .terminal import colours, look_at_terminal

__all__ = ["EXTRAS", "Check", "colours", "examine"]

PACKAGES = ("textual", "rich", "plotext", "click", "numpy", "msgspec", "platformdirs", "safetensors")
HEAVY = ("torch", "numba", "scikit-learn")
EXTRAS = {
    "figures": ("matplotlib", "pictures of runs: springtui export"),
    "serve": ("textual_serve", "the lab in a browser: springtui serve"),
    "gpu": ("pynvml", "what a GPU does, beside the run"),
    "cluster": ("dask", "sweeps on a cluster"),
    "tensorboard": ("tensorboard", "curves for TensorBoard"),
    "lightning": ("lightning", "the probe as a Lightning callback"),
    "transformers": ("transformers", "the probe as a Transformers callback"),
}
"""By name of an optional extra: a module that it installs, and its use."""


def examine(home: Path) -> list[Check]:
    """All checks; one that raises becomes a warning, and the others are still made."""
    checks: list[Check] = []
    looks: tuple[tuple[str, Callable[[], Iterable[Check]]], ...] = (
        ("python", _python),
        ("packages", _packages),
        ("extras", _extras),
        ("compiled", _compiled),
        ("terminal", look_at_terminal),
        ("home", functools.partial(look_at_home, home)),
        ("preferences", _preferences),
        ("themes", _themes),
        ("machine", look_at_machine),
        ("data", _data),
    )
    for name, look in looks:
        try:
            checks += look()
        except (OSError, ValueError) as error:
            checks.append(
                Check(name, "warn", f"could not look: {error}", "see that the file it names can be read")
            )
    return checks


def _python() -> Iterator[Check]:
    yield Check("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _packages() -> Iterator[Check]:
    for name in (*PACKAGES, *HEAVY):
        try:
            yield Check(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "fail", "not installed", f"install springtui again; it brings {name}")


def _extras() -> Iterator[Check]:
    for extra, (module, use) in EXTRAS.items():
        if importlib.util.find_spec(module) is not None:
            yield Check(f"[{extra}]", "ok", f"installed; {use}")
        else:
            yield Check(f"[{extra}]", "ok", f"not installed; {use}", f"pip install 'springtui[{extra}]'")


def _compiled() -> Iterator[Check]:
    """Whether numba can cache compiled code, and where; follows numba's own choice of the directory."""
    import engine

    beside = Path(engine.__file__).parent / "__pycache__"
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    user = Path(platformdirs.user_cache_dir("numba", appauthor=False))
    place = Path(chosen) if chosen else beside if os.access(beside.parent, os.W_OK) else user
    kept = sum(1 for _ in place.rglob("*.nbi")) if place.is_dir() else 0
    above = next((path for path in (place, *place.parents) if path.exists()), place)
    if not os.access(above, os.W_OK):
        remedy = "every start compiles anew, for some 20 s; set NUMBA_CACHE_DIR to a directory that can be written"
        yield Check("compiled", "warn", f"cannot be kept at {place}", remedy)
    elif kept:
        yield Check("compiled", "ok", f"{kept} functions are kept at {place}")
    else:
        yield Check("compiled", "ok", f"nothing yet at {place}; the first network compiles for some 20 s")


def _preferences() -> Iterator[Check]:
    effective = load_preferences()
    for problem in effective.problems:
        yield Check("preferences", "warn", problem, "mend the line; springtui config shows what is in force")
    if not effective.problems:
        there = effective.path.exists()
        yield Check("preferences", "ok", f"{effective.path}{'' if there else ' (not there; defaults hold)'}")


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


def _data() -> Iterator[Check]:
    remedy = "install scikit-learn again; the digits come with it"
    spec = importlib.util.find_spec("sklearn")  # finds the package, and does not import it
    if spec is None or spec.origin is None:
        yield Check("digits", "fail", "scikit-learn is not there", remedy)
    else:
        file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            yield Check("digits", "ok", "embedded, 1797 images of 8 x 8")
        else:
            yield Check("digits", "fail", "not in this scikit-learn", remedy)
    for name, source in SOURCES.items():
        kept = kept_path(name)
        if kept.is_file():
            yield Check(name, "ok", f"kept at {kept}")
        else:
            how = (
                f"fetched when first asked for, some {source.megabytes} MB; or set data_dir to its original files"
            )
            yield Check(name, "ok", "not here", how)
