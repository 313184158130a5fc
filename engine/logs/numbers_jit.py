"""Numbers in text, read by compiled code as ``float`` reads them: to the last bit.

A number of at most 15 digits and a small power of ten is one exact product or quotient. The others go by the
method of D. Lemire (Number parsing at a gigabyte per second, 2021): the digits, as a whole number, are multiplied
with a power of ten of 128 bits. The upper bits of the product are the result, except in rare cases that it
shows, which are left to the caller, who asks ``float``.

numba makes a float of an operation between a signed and an unsigned number, hence the many ``uint64``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..jit import eight_bytes, float_of_bits, jit, leading_zeros, upper_product

NOTHING, EXACT, ASK = 0, 1, 2
"""Kinds of ``number_at``: no number; one as ``float`` gives it; one whose text ``float`` must be asked."""

_LEAST, _MOST = -342, 308
"""Powers of ten beyond which a number of 19 digits is 0 or infinite."""
_DIGITS = 19
"""Digits that always fit 64 bits."""
_FACTORS = np.array([10.0**power for power in range(23)])
"""The powers of ten that a float64 holds exactly."""


def _powers() -> npt.NDArray[np.uint64]:
    """[_MOST - _LEAST + 1, 2]: upper and lower half of the first 128 bits of each power of ten, not rounded."""
    halves = []
    for power in range(_LEAST, _MOST + 1):
        if power >= 0:
            whole = 10**power << 128
        else:
            divisor = 10**-power
            whole = (1 << (divisor.bit_length() + 256)) // divisor
        bits = whole >> (whole.bit_length() - 128)
        halves.append((bits >> 64, bits & ((1 << 64) - 1)))
    return np.array(halves, dtype=np.uint64)


_POWERS = _powers()
_ONE, _TWO, _NINE, _MINUS = np.uint64(1), np.uint64(2), np.uint64(9), np.uint64(63)
_HUNDRED_MILLION = np.uint64(100_000_000)
_UPPER_HALVES, _LOWER_HALVES = np.uint64(0xF0F0F0F0F0F0F0F0), np.uint64(0x0F0F0F0F0F0F0F0F)
_SIXES, _THREES = np.uint64(0x0606060606060606), np.uint64(0x3333333333333333)
_EVEN_BYTES, _EVEN_PAIRS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)
_LOW, _FRACTION, _TEN = np.uint64(0x1FF), np.uint64((1 << 52) - 1), np.uint64(10)


@jit
def _scaled(digits: np.uint64, power: int) -> tuple[float, bool]:
    """``digits`` 10^``power`` and whether it is the float64 nearest to it; ``digits`` is not 0."""
    if digits < np.uint64(1 << 53) and -22 <= power <= 22:
        value = float(digits)
        return (value * _FACTORS[power] if power >= 0 else value / _FACTORS[-power]), True
    if power < _LEAST or power > _MOST:
        return 0.0, False
    row = power - _LEAST
    zeros = leading_zeros(digits)
    whole = digits << zeros
    upper, lower = upper_product(whole, _POWERS[row, 0]), whole * _POWERS[row, 0]
    if upper & _LOW == _LOW and lower + whole < whole:
        # The lower half of the power may still carry into the bits that count.
        more, rest = upper_product(whole, _POWERS[row, 1]), whole * _POWERS[row, 1]
        total = lower + more
        if total < lower:
            upper += _ONE
        if upper & _LOW == _LOW and total + _ONE == np.uint64(0) and rest + whole < whole:
            return 0.0, False
        lower = total
    top = upper >> _MINUS
    mantissa = upper >> (top + _NINE)
    if lower == np.uint64(0) and upper & _LOW == np.uint64(0) and mantissa & np.uint64(3) == _ONE:
        return 0.0, False
    mantissa = (mantissa + (mantissa & _ONE)) >> _ONE
    # 217706 / 2^16 is log2(10), near enough for the whole part of each power here.
    exponent = ((217706 * power) >> 16) + 64 + 1023 - np.int64(zeros) - np.int64(_ONE - top)
    if mantissa >> np.uint64(53) > np.uint64(0):
        mantissa >>= _ONE
        exponent += 1
    if exponent <= 0 or exponent >= 0x7FF:
        return 0.0, False
    return float_of_bits((np.uint64(exponent) << np.uint64(52)) | (mantissa & _FRACTION)), True


@jit
def _word_at(text: npt.NDArray[np.uint8], at: int, stop: int) -> tuple[float, int]:
    """The value of ``nan``, ``inf`` or ``infinity`` at ``at``, and the word's length; length 0: none of them.

    Letters may be of either case, which their bit 32 tells.
    """
    if stop - at < 3:
        return 0.0, 0
    first, second, third = text[at] | 32, text[at + 1] | 32, text[at + 2] | 32
    if first == 110 and second == 97 and third == 110:
        return np.nan, 3
    if first != 105 or second != 110 or third != 102:
        return 0.0, 0
    if (
        stop - at >= 8
        and text[at + 3] | 32 == 105
        and text[at + 4] | 32 == 110
        and text[at + 5] | 32 == 105
        and text[at + 6] | 32 == 116
        and text[at + 7] | 32 == 121
    ):
        return np.inf, 8
    return np.inf, 3


@jit
def _is_digits(letters: np.uint64) -> bool:
    """Whether all of eight bytes are digits: the upper half of each is 3, also with 6 added."""
    upper = letters & _UPPER_HALVES
    return bool(upper | (((letters + _SIXES) & _UPPER_HALVES) >> np.uint64(4)) == _THREES)


@jit
def _eight_digits(letters: np.uint64) -> np.uint64:
    """The number that eight digits write, the first of them in the lowest byte: by pairs, fours, and all."""
    pairs = (letters & _LOWER_HALVES) * np.uint64(2561) >> np.uint64(8)
    fours = (pairs & _EVEN_BYTES) * np.uint64(6553601) >> np.uint64(16)
    return (fours & _EVEN_PAIRS) * np.uint64(42949672960001) >> np.uint64(32)


@jit
def _significant(number: np.uint64) -> int:
    """Digits of a number of at most eight, without zeros before it."""
    count = 0
    while number > np.uint64(0):
        number //= _TEN
        count += 1
    return count


@jit
def number_at(text: npt.NDArray[np.uint8], start: int, stop: int) -> tuple[float, int, int]:
    """(value, end, kind) of the number that begins at ``text[start]`` and ends before ``text[stop]``.

    Forms: those of ``float`` without blanks around and underscores within, so also ``.5``, ``5.``, ``+1`` and the
    words nan, inf and infinity. ``end`` is the index behind the number's last byte; it is for the caller to judge
    what stands there. Of kind ``NOTHING``, ``end`` is ``start`` and the value is 0; of kind ``ASK``, the value of
    ``float(text[start:end])`` is not known.
    """
    at = start
    is_minus = False
    if at < stop and (text[at] == 45 or text[at] == 43):
        is_minus = text[at] == 45
        at += 1
    digits, power, held, is_cut = np.uint64(0), 0, 0, False
    first = at
    while at < stop and 48 <= text[at] <= 57:
        if held < _DIGITS:
            digits = digits * _TEN + np.uint64(text[at] - 48)
            held += digits != np.uint64(0)
        else:
            power += 1
            is_cut = is_cut or text[at] != 48
        at += 1
    count = at - first
    if at < stop and text[at] == 46:
        at += 1
        point = at
        while held <= _DIGITS - 8 and stop - at >= 8:
            letters = eight_bytes(text, at)
            if not _is_digits(letters):
                break
            more = _eight_digits(letters)
            held += 8 if digits != np.uint64(0) else _significant(more)
            digits = digits * _HUNDRED_MILLION + more
            power -= 8
            at += 8
        while at < stop and 48 <= text[at] <= 57:
            if held < _DIGITS:
                digits = digits * _TEN + np.uint64(text[at] - 48)
                held += digits != np.uint64(0)
                power -= 1
            else:
                is_cut = is_cut or text[at] != 48
            at += 1
        count += at - point
    if count == 0:
        value, length = _word_at(text, first, stop)
        if length == 0:
            return 0.0, start, NOTHING
        return (-value if is_minus else value), first + length, EXACT
    if at < stop and text[at] | 32 == 101:
        mark = at + 1
        is_small = False
        if mark < stop and (text[mark] == 45 or text[mark] == 43):
            is_small = text[mark] == 45
            mark += 1
        if mark < stop and 48 <= text[mark] <= 57:
            exponent = 0
            while mark < stop and 48 <= text[mark] <= 57:
                exponent = min(exponent * 10 + text[mark] - 48, 1_000_000)
                mark += 1
            power += -exponent if is_small else exponent
            at = mark
    if digits == np.uint64(0):
        return float_of_bits(np.uint64(is_minus) << _MINUS), at, EXACT
    value, is_exact = _scaled(digits, power)
    if is_cut and is_exact:
        # The digits left out lie between these two; where both give the same, so do they.
        above, is_exact = _scaled(digits + _ONE, power)
        is_exact = is_exact and above == value
    return (-value if is_minus else value), at, EXACT if is_exact else ASK
