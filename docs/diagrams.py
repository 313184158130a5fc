"""Makes docs/diagrams.md and its pictures: the paper's diagrams by this program.

    python docs/diagrams.py                               pictures and page, from docs/data
    python docs/diagrams.py --make data-noise dropout …   makes these sweeps anew first, on MNIST

Recorded are load curves and scalars of the cells, no image. MNIST's files are looked for in --data-dir, else
SPRINGTUI_DATA, else ../shared/data/mnist beside the checkout.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine.runs.records import Cell
from engine.settings.sweep import SweepConfig
from engine.sweep.chains import pull
from engine.sweep.diagrams import DIAGRAMS, make_sweep
from engine.sweep.summary import Summary, accuracy_cv_correlation, summarise
from engine.sweep.task import Job, only_chains
from springtui.export.figures import encode, new_figure, phase_on
from springtui.state.diagram import COLOURS, scaled_curve

HERE, DATA = ROOT / "docs", ROOT / "docs" / "data"
REFERENCE = ROOT / "tests" / "data" / "load_curves_data_noise.json"
RECIPES = ("data-noise", "learning-rate", "dropout", "batch-size")
ACCURACY, ASYMMETRY = COLOURS[0], COLOURS[2]
SEEDS = 3


def default_data_dir() -> Path:
    """Folder where MNIST's files are expected."""
    return Path(os.environ.get("SPRINGTUI_DATA", ROOT.parent / "shared" / "data" / "mnist"))


