"""Many runs: described only where they are looked at; sorted, filtered, pinned, deleted and brought back."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.made_runs import make_many, make_probe_run, make_run, probe_records, training_records

from engine.errors import ConfigError, RunDirectoryError, SpringtuiError
from engine.runs.directory import Run
from engine.runs.label import write_label
from engine.runs.listing import list_runs
from engine.runs.records import Ended, Scalars, encode
from springtui.preferences.last_place import LastSession, Seen, load_last_session, save_last_session
from springtui.runs import trash as trash_module
from springtui.runs.catalogue import SORTS, Catalogue, HomeRuns, make_filter, ordered
from springtui.runs.overlay import LOAD_CURVE, Overlay
from springtui.runs.panels import line_of
from springtui.runs.trash import Trash
from springtui.state.wording import percent


@pytest.fixture
def catalogue(home: Path) -> Catalogue:
    make_many(home, 40)
    found = Catalogue(HomeRuns(home))
    found.scan()
    return found


def test_names_tell_kind_and_age_without_reading_a_run(catalogue: Catalogue) -> None:
    assert len(catalogue.rows) == 40
    assert catalogue.describes == 0
    newest = ordered(catalogue.rows.values(), "age", reverse=False, keep=None)[0]
    assert newest.endswith("000027")
    assert {row.kind for row in catalogue.rows.values()} == {"train", "chain"}
    assert abs(catalogue.rows[newest].created - (1.7e9 + 3900)) <= 86_400  # names hold the local time


def test_a_run_is_described_once_until_its_files_change(catalogue: Catalogue) -> None:
    names = [name for name, row in catalogue.rows.items() if int(name[-6:], 16) % 5][:10]
    assert catalogue.refresh(names) == 10
    assert catalogue.refresh(names) == 0
    with (catalogue.rows[names[0]].run.path / "events.jsonl").open("ab") as file:
        file.write(encode(Ended(reason="failed", text="after all")))
    assert catalogue.refresh(names) == 1
    assert catalogue.rows[names[0]].status == "failed"
    assert not catalogue.scan()


@pytest.mark.parametrize(
    ("logged", "shown"),
    [
        ({"accuracy": 0.93}, 0.93), ({"acc": 0.5}, 0.5), ({"val_acc": 0.25, "train_acc": 0.75}, 0.25),
        ({"val/accuracy": 0.125, "accuracy": 1.0}, 0.125), ({"metrics/eval_accuracy": 0.5}, 0.5),
        ({"test_accuracy": 0.25, "accuracy": 0.75}, 0.25), ({"acc": 93.0}, 0.93), ({"f1": 0.5}, None),
        ({"Accuracy/train": 0.75, "Accuracy/test": 0.5}, 0.5), ({"Accuracy": 100.5}, None),
        ({"acc_top5": 0.5}, None),
    ],
)  # fmt: skip
def test_the_accuracy_that_a_probe_logged_is_known_by_its_usual_names(
    home: Path, logged: dict[str, float], shown: float | None
) -> None:
    events = [*probe_records(["a", "logits"], 3), Scalars(seq=99, time=1.7e9 + 99, step=20, scalars=logged)]
    run = make_probe_run(home, events)
    catalogue = Catalogue(HomeRuns(home))
    catalogue.scan()
    catalogue.refresh([run.name])
    row = catalogue.rows[run.name]
    assert row.accuracy == shown
    assert SORTS["accuracy"](row) == shown
    assert line_of(row, marked=False).cells["accuracy"] == ("" if shown is None else percent(shown))


@pytest.mark.parametrize("column", list(SORTS))
def test_every_column_sorts_both_ways_and_the_unknown_comes_last(catalogue: Catalogue, column: str) -> None:
    names = list(catalogue.rows)
    catalogue.refresh(names[:30])
    key = SORTS[column]
    for reverse in (False, True):
        found = ordered(catalogue.rows.values(), column, reverse=reverse, keep=None)
        assert sorted(found) == sorted(names)
        values = [key(catalogue.rows[name]) for name in found]
        known = [value for value in values if value is not None]
        assert values[: len(known)] == known
        assert known == sorted(known, reverse=reverse)


def test_pinned_runs_stand_on_top_and_names_are_found(catalogue: Catalogue) -> None:
    oldest = min(catalogue.rows)
    write_label(catalogue.rows[oldest].run.path, name="the first", text="a note", pinned=True)
    assert catalogue.scan()
    assert ordered(catalogue.rows.values(), "age", reverse=False, keep=None)[0] == oldest
    for text in ("the first", "A NOTE", "/^.*first/", oldest[:15]):
        keep = make_filter(text)
        assert keep is not None
        assert [name for name, row in catalogue.rows.items() if keep(row)] == [oldest]
    assert make_filter("  ") is None


@pytest.mark.parametrize("text", ["/(/", "/[a/", "/(?P<x>a)(?P<x>b)/"])
def test_a_bad_expression_says_so(text: str) -> None:
    with pytest.raises(ConfigError, match="no regular expression") as told:
        make_filter(text)
    assert text[1:-1] in str(told.value)


def test_damage_is_a_row_like_any_other(home: Path) -> None:
    folder = make_run(home, training_records(3))
    (folder / "config.json").write_bytes(b"{" * 4000)
    (home / "runs" / "20260101-000000-train-link").symlink_to("/etc")
    (home / "runs" / "20260101-000000-train-file").touch()
    catalogue = Catalogue(HomeRuns(home))
    catalogue.scan()
    catalogue.refresh(list(catalogue.rows))
    assert [row.status for row in catalogue.rows.values()] == ["damaged"]


def test_what_is_deleted_can_be_had_back(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trash_module, "LIMIT", 3)
    make_many(home, 6)
    trash = Trash(home)
    runs = [run for run in list_runs(home) if run.status() != "unknown"]
    for run in runs[:4]:
        trash.put(run)
    assert len(list_runs(home)) == 2
    assert len(list(trash.folder.iterdir())) == 3  # the oldest is gone
    assert Trash(home).take_over() == 0  # this app lives
    assert trash.undo() == runs[3].id
    assert runs[3].status() in {"finished", "stopped", "diverged", "failed"}
    runs[2].path.mkdir()
    with pytest.raises(RunDirectoryError, match="exists"):
        trash.undo()
    trash.empty()
    assert trash.undo() is None
    assert list((home / "trash").iterdir()) == []


DELETE_AND_WAIT = """
import sys, pathlib, springtui.runs.trash, engine.runs.directory
trash = springtui.runs.trash.Trash(pathlib.Path(sys.argv[1]))
for name in sys.argv[2:]:
    trash.put(engine.runs.directory.Run(trash.home / "runs" / name))
