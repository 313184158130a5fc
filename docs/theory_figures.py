"""Draws the figures of docs/theory.md by the program's functions and the reference table; needs no run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from engine.chain.mean_field import friction as chain_friction
from engine.chain.mean_field import mean_velocity, predicted_curve, settled
from engine.measures.friction import fit_curve, hidden
from engine.measures.load_curve import statistics
from engine.settings.chain import ChainConfig
from engine.twin.maps import PRESETS
from springtui.export.figures import CHAIN, DIM, INK, NETWORK, THEORY, draw_chain, new_figure

REFERENCE = Path(__file__).parents[1] / "tests" / "data" / "load_curves_data_noise.json"
REGIMES = (
    ("shallow layers lazy", 0.14, 0.10),
    ("balanced", 0.10, 0.10),
    ("deep layers lazy", 0.06, 0.10),
)
"""Name, μ→ and μ←."""
CELLS = ((0.0, 0.0), (0.0, 0.3), (0.6, 0.6))
"""Slope α and noise q of the networks that are drawn."""


def reference_cells() -> list[dict[str, Any]]:
    """The authors' 54 cells of the data-noise diagram."""
    cells: list[dict[str, Any]] = json.loads(REFERENCE.read_text("utf-8"))["cells"]
    return cells


def friction() -> Figure:
    """Figure of a block's friction, and of its mean over the noise."""
    right, left = 0.10, 0.05
    figure = new_figure(7.4, 2.9)
    axes = figure.subplots()
    force = np.linspace(-0.3, 0.3, 400)
    axes.axhline(0.0, color=DIM, linewidth=0.6)
    axes.plot(force, mean_velocity(force, right, left, 0.0), color=INK, label="no noise: σ(F)")
    for noise, shade in ((0.05, 0.45), (0.1, 0.7), (0.2, 1.0)):
        mean = mean_velocity(force, right, left, noise)
        axes.plot(force, mean, color=CHAIN, alpha=shade, label=f"ε̄ = {noise:g}")
    root = chain_friction(right, left)
    axes.plot([root], [0.0], "o", color=THEORY, zorder=5)
    axes.annotate("$F^*$ = (μ→ − μ←)/2", (root, 0.0), (root + 0.03, -0.09), color=INK)
    axes.set_xlabel("force F on a block")
    axes.set_ylabel("mean velocity")
    axes.set_title("friction holds a block while −μ← < F < μ→; noise lets it creep, and rest only at $F^*$")
    axes.legend()
    return figure


def regimes() -> Figure:
    """Figure of three chains in their long-time limit, and their load curves."""
    figure = new_figure(7.4, 4.6)
    grid = figure.add_gridspec(3, 2, width_ratios=(3, 2))
    beside = figure.add_subplot(grid[:, 1])
    for row, (name, right, left) in enumerate(REGIMES):
        config = ChainConfig(blocks=7, mu_right=right, mu_left=left, noise=0.05)
        points = [0.0, *map(float, settled(config)), 1.0]
        axes = figure.add_subplot(grid[row, 0])
        draw_chain(axes, points)
        axes.set_title(f"{name}: $F^*$ = {chain_friction(right, left):+.2f}")
        colour = (NETWORK, INK, CHAIN)[row]
        beside.plot([1.0 - x for x in points], "o-", color=colour, label=name, markersize=3.5)
    beside.set_xlabel("block $\\ell$")
    beside.set_ylabel("distance to the target")
    beside.set_title("the same as load curves")
    beside.legend()
    return figure


def networks() -> Figure:
    """Figure of load curves of the authors' networks in the three regimes, each with the parabola of its chain."""
    figure = new_figure(7.4, 2.9)
    for axes, (slope, noise) in zip(figure.subplots(1, 3), CELLS, strict=True):
        cell = next(c for c in reference_cells() if (c["negative_slope"], c["noise"]) == (slope, noise))
        curve = hidden(cell["log_trace_ratio_mean"])
        fit = fit_curve(curve)
        axes.plot(fit.curve, "--", color=THEORY, label=f"chain, $F^*$ = {fit.effective_friction:+.3f}")
        axes.errorbar(
            range(len(curve)), curve, cell["log_trace_ratio_sd"][:-1], fmt="o-", color=NETWORK, markersize=4,
            label="network, 3 seeds",
        )  # fmt: skip
        axes.set_title(f"nonlinearity {1 - slope:g}, noise {noise:g}")
        axes.set_xlabel("layer $\\ell$")
        axes.legend(fontsize=7.5)
    figure.axes[0].set_ylabel("$D_\\ell$")
    return figure


def twin() -> Figure:
    """Figure of one map for all 54 cells: asymmetry and coefficient of variation, network against chain."""
    figure = new_figure(7.4, 3.4)
    ours, theirs = [], []
    for cell in reference_cells():
        right, left, sd = PRESETS["data_noise"].chain(1.0 - cell["negative_slope"], cell["noise"])
        curve = hidden(cell["log_trace_ratio_mean"])
        chain = predicted_curve(float(right), float(left), float(sd), len(curve) - 1)
        theirs.append(statistics(list(curve), logits=False))
        ours.append(statistics([float(d) for d in chain], logits=False))
    noise = [cell["noise"] for cell in reference_cells()]
    for axes, name in zip(figure.subplots(1, 2), ("asymmetry", "cv"), strict=True):
        x, y = [getattr(s, name) for s in ours], [getattr(s, name) for s in theirs]
        dots = axes.scatter(x, y, c=noise, cmap="cividis", s=18)
        ends = [min(*x, *y), max(*x, *y)]
        axes.plot(ends, ends, color=DIM, linewidth=0.8)
        title = "asymmetry" if name == "asymmetry" else "coefficient of variation"
        axes.set_title(f"{title}: correlation {np.corrcoef(x, y)[0, 1]:.2f}")
        axes.set_xlabel("chain, by the map")
        axes.set_ylabel("network")
    figure.colorbar(dots, ax=figure.axes, label="data noise")
    return figure


def maps_table() -> str:
    """A table of the fitted maps with their errors, as Markdown."""
    lines = [
        "| noise | r.m.s. of scaled curves | correlation of asymmetries | fitted to |",
        "| --- | --- | --- | --- |",
    ]
    for axis, made in PRESETS.items():
        about = made.provenance.removeprefix("fitted to ")
        lines.append(f"| `{axis}` | {made.rms:.3f} | {made.asymmetry_correlation:.2f} | {about} |")
    return "\n".join(lines)


FIGURES = {"friction": friction, "regimes": regimes, "networks": networks, "twin": twin}