def make(recipe: str, data_dir: Path) -> None:
    """Run a sweep on MNIST with springtui, and record its result."""
    command = [sys.executable, "-m", "springtui", "sweep", "--recipe", recipe, "--seeds", str(SEEDS), "--json"]
    command += ["--set", "dataset=mnist", "--set", f"data_dir={data_dir}"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    record(json.loads(done.stdout))


def record(result: dict[str, Any]) -> None:
    """Write the parts of a ``springtui sweep --json`` result that the page needs to docs/data."""
    kept = {"recipe": result["recipe"], "seconds": round(result["seconds"] or 0.0), "cells": []}
    for cell in result["cells"]:
        curve = cell["load_curve"]
        kept["cells"].append(
            {
                "x": cell[result["x_axis"]],
                "y": cell[result["y_axis"]],
                "seeds": cell["seeds"],
                "diverged": cell["diverged"],
                "test_accuracy": cell["test_accuracy"] and round(cell["test_accuracy"], 4),
                "load_curve": curve and [round(v, 4) for v in curve],
                "curve_error": cell["curve_error"] and round(cell["curve_error"], 4),
            }
        )
    DATA.mkdir(exist_ok=True)
    rows = ",\n".join(json.dumps(cell) for cell in kept.pop("cells"))
    text = json.dumps(kept)[:-1] + f', "cells": [\n{rows}\n]}}\n'
    (DATA / f"{result['recipe']}.json").write_text(text, encoding="utf-8")


def read(recipe: str) -> tuple[dict[str, Any], SweepConfig, list[Summary]]:
    """A recorded diagram: the file's content, its sweep, and summaries with one mean network a cell."""
    recorded = json.loads((DATA / f"{recipe}.json").read_text(encoding="utf-8"))
    config = make_sweep(recipe, {"dataset": "mnist"}, seeds=1)
    cells = []
    for index, cell in enumerate(recorded["cells"]):
        curves = {"trace_ratio": cell["load_curve"]} if cell["load_curve"] else {}
        scalars = {"test_accuracy": cell["test_accuracy"], "curve_error": cell.get("curve_error")}
        cells.append(Cell(cell=index, member=0, final=True, at=0, curves=curves, scalars=scalars))
    return recorded, config, summarise(config, cells)


def chain_of(config: SweepConfig) -> tuple[SweepConfig, list[Summary]]:
    """Summaries of the chain over the same settings, by the fitted map and the mean field."""
    axes = {"x": (config.x_axis, config.x_values), "y": (config.y_axis, config.y_values)}
    chain = make_sweep("chain-twin", {"blocks": 6}, axes=axes)
    from engine.sweep.grid import cell_count, cell_settings

    jobs = [Job(cell=i, member=0, settings=cell_settings(chain, i)) for i in range(cell_count(chain))]
    return chain, summarise(chain, pull(only_chains(jobs), "mean_field"))


def draw(recipe: str, config: SweepConfig, network: list[Summary]) -> None:
    """Write the picture of a diagram: the networks' test accuracy, and the chain's asymmetry."""
    chain, cells = chain_of(config)
    columns = len(config.x_values)
    figure = new_figure(3.6 + 1.24 * columns, 4.6)
    left, right = figure.subplots(1, 2)
    phase_on(left, config, network, ACCURACY)
    left.set_title(f"{recipe}: networks, {ACCURACY.title}")
    phase_on(right, chain, cells, ASYMMETRY)
    right.set_title(f"{recipe}: the chain by the fitted map, {ASYMMETRY.title}")
    (HERE / f"diagram-{recipe}.svg").write_bytes(encode(figure, "svg"))


def agreement(
    recipe: str, recorded: dict[str, Any], config: SweepConfig, network: list[Summary]
) -> dict[str, Any]:
    """Numbers of a row: the networks compared with the chain, and with the authors' table where there is one."""
    _, cells = chain_of(config)
    twins = {cell.cell: cell for cell in cells}
    known = [s for s in network if not s.reason]
    ours = np.array([scaled_curve(s.curves["trace_ratio"][:-1]) for s in known])
    theirs = np.array([scaled_curve(twins[s.cell].curves["distance"]) for s in known])
    row: dict[str, Any] = {
        "cells": len(network),
        "known": len(known),
        "networks": sum(cell["seeds"] for cell in recorded["cells"]),
        "spearman": accuracy_cv_correlation(network),
        "chain_rms": float(np.sqrt(np.mean((ours - theirs) ** 2))),
        "chain_rms_median": float(np.median(np.sqrt(np.mean((ours - theirs) ** 2, axis=1)))),
        "chain_asymmetry": correlation([s.asymmetry for s in known], [twins[s.cell].asymmetry for s in known]),
        "seconds": recorded["seconds"],
    }
    if recipe == "data-noise":
        row["reference_asymmetry"] = correlation([s.asymmetry for s in network], reference_asymmetries(network))
    return row


def reference_asymmetries(network: list[Summary]) -> list[float]:
    """The authors' values, in the order of our cells."""
    from engine.measures.load_curve import statistics

    table = json.loads(REFERENCE.read_text(encoding="utf-8"))["cells"]
    by_place = {(round(c["noise"], 6), round(c["negative_slope"], 6)): c["log_trace_ratio_mean"] for c in table}
    curves = [by_place[round(float(s.x), 6), round(float(s.y), 6)] for s in network]
    return [statistics(curve, logits=True).asymmetry for curve in curves]


def correlation(a: list[float], b: list[float]) -> float:
    """Pearson's correlation over pairs of finite values."""
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if math.isfinite(x) and math.isfinite(y)]
    return float(np.corrcoef(np.array(pairs).T)[0, 1])


def page(rows: dict[str, dict[str, Any]]) -> str:
    """The text of docs/diagrams.md."""
    reference = rows.get("data-noise", {}).get("reference_asymmetry", math.nan)
    table = "\n".join(
        f"| `{name}` | {r['known']} of {r['cells']} | {r['spearman']:+.2f} | {r['chain_asymmetry']:.3f} | "
        f"{r['chain_rms']:.3f} ({r['chain_rms_median']:.3f}) | {r['seconds']} s |"
        for name, r in rows.items()
    )
    pictures = "\n\n".join(
        f"## {name}\n\n{DIAGRAMS[name].about.capitalize()} over nonlinearity (1 − α).\n\n"
        f"![{name}: networks at the left, the chain at the right](diagram-{name}.svg)"
        for name in rows
    )
    return TEMPLATE.format(
        seeds=SEEDS,
        table=table,
        reference=reference,
        spearman=rows["data-noise"]["spearman"],
        pictures=pictures,
    )


