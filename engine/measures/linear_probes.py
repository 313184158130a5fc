"""Linear probes: the test accuracy of a linear classifier on each layer's activations.

Shape legend: N samples, D features. Source of the idea: Alain & Bengio, *Understanding intermediate layers using
linear classifier probes*, 2016. The classifier is scikit-learn's ridge regression on ±1 class targets: in closed
form, which takes milliseconds a layer and repeats bit for bit; logistic regression iterates for seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

_RIDGE = 1.0
"""Penalty in units of one standardised sample: negligible beside thousands, sufficient where D exceeds N."""


def probe_accuracies(
    train: Sequence[Tensor], y_train: Tensor, test: Sequence[Tensor], y_test: Tensor
) -> list[float]:
    """Test accuracy in [0, 1] of a linear classifier fitted at each point D_0 … D_L.

    Args:
        train: the training set's activations at each point, [N, …]; dimensions after the first are flattened.
        y_train: class indices [N].
        test: the test set's, likewise.
        y_test: class indices of the test set.
    """
    labels, truth = _numpy(y_train), _numpy(y_test)
    return [probe_accuracy(_rows(a), labels, _rows(b), truth) for a, b in zip(train, test, strict=True)]


def probe_accuracy(x_ND: NDArray[Any], y_N: NDArray[Any], x_test: NDArray[Any], y_test: NDArray[Any]) -> float:
    """Test accuracy in [0, 1] of one classifier; features are standardised by the training set's mean and s.d.

    Where the training set has one class alone, that class is the guess.

    Args:
        x_ND, y_N: features [N, D] and class indices [N] to fit.
        x_test, y_test: likewise, to test.
    """
    from sklearn.linear_model import RidgeClassifier

    if len(np.unique(y_N)) < 2:
        return float((y_test == y_N[0]).mean())
    mean, sd = x_ND.mean(0), x_ND.std(0)
    sd[sd == 0] = 1.0
    classifier = RidgeClassifier(alpha=_RIDGE).fit((x_ND - mean) / sd, y_N)
    return float(classifier.score((x_test - mean) / sd, y_test))


def _numpy(x: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = x.detach().cpu().numpy()
    return array


def _rows(x: Tensor) -> NDArray[Any]:
    return _numpy(x.reshape(len(x), -1)).astype(np.float64)
