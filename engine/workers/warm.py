"""Compiles all compiled code ahead of time, where it is not cached: ``python -P -m engine.workers.warm``."""

from __future__ import annotations

import sys

from ..chain.ensemble import ChainEnsemble
from ..chain.mean_field_cells import mean_field_cells
from ..chain.pulling import CHUNK
from ..ensemble.trainer import load_compiled
from ..logs.lines import walker
from ..logs.tables import rows_jit
from ..logs.tensorboard import compiled
from ..settings.chain import ChainConfig


def warm() -> None:
    """Compile the code of networks, chains, mean-field diagrams and logs; print a line where that takes long."""
    load_compiled(lambda text: print(f"springtui: {text}", file=sys.stderr, flush=True))
    for order in (1, 2):
        ChainEnsemble(ChainConfig(order=order, blocks=2, replicas=4, steps=CHUNK), threads=1).advance(CHUNK)
    mean_field_cells(0.1, 0.1, 0.1, blocks=2, steps=2, threads=1)
    walker.compile_all()
    rows_jit.compile_all()
    compiled.compile_all()


if __name__ == "__main__":
    warm()
