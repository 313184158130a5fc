"""Both parsers of event files give the same points, whatever the bytes."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import tensorboard_writer as made
from support.logs import CASES
from support.mutate import mutated, mutations

from engine.logs.tensorboard import tags as tags_module
from engine.logs.tensorboard.compiled import CompiledParser, compile_all
from engine.logs.tensorboard.crc import crc_of, crcs_of
from engine.logs.tensorboard.found import Found, Parser, Stop
from engine.logs.tensorboard.framing import PlainParser
from engine.logs.tensorboard.parser import WORTH, Choice
from engine.logs.tensorboard.tags import Tags

FILES = sorted(CASES.rglob("*tfevents*")) if CASES.is_dir() else []


def parsed(kind: Callable[[Tags], Parser], pieces: list[bytes]) -> tuple[Parser, list[Found]]:
    """What a parser makes of pieces, each with what the one before left."""
    parser = kind(Tags())
    found, left = [], b""
    for piece in pieces:
        data = left + piece
        found.append(parser.parse(data))
        left = data[found[-1].consumed :]
    return parser, found


def assert_same(data: bytes, cuts: int = 1) -> list[Found]:
    """Both parsers agree on the bytes, handed over in pieces; returns what they found."""
    size = len(data) // cuts + 1
    pieces = [data[i : i + size] for i in range(0, len(data), size)] or [b""]
    plain, one = parsed(PlainParser, pieces)
    compiled, other = parsed(CompiledParser, pieces)
    for a, b in zip(one, other, strict=True):
        assert [plain.tags.names[i] for i in a.tag] == [compiled.tags.names[i] for i in b.tag]
        assert a.step.tolist() == b.step.tolist()
        np.testing.assert_array_equal(a.time, b.time)
        np.testing.assert_array_equal(a.value, b.value)
        assert repr(a.notables) == repr(b.notables)
        assert (a.damaged, a.consumed, a.stop, a.needed) == (b.damaged, b.consumed, b.stop, b.needed)
    return one


def rows(found: list[Found]) -> list[tuple[int, int, float, float]]:
    """Tag number, step, time and value of each point."""
    return [row for a in found for row in zip(a.tag, a.step, a.time, a.value, strict=True)]


def test_the_checksum_is_crc32c() -> None:
    """The check value of the algorithm's catalogue, masked as TensorFlow does; and byte by byte for long data."""
    unmasked = (crc_of(b"123456789") - 0xA282EAD8) & 0xFFFFFFFF
    assert (unmasked >> 17 | unmasked << 15) & 0xFFFFFFFF == 0xE3069283
    for length in (0, 1, 3, 255, 256, 257, 300, 512, 5000):
        data = random.Random(length).randbytes(length)
        crc = 0xFFFFFFFF
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        crc ^= 0xFFFFFFFF
        right = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
        assert crc_of(data) == right
        assert crcs_of(np.tile(np.frombuffer(data, dtype=np.uint8), (9, 1))).tolist() == [right] * 9


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_parsers_agree_on_real_logs(path: Path) -> None:
    for cuts in (1, 7):
        assert_same(path.read_bytes(), cuts)


