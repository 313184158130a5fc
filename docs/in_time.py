"""Trains the networks whose load curves docs/theory.md shows over the epochs: python docs/in_time.py

Nine networks of the paper's shape on the embedded digits, three seeds for each regime; about a minute. Their
curves are written to docs/data/in-time.json, from which ``theory_figures.in_time`` draws.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from engine.measures.registry import DEFAULT_MEASURE
from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Curve
from engine.settings.fields import make
from engine.settings.train import TrainConfig
from engine.workers.work import work

SETTINGS: dict[str, Any] = {
    "dataset": "digits", "batch_size": 2560, "epochs": 100, "early_stop": False, "hessian": False
}  # fmt: skip
"""Of all networks: the full batch, as in the paper's data-noise diagram, and the epochs of its diagram."""
NETWORKS = {"calm": (0.0, 0.0), "middle": (0.4, 0.2), "noisy": (0.6, 0.7)}
"""Slope α and data noise q of the three."""
SEEDS = (0, 1, 2)


def curves(slope: float, noise: float, seed: int, home: Path) -> dict[str, Any]:
    """Epochs, load curves D_0 … D_L of each, and the last test accuracy of one network that is trained here."""
    knobs = {"negative_slope": slope, "data_noise": noise, "seed": seed}
    run = Run.create(open_home(home), make(TrainConfig, {**SETTINGS, **knobs}))
    work(run)
    measured = [event for event in run.events() if isinstance(event, Curve)]
    return {
        "seed": seed,
        "epochs": [curve.at for curve in measured],
        "load_curves": [[round(d or 0.0, 4) for d in curve.curves[DEFAULT_MEASURE]] for curve in measured],
        "test_accuracy": round(measured[-1].scalars["test_accuracy"] or 0.0, 4),
    }


def main() -> None:
    """Train all networks and write the file."""
    with tempfile.TemporaryDirectory() as home:
        rows = [
            {"name": name, "negative_slope": slope, "data_noise": noise, **curves(slope, noise, seed, Path(home))}
            for name, (slope, noise) in NETWORKS.items()
            for seed in SEEDS
        ]
    lines = ",\n".join(json.dumps(row) for row in rows)
    text = json.dumps({"settings": SETTINGS})[:-1] + f', "networks": [\n{lines}\n]}}\n'
    (HERE / "data" / "in-time.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
