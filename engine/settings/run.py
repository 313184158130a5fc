"""The content of a run's ``config.json``: its settings, of one of four kinds, and its origin."""

from __future__ import annotations

import msgspec

from .chain import ChainConfig
from .probe import ProbeConfig
from .sweep import SweepConfig
from .train import TrainConfig

SCHEMA_VERSION = 2
"""Of the runs that are made now. A run keeps the version with which it was made, also where it is resumed."""


Settings = TrainConfig | ChainConfig | SweepConfig | ProbeConfig
KINDS: dict[str, type[TrainConfig] | type[ChainConfig] | type[SweepConfig] | type[ProbeConfig]] = {
    "train": TrainConfig,
    "chain": ChainConfig,
    "sweep": SweepConfig,
    "probe": ProbeConfig,
}


def kind_of(settings: Settings) -> str:
    """The kind of run that the settings are of: train, chain, sweep or probe."""
    return next(kind for kind, cls in KINDS.items() if isinstance(settings, cls))


class SchemaOnly(msgspec.Struct, frozen=True):
    """The version of the format that a ``config.json`` is written in."""

    schema: int = SCHEMA_VERSION


class RunConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``config.json``; ``created`` in seconds since the epoch."""

    schema: int = SCHEMA_VERSION
    id: str
    created: float
    host: str
    version: str
    origin: str = "command"
    settings: Settings
