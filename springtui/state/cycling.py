"""Going through choices in a circle, as keys do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def next_of(choices: Sequence[T], current: T | None, step: int = 1) -> T:
    """The choice ``step`` after the current one, in a circle; the first where the current one is none of them."""
    return choices[(choices.index(current) + step) % len(choices)] if current in choices else choices[0]
