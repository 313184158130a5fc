"""A wheel, built here and installed with its dependencies in an empty environment, opens the lab."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest
from support.real_terminal import Terminal, stop_workers

ROOT = Path(__file__).parents[1]


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
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-compile"]
    subprocess.run(
        [*pip, "-c", str(ROOT / "constraints.txt"), str(wheel)], check=True, capture_output=True, cwd=tmp_path
    )

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
        with Terminal([str(tmp_path / "env" / "bin" / "springtui")], cwd=tmp_path) as terminal:
            terminal.wait_for(lambda text: "epoch" in text and "step" in text, 240)  # it compiles
            terminal.press("q")
            terminal.wait_for("stop them and leave")
            terminal.press("x")
            assert terminal.wait_exit() == 0
    finally:
        stop_workers(home)
