"""Named settings of training runs. ``--set`` overrides a recipe's fields one by one."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import ConfigError, nearest_and_known


class Recipe(NamedTuple):
    """Settings of a training run that differ from the defaults, and their description."""

    about: str
    settings: dict[str, Any]


_PAPER: dict[str, Any] = {
    "dataset": "mnist",
    "train_size": 2560,
    "image_size": 10,
    "depth": 8,
    "width": 100,
    "lr": 1e-3,
    "batch_size": 2560,
    "epochs": 100,
}
"""The network of Shi et al., arXiv:2407.19353."""


def _paper(about: str, **settings: Any) -> Recipe:
    return Recipe(about, _PAPER | settings)


def _diagram(axis: str, about: str, **settings: Any) -> Recipe:
    return _paper(f"the paper's {about} diagram: set {axis} and negative_slope for one of its cells", **settings)


def _initial(init: str, about: str, **settings: Any) -> Recipe:
    return _paper(f"{about} initial weights; init_scale multiplies them", init=init, **settings)


RECIPES: dict[str, Recipe] = {
    "digits": Recipe(
        "the embedded 8x8 handwritten digits in small batches: 95 % and more in seconds",
        {"dataset": "digits", "batch_size": 128, "epochs": 60},
    ),
    "lab": Recipe(
        "what the lab opens with: the digits, full batch as in the paper; the lab trains anew when a slider moves",
        {"dataset": "digits", "batch_size": 2560, "epochs": 150, "early_stop": False},
    ),
    "paper-mlp": _paper("the network of Shi et al.: MNIST at 10x10, 2560 images, full batch, 100 epochs"),
    "paper-cnn": _paper(
        "the convolutional network of Shi et al.: CIFAR-10 at 10x10x3, full batch; set dropout",
        dataset="cifar10",
        model="cnn",
        width=20,
        lr=1e-4,
        epochs=200,
    ),
    "paper-fashion": _paper("the paper's network on Fashion-MNIST", dataset="fashion-mnist"),
    "paper-gaussian-mixture": Recipe(
        "the paper's network on two Gaussian classes; mixture_mu sets how far apart they are",
        {k: v for k, v in _PAPER.items() if k != "image_size"} | {"dataset": "gaussian-mixture"},
    ),
    "data-noise": _diagram("data_noise (0 to .8)", "data noise"),
    "learning-rate": _diagram("lr (1e-4 to .5)", "learning rate", epochs=200),
    "dropout": _diagram("dropout (0 to .3)", "dropout"),
    "batch-size": _diagram("batch_size (5 to 2560)", "batch size"),
    "paper-sgd": _paper("plain gradient descent in place of Adam", optimizer="sgd", lr=0.1),
    "paper-sgld": _paper("Langevin dynamics in place of Adam; set temperature", optimizer="sgld", lr=0.1),
    "paper-psgld": _paper(
        "Langevin dynamics with RMS preconditioning; set temperature", optimizer="psgld", temperature=1e-8
    ),
    "paper-orthogonal": _initial("orthogonal", "orthogonal"),
    "paper-kaiming": _initial("kaiming", "Kaiming's"),
    "paper-normal": _initial("normal", "normal, s.d. 1/sqrt(inputs),"),
    "paper-ntk": _initial("ntk", "NTK's, s.d. 1 with 1/sqrt(width) in the forward pass,", lr=0.01),
    "paper-identity": _initial("identity", "identity", epochs=200),  # BatchNorm's means follow late here
    "paper-mse": _paper("squared error on the class index", loss="mse"),
    "paper-mse-one-hot": _paper("squared error on one-hot targets", loss="mse_one_hot"),
    "paper-no-batch-norm": _paper("without BatchNorm", batch_norm=False),
    "paper-no-bias": _paper("without biases", bias="off"),
    "paper-test-curve": _paper("load curves of the test set beside the training set's", measure_test=True),
    "paper-probes": _paper("a linear classifier on each layer's activations", linear_probes=True, measure_every=5),
    "tanh": _paper("ours: tanh blended with the identity by negative_slope", activation="tanh"),
    "gelu": _paper("ours: GELU blended with the identity by negative_slope", activation="gelu"),
}
DEFAULT_RECIPE = "digits"


def find_recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        ConfigError: there is none; the message gives the nearest name.
    """
    if name not in RECIPES:
        raise ConfigError(
            f"unknown recipe {name!r}; {nearest_and_known(name, RECIPES)}; "
            f"springtui train --list-recipes tells more"
        )
    return RECIPES[name]
