"""Compiled code reads numbers as ``float`` does, to the last bit."""

from __future__ import annotations

import math
import random
import struct

import numpy as np
import pytest

from engine.jit import jit
from engine.logs.numbers_jit import ASK, EXACT, NOTHING, number_at


def read(text: str) -> tuple[float, int, int]:
    data = np.frombuffer(text.encode(), dtype=np.uint8)
    return number_at(data, 0, len(data))


@jit
def each_read(text, ends):  # type: ignore[no-untyped-def]
    """(value, end, kind) of texts that end at ``ends``, one behind the other."""
    values, stops, kinds = np.empty(len(ends)), np.empty(len(ends), np.int64), np.empty(len(ends), np.int64)
    start = 0
    for number, end in enumerate(ends):
        values[number], stops[number], kinds[number] = number_at(text, start, end)
        start = end
    return values, stops, kinds


def random_texts(rng: random.Random, count: int) -> list[str]:
    """Numbers of every kind: as tools print them, near the ends of the range, halfway, with many digits."""

    def some() -> str:
        match rng.randrange(9):
            case 0:
                return repr(struct.unpack("d", rng.randbytes(8))[0])
            case 1:
                return repr(rng.gauss(0, 1) * 10 ** rng.uniform(-20, 20))
            case 2:
                return f"{rng.uniform(-100, 100):.6g}"
            case 3:
                return str(rng.randrange(-(10 ** rng.randrange(1, 30)), 10 ** rng.randrange(1, 30)))
            case 4:
                return f"{rng.random():.{rng.randrange(10, 30)}e}"
            case 5:
                return f"{rng.randrange(10 ** rng.randrange(1, 22))}e{rng.randrange(-345, 312)}"
            case 6:
                return repr(float(np.float32(rng.random())))
            case 7:
                return str((2 * rng.randrange(1 << 52, 1 << 53) + 1) << rng.randrange(11))
            case _:
                return f"+{rng.randrange(100)}.{rng.randrange(10 ** rng.randrange(1, 25))}"

    return [some() for _ in range(count)]


def bits(value: float) -> bytes:
    return b"nan" if math.isnan(value) else struct.pack("d", value)


def test_numbers_are_those_of_float() -> None:
    texts = random_texts(random.Random(7), 30_000)
    data = np.frombuffer("".join(texts).encode(), dtype=np.uint8)
    ends = np.cumsum([len(text) for text in texts])
    values, stops, kinds = each_read(data, ends)
    assert (stops == ends).all()
    assert (kinds != NOTHING).all()
    exact = kinds == EXACT
    wrong = [
        text
        for text, value, is_exact in zip(texts, values, exact, strict=True)
        if is_exact and bits(value) != bits(float(text))
    ]
    assert wrong == []
    assert exact.mean() > 0.8


def test_what_tools_print_is_never_asked() -> None:
    rng = random.Random(3)
    texts = [repr(rng.random()) for _ in range(1000)] + [f"{rng.uniform(-9, 9):.6g}" for _ in range(1000)]
    assert {read(text)[2] for text in texts} == {EXACT}


@pytest.mark.parametrize(
    ("text", "value"),
    [("nan", math.nan), ("-NaN", math.nan), ("inf", math.inf), ("-Infinity", -math.inf), ("+INF", math.inf),
     ("0", 0.0), ("-0.0", -0.0), (".5", 0.5), ("5.", 5.0), ("1e400", math.inf), ("1e-400", 0.0), ("0e99999", 0.0),
     ("5e-324", 5e-324), ("2.2250738585072011e-308", 2.2250738585072011e-308),
     ("0.1000000000000000000000000000", 0.1), ("9007199254740993", 9007199254740992.0)],
)  # fmt: skip
def test_special_numbers(text: str, value: float) -> None:
    found, end, kind = read(text)
    assert end == len(text)
    assert kind == ASK or bits(found) == bits(value)


@pytest.mark.parametrize(
    ("text", "end"),
    [("1,2", 1), ("1e", 1), ("1e+,", 1), ("1_000", 1), ("1.5.2", 3), ("infinit", 3), ("nano", 3), ("12:30", 2)],
)
def test_a_number_ends_where_it_is_no_longer_one(text: str, end: int) -> None:
    assert read(text)[1] == end


@pytest.mark.parametrize("text", ["", "-", "+", ".", "-.", "e5", "na", "in", " 1", "x", "--1"])
def test_no_number(text: str) -> None:
    assert read(text) == (0.0, 0, NOTHING)
