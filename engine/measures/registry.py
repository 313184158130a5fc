"""The measures that a load curve can be drawn in, by name. Only the standard library is imported here.

No other module names a measure. ``measures/NAME.py`` computes a measure of separation; its record here puts it
into the settings, the command line, the screens, the help and the figures.

Symbols: Σ_w and Σ_b are the covariance within and between the classes, ⁺ is the Moore-Penrose inverse, ℓ a layer
or block, y the target that a chain is pulled to, x_ℓ the position of block ℓ; a an activation, λ the eigenvalues
of the covariance of a layer's features, w a layer's parameters, g the gradient of the loss with respect to them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Need(StrEnum):
    """What a measure needs beside the activations of a layer, or instead of them."""

    LABELS = "class labels"
    INVERSE = "a pseudo-inverse, from an eigendecomposition for every point of the curve"
    FIT = "a classifier that is fitted to the training set and tested on the test set"
    CHAIN = "positions of a chain's blocks, and no activations"
    ACTIVATIONS = "activations of a layer, without class labels"
    OPTIMISER = "the optimiser that trains the model"


class Measure(NamedTuple):
    """One quantity D_0 … D_L, taken at every point of a load curve."""

    name: str
    """The key in records, JSON and settings; of a measure of separation also the module that computes it."""
    label: str
    """As the screens show it."""
    formula: str
    """As help and documentation show it."""
    axis: str
    """Title of a figure's axis, in matplotlib's mathtext."""
    words: str
    """One or two sentences for the glossary."""
    source: str
    """Who defined it."""
    unit: str = "natural logarithm of a dimensionless ratio"
    rises: bool = False
    """Whether the curve rises from input to output where layers separate the classes; else it falls."""
    needs: tuple[Need, ...] = (Need.LABELS,)


_SEPARATIONS = (
    Measure(
        name="trace_ratio",
        label="trace ratio",
        formula="log(Tr Σ_w / Tr Σ_b)",
        axis="$D_\\ell$ = log(Tr Σ$_w$ / Tr Σ$_b$)",
        words="The measure above, which the theory uses (Shi et al.).",
        source="Shi, Pan, Dokmanić",
    ),
    Measure(
        name="fuzziness",
        label="fuzziness",
        formula="log Tr(Σ_w Σ_b⁺)",
        axis="log Tr(Σ$_w$ Σ$_b^+$)",
        words="The same with the pseudo-inverse Σ_b⁺: scatter counts less in directions in which the class means "
        "are far apart (He & Su).",
        source="He & Su, PNAS 2023",
        needs=(Need.LABELS, Need.INVERSE),
    ),
    Measure(
        name="inverse_fuzziness",
        label="inverse fuzziness",
        formula="log Tr(Σ_b Σ_w⁺)",
        axis="log Tr(Σ$_b$ Σ$_w^+$)",
        words="The inverse ratio: it rises as the classes separate.",
        source="the code of Shi et al.",
        rises=True,
        needs=(Need.LABELS, Need.INVERSE),
    ),
)
"""What ``separation_measures`` computes, in the order of its results, of JSON keys and of the screens."""

_PROBES = Measure(
    name="linear_probes",
    label="linear probes",
    formula="accuracy of a linear classifier on layer ℓ",
    axis="test accuracy of a linear classifier",
    words="How well a linear classifier tells the classes from a layer's activations. Measured only while shown.",
    source="Alain & Bengio, 2016",
    unit="fraction of the test set, in [0, 1]",
    rises=True,
    needs=(Need.LABELS, Need.FIT),
)
_DISTANCE = Measure(
    name="distance",
    label="y − x",
    formula="y - x_ℓ",
    axis="distance to the target, $y - x_\\ell$",
    words="Distance of block ℓ from the target, the mean over replicas.",
    source="Shi, Pan, Dokmanić",
    unit="the unit of the target",
    needs=(Need.CHAIN,),
)

MEASURES = {measure.name: measure for measure in (*_SEPARATIONS, _PROBES, _DISTANCE)}
"""Every measure by its name."""
SEPARATIONS = tuple(measure.name for measure in _SEPARATIONS)
"""Names of the measures of separation."""
DEFAULT_MEASURE = SEPARATIONS[0]
"""The measure D of the theory: loads, regimes, twins and maps are of its curve, and it is always taken."""
PROBES = _PROBES.name
"""Has a field of its own in a ``Curve`` record; it costs time, so a worker takes it only while it is looked at."""
DISTANCE = _DISTANCE.name
"""A chain's curve."""
NETWORK_MEASURES = (*SEPARATIONS, PROBES)
"""Names of the measures that a network's curve can be drawn in, in the order of the key for the next measure."""
MEASURE_OF = {"network": DEFAULT_MEASURE, "chain": DISTANCE}
"""By system, the measure whose curve a phase diagram is about."""


