"""Event logs: whole records in bounded slices, from any offset, of a log that grows, tears or is replaced."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.runs import files
from engine.runs.files import append_line, replace_file
from engine.runs.log import EventLog, RunLog, Signature, Slice
from engine.runs.records import Curve, CurveScalars, Event, Note, encode
from springtui.state.timeline import Timeline


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def read_all(log: EventLog, limit: int) -> list[bytes]:
    """All records, slice by slice; also that slices join up and starts are where records begin."""
    offset, records = 0, []
    while (piece := log.read(offset, limit)).end != offset:
        assert piece.start == offset
        for record, start in zip(piece.records, piece.starts, strict=True):
            assert log.read(start).records[0] == record
        records += piece.records
        offset = piece.end
    assert not piece.more
    return records


class TestSlices:
    @pytest.mark.parametrize("limit", [1, 7, 64, 100, 1 << 20])
    def test_join_up_to_all_records_whatever_the_bound(self, path: Path, limit: int) -> None:
        lines = [b"x" * (1 + 13 * i % 50) for i in range(60)]
        path.write_bytes(b"\n".join(lines) + b"\n")
        assert read_all(RunLog(path), limit) == lines
        assert list(RunLog(path).records()) == lines

    def test_say_whether_the_log_goes_on(self, path: Path) -> None:
        path.write_bytes(b"one\ntwo\nthree\nto")
        log = RunLog(path)
        first = log.read(0, 9)
        assert first == Slice(0, [b"one", b"two"], [0, 4], 8, more=True)
        assert log.read(8, 100) == Slice(8, [b"three"], [8], 14, more=False)  # the rest is no record yet
        assert log.read(14, 100) == Slice(14, [], [], 14, more=False)

    def test_of_no_file_are_empty(self, path: Path, tmp_path: Path) -> None:
        for log in (RunLog(path), RunLog(tmp_path)):
            assert log.read(5) == Slice(5, [], [], 5, more=False)
            assert log.between(0, 9) == log.last(3) == log.sample([0, 4], 10) == list(log.events()) == []
        assert RunLog(path).signature() == Signature(0, 0, 0)

    def test_leave_blank_lines_out(self, path: Path) -> None:
        path.write_bytes(b"\none\n \n\ntwo\n")
        assert RunLog(path).read(0) == Slice(0, [b"one", b"two"], [1, 8], 12, more=False)

    def test_from_within_a_record_begin_with_the_next(self, path: Path) -> None:
        path.write_bytes(b"one\ntwo\nthree\n")
        log = RunLog(path)
        assert log.read(1) == Slice(1, [b"two", b"three"], [4, 8], 14, more=False)
        assert log.read(9) == Slice(9, [], [], 14, more=False)
        assert log.sample([0, 1, 4, 9], 8) == [b"one", b"two", b"two"]

    def test_between_two_offsets_and_from_the_end(self, path: Path) -> None:
        path.write_bytes(b"one\ntwo\nthree\nto")
        log = RunLog(path)
        assert [record for record in log.between(4, 14) if record] == [b"two", b"three"]
        assert log.last(2) == [b"two", b"three"]


class TestGrowth:
    def test_between_slices_is_seen(self, path: Path) -> None:
        append_line(path, b"one\ntw")
        log = RunLog(path)
        first = log.read(0)
        assert (first.records, first.end) == ([b"one"], 4)
        assert log.read(4).records == []
        append_line(path, b"o\nthree\n")
        assert log.read(4).records == [b"two", b"three"]

    def test_a_torn_line_is_read_again_only_once_the_file_has_changed(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        append_line(path, b"one\n" + b"t" * 1000)
        log, reads = RunLog(path), []
        read_lines = files.read_lines
        monkeypatch.setattr("engine.runs.log.read_lines", lambda *words: reads.append(words) or read_lines(*words))
        end = log.read(0).end
        assert [log.read(end).records for _ in range(3)] == [[], [], []]
        assert len(reads) == 2
        append_line(path, b"wo\n")
        assert log.read(end).records == [b"t" * 1000 + b"wo"]

    @pytest.mark.parametrize("limit", [10, 90])
    def test_a_line_beyond_the_bound_is_passed_over(
        self, path: Path, limit: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also what stands at its end and would be a record by itself."""
        monkeypatch.setattr(files, "LINE_LIMIT", 100)
        path.write_bytes(b"one\n" + b"x" * 320 + encode(Note(text="no record")) + b"two\n")
        assert read_all(RunLog(path), limit) == [b"one", b"two"]

    def test_a_log_cut_short_or_replaced_by_a_shorter_one_is_read_from_the_front(self, path: Path) -> None:
        append_line(path, b"one\ntwo\n")
        log = RunLog(path)
        end = log.read(0).end
        os.truncate(path, 4)
        assert log.read(end) == Slice(0, [b"one"], [0], 4, more=False)
        replace_file(path, b"x\n")
        assert log.read(end) == Slice(0, [b"x"], [0], 2, more=False)