print("deleted", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_app_had_deleted_is_taken_over(home: Path) -> None:
    make_many(home, 6)
    runs = [run for run in list_runs(home) if run.status() != "unknown"]
    first, second, third, old = runs[:4]
    words = [sys.executable, "-c", DELETE_AND_WAIT, str(home), first.id, second.id]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, **pipes, cwd=Path(__file__).parents[2]) as app:  # type: ignore[call-overload]
        assert app.stdout.readline() == b"deleted\n"
        assert Trash(home).take_over() == 0  # it lives, and may want them back itself
        app.kill()
    (home / "trash" / "note").write_text("not ours")
    old.path.rename(home / "trash" / old.id)  # as it lay before each app had a folder
    trash, other = Trash(home), Trash(home)
    trash.put(third)
    assert trash.take_over() == 3
    assert trash.take_over() == other.take_over() == 0
    assert [trash.undo() for _ in range(3)] == [third.id, second.id, first.id]
    assert first.status() in {"finished", "stopped", "diverged", "failed"}
    trash.empty()
    assert [path.name for path in (home / "trash").iterdir()] == ["note"]


def test_a_run_that_goes_on_is_not_deleted(home: Path) -> None:
    run = Run(make_run(home, training_records(3)))
    writer = run.writer(force=True)
    with pytest.raises(SpringtuiError, match="stop it first"):
        Trash(home).put(run)
    writer.release()
    assert run.path.is_dir()


def test_curves_for_the_overlay_are_read_once(home: Path) -> None:
    run = Run(make_run(home, training_records(50)))
    overlay = Overlay()
    picture = overlay.read(run, 1)
    assert picture.load_curve[0] == pytest.approx(0.5, abs=0.02)
    assert overlay.read(run, 1) is picture
    assert overlay.read(run, 2) is not picture
    assert overlay.quantities([run.id])[:2] == [LOAD_CURVE, "train_loss"]
    assert len(overlay.series([(run.id, "a\x1b[31m")], "train_loss")[0].x) == 50
    assert "\x1b" not in overlay.series([(run.id, "a\x1b[31m")], LOAD_CURVE)[0].name


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"screen":3}', b'{"seen":{"a":1}}', b"\xff" * 10])
def test_a_damaged_place_counts_as_none(home: Path, content: bytes) -> None:
    home.mkdir()
    (home / "place.json").write_bytes(content)
    assert load_last_session(home) == LastSession()


def test_a_place_is_remembered_and_bounded(home: Path) -> None:
    home.mkdir()
    last = LastSession(screen="watch", run="r", measure="fuzziness")
    for i in range(300):
        last.look_at(f"run {i}", i)
    save_last_session(home, last)
    found = load_last_session(home)
    assert (found.screen, found.run, found.measure) == ("watch", "r", "fuzziness")
    assert len(found.seen) == 200
    assert found.seen["run 299"].records == 299
    save_last_session(home / "nowhere", last)
    assert not (home / "nowhere").exists()


def test_two_apps_keep_what_the_other_has_seen(home: Path) -> None:
    home.mkdir()
    ours, theirs = LastSession(screen="watch", run="a"), LastSession()
    ours.look_at("a", 10)
    save_last_session(home, ours)
    theirs.look_at("b", 20)
    save_last_session(home, theirs)
    assert {name: seen.records for name, seen in load_last_session(home).seen.items()} == {"a": 10, "b": 20}
    ours.look_at("b", 15)
    theirs.look_at("b", 30)
    save_last_session(home, theirs)
    save_last_session(home, ours)
    found = load_last_session(home)
    assert (found.screen, found.seen["b"].records) == ("watch", 30)


def test_how_long_one_was_away() -> None:
    now = time.time()
    last = LastSession(seen={"a": Seen(10, now - 125)})
    assert last.away("a", 1213, now) == "away 2m05s: 1203 records caught up"
    assert last.away("a", 10, now) == ""
    assert last.away("b", 10, now) == ""
