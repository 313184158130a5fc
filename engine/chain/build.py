"""The chain that suits a configuration."""

from __future__ import annotations

from ..settings.chain import ChainConfig
from .base import Pulled
from .chain import Chain


def new_chain(config: ChainConfig) -> Pulled:
    """The chain that suits a configuration: compiled for bulk, NumPy for one that is watched or has no noise.

    Which it is depends on the configuration alone, so the same one always gives the same numbers.
    """
    if config.pace or not config.noise:
        return Chain(config)
    from .ensemble import ChainEnsemble  # compiled code costs a second to load

    return ChainEnsemble(config)
