"""The probe in a user's own script: a process of its own, which may end in every way that scripts end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from engine.errors import RunDirectoryError
from engine.probe.run import ProbeRun
from engine.runs.directory import Run
from engine.runs.listing import list_runs
from engine.runs.records import Curve, Ended, Started, Usage
from engine.settings.probe import ProbeConfig
from springtui.cli import main

ROOT = Path(__file__).parents[2]
TRAINING = """
import sys
import torch
from torch import nn
from springtui import LoadProbe

torch.manual_seed(0)
x = torch.randn(90, 6)
y = x[:, :3].argmax(1)
model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, 3))
optimiser = torch.optim.SGD(model.parameters(), 0.1)

def train(probe, steps):
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        probe.step(loss=loss)
"""


def script(folder: Path, home: Path, text: str, **environment: str) -> subprocess.Popen[str]:
    """A user's script, started in a folder of the user's own."""
    path = folder / "train.py"
    path.write_text(TRAINING + textwrap.dedent(text))
    return subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SPRINGTUI_HOME": str(home)} | environment,
    )


def finished(process: subprocess.Popen[str]) -> tuple[str, str]:
    return process.communicate(timeout=100)


@pytest.mark.parametrize("file", ["home = '{chosen}'", "home = 3", "home ="])
def test_it_writes_where_the_preferences_say(tmp_path: Path, config_file: Path, file: str) -> None:
    """Argument, SPRINGTUI_HOME, config.toml, default: and none of the app's modules reads the file."""
    chosen = tmp_path / "chosen"
    config_file.parent.mkdir()
    config_file.write_text(file.format(chosen=chosen))
    text = f"""
        LoadProbe(model, x, y, home={str(tmp_path / "argument")!r}).close()
        LoadProbe(model, x, y).close()
        import os
        os.environ["SPRINGTUI_HOME"] = {str(tmp_path / "variable")!r}
        LoadProbe(model, x, y).close()
        assert not {{"textual", "rich", "click", "springtui.preferences.preferences"}} & set(sys.modules)
    """
    environment = {"SPRINGTUI_HOME": "", "XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path)}
    _, err = finished(script(tmp_path, tmp_path, text, **environment))
    assert "AssertionError" not in err
    for place in ("argument", "variable"):
        the_run(tmp_path / place)
    if "chosen" in file:
        assert err == ""
        the_run(chosen)
    else:
        assert str(config_file) in err
        assert "ProbeWarning" in err
        assert len(list(tmp_path.rglob("*-probe-*"))) == 3


def the_run(home: Path) -> Run:
    (run,) = list_runs(home)
    return run


def test_a_users_engine_py_stands_beside_it_and_no_app_is_loaded(tmp_path: Path, home: Path) -> None:
    (tmp_path / "engine.py").write_text("MINE = 42\n")
    text = """
        import engine
        probe = LoadProbe(model, x, y, every=2)
        train(probe, 4)
        import engine as again
        assert again.MINE == engine.MINE == 42 and engine.__file__.startswith(sys.path[0])
        import json
        print(json.dumps(sorted(name.split(".")[0] for name in sys.modules)))
    """
    out, err = finished(script(tmp_path, home, text))
    assert err == ""
    loaded = set(json.loads(out))
    assert not loaded & {"textual", "rich", "click", "plotext", "numba", "sklearn", "scipy"}
    run = the_run(home)
    assert run.status() == "finished"
    assert [event.step for event in run.events() if isinstance(event, Curve)] == [0, 2, 4]


def test_an_exception_is_the_runs_last_word(tmp_path: Path, home: Path) -> None:
    text = """
        probe = LoadProbe(model, x, y, every=2)
        train(probe, 3)
        raise ValueError("the data ran out")
    """
    _, err = finished(script(tmp_path, home, text))
    assert "the data ran out" in err
    last = the_run(home).events()[-1]
    assert isinstance(last, Ended)
    assert (last.reason, last.text, last.at) == ("failed", "the script ended by ValueError: the data ran out", 3)


def test_a_killed_script_has_crashed_even_if_its_loader_lives_on(tmp_path: Path, home: Path) -> None:
    text = """
        import os, time
        probe = LoadProbe(model, x, y, every=2)
        train(probe, 3)
        if (child := os.fork()) == 0:  # as a data loader's worker
            probe.step(loss=1.0)
            probe.close()
            time.sleep(100)
            os._exit(0)
        time.sleep(0.2)
        print(child, flush=True)
        time.sleep(100)
    """
    process = script(tmp_path, home, text)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        run = the_run(home)
        assert run.status() == "running"
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.kill(child, 0)
        assert run.status() == "crashed"
        assert not any(isinstance(event, Ended) for event in run.events())
    finally:
        os.kill(child, signal.SIGKILL)
        process.communicate()


def test_a_first_record_that_could_not_be_written_comes_before_the_next(home: Path) -> None:
    probe_run = ProbeRun(home, ProbeConfig())
    events = probe_run.run.path / "events.jsonl"
    events.unlink()
    events.symlink_to(home)
    with pytest.raises(RunDirectoryError, match="events"):
        probe_run.start(Started(pid=1, host="h", settings={}, layers=["input", "1"], total=0))
    events.unlink()
    probe_run.write_curves([Curve(at=1, step=1, curves={"trace_ratio": [1.0, 0.0]})], {})
    probe_run.end("finished", "done")
    assert [type(event) for event in probe_run.run.events()] == [Started, Usage, Curve, Ended]


def test_a_full_disk_warns_once_and_the_training_goes_on(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file-size limit of the process plays the full disk: the kernel writes a part and then refuses."""
    text = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        probe = LoadProbe(model, x, y, every=1)
        size = (probe.path / "events.jsonl").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, resource.RLIM_INFINITY))
        train(probe, 10)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        train(probe, 5)
        print("trained", len(probe.metrics()) > 5)
    """
    out, err = finished(script(tmp_path, home, text))
    assert out == "trained True\n"
    assert err.count("ProbeWarning") == 1
    assert "The training goes on" in err
    run = the_run(home)
    steps = [event.step for event in run.events() if isinstance(event, Curve)]
    assert steps[-5:] == [11, 12, 13, 14, 15]
    assert len(steps) < 16
    lines = (run.path / "events.jsonl").read_bytes().splitlines()
    assert len(run.events()) == len(lines)  # no torn line is left
    assert main(["runs"]) == 0
    assert "finished" in capsys.readouterr().out


def test_processes_of_multiprocessing_end_their_own_runs(tmp_path: Path, home: Path) -> None:
    """A forked one leaves without the interpreter's own end; one that breaks off says by what."""
    text = """
        import multiprocessing
        kept = []

        def child(error):
            kept.append(LoadProbe(model, x, y, every=2))
            train(kept[0], 3)
            if error:
                raise error

        for error in (None, ValueError("no more")):
            process = multiprocessing.get_context("fork").Process(target=child, args=(error,))
            process.start()
            process.join()
        """
    finished(script(tmp_path, home, text))
    last = [run.events()[-1] for run in list_runs(home)]
    assert sorted(event.reason for event in last if isinstance(event, Ended)) == ["failed", "finished"]
    assert any(isinstance(event, Ended) and "ValueError: no more" in event.text for event in last)