class Worse(StrEnum):
    """Which values of a measure of layer health are bad."""

    HIGH = "high"
    LOW = "low"
    BOTH = "high and low"


class HealthMeasure(NamedTuple):
    """One quantity of every layer that is trained, measured beside the load curve: one value a layer."""

    name: str
    """The key in records, JSON and settings; also the module that computes it."""
    label: str
    """As the screens show it."""
    formula: str
    """As help and documentation show it."""
    words: str
    """One or two sentences for the glossary."""
    source: str
    """Who defined it."""
    unit: str
    worse: Worse
    needs: tuple[Need, ...]
    is_fraction: bool = False
    """Whether values lie in [0, 1]; others are positive and differ by orders of magnitude."""


_HEALTH = (
    HealthMeasure(
        name="grad_norm",
        label="gradient norm",
        formula="‖g‖₂",
        words="Length of the gradient of a layer's trainable parameters, as the optimiser gets it: after clipping "
        "and without the factor of a gradient scaler. Infinite where a gradient is not finite.",
        source="Glorot & Bengio, 2010",
        unit="the unit of the loss over that of the parameters",
        worse=Worse.BOTH,
        needs=(Need.OPTIMISER,),
    ),
    HealthMeasure(
        name="update_ratio",
        label="update ratio",
        formula="‖w_new − w_old‖₂ / ‖w_old‖₂",
        words="What one step of the optimiser did to a layer's trainable parameters, relative to their length: "
        "with momentum, adaptive rates and weight decay. About 1e-3 is usual.",
        source="Karpathy, CS231n notes, 2015",
        unit="dimensionless",
        worse=Worse.BOTH,
        needs=(Need.OPTIMISER,),
    ),
    HealthMeasure(
        name="dead",
        label="dead units",
        formula="units with the same a for all samples, over all units",
        words="Fraction of units (channels, features) whose activation is zero, or the same, at every sample and "
        "position of the probe batch.",
        source="Lu et al., Dying ReLU, 2019",
        unit="fraction of the units, in [0, 1]",
        worse=Worse.HIGH,
        needs=(Need.ACTIVATIONS,),
        is_fraction=True,
    ),
    HealthMeasure(
        name="saturated",
        label="saturated",
        formula="a within 1 % of its range from an end, over all a",
        words="Fraction of activations at the ends of a bounded activation function (tanh, sigmoid, hardtanh …), "
        "where its slope is below 4 % of the steepest. Unknown for functions without bounds.",
        source="Glorot & Bengio, 2010",
        unit="fraction of the activations, in [0, 1]",
        worse=Worse.HIGH,
        needs=(Need.ACTIVATIONS,),
        is_fraction=True,
    ),
    HealthMeasure(
        name="scale",
        label="scale",
        formula="√⟨a²⟩",
        words="Root mean square of a layer's activations, over samples, positions and units. Infinite where one "
        "is not finite.",
        source="Glorot & Bengio, 2010",
        unit="the unit of the activations",
        worse=Worse.BOTH,
        needs=(Need.ACTIVATIONS,),
    ),
    HealthMeasure(
        name="effective_rank",
        label="effective rank",
        formula="(Σ λ)² / Σ λ²",
        words="Participation ratio of the features' covariance: in how many directions the samples differ. At "
        "most the number of features, and of samples less one; 0 where all samples are alike.",
        source="Gao et al., bioRxiv 214262, 2017",
        unit="directions",
        worse=Worse.LOW,
        needs=(Need.ACTIVATIONS,),
    ),
)

HEALTH = {measure.name: measure for measure in _HEALTH}
"""Every measure of layer health by its name, in the order of records and screens."""
GRAD_NORM, UPDATE_RATIO, DEAD, SATURATED, SCALE, EFFECTIVE_RANK = HEALTH
OF_OPTIMISER = tuple(name for name, measure in HEALTH.items() if Need.OPTIMISER in measure.needs)
"""Names of the measures that need the optimiser."""


def rises(name: str) -> bool:
    """Whether the curve of a measure rises where classes separate; False for any other curve of a record."""
    return name in MEASURES and MEASURES[name].rises
