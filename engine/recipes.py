"""Named settings, apart from the code that runs them. ``--set`` goes over a recipe, field by field."""

from __future__ import annotations

import difflib
from typing import Any, NamedTuple

from .errors import ConfigError


class Recipe(NamedTuple):
    """Settings of a training run that differ from the defaults, and what they are good for."""

    about: str
    settings: dict[str, Any]


RECIPES: dict[str, Recipe] = {
    "digits": Recipe(
        "the embedded 8x8 handwritten digits in small batches: 95 % and more in seconds",
        {"dataset": "digits", "batch_size": 128, "epochs": 60},
    ),
    "paper-mlp": Recipe(
        "the network of Shi et al.: MNIST at 10x10, 2560 images, full batch, 100 epochs",
        {"dataset": "mnist", "train_size": 2560, "image_size": 10, "batch_size": 2560, "epochs": 100},
    ),
    "paper-cnn": Recipe(
        "the convolutional network of Shi et al.: CIFAR-10 at 10x10, 2560 images, full batch",
        {
            "dataset": "cifar10",
            "train_size": 2560,
            "image_size": 10,
            "model": "cnn",
            "width": 20,
            "lr": 1e-4,
            "batch_size": 2560,
            "epochs": 200,
        },
    ),
    "lab": Recipe(
        "what the lab opens with: the digits in small batches, long enough to play with the sliders",
        {"dataset": "digits", "batch_size": 128, "epochs": 5000, "early_stop": False},
    ),
}
DEFAULT_RECIPE = "digits"


def find_recipe(name: str) -> Recipe:
    """Raises:
    ConfigError: there is no such recipe; names the nearest.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1, cutoff=0.0)[0]
        raise ConfigError(f"unknown recipe {name!r}; the nearest is {near!r}. Known: {', '.join(RECIPES)}")
    return RECIPES[name]
