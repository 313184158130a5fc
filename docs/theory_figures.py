"""Draws the figures of docs/theory.md from the program's functions, the reference table and docs/data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from engine.arrays import Floats
from engine.chain.mean_field import friction as chain_friction
from engine.chain.mean_field import mean_velocity, predicted_curve, settled
from engine.chain.mean_field_cells import mean_field_cells
from engine.measures.friction import asymmetries, fit_curve, hidden
from engine.measures.load_curve import statistics
from engine.settings.chain import TWIN_TIME, ChainConfig
from engine.twin.maps import PRESETS
from springtui.export.figures import CHAIN, DIM, INK, NETWORK, THEORY, draw_chain, new_figure

REFERENCE = Path(__file__).parents[1] / "tests" / "data" / "load_curves_data_noise.json"
TRAININGS = Path(__file__).parent / "data" / "in-time.json"
"""Written by docs/in_time.py."""
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
    axes.set_title("friction holds a block while −μ← < F < μ→; with noise it creeps, and rests only at $F^*$")
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


def noise() -> Figure:
    """Figure of the asymmetry of chains that differ in their noise alone, over the time of the pull."""
    figure = new_figure(7.4, 2.9)
    axes = figure.subplots()
    axes.axhline(0.0, color=DIM, linewidth=0.6)
    strengths, eta = np.array([0.0, 0.2, 0.4, 0.6, 0.8]), 0.4
    right, left, sd = PRESETS["data_noise"].chain(1.0, strengths)
    steps = np.geomspace(25, 50_000, 60).round().astype(int)
    ends = np.zeros((len(strengths), 1))
    pulled = [mean_field_cells(right, left, sd, blocks=6, eta=eta, steps=int(n)) for n in steps]
    found = np.array([asymmetries(1.0 - np.hstack([ends, x, ends + 1.0])) for x in pulled])
    for column, strength in enumerate(strengths):
        shade = 0.25 + 0.75 * column / (len(strengths) - 1)
        axes.plot(steps * eta, found[:, column], color=CHAIN, alpha=shade, label=f"q = {strength:g}")
    config = ChainConfig(blocks=6, mu_right=float(right[0]), mu_left=float(left[0]))
    rest = 1.0 - np.array([0.0, *settled(config), 1.0])
    axes.axhline(asymmetries(rest[None])[0], color=THEORY, linestyle="--", label="settled, any q")
    axes.axvline(TWIN_TIME, color=INK, linewidth=0.8)
    axes.annotate("the map compares here", (TWIN_TIME, -0.75), (TWIN_TIME * 1.15, -0.75), color=INK)
    axes.set_xscale("log")
    axes.set_xlabel("time of the pull")
    axes.set_ylabel("asymmetry")
    axes.set_title("nonlinearity 1: noise sets how soon the chain arrives, not where")
    axes.legend(fontsize=7.5, loc="lower right")
    return figure


def in_time() -> Figure:
    """Figure of three networks' load curves from epoch to epoch, and of their asymmetries over three seeds."""
    networks = json.loads(TRAININGS.read_text("utf-8"))["networks"]
    figure = new_figure(7.4, 5.0)
    grid = figure.add_gridspec(2, 3, height_ratios=(3, 2.4))
    below = figure.add_subplot(grid[1, :])
    below.axhline(0.0, color=DIM, linewidth=0.6)
    for column, (name, colour) in enumerate((("calm", NETWORK), ("middle", INK), ("noisy", CHAIN))):
        seeds = [network for network in networks if network["name"] == name]
        axes = figure.add_subplot(grid[0, column])
        for epoch, shade in ((0, 0.2), (5, 0.35), (10, 0.5), (20, 0.65), (40, 0.8), (100, 1.0)):
            curve = seeds[0]["load_curves"][seeds[0]["epochs"].index(epoch)]
            axes.plot(hidden(curve), "o-", color=colour, alpha=shade, markersize=2.5, label=f"epoch {epoch}")
        knobs = f"nonlinearity {1 - seeds[0]['negative_slope']:g}, noise {seeds[0]['data_noise']:g}"
        axes.set_title(knobs, fontsize=9)
        axes.set_xlabel("layer $\\ell$")
        axes.legend(fontsize=6.5)
        epochs, mean, spread = over_seeds(seeds)
        below.plot(epochs, mean, color=colour, label=knobs)
        below.fill_between(epochs, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
    figure.axes[1].set_ylabel("$D_\\ell$")
    below.set_ylim(-1.05, 0.75)
    below.set_xlabel("epoch")
    below.set_ylabel("asymmetry")
    below.set_title("mean and standard deviation over three seeds, where the curves have a regime", fontsize=9)
    below.legend(fontsize=7.5, loc="lower right", ncols=3)
    return figure


def over_seeds(seeds: list[dict[str, Any]]) -> tuple[Floats, Floats, Floats]:
    """Epochs at which all seeds have a regime, and mean and s.d. of the asymmetries there, [E] each."""
    shapes = [[statistics(curve, logits=True) for curve in network["load_curves"]] for network in seeds]
    clear = [e for e in range(len(shapes[0])) if all(one[e].regime != "unclear" for one in shapes)]
    found = np.array([[one[e].asymmetry for e in clear] for one in shapes])
    return np.array(seeds[0]["epochs"], np.float64)[clear], found.mean(0), found.std(0, ddof=1)


def maps_table() -> str:
    """A table of the fitted maps with their errors, as Markdown."""
    lines = [
        "| noise | r.m.s. of scaled curves | correlation of asymmetries | networks |",
        "| --- | --- | --- | --- |",
    ]
    for axis, made in PRESETS.items():
        about = made.provenance.removeprefix("fitted to ")
        lines.append(f"| `{axis}` | {made.rms:.3f} | {made.asymmetry_correlation:.2f} | {about} |")
    return "\n".join(lines)


FIGURES = {
    "friction": friction,
    "regimes": regimes,
    "networks": networks,
    "noise": noise,
    "in-time": in_time,
    "twin": twin,
}
