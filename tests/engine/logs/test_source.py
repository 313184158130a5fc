"""Finding runs under paths and reading them live, with a format made for the purpose."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from engine.logs.batch import Batch
from engine.logs.columns import Columns
from engine.logs.finding import ROUND_SECONDS
from engine.logs.folder import Folder
from engine.logs.found_run import FoundRun
from engine.logs.reader import Claim, Format, Reader
from engine.logs.series import series_of
from engine.logs.source import Source


class Lines(Format):
    """A log of one number a line, begun by a word of its own."""

    label = "Lines"

    def __init__(self, word: bytes = b"LINES\n", *, by_name: bool = False) -> None:
        self.name = word.decode().strip().lower()
        self.word = word
        self.by_name = by_name

    def claims(self, folder: Folder) -> Iterable[Claim]:
        for name in folder.files:
            if folder.head(name).startswith(self.word):
                yield Claim(self.name, folder.path, (folder.path / name,), name if self.by_name else "")

    def reader(self, claim: Claim) -> Reader:
        return LinesReader(claim)


class LinesReader(Reader):
    """Its lines from the last newline on."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self.at = 0

    def poll(self, limit: int = 1 << 20) -> Batch:
        try:
            data = self.claim.files[0].read_bytes()
        except OSError:
            return Batch(read=self.at)
        piece = data[self.at : self.at + limit]
        piece = piece[: piece.rfind(b"\n") + 1]
        first = data[: self.at].count(b"\n")
        self.at += len(piece)
        values = [(first + n, float(line)) for n, line in enumerate(piece.split()) if line.isdigit()]
        points = {"loss": series_of([n for n, _ in values], [v for _, v in values])} if values else {}
        return Batch(points=points, read=self.at, size=len(data), more=self.at < len(data) and bool(piece))


FORMAT = Lines()


