"""The terms of the theory with their formulas and explanations, for the help and the tour."""

from __future__ import annotations

from typing import NamedTuple

from engine.measures.registry import DEFAULT_MEASURE, MEASURES, NETWORK_MEASURES
from engine.measures.registry import HEALTH as HEALTH_MEASURES


class Term(NamedTuple):
    """A term, its formula (may be empty) and its explanation."""

    name: str
    formula: str
    words: str


NETWORK = (
    Term(
        "Separation D",
        f"D_ℓ = {MEASURES[DEFAULT_MEASURE].formula}",
        "How badly the classes are mixed after layer ℓ: the scatter within the classes (Σ_w) over the scatter "
        "between them (Σ_b). The lower, the better the classes are apart. D_0 is the input, D_L the logits.",
    ),
    *(Term(m.label.capitalize(), m.formula, m.words) for m in map(MEASURES.__getitem__, NETWORK_MEASURES)),
    Term(
        "Load curve", "D_0, D_1 … D_L", "The measure after each layer, as one curve. It falls where a layer works."
    ),
    Term(
        "Load",
        "d_ℓ = D_(ℓ-1) - D_ℓ",
        "The work that layer ℓ does: the drop of the curve over it. A layer with a negative load makes the "
        "separation worse.",
    ),
    Term(
        "Regime",
        "the curve's shape over the hidden layers",
        "Balanced: the curve is a straight line, and all layers share the load. Shallow layers lazy: it is "
        "concave, and the deep layers carry the load. Deep layers lazy: it is convex, and the shallow layers "
        "carry the load. Where the curve's shape means nothing the reason is given instead, as: not trained yet.",
    ),
    Term(
        "Loss and accuracy",
        "measured on clean data, as D is",
        "With true labels, inputs without noise, and dropout off. Noise in training keeps a network unsure, so "
        "its loss can stay at 0.2 where it classifies every training sample right.",
    ),
    Term("CV", "s.d. of the loads / their mean", "Coefficient of variation: 0 where all loads are equal."),
    Term(
        "Asymmetry",
        "(load of the shallow half - load of the deep half) / total load",
        "Negative: the deep layers carry more. Positive: the shallow layers carry more.",
    ),
    Term(
        "Nonlinearity",
        "1 - α",
        "α is the slope of LeakyReLU for negative inputs. Nonlinearity 0 is a linear network, 1 is ReLU. More "
        "nonlinearity makes shallow layers lazy.",
    ),
    Term(
        "Data noise",
        "q = fraction of labels replaced; inputs + q · s.d. · N(0, 1)",
        "Wrong labels and noisy inputs, drawn anew for every batch. Noise of any kind shifts load from the deep "
        "layers to the shallow ones.",
    ),
    Term(
        "Learning rate, dropout, batch size",
        "lr; p; B",
        "Three other kinds of noise: larger steps, dropped activations, smaller batches. If you choose another "
        "kind, the former one returns to its calm value.",
    ),
)
HEALTH = tuple(Term(m.label.capitalize(), m.formula, m.words) for m in HEALTH_MEASURES.values())
"""Measures of layer health, which a probe takes on request."""
CHAIN = (
    Term(
        "Spring force",
        "F_ℓ = k (x_(ℓ+1) - 2 x_ℓ + x_(ℓ-1))",
        "Springs join the blocks x_1 … x_L to each other, to a wall at 0, and to a target y that pulls. A "
        "spring's extension x_ℓ - x_(ℓ-1) is the load of layer ℓ, and y - x_ℓ is the chain's load curve.",
    ),
    Term(
        "Friction μ→ and μ←",
        "σ(F) = F - μ→ where F > μ→,  F + μ← where F < -μ←,  else 0",
        "μ→ resists a block that moves towards the target, μ← one that moves back. A block does not move while "
        "the force F lies between -μ← and μ→.",
    ),
    Term(
        "Noise ε",
        "x ← x + η σ(F + ε ξ),  ξ ~ N(0, 1)",
        "Random kicks of strength ε at every step, which move blocks that friction holds. The stronger the "
        "noise, the faster a chain settles. (In the paper ε is per time: √η times this one.)",
    ),
    Term(
        "Mean field",
        "dx/dt = g(F), the mean of σ over the noise",
        "The motion of many chains on average. It is drawn as theory beside the chain.",
    ),
    Term(
        "Effective friction F*",
        "g(F*) = 0;  x_ℓ = y ℓ/(L+1) - (F*/2k) ℓ (L+1-ℓ)",
        "The one number that determines the curve of a settled chain. Positive: shallow layers lazy. 0: "
        "balanced. Negative: deep layers lazy. Of a chain it is (μ→ - μ←)/2, its friction; of a measured curve it "
        "is the number that fits best, its effective friction.",
    ),
    Term(
        "Twin",
        "the F* whose parabola fits the network's curve best",
        "The settled chain that is closest to the newest load curve, drawn over it. ± is the standard error of F* "
        "over the training samples; the residual is the distance of the parabola from the curve.",
    ),
    Term(
        "Second order",
        "m dv/dt = F - γ v - friction + noise",
        "The chain with inertia. The lab uses it where the chain is pulled jerkily.",
    ),
    Term(
        "Two hands",
        "1 - [p W_ℓ(τ_w) + (1 - p) V_ℓ(τ_h)],  W_ℓ = 1 - V_(H-ℓ)",
        "The chain that the lab shows first (ours). It has no friction. A hand at the output pulls for the time "
        "τ_h, which gives V; a hand at the input pulls for the time τ_w, which gives W; p is the input's share of "
        "the length. With noise the output's pull spreads over all springs, and the input's stays in the first "
        "ones. Only the shape at each value of the sliders is the model's, not the way there. docs/theory.md has "
        "the numbers and how well they fit.",
    ),
    Term(
        "Map from sliders to friction",
        "data noise: μ→ = .030 + .055 (1 - α),  μ← = .138,  ε = .029 + .042 q",
        "Fitted for each kind of noise to a diagram of networks on MNIST; springtui twin --maps lists the maps "
        "with their errors. A chain has one spring for each hidden layer. The map holds at time 200 of the pull "
        "only; later the chain drifts away. Its curve at that time is drawn over the network's (map). "
        "springtui lab --twin RUN uses the map of your own sweep.",
    ),
)
LOGS = (
    Term(
        "Step",
        "what the log counts",
        "The optimiser's steps where the log tells them; else epochs, batches or lines, and the plot's axis says "
        "so. Scalars that count otherwise, or that were given another axis, have plots of their own.",
    ),
    Term(
        "Quiet",
        "no record for longer than is usual for the run",
        "Silence is no death: many writers flush every 15 s or at the end of an epoch. The line below the run's "
        "name says when its newest record came, and what is this writer's habit.",
    ),
    Term(
        "Resumed",
        "an upright line in the plot",
        "From that step on the training logged again. The later numbers stand.",
    ),
    Term(
        "Not finite",
        "NaN, inf, -inf",
        "Such numbers are kept and counted in the plot's title. They interrupt the curve, and are marked at the "
        "upper edge of the plot.",
    ),
    Term(
        "Thinned",
        "the smallest and the largest of neighbours",
        "Long curves are drawn by their extremes, so that each spike is seen. Zooming in reads the true points.",
    ),
    Term(
        "Left out",
        "3 × damaged record",
        "What could not be read is skipped, counted, and told in the head line and among the run's facts.",
    ),
)
"""What the screens say of other tools' logs."""