TEMPLATE = """\
# Phase diagrams

The four diagrams of Shi, Pan, Dokmanić (arXiv:2407.19353) as this program makes them, on MNIST: 2560
training images at 10×10, depth 8, width 100, Adam, {seeds} seeds a cell. At the left networks, coloured by
test accuracy; at the right the chain of blocks and springs that the fitted map gives for the same two
knobs, coloured by asymmetry. Each cell shows its load curve from the input to the last hidden layer, scaled
to run from 1 to 0. Dark colours are low values.

The images are the 10,000 of MNIST's test file (Y. LeCun, C. Cortes, CC BY-SA 3.0), split in two as in the
reference table. The convolutional diagram (`--recipe cnn`) needs CIFAR-10, which was not at hand.

The table has the number of cells whose load curve means something, and three numbers over them: Spearman's
correlation of test accuracy and coefficient of variation (CV); the correlation of the chain's asymmetries with
the networks'; and the r.m.s. difference of their scaled curves, in brackets that of the median cell. What the
first number means, and what it does not: [theory.md](theory.md#is-balanced-better).

| diagram | cells | accuracy and CV | asymmetries | curves | time |
| --- | --- | --- | --- | --- | --- |
{table}

In the `data-noise` diagram the asymmetries of our networks correlate with those of the authors' table by
**{reference:.3f}** (wanted ≥ 0.97), and the Spearman correlation is **{spearman:+.2f}** (the authors'
networks: −0.91; wanted ≤ −0.85). Cell by cell: [agreement.md](agreement.md). Cells whose load curve means
nothing ([theory.md](theory.md)) are marked × and left out of all three numbers. The error of a curve was
measured where curves hardly fall, at the highest learning rate and the two smallest batches, on three seeds
a cell of a repetition (`curve_error` in `docs/data`).
The times are of sweeps on two cores that other programs used too; on idle cores a sweep is several times faster.

{pictures}

## How they are made

    springtui sweep --recipe data-noise --seeds {seeds} --set dataset=mnist --set data_dir=mnist --json

makes one of them; `f` and then `g` in the app make it while you watch. `python docs/diagrams.py` draws this page
from `docs/data`, which holds the cells' curves and numbers and no image of MNIST. `python docs/diagrams.py --make
data-noise --data-dir mnist` first makes the sweep again.
"""


def main() -> int:
    """Make the page; exit status 2 where the images do not exist."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--make", nargs="+", choices=RECIPES, default=[], help="sweeps to make anew")
    parser.add_argument("--data-dir", type=Path, default=default_data_dir(), help="folder of MNIST's IDX files")
    parser.add_argument(
        "--record", type=Path, nargs="+", default=[], help="outputs of springtui sweep --json to keep"
    )
    options = parser.parse_args()
    if options.make and not options.data_dir.is_dir():
        print(f"{options.data_dir} is not there; name the folder of MNIST's IDX files with --data-dir")
        return 2
    for recipe in options.make:
        make(recipe, options.data_dir.absolute())
    for path in options.record:
        record(json.loads(path.read_text(encoding="utf-8")))
    rows = {}
    for recipe in RECIPES:
        if (DATA / f"{recipe}.json").exists():
            recorded, config, network = read(recipe)
            draw(recipe, config, network)
            rows[recipe] = agreement(recipe, recorded, config, network)
    (HERE / "diagrams.md").write_text(page(rows), encoding="utf-8")
    print(json.dumps({"benchmark": "diagrams", **rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
