"""Logs in LevelDB's framing: records over several blocks, damage, torn tails, growth, files that are replaced."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from engine.logs import frames
from engine.logs.frame_layout import BLOCK
from engine.logs.frames import FrameFile, Records
from engine.logs.frames_jit import split_compiled
from engine.logs.frames_plain import split_plain
from tests.support.framed_writer import WANDB, framed
from tests.support.mutate import mutations

SPLITS = pytest.mark.parametrize("split", [split_plain, split_compiled])


def some_records(count: int = 400, seed: int = 1) -> list[bytes]:
    """Records of no to many bytes, one of several blocks, some that end just at a block's end."""
    rng = random.Random(seed)
    sizes = [rng.choice([0, 1, 40, 130, 700]) for _ in range(count)]
    sizes[3:5] = [BLOCK - 7 - 7 - sum(sizes[:3]) - 21, 0]
    sizes[count // 2] = 3 * BLOCK
    return [rng.randbytes(size) for size in sizes]


def contents(records: Records) -> list[bytes]:
    spans = zip(records.starts.tolist(), records.ends.tolist(), strict=True)
    return [bytes(records.data[start:end]) for start, end in spans]


def read(file: FrameFile, limit: int = BLOCK) -> list[bytes]:
    found, more = [], True
    while more:
        records = file.read(limit)
        found += contents(records)
        more = records.more
    return found


@SPLITS
def test_records_are_joined_over_blocks(split) -> None:  # type: ignore[no-untyped-def]
    written = some_records()
    data = bytearray(framed(written)[7:])
    found = split(data, 7)
    assert [bytes(data[s:e]) for s, e in zip(found.starts, found.ends, strict=True)] == written
    assert (found.behind, found.damaged) == (len(data), 0)


def test_a_file_is_read_in_pieces_of_any_size(tmp_path: Path) -> None:
    written = some_records()
    path = tmp_path / "run-a.wandb"
    path.write_bytes(framed(written))
    for limit in (1, BLOCK, 100_000, 1 << 23):
        assert read(FrameFile(path, WANDB), limit) == written


def test_every_prefix_of_a_file_gives_a_prefix_of_its_records(tmp_path: Path) -> None:
    path = tmp_path / "run-a.wandb"
    whole = framed([b"a" * 30, b"", b"b" * 5, b"c" * 40])
    seen: list[bytes] = []
    file = FrameFile(path, WANDB)
    with path.open("wb", buffering=0) as log:
        for size in range(len(whole)):
            log.write(whole[size : size + 1])
            records = file.read()
            assert not records.anew
            assert not records.damaged
            seen += contents(records)
            assert seen == [b"a" * 30, b"", b"b" * 5, b"c" * 40][: len(seen)]
    assert len(seen) == 4


def test_growth_within_a_record_of_several_blocks(tmp_path: Path) -> None:
    path = tmp_path / "run-a.wandb"
    written = some_records()
    whole, rng = framed(written), random.Random(2)
    file, seen, at = FrameFile(path, WANDB), [], 0
    with path.open("wb") as log:
        while at < len(whole):
            step = rng.choice([1, 6, 7, 500, 9000, BLOCK])
            log.write(whole[at : at + step])
            log.flush()
            at += step
            seen += read(file)
    assert seen == written


@SPLITS
@pytest.mark.parametrize(
    ("what", "lost"), [("content", 1), ("checksum", 1), ("length", 1), ("kind", 1), ("zeros", 1)]
)
def test_a_damaged_record_is_counted_and_the_rest_is_read(split, what: str, lost: int) -> None:  # type: ignore[no-untyped-def]
    written = [bytes([number]) * 50 for number in range(20)]
    data = bytearray(framed(written)[7:])
    at = 5 * 57
    match what:
        case "content":
            data[at + 20] ^= 1
        case "checksum":
            data[at] ^= 1
        case "length":
            data[at + 4] ^= 64
        case "kind":
            data[at + 6] = 9
        case "zeros":
            data[at : at + 57] = bytes(57)
    found = split(data, 7)
    kept = [bytes(data[s:e]) for s, e in zip(found.starts, found.ends, strict=True)]
    assert kept == written[:5] + written[5 + lost :]
    assert found.damaged == 1


@SPLITS
def test_a_damaged_part_loses_the_record_it_belongs_to_and_counts_once(split) -> None:  # type: ignore[no-untyped-def]
    data = bytearray(framed([b"first", b"x" * 3 * BLOCK, b"last"])[7:])
    data[BLOCK + 100] ^= 1
    found = split(data, 7)
    assert [bytes(data[s:e]) for s, e in zip(found.starts, found.ends, strict=True)] == [b"first", b"last"]
    assert found.damaged == 1


def test_zeros_at_the_end_are_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "run-a.wandb"
    written = some_records(40)
    whole = framed(written)
    half = len(whole) // 2
    path.write_bytes(whole[:half] + bytes(len(whole) - half))
    file = FrameFile(path, WANDB)
    seen = read(file)
    path.write_bytes(whole)
    assert seen + read(file) == written


@pytest.mark.parametrize("way", ["cut", "replaced", "rewritten", "rewritten behind the start"])
def test_a_file_that_is_not_the_one_before_is_read_anew(tmp_path: Path, way: str) -> None:
    path = tmp_path / "run-a.wandb"
    old, new = some_records(30, 1), some_records(50, 2)
    if way == "rewritten behind the start":
        new = [*old[:9], *some_records(50, 2)]
    path.write_bytes(framed(old))
    file = FrameFile(path, WANDB)
    read(file)
    if way == "replaced":
        (tmp_path / "other").write_bytes(framed(new))
        (tmp_path / "other").rename(path)
    else:
        path.write_bytes(framed(new[:2] if way == "cut" else new))
    records = file.read()
    assert records.anew
    assert contents(records) == (new[:2] if way == "cut" else new)


def test_what_is_no_such_file_any_more_is_a_problem_once(tmp_path: Path) -> None:
    path = tmp_path / "run-a.wandb"
    path.write_bytes(b"something else altogether")
    file = FrameFile(path, WANDB)
    assert [file.read().damaged, file.read().damaged] == [1, 0]


def test_a_record_that_is_too_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "LONGEST", 2 * BLOCK)
    path = tmp_path / "run-a.wandb"
    path.write_bytes(framed([b"first", b"x" * 9 * BLOCK, b"last"]))
    file = FrameFile(path, WANDB)
    found: list[bytes] = []
    too_long, more = 0, True
    while more:
        records = file.read(BLOCK)
        found += contents(records)
        too_long, more = too_long + records.too_long, records.more
    assert (found, too_long) == ([b"first", b"last"], 1)


def test_a_missing_file_and_a_fifo_give_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "missing", "a\0b"):
        assert len(FrameFile(tmp_path / name, WANDB).read().starts) == 0


def test_content_made_to_look_like_frames_costs_little() -> None:
    data = bytearray(b"\x01\x40\x01" * 40_000)
    assert split_plain(data, 7).damaged == len(data) // BLOCK


def test_compiled_and_plain_find_the_same_in_damaged_files() -> None:
    rng = random.Random(3)
    whole = framed([rng.randbytes(size) for size in (60, 9, 0, 300) * 20 + (40_000,) + (60, 9, 0, 300) * 20])[7:]
    for data in mutations(whole, 300):
        plain, compiled = bytearray(data), bytearray(data)
        expected, found = split_plain(plain, 7), split_compiled(compiled, 7)
        assert expected[2:] == found[2:]
        assert expected.starts.tolist() == found.starts.tolist()
        assert expected.ends.tolist() == found.ends.tolist()
        assert plain == compiled