def write(path: Path, count: int = 3, word: bytes = b"LINES\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(word + b"".join(b"%d\n" % n for n in range(count)))
    return path


def looked(source: Source) -> dict[str, FoundRun]:
    """All runs by name, after one whole round."""
    while source.scan() or not source.is_scanned:
        pass
    return {run.name: run for run in source.runs.values()}


def again(source: Source) -> dict[str, FoundRun]:
    """The runs after another round, without waiting for its time."""
    source.scan_again()
    source.scan()
    return looked(source)


def read(source: Source) -> dict[int, Columns]:
    columns: dict[int, Columns] = {}
    while not source.is_read:
        for number, batch in source.poll():
            columns.setdefault(number, Columns()).take(batch)
    return columns


def test_a_tree_of_runs_is_found_and_read(tmp_path: Path) -> None:
    for name in ("a", "b/c", "b/d"):
        write(tmp_path / name / "log")
    write(tmp_path / ".git" / "log")
    write(tmp_path / "node_modules" / "log")
    write(tmp_path / "env" / "lib" / "log")
    (tmp_path / "env" / "pyvenv.cfg").touch()
    source = Source([tmp_path], [FORMAT])
    found = looked(source)
    assert set(found) == {"a", "b/c", "b/d"}
    columns = read(source)
    assert [len(columns[run.number]) for run in found.values()] == [3, 3, 3]


def test_a_file_is_a_run_and_so_is_a_folder(tmp_path: Path) -> None:
    file = write(tmp_path / "x" / "log")
    assert list(looked(Source([file], [FORMAT]))) == ["."]
    assert list(looked(Source([file.parent], [FORMAT]))) == ["."]
    assert list(looked(Source([file], [Lines(by_name=True)]))) == ["."]
    assert list(looked(Source([file.parent], [Lines(by_name=True)]))) == [".#log"]
    named = [
        Path(os.path.relpath(path)) for path in (file.parent, write(tmp_path / "y" / "z" / "log").parent.parent)
    ]
    assert list(looked(Source(named, [FORMAT]))) == [str(named[0]), f"{named[1]}/z"]


def test_pictures_and_checkpoints_are_not_opened_but_counted(tmp_path: Path) -> None:
    for name in ("log", "model.PT", "picture.png", "events.out.tfevents.1.host.rs"):
        write(tmp_path / name)
    source = Source([tmp_path], [Lines(by_name=True)])
    assert list(looked(source)) == [".#events.out.tfevents.1.host.rs", ".#log"]
    assert source.files == 4
    assert list(looked(Source([tmp_path / "model.PT"], [Lines(by_name=True)]))) == ["."]


def test_links_are_followed_once_and_only_out_of_the_paths(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    write(inside / "run-1" / "log")
    write(outside / "run-2" / "log")
    (inside / "latest").symlink_to("run-1")
    (inside / "circle").symlink_to(".")
    (outside / "back").symlink_to(inside)
    (inside / "other").symlink_to(outside)
    (inside / "again").symlink_to(outside)
    (inside / "log").symlink_to("run-1/log")
    (inside / "nowhere").symlink_to("missing")
    (inside / "around").symlink_to(tmp_path)
    (outside / "all").symlink_to("/")
    (outside / "system").symlink_to("/proc")
    assert sorted(looked(Source([inside], [FORMAT]))) == ["again/run-2", "run-1"]


def test_a_file_goes_to_the_first_format_that_claims_it(tmp_path: Path) -> None:
    write(tmp_path / "log")
    first, second = Lines(), Lines()
    runs = Source([tmp_path], [first, second])
    assert [run.format for run in looked(runs).values()] == [first]


def test_runs_come_and_go_while_it_is_watched(tmp_path: Path) -> None:
    log = write(tmp_path / "a" / "log")
    source = Source([tmp_path], [FORMAT])
    first = looked(source)["a"]
    read(source)
    write(tmp_path / "b" / "log")
    found = again(source)
    assert set(found) == {"a", "b"}
    assert found["a"] is first
    log.unlink()
    log.parent.rmdir()
    assert again(source)["a"].is_gone
    write(log, 5)
    found = again(source)
    assert not found["a"].is_gone
    batch = dict(source.poll())[first.number]
    assert batch.anew
    assert len(batch.points["loss"]) == 5


def test_a_short_file_that_becomes_a_log_is_found(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    source = Source([tmp_path], [FORMAT])
    assert not looked(source)
    old = time.time() - 100
    os.utime(tmp_path, (old, old))
    again(source)
    write(log)
    os.utime(tmp_path, (old, old))
    assert list(again(source)) == ["."]


def test_a_run_that_turns_out_to_be_another_says_so(tmp_path: Path) -> None:
    log = write(tmp_path / "log", word=b"TEXT\n")
    table, text = Lines(), Lines(b"TEXT\n")
    source = Source([tmp_path], [table, text])
    before = looked(source)["."]
    write(log)
    (tmp_path / "more").touch()
    after = again(source)["."]
    assert after.format is table
    assert before.instead == after.number
    assert len(source.runs) == 1


def test_what_cannot_be_looked_at_is_named_and_looked_at_again(tmp_path: Path) -> None:
    missing, pipe, closed = tmp_path / "missing", tmp_path / "pipe", tmp_path / "closed"
    os.mkfifo(pipe)
    write(closed / "log")
    closed.chmod(0)
    source = Source([missing, pipe, closed], [FORMAT])
    found = looked(source)
    assert source.problems[missing] == "No such file or directory"
    assert source.problems[pipe] == "it is no plain file"
    if os.geteuid() != 0:
        assert source.problems[closed] == "Permission denied"
        assert not found
    closed.chmod(0o755)
    write(missing / "log")
    assert len(again(source)) == 2
    assert set(source.problems) == {pipe}


def test_a_fault_in_one_format_leaves_the_others_and_is_told(tmp_path: Path) -> None:
    class Faulty(Lines):
        """It raises where a format must not."""

        def claims(self, folder: Folder) -> Iterable[Claim]:
            raise KeyError(folder.path)

    class Unreadable(Lines):
        """Its reader raises."""

        def reader(self, claim: Claim) -> Reader:
            raise RuntimeError(claim.folder)

    write(tmp_path / "a")
    write(tmp_path / "b", word=b"OTHER\n")
    source = Source([tmp_path], [Faulty(), FORMAT, Unreadable(b"OTHER\n")])
    looked(source)
    assert "KeyError" in source.problems[tmp_path]
    columns = read(source)
    whole, broken = source.runs.values()
    assert len(columns[whole.number]) == 3
    assert columns[broken.number].problems == {"RuntimeError in springtui: please report it": 1}


def test_a_large_tree_is_looked_through_a_little_at_a_time(tmp_path: Path) -> None:
    for n in range(300):
        write(tmp_path / f"{n // 20}" / f"{n}" / "log", 1)
    source = Source([tmp_path], [FORMAT])
    calls = 0
    while source.scan(0.0) or not source.is_scanned:
        calls += 1
    assert calls >= 300
    assert len(source.runs) == 300
    assert source.files == 300


def test_folders_that_stay_the_same_are_not_listed_again(tmp_path: Path) -> None:
    asked = []

    class Asked(Lines):
        """It tells which folders it was asked of."""

        def claims(self, folder: Folder) -> Iterable[Claim]:
            asked.append(folder.path)
            return super().claims(folder)

    for name in ("a", "b"):
        write(tmp_path / name / "log")
        os.utime(tmp_path / name, (1e9, 1e9))
    os.utime(tmp_path, (1e9, 1e9))
    source = Source([tmp_path], [Asked()])
    looked(source)
    asked.clear()
    again(source)
    assert not asked
    write(tmp_path / "b" / "other")
    again(source)
    assert asked == [tmp_path / "b"]


def test_logs_that_grow_are_looked_at_soon_and_others_rarely(tmp_path: Path) -> None:
    write(tmp_path / "old" / "log")
    os.utime(tmp_path / "old" / "log", (1e9, 1e9))
    live = write(tmp_path / "live" / "log")
    source = Source([tmp_path], [FORMAT])
    found = looked(source)
    read(source)
    assert not source.poll()
    assert source.wait <= 1.0
    due = {name: run.due - time.monotonic() for name, run in found.items()}
    assert due["live"] < 0.7
    assert due["old"] > 10
    with live.open("ab") as file:
        file.write(b"7\n")
    time.sleep(max(0.0, due["live"]))
    ((number, batch),) = source.poll()
    assert number == found["live"].number
    assert batch.points["loss"].value.tolist() == [7.0]


def test_springtuis_own_run_directories_are_joined_to_the_runs_that_they_are_of(tmp_path: Path) -> None:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    inside = tmp_path / "train" / "home" / "runs" / f"{stamp}-probe-1a2b3c"
    alone = tmp_path / "other" / f"{stamp}-probe-4d5e6f"
    old = tmp_path / "train" / "home" / "runs" / "20200101-000000-probe-1a2b3c"
    for directory in (inside, alone, old):
        directory.mkdir(parents=True)
        for name in ("config.json", "events.jsonl", "worker.log"):
            (directory / name).write_bytes(b"LINES\n")
    os.utime(old / "events.jsonl", (1577836800, 1577836800))
    write(tmp_path / "train" / "log")
    source = Source([tmp_path], [FORMAT])
    found = looked(source)
    assert set(found) == {"train"}
    assert found["train"].own == inside
    assert set(source.own_runs) == {alone, old}


def test_settings_in_a_folder_of_their_own_are_of_the_run_around_it(tmp_path: Path) -> None:
    class Told(LinesReader):
        """An empty log tells a setting."""

        def poll(self, limit: int = 1 << 20) -> Batch:
            batch = super().poll(limit)
            return batch if batch.points else replace(batch, settings={"lr": 0.1})

    class Telling(Lines):
        """A log that may hold no more than settings."""

        def reader(self, claim: Claim) -> Reader:
            return Told(claim)

    write(tmp_path / "log")
    write(tmp_path / "settings" / "log", 0)
    write(tmp_path / "other" / "log", 1)
    source = Source([tmp_path], [Telling()])
    found = looked(source)
    read(source)
    assert {name: run.same_as for name, run in found.items()} == {
        ".": None,
        "settings": found["."].number,
        "other": None,
    }


def test_settings_with_how_it_ended_belong_to_the_run_around_them(tmp_path: Path) -> None:
    class Told(LinesReader):
        """The short log tells a setting."""

        def poll(self, limit: int = 1 << 20) -> Batch:
            batch = super().poll(limit)
            few = sum(map(len, batch.points.values())) == 1
            return replace(batch, settings={"lr": 0.1}) if few else batch

    class Telling(Lines):
        """A log that may be of settings."""

        def reader(self, claim: Claim) -> Reader:
            return Told(claim)

    write(tmp_path / "a" / "log", 3)
    write(tmp_path / "a" / "hp" / "log", 1)
    write(tmp_path / "alone" / "log", 1)
    source = Source([tmp_path], [Telling()])
    found = looked(source)
    read(source)
    same = {name: run.same_as for name, run in found.items()}
    assert same == {"a": None, "a/hp": found["a"].number, "alone": None}


def test_one_training_in_two_formats_is_told_once_both_are_read(tmp_path: Path) -> None:
    class Halves(LinesReader):
        """Values with digits enough to be told by."""

        def poll(self, limit: int = 1 << 20) -> Batch:
            batch = super().poll(limit)
            scaled = {tag: series_of(p.step.tolist(), (p.value / 7).tolist()) for tag, p in batch.points.items()}
            return replace(batch, points=scaled)

    class Fractions(Lines):
        """A log in whole numbers of sevenths."""

        def reader(self, claim: Claim) -> Reader:
            return Halves(claim)

    write(tmp_path / "a", 30, b"ONE\n")
    write(tmp_path / "b", 20, b"TWO\n")
    source = Source([tmp_path], [Fractions(b"ONE\n"), Fractions(b"TWO\n")])
    looked(source)
    read(source)
    one, two = sorted(source.runs.values(), key=lambda run: run.format.name)
    assert (one.same_as, two.same_as) == (None, one.number)


def test_a_first_round_that_took_long_does_not_put_off_the_next(tmp_path: Path) -> None:
    class Slow(Lines):
        def claims(self, folder: Folder) -> Iterable[Claim]:
            end = time.thread_time() + 0.05
            while time.thread_time() < end:
                pass
            return super().claims(folder)

    source = Source([tmp_path], [Slow()])
    while source.scan():
        pass
    assert source.wait <= ROUND_SECONDS
