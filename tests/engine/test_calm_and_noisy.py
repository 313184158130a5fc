"""The values that the tour names: shallow layers are lazy at the calm one, deep layers at the noisy one.

So it is in the lab's network after its 150 epochs, and in the chain with two hands 900 steps, three seconds of its
pace, after any other state. What a network was before does not matter, since it is trained anew (TestHeld in
test_training.py).
"""

from __future__ import annotations

import itertools

import pytest

from engine.chain.build import new_chain
from engine.datasets.load import load_dataset
from engine.ensemble.trainer import trainer_for
from engine.measures.load_curve import statistics
from engine.measures.registry import DEFAULT_MEASURE
from engine.settings.chain import ChainConfig
from engine.settings.fields import make
from engine.settings.recipes import RECIPES
from engine.settings.train import TrainConfig
from springtui.lab.session import LAB_CHAIN
from springtui.lab.settings import ChainChoice, chain_settings, network_settings
from springtui.state.knobs import NOISE_KINDS, NoiseKind
from springtui.state.predictions import TwinPredictions

NETWORK = RECIPES["lab"].settings
STEPS = 900
WANTED = {False: "concave", True: "convex"}
KINDS = pytest.mark.parametrize("kind", NOISE_KINDS, ids=[kind.key for kind in NOISE_KINDS])


def chain_of(kind: NoiseKind, *, noisy: bool) -> ChainConfig:
    value = kind.noisy if noisy else kind.calm
    settings = chain_settings(ChainChoice(), TwinPredictions(), 8, kind.nonlinearity, kind, value)
    return make(ChainConfig, {**LAB_CHAIN, **settings})


@KINDS
@pytest.mark.parametrize("noisy", WANTED, ids=["calm", "noisy"])
@pytest.mark.usefixtures("one_thread")
def test_the_network(kind: NoiseKind, noisy: bool) -> None:
    value = kind.noisy if noisy else kind.calm
    settings = network_settings(NETWORK, kind.nonlinearity, kind, value, probes=False, going_on=False)
    trainer = trainer_for(make(TrainConfig, {**NETWORK, **settings}), load_dataset(TrainConfig()))
    while not trainer.is_held:
        for _ in trainer.run_epoch():
            pass
    assert trainer.epoch == 150
    measured = trainer.measure()
    error = measured.scalars["curve_error"]
    shape = statistics(measured.curves[DEFAULT_MEASURE], logits=True, error=error)
    assert shape.regime == WANTED[noisy]
    assert abs(shape.asymmetry) > 0.15


def test_the_chain_from_any_state() -> None:
    """From rest, and from the calm and the noisy state of each kind of noise."""
    configs = [(chain_of(kind, noisy=noisy), noisy) for kind in NOISE_KINDS for noisy in WANTED]
    for (before, _), (after, noisy) in itertools.permutations(configs, 2):
        chain = new_chain(before)
        for config in (before, after):
            chain.change(config)
            chain.advance(STEPS)
        curve = [1.0, *(1.0 - chain.mean()).tolist(), 0.0]
        assert statistics(curve, logits=False).regime == WANTED[noisy], (before, after)
