"""Which implementation of the chain suits a configuration."""

from __future__ import annotations

from ..settings.chain import ChainConfig
from .base import ChainBase
from .chain import Chain
from .hands import TwoHandsChain


def new_chain(config: ChainConfig) -> ChainBase:
    """A new chain: in NumPy where it is paced, to be watched, has no noise or two hands; else compiled.

    The choice depends on the configuration alone, so the same configuration always gives the same numbers.
    """
    if config.hands == "both":
        return TwoHandsChain(config)
    if config.pace or not config.noise:
        return Chain(config)
    from .ensemble import ChainEnsemble  # compiled code costs a second to load

    return ChainEnsemble(config)
