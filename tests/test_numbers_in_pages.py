"""Numbers in the documentation are those that the code and the recorded data give."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.measures.friction import asymmetries, scaled
from engine.measures.load_curve import statistics
from engine.twin.axis import noise_coordinate
from engine.twin.fit import predict
from engine.twin.maps import PRESETS
from engine.twin.two_hands import EXPONENT, LOG_INPUT_TIME, LOG_OUTPUT_TIME, TWO_HANDS

ROOT = Path(__file__).parents[1]
RECORDED = {"dropout": "dropout", "lr": "learning-rate", "batch_size": "batch-size"}
"""By the noise's setting, the diagram in docs/data on which the errors of its map are given."""
NUMBER = re.compile(r"[-+]?\d+\.\d+|[-+]?\d+")


@pytest.mark.parametrize("axis", RECORDED)
def test_the_errors_of_a_shipped_map_are_those_on_the_recorded_diagram(axis: str) -> None:
    cells = json.loads((ROOT / "docs" / "data" / f"{RECORDED[axis]}.json").read_text("utf-8"))["cells"]
    curves = np.array([cell["load_curve"][:-1] for cell in cells])
    shapes = [statistics(c["load_curve"], logits=True, error=c.get("curve_error")) for c in cells]
    told = np.array([not shape.reason for shape in shapes])
    nonlinearity = np.array([1.0 - cell["y"] for cell in cells])[told]
    noise = np.array([noise_coordinate(axis, float(cell["x"])) for cell in cells])[told]
    wanted, found = scaled(curves[told]), predict(PRESETS[axis], nonlinearity, noise, curves.shape[1] - 1)
    assert np.sqrt(np.mean((found - wanted) ** 2)) == pytest.approx(PRESETS[axis].rms, abs=6e-4)
    correlation = np.corrcoef(asymmetries(found), asymmetries(wanted))[0, 1]
    assert correlation == pytest.approx(PRESETS[axis].asymmetry_correlation, abs=6e-4)


def test_the_table_of_balance_is_that_of_the_recorded_diagrams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from balance import balance_table

    assert balance_table() in (ROOT / "docs" / "theory.md").read_text("utf-8"), "python docs/pictures.py theory"


def test_the_tables_of_the_chain_with_two_hands_are_the_shipped_numbers() -> None:
    page = (ROOT / "docs" / "theory.md").read_text("utf-8")
    section = page.partition("## A chain with two hands")[2].partition("\n## ")[0]
    assert f"T = {LOG_INPUT_TIME:.3f}" in section
    assert f"T_h = {LOG_OUTPUT_TIME:.3f}" in section
    assert f"(1 − α)^{EXPONENT:g}" in section
    rows = dict(zip(("data noise", "dropout", "learning rate", "batch size"), TWO_HANDS.values(), strict=True))
    for name, made in rows.items():
        numbers, errors = re.findall(rf"^\| {name}[^|]*\| (.+) \|$", section, re.MULTILINE)
        last = "" if made.saturation is None else f"{made.saturation:.3f}"
        assert numbers.endswith(
            f"| {made.input_slowing:.3f} | {made.shielding:.3f} | {made.output_hastening:.3f} | {last}".rstrip()
        )
        ours = f"**{made.rms:.3f} / {made.asymmetry_correlation:.2f}** | {made.left_out_rms:.3f} /"
        assert ours.replace("0.", ".") in errors.replace("0.", ".")


class TestOwnNetwork:
    """The worked example of docs/own-network.md: its code runs, and prints what the page says."""

    page = (ROOT / "docs" / "own-network.md").read_text("utf-8")

    def test_the_code_prints_what_the_page_says(self, tmp_path: Path) -> None:
        """Words alike; numbers as near as another processor's rounding and its seeds allow."""
        script = tmp_path / "own.py"
        script.write_text("\n".join(re.findall(r"```python\n(.*?)```", self.page, re.DOTALL)), "utf-8")
        surroundings = {**os.environ, "SPRINGTUI_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(script)]
        done = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        said = re.findall(r"It prints.*?:\n\n((?:    .*\n)+)", self.page)
        expected = [line.strip() for block in said for line in block.splitlines()]
        printed = [line.strip() for line in done.stdout.splitlines()]
        assert len(printed) == len(expected) == 13
        for ours, theirs in zip(printed, expected, strict=True):
            words = [NUMBER.sub("0", line.partition("#")[0]) for line in (ours, theirs)]
            assert words[0].split() == words[1].split()
            numbers = [[float(n) for n in NUMBER.findall(line.partition("#")[0])] for line in (ours, theirs)]
            assert numbers[0] == pytest.approx(numbers[1], abs=0.25)

    def test_the_verdicts_of_the_page_hold_for_its_numbers(self) -> None:
        """What the page calls a difference, and what it calls none, by its own rule for three seeds."""
        lines = re.findall(
            r"^    \{.*asymmetry (\S+) ± (\S+), test accuracy (\S+) ± (\S+)$", self.page, re.MULTILINE
        )
        heavy, light, slow = (tuple(map(float, line)) for line in lines)
        assert abs(heavy[0] - light[0]) > 10 * np.hypot(heavy[1], light[1])
        assert light[2] - heavy[2] > 2.8 * np.hypot(heavy[3], light[3])
        assert abs(slow[2] - light[2]) < 2.8 * np.hypot(slow[3], light[3])