class TestSignature:
    def test_stays_while_nothing_is_written(self, path: Path) -> None:
        append_line(path, b"one\n")
        log = RunLog(path)
        before = log.signature()
        log.read(0)
        assert log.signature() == before == RunLog(path).signature()
        assert before.size == 4

    def test_changes_with_growth_replacement_and_removal(self, path: Path) -> None:
        append_line(path, b"one\n")
        log, seen = RunLog(path), []
        seen.append(log.signature())
        append_line(path, b"t")
        seen.append(log.signature())
        replace_file(path, b"one\nt")
        os.utime(path, ns=(seen[-1].changed, seen[-1].changed))
        seen.append(log.signature())
        path.unlink()
        seen.append(log.signature())
        assert len(set(seen)) == 4


class TestDecoding:
    def test_gives_events_scalars_and_plain_values(self, path: Path) -> None:
        curve = Curve(seq=3, at=1, step=2, curves={"trace_ratio": [1.0, None]}, scalars={"loss": 0.5})
        path.write_bytes(encode(curve) + b'{"kind":"newer","x":1}\nnonsense\n')
        log = RunLog(path)
        record, newer, nonsense = log.records()
        assert list(log.events()) == [log.decode(record)] == [curve]
        lean = log.decode_scalars(record)
        assert isinstance(lean, CurveScalars)
        assert (lean.at, lean.scalars) == (1, {"loss": 0.5})
        assert (log.decode_plain(newer), log.decode(newer)) == ({"kind": "newer", "x": 1}, None)
        assert log.decode_plain(nonsense) is log.decode_scalars(nonsense) is None


class RowLog(EventLog):
    """A log of another tool, which is no file and holds no JSON: rows of (step, loss)."""

    def __init__(self, rows: Sequence[tuple[int, float]]) -> None:
        self.rows = rows

    def signature(self) -> Signature:
        return Signature(len(self.rows), 0, 0)

    def read(self, offset: int, limit: int = 1 << 20) -> Slice:
        found = self.rows[offset : offset + limit]
        end = offset + len(found)
        records = [f"{step} {loss}".encode() for step, loss in found]
        return Slice(offset, records, list(range(offset, end)), end, more=end < len(self.rows))

    def between(self, start: int, end: int) -> list[bytes]:
        return self.read(start, end - start).records

    def last(self, count: int) -> list[bytes]:
        return self.read(max(0, len(self.rows) - count)).records

    def decode(self, record: bytes) -> Event | None:
        step, loss = record.split()
        return Curve(at=int(step), step=int(step), time=float(step), curves={}, scalars={"loss": float(loss)})


def test_a_log_of_another_kind_goes_through_the_same_seam() -> None:
    """A timeline folds it, and finds any moment of it again."""
    log = RowLog([(i, 1 / (1 + i)) for i in range(100)])
    timeline = Timeline(log, "r")
    while (piece := log.read(timeline.offset, 7)).end != timeline.offset:
        timeline.take(piece)
    assert timeline.view().curves == 100
    assert timeline.view().histories["loss"][1][9] == 0.1
    moment = timeline.view_at(40).state.latest
    assert moment is not None
    assert moment.at == 40
    assert [event.at for event in log.events(97) if isinstance(event, Curve)] == [97, 98, 99]
    assert log.sample([3, 50], 1) == [b"3 0.25", b"50 " + str(1 / 51).encode()]
    plain = log.decode_plain(b"3 0.25")
    assert plain is not None
    assert plain["scalars"] == {"loss": 0.25}
