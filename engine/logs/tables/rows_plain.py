"""Rows of a table to columns of numbers in plain Python: the same as the compiled code, where numba is missing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .cells import cell_spans, content, number_in


def read_rows(
    text: npt.NDArray[np.uint8],
    start: int,
    separator: int,
    wanted: npt.NDArray[np.bool_],
    watched: int,
    values: npt.NDArray[np.float64],
    held: npt.NDArray[np.bool_],
    odd: npt.NDArray[np.int64],
    left_out: npt.NDArray[np.int64],
) -> tuple[int, int, int, bool]:
    """As the function of the same name in ``rows_jit``; no number is odd here, since ``float`` gives them all.

    ``text`` [n], ``wanted`` [columns], ``values``, ``held`` [columns, rows], ``odd`` [m, 4], ``left_out`` [2].
    """
    columns, room = values.shape
    data, between = text.tobytes(), bytes((separator,))
    chosen = np.flatnonzero(wanted).tolist()
    rows, odds, at = 0, 0, start
    while at < len(data) and rows < room and odds + columns <= len(odd):
        end = data.index(b"\n", at)
        line = data[at : end - 1 if data[at:end].endswith(b"\r") else end]
        if not line:
            at = end + 1
            continue
        spans = cell_spans(line, between)
        first_odd = odds
        for column in chosen:
            if column >= len(spans):
                held[column, rows] = False
                continue
            first, last = spans[column]
            cell = content(line[first:last], between)
            number = number_in(cell)
            held[column, rows] = number is not None
            values[column, rows] = 0.0 if number is None else number
            if number is None and cell:
                if column == watched:
                    return at, rows, first_odd, True
                odd[odds] = rows, column, at + first, at + last
                odds += 1
        at = end + 1
        if len(spans) > columns + 1 or (len(spans) == columns + 1 and spans[-1][0] != spans[-1][1]):
            left_out[0] += 1
            odds = first_odd
            continue
        left_out[1] += len(spans) < columns
        rows += 1
    return at, rows, odds, False
