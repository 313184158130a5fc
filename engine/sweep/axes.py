"""Parses the axes of a diagram: a range in even or logarithmic steps, or a list of values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..settings.chain import ChainConfig
from ..settings.fields import field_names, field_range, parse_value
from ..settings.train import TrainConfig

Value = float | str
"""One value of an axis: a number, or a word such as adam, orthogonal or on."""
KNOBS = frozenset({"negative_slope", "data_noise", "lr", "dropout", "batch_size"})
"""A network's settings that a fitted map (``twin.maps``) translates to the chain's."""

NONLINEARITY = "nonlinearity"
"""Another name for 1 - negative_slope."""


def is_nonlinearity(text: str) -> bool:
    """Whether the text of an axis names it ``nonlinearity``."""
    return _name(text) == NONLINEARITY


def parse_axis(system: str, text: str) -> tuple[str, tuple[Value, ...]]:
    """Setting and values from ``lr=1e-4:0.5:12:log`` (from, to, count), ``dropout=0,0.1`` or ``init=ntk,normal``.

    A range of a whole number is rounded, duplicates removed. ``nonlinearity`` becomes negative_slope, each value
    subtracted from 1. ``system`` is network or chain.

    Raises:
        ConfigError: the text has none of these forms, or a value is not allowed.
    """
    name, (_, sep, spec) = _name(text), text.partition("=")
    if not sep or not name or not spec.strip():
        raise ConfigError(_usage(text))
    if name == NONLINEARITY:
        name, slopes = parse_axis(system, f"negative_slope={spec}")
        return name, tuple(round(1.0 - float(slope), 10) for slope in slopes)
    cls: Any = TrainConfig if system == "network" or name in KNOBS else ChainConfig
    if ":" in spec and _is_numeric(cls, name):
        try:
            values: Sequence[Any] = _range(spec.split(":"))
        except ValueError as error:
            raise ConfigError(_usage(text)) from error
        if _is_whole(cls, name):
            values = list(dict.fromkeys(round(value) for value in values))
    else:
        values = [part.strip() for part in spec.split(",")]
    return name, tuple(_checked(cls, name, value) for value in values)


def _name(text: str) -> str:
    return text.partition("=")[0].strip().replace("-", "_")


def _usage(text: str) -> str:
    return f"{text!r} is no axis; write NAME=FROM:TO:COUNT, NAME=FROM:TO:COUNT:log or NAME=A,B,C"


def _is_numeric(cls: Any, name: str) -> bool:
    """Whether the setting is a number; True for an unknown name, which ``parse_value`` then refuses."""
    return name not in field_names(cls) or field_range(cls, name).startswith(("a number", "a whole number"))


def _is_whole(cls: Any, name: str) -> bool:
    return name in field_names(cls) and field_range(cls, name).startswith("a whole number")


def _checked(cls: Any, name: str, value: Any) -> Value:
    """An axis value checked by the setting's field: a float, or a word."""
    parsed = parse_value(cls, name, value)
    if isinstance(parsed, bool):
        return "on" if parsed else "off"
    if parsed is None:
        return "none"
    return parsed if isinstance(parsed, str) else float(parsed)


def _range(parts: Sequence[str]) -> list[float]:
    if len(parts) not in {3, 4} or (len(parts) == 4 and parts[3] not in {"log", "linear"}):
        raise ValueError
    low, high, count = float(parts[0]), float(parts[1]), int(parts[2])
    if count < 1 or not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError
    if parts[3:] == ["log"]:
        if low <= 0 or high <= 0:
            raise ValueError
        values = np.geomspace(low, high, count)
    else:
        values = np.linspace(low, high, count)
    return [float(f"{value:.6g}") for value in values]
