"""A wheel, built here and installed with its dependencies in an empty environment, opens the lab.

The dependencies are those that the wheel names, and theirs: their files are linked from this environment into the
empty one, which takes seconds where pip takes minutes of processor time. A package that the program needs and the
wheel does not name is missing there.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.real_terminal import Terminal, stop_workers

ROOT = Path(__file__).parents[1]


def needed_by(distribution_: Distribution, into: dict[str, Distribution]) -> None:
    """Add what a distribution requires here, directly and in turn, without extras."""
    for text in distribution_.requires or ():
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if name in into or (requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})):
            continue
        with contextlib.suppress(PackageNotFoundError):  # what is optional here is so there
            into[name] = distribution(name)
            needed_by(into[name], into)


def link_files(distributions: dict[str, Distribution], site: Path) -> None:
    """Link the distributions' files into another site-packages; copy them where it lies on another disk.

    What Python has compiled of them is linked as well: a link has its file's time, by which that is found valid.
    """
    for one in distributions.values():
        for file in one.files or ():
            if ".." in file.parts or "__pycache__" in file.parts:  # scripts, and compiled files, whoever made them
                continue
            source, target = Path(str(one.locate_file(file))), site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target)
                if source.suffix == ".py" and (compiled := Path(cache_from_source(str(source)))).is_file():
                    cache = Path(cache_from_source(str(target)))
                    cache.parent.mkdir(exist_ok=True)
                    os.link(compiled, cache)
            except OSError:
                target.write_bytes(source.read_bytes())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_wheel_opens_the_lab_and_finds_its_themes(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)  # the checkout must not stand in for the wheel
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    install = [*pip, "install", "-q", "--no-compile", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, cwd=tmp_path)
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    needed: dict[str, Distribution] = {}
    (ours,) = Distribution.discover(name="springtui", path=[str(site)])
    needed_by(ours, needed)
    link_files(needed, site)
    checked = subprocess.run([*pip, "check"], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    assert "pytest" not in needed

    where = (
        "import springtui.preferences.themes as t; print(t.__file__, t.theme_folder(), len(t.load_themes(print)))"
    )
    told = subprocess.run([str(python), "-c", where], check=True, capture_output=True, text=True, cwd=tmp_path)
    module, folder, themes = told.stdout.split()
    assert Path(module).is_relative_to(tmp_path)
    assert Path(folder).is_relative_to(tmp_path)
    assert int(themes) >= 2

    own = tmp_path / "own"
    own.mkdir()
    (own / "engine.py").write_text("")  # a user's, which must not stand in for ours
    probe = (
        "import engine, springtui; "
        "print(springtui.LoadProbe.__module__, springtui._engine.probe.load_probe.__file__)"
    )
    told = subprocess.run([str(python), "-c", probe], check=True, capture_output=True, text=True, cwd=own)
    name, file = told.stdout.split()
    assert name == "springtui._engine.probe.load_probe"
    assert Path(file).is_relative_to(tmp_path / "env")

    try:
        quick = {"NUMBA_OPT": "0"}  # it compiles all anew, ten seconds faster so
        with Terminal([str(tmp_path / "env" / "bin" / "springtui")], cwd=tmp_path, env=quick) as terminal:
            terminal.wait_for(lambda text: "epoch" in text and "two hands" in text, 240)
            terminal.press("q")
            terminal.wait_for("stop them and leave")
            terminal.press("x")
            assert terminal.wait_exit() == 0
    finally:
        stop_workers(home)