def tensors() -> list[tuple[bytes, float | None]]:
    """Tensors of one number, or of none, in every way they can be written; and the number."""
    half = struct.unpack("<H", struct.pack("<e", 1.5))[0]
    scalar = made.text(2, b"")
    one = made.text(2, made.text(2, made.whole(1, 1)))
    return [
        (made.packed(1.25), 1.25),
        (made.whole(1, 1) + made.single(5, 2.5), 2.5),
        (made.whole(1, 1) + one + made.text(5, struct.pack("<f", 3.5)), 3.5),
        (made.text(5, struct.pack("<f", 3.5)) + made.whole(1, 1), 3.5),
        (made.whole(1, 2) + scalar + made.double(6, 0.1), 0.1),
        (made.whole(1, 2) + one + made.text(4, struct.pack("<d", 0.1)), 0.1),
        (made.whole(1, 2) + scalar + made.text(6, struct.pack("<d", -1e300)), -1e300),
        (made.whole(1, 19) + scalar + made.text(4, struct.pack("<e", 1.5)), 1.5),
        (made.whole(1, 19) + scalar + made.whole(13, half), 1.5),
        (made.whole(1, 14) + scalar + made.text(4, struct.pack("<f", 1.5)[2:]), 1.5),
        (made.whole(1, 14) + scalar + made.text(13, made.varint(0x3FC0)), 1.5),
        (made.whole(1, 3) + scalar + made.whole(7, -5), -5.0),
        (made.whole(1, 3) + scalar + made.text(4, struct.pack("<i", -5)), -5.0),
        (made.whole(1, 9) + scalar + made.text(10, made.varint(1 << 40)), float(1 << 40)),
        (made.whole(1, 23) + scalar + made.whole(17, -1), float((1 << 64) - 1)),
        (made.whole(1, 1) + scalar + made.text(5, struct.pack("<ff", 1, 2)), None),
        (made.whole(1, 1) + scalar + made.text(5, struct.pack("<f", 1)[:3]), None),
        (made.whole(1, 1) + scalar, None),
        (made.whole(1, 1) + made.text(2, made.text(2, made.whole(1, 3))) + made.text(4, bytes(12)), None),
        (made.whole(1, 1) + made.text(2, made.text(2, made.whole(1, 1)) * 2) + made.text(4, bytes(4)), None),
        (made.whole(1, 1) + made.text(2, made.whole(3, 1)) + made.text(4, bytes(4)), None),
        (made.whole(1, 7) + scalar + made.text(8, b"a text"), None),
        (made.whole(1, 10) + scalar + made.whole(11, 1), None),
    ]


def test_tensors_of_one_number_are_scalars() -> None:
    data = b"".join(
        made.event(7.0 + i, 5, made.summary([made.tensor(f"t{i}", inner)]))
        for i, (inner, _) in enumerate(tensors())
    )
    found = assert_same(data)
    assert [(time, value) for _, _, time, value in rows(found)] == [
        (7.0 + i, value) for i, (_, value) in enumerate(tensors()) if value is not None
    ]


def test_only_the_first_record_of_a_tag_tells_its_plugin() -> None:
    """As TensorFlow 2 writes them: a tag of another plugin is no scalar, though each tensor has one number."""
    parts = [
        made.event(1, 0, made.summary([made.tensor("a", made.packed(1), "scalars")])),
        made.event(2, 0, made.summary([made.tensor("b", made.packed(2), "custom_plugin")])),
        made.event(3, 1, made.summary([made.tensor("a", made.packed(3)), made.tensor("b", made.packed(4))])),
        made.event(4, 2, made.summary([made.tensor("c", made.packed(5)), made.simple("b", 6)])),
        made.event(5, 3, made.summary([made.tensor("c", made.packed(7), "custom_plugin")])),
        made.event(6, 4, made.summary([made.tensor("c", made.packed(8))])),
    ]
    for cuts in (1, 2, 5):
        found = assert_same(b"".join(parts), cuts)
        assert [value for *_, value in rows(found)] == [1, 3, 5, 6]


def test_steps_are_signed_and_fields_stand_in_any_order() -> None:
    value = made.text(1, made.single(2, 0.5) + made.text(7, b"node") + made.text(1, b"tag"))
    data = b"".join(
        made.record(made.text(5, value) + made.whole(9, 3) + made.whole(2, step) + made.double(1, 2.0))
        for step in (0, -1, 1 << 62, -(1 << 63), 300)
    ) + made.record(made.text(5, value))
    found = assert_same(data)
    assert [(step, value) for _, step, _, value in rows(found)] == [
        (0, 0.5), (-1, 0.5), (1 << 62, 0.5), (-(1 << 63), 0.5), (300, 0.5), (0, 0.5)
    ]  # fmt: skip
    assert np.isnan(found[-1].time[-1])


def test_a_summary_of_many_values_is_read_in_order() -> None:
    names = [f"value {i}" for i in range(1000)]
    data = b"".join(
        made.event(step, step, made.summary([made.simple(name, i) for i, name in enumerate(names)]))
        for step in range(3)
    )
    found = assert_same(data)
    assert [value for *_, value in rows(found)] == [*range(1000)] * 3


