"""The terms of the theory with their formulas and explanations, for the help and the tour."""

from __future__ import annotations

from typing import NamedTuple

from engine.measures.registry import DEFAULT_MEASURE, MEASURES, NETWORK_MEASURES


class Term(NamedTuple):
    """A term, its formula (may be empty) and its explanation."""

    name: str
    formula: str
    words: str


NETWORK = (
    Term(
        "Separation D",
        f"D_ℓ = {MEASURES[DEFAULT_MEASURE].formula}",
        "How badly the classes are mixed after layer ℓ: scatter within the classes (Σ_w) over scatter between "
        "them "
        "(Σ_b). Lower is better separated. D_0 is the input, D_L the logits.",
    ),
    *(Term(m.label.capitalize(), m.formula, m.words) for m in map(MEASURES.__getitem__, NETWORK_MEASURES)),
    Term(
        "Load curve", "D_0, D_1 … D_L", "The measure after every layer, as one curve. It falls as layers do work."
    ),
    Term(
        "Load",
        "d_ℓ = D_(ℓ-1) - D_ℓ",
        "How much of the work layer ℓ does: the drop of the curve over it. Negative: it mixes the classes again.",
    ),
    Term(
        "Regime",
        "the curve's shape over the hidden layers",
        "Balanced: a straight line, all layers share the load. Shallow layers lazy: concave, deep ones carry it. "
        "Deep "
        "layers lazy: convex, shallow ones carry it. Where the curve's shape means nothing the reason is said "
        "instead: not trained yet, only the logits separate the classes, …",
    ),
    Term("CV", "s.d. of the loads / their mean", "Coefficient of variation: 0 where every layer does the same."),
    Term(
        "Asymmetry",
        "(load of the shallow half - load of the deep half) / total load",
        "Below 0 the deep layers carry more, above 0 the shallow ones.",
    ),
    Term(
        "Nonlinearity",
        "1 - α",
        "α is the slope of LeakyReLU for negative inputs: 0 is a linear network, 1 is ReLU. More nonlinearity "
        "makes "
        "shallow layers lazy. To the chain it is the friction μ→.",
    ),
    Term(
        "Data noise",
        "q = fraction of labels replaced; inputs + q · s.d. · N(0, 1)",
        "Noise that comes with every batch. Noise of any kind shifts load from deep layers to shallow ones.",
    ),
    Term(
        "Learning rate, dropout, batch size",
        "lr; p; B",
        "Three other ways to make training noisy: larger steps, dropped activations, smaller batches. Changing "
        "the "
        "knob returns the former one to its calm value.",
    ),
)
CHAIN = (
    Term(
        "Spring force",
        "F_ℓ = k (x_(ℓ+1) - 2 x_ℓ + x_(ℓ-1))",
        "Blocks x_1 … x_L hang between a wall and a target y that pulls. A spring's extension x_ℓ - x_(ℓ-1) is "
        "the "
        "load of layer ℓ, and y - x_ℓ is the chain's load curve.",
    ),
    Term(
        "Friction μ→ and μ←",
        "σ(F) = F - μ→ where F > μ→,  F + μ← where F < -μ←,  else 0",
        "μ→ resists a block that moves towards the target, μ← one that moves back. A block sticks while the force "
        "stays between them.",
    ),
    Term(
        "Noise ε",
        "x ← x + η σ(F + ε ξ),  ξ ~ N(0, 1)",
        "Random kicks of strength ε at every step, which free blocks that stick. Enough of them, and friction no "
        "longer matters. (In the paper ε is per time: √η times this one.)",
    ),
    Term(
        "Mean field",
        "dx/dt = g(F), the mean of σ over the noise",
        "What many chains do on average. It is drawn as theory beside the chain.",
    ),
    Term(
        "Effective friction F*",
        "g(F*) = 0;  x_ℓ = y ℓ/(L+1) - (F*/2k) ℓ (L+1-ℓ)",
        "The one number that a chain at rest is known by: above 0 shallow layers lazy, 0 balanced, below 0 deep "
        "lazy.",
    ),
    Term(
        "Twin",
        "the F* whose parabola fits the network's curve best",
        "The chain that the newest load curve behaves like, drawn over it. ± is its standard error over the "
        "training samples; the residual is how far the parabola misses the curve.",
    ),
    Term(
        "Second order",
        "m dv/dt = F - γ v - friction + noise",
        "The chain with inertia, used where it is pulled in jerks; steadily and at once need none.",
    ),
    Term(
        "Map from sliders to chain",
        "data noise: μ→ = .030 + .055 (1 - α),  μ← = .138,  ε = .029 + .042 q",
        "Fitted for each kind of noise to a diagram of networks on MNIST; springtui twin --maps tells how "
        "well. A chain has a spring for each hidden layer; it is compared with a trained network at time 200 "
        "of its pull: that curve is drawn over the network's (map). Pulled on, a noisy chain creeps to its "
        "parabola, of which the map says nothing. springtui lab --twin RUN takes the map of a sweep of your "
        "own.",
    ),
)
