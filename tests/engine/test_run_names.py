"""A run is found by its id or a name, and by the beginning of one; among several runs none is chosen."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from engine.errors import ConfigError, RunDirectoryError
from engine.runs.directory import Run
from engine.runs.label import write_label
from engine.runs.listing import find_run, names_of, open_home
from engine.settings.chain import ChainConfig
from engine.settings.probe import ProbeConfig
from engine.settings.run import RunConfig
from springtui.cli import main


def made(home: Path, run_id: str, name: str = "", *, probe: str | None = None) -> Run:
    """A run of an id, with a name that was noted or, of a probe, that its training gave."""
    path = open_home(home) / "runs" / run_id
    path.mkdir()
    settings = ChainConfig() if probe is None else ProbeConfig(name=probe)
    config = RunConfig(id=run_id, created=1.7e9, host="gone", version="0", settings=settings)
    (path / "config.json").write_bytes(msgspec.json.encode(config))
    (path / "events.jsonl").touch()
    if name:
        write_label(path, name=name)
    return Run(path)


@pytest.fixture
def runs(home: Path) -> dict[str, Run]:
    """Runs by what is special of each."""
    return {
        "named": made(home, "20260101-120000-chain-000001", "baseline"),
        "probe": made(home, "20260102-120000-probe-000002", probe="my resnet"),
        "both": made(home, "20260103-120000-probe-000003", "wide", probe="plain"),
        "as_an_id": made(home, "20260104-120000-chain-000004", "20260101-120000-chain-000001"),
        "as_a_beginning": made(home, "20260105-120000-chain-000005", "20260102"),
        "with_a_slash": made(home, "20260106-120000-chain-000006", "lr 0.1/0.2"),
        "renamed": made(home, "kept", "keeper"),
    }


@pytest.mark.parametrize(
    ("word", "which"),
    [
        ("baseline", "named"),
        ("base", "named"),
        ("my resnet", "probe"),
        ("my", "probe"),
        ("wide", "both"),
        ("plain", "both"),
        ("20260101-120000-chain-000001", "named"),  # an id goes before the same name
        ("20260102", "as_a_beginning"),  # a name goes before the beginning of an id
        ("20260104", "as_an_id"),
        ("2026010", None),
        ("ke", "renamed"),  # the beginning of an id goes before that of a name
        ("keeper", "renamed"),
        ("lr 0.1/0.2", "with_a_slash"),
        ("lr 0.1/", "with_a_slash"),
        ("last", "renamed"),
        ("aseline", None),
        ("Baseline", None),
        ("", None),
    ],
)
def test_order(home: Path, runs: dict[str, Run], word: str, which: str | None) -> None:
    if which is None:
        with pytest.raises(RunDirectoryError):
            find_run(home, word)
    else:
        assert find_run(home, word).path == runs[which].path


def test_of_runs_that_share_a_name_none_is_chosen(
    home: Path, runs: dict[str, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    other = made(home, "20260107-120000-probe-000007", probe="baseline")
    with pytest.raises(RunDirectoryError) as refused:
        find_run(home, "baseline")
    text = str(refused.value)
    assert "2 runs are named 'baseline'" in text
    assert "give an id" in text
    for run in (runs["named"], other):
        assert re.search(rf"{run.id} \(baseline, \d+ days ago\)", text)
    for arguments in (["rm", "--yes", "baseline"], ["stop", "baseline"], ["rm", "-y", "-f", "basel"]):
        assert main(arguments) == 2
        assert runs["named"].id in capsys.readouterr().err
    assert runs["named"].path.is_dir()
    assert other.path.is_dir()
    assert find_run(home, other.id).path == other.path


def test_a_beginning_of_many_lists_some(home: Path) -> None:
    for number in range(12):
        made(home, f"20260101-120000-chain-{number:06x}", f"trial {number}")
    for word, first in (("20260101", "20260101-120000-chain-00000b (trial 11, "), ("tri", "trial 11")):
        with pytest.raises(RunDirectoryError, match=r"fits 12 runs") as refused:
            find_run(home, word)
        assert first in str(refused.value)
        assert str(refused.value).endswith("and 4 more; give more of it, or an id")


def test_verbs_take_names(home: Path, runs: dict[str, Run], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["note", "basel", "--text", "the first", "--json"]) == 0
    told = msgspec.json.decode(capsys.readouterr().out)
    assert told == {"run": runs["named"].id, "name": "baseline", "text": "the first", "pinned": False}
    assert main(["note", "my resnet", "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["name"] == "my resnet"
    assert main(["export", "baseline", "--format", "json", "--out", str(home)]) == 0
    assert capsys.readouterr().out.strip() == str(home / f"{runs['named'].id}.json")
    assert main(["stop", "baseline", "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["run"] == runs["named"].id
    assert main(["runs", "--json"]) == 0
    shown = {run["run"]: run["name"] for run in map(msgspec.json.decode, capsys.readouterr().out.splitlines())}
    assert shown[runs["probe"].id] == "my resnet"
    assert shown[runs["both"].id] == "wide"
    assert main(["rm", "--yes", "baseline"]) == 0
    assert not runs["named"].path.exists()


def test_a_run_is_never_named_last(home: Path) -> None:
    run = made(home, "20260101-120000-chain-000001")
    with pytest.raises(ConfigError, match="'last'"):
        write_label(run.path, name=" last ")
    assert names_of(run) == []
    write_label(run.path, name="the last")
    assert find_run(home, "the").path == run.path