def test_tags_beyond_the_bound_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags_module, "MOST_TAGS", 300)
    data = b"".join(made.scalar(step, step, f"tag {step % 400}", step) for step in range(800))
    found = assert_same(data, 3)
    assert len(rows(found)) == 600


@pytest.mark.parametrize("length", [(1 << 23) + 1, 1 << 40, 1 << 63])
def test_a_record_that_is_too_large_ends_the_piece(length: int) -> None:
    header = struct.pack("<Q", length)
    found = assert_same(made.version(0) + header + struct.pack("<I", crc_of(header)) + bytes(30))
    assert (found[0].stop, found[0].needed) == (Stop.LARGE, length + 16)


def test_the_compiled_parser_goes_on_where_the_other_stopped() -> None:
    """Compiled code is loaded once enough is to be read, be it in the middle of a file."""
    compile_all()
    tags, choice = Tags(), Choice()
    parts = [made.event(1, 0, made.summary([made.tensor(tag, made.packed(1), plugin)]))
             for tag, plugin in (("a", "scalars"), ("b", "images"))]  # fmt: skip
    plain = choice.parser(tags)
    assert isinstance(plain, PlainParser)
    assert choice.parser(tags, plain) is plain
    plain.parse(b"".join(parts))
    choice.expect(WORTH)
    compiled = choice.parser(tags, plain)
    assert isinstance(compiled, CompiledParser)
    assert choice.parser(tags, compiled) is compiled
    values = made.summary([made.tensor(tag, made.packed(2)) for tag in "abc"])
    found = compiled.parse(made.event(2, 1, values))
    assert [tags.names[i] for i in found.tag] == [b"a", b"c"]


def test_points_by_tag() -> None:
    data = b"".join(made.scalar(step, step, f"tag {step * step % 7}", -step) for step in range(50))
    plain, compiled = (parsed(kind, [data]) for kind in (PlainParser, CompiledParser))
    for part in (slice(0, None), slice(10, 30), slice(50, None)):
        one, other = (parser.by_tag(found[0], part) for parser, found in (plain, compiled))
        assert len(one) == len(other)
        for (a, left), (b, right) in zip(one, other, strict=True):
            assert plain[0].tags.names[a] == compiled[0].tags.names[b]
            for name in ("step", "value", "time"):
                assert getattr(left, name).tolist() == getattr(right, name).tolist()


def random_event(chance: random.Random) -> bytes:
    """An event of mixed values, now and then with bytes that are no message."""
    plugins = (None, None, "", "scalars", "text", "hparams", "images")
    values = []
    for _ in range(chance.choice((0, 1, 1, 1, 2, 5))):
        tag = f"tag {chance.randrange(12)}" * chance.choice((1, 1, 3))
        inner = chance.choice(tensors())[0]
        values.append(
            chance.choice(
                (
                    made.simple(tag, chance.choice((0.5, float("nan"), float("inf"), chance.random()))),
                    made.tensor(tag, inner, chance.choice(plugins)),
                    made.text(1, made.text(1, tag.encode()) + made.text(5, chance.randbytes(chance.randrange(9)))),
                )
            )
        )
    content = made.double(1, chance.random()) + made.whole(2, chance.randrange(1 << chance.randrange(1, 40)))
    content += made.summary(values) if values else made.session(chance.randrange(4))
    return mutated(content, chance.randrange(1 << 30)) if chance.random() < 0.2 else content


@pytest.mark.parametrize("seed", range(20))
def test_parsers_agree_on_random_logs_with_right_checksums(seed: int) -> None:
    chance = random.Random(seed)
    records = [made.record(random_event(chance)) for _ in range(150)]
    assert_same(b"".join(records), chance.choice((1, 1, 3)))


def test_parsers_agree_on_damaged_logs() -> None:
    data = made.version(1.0) + b"".join(
        made.scalar(step, step, f"tag {step % 3}", step) for step in range(60)
    )  # fmt: skip
    for damaged in mutations(data, 300):
        assert_same(damaged)
