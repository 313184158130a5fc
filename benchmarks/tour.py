"""Seconds from a move of the sliders until both panels of the lab show what the tour says, in all kinds of noise.

The lab's own workers train and pull; the app draws without a terminal. In each kind of noise the sliders go from
calm to noisy and back, so that every state is reached from another one. Wanted are at most 10 s. With ``--frames
PATH`` the screen is written there as text at the end of each move: a recording of the tour's sentence.

Usage: python benchmarks/tour.py [--frames PATH]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from textual.pilot import Pilot

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from springtui.app import SpringApp
from springtui.lab.screen import LabScreen
from springtui.state.knobs import NOISE_KINDS

SIZE = (120, 40)
WANTED_SECONDS = 10.0
PATIENCE = 120.0
WORDS = {False: "shallow layers lazy", True: "deep layers lazy"}


def frame(app: SpringApp) -> str:
    """The screen as text."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


async def shown(pilot: Pilot[int], lab: LabScreen, noise: float, words: str) -> float:
    """Seconds until the network is held at this noise and both systems are in a regime; else infinity."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        await pilot.pause(0.05)
        train = lab.states.get("train")
        if train is None or train.latest is None or train.settings.get(lab.kind.key) != noise:
            continue
        held = train.latest.scalars.get("epochs") == train.settings["hold"]
        if held and lab.demonstration.regimes().count(words) == 2:
            return time.monotonic() - began
    return float("inf")


async def measure(home: Path, frames: Path | None) -> float:
    """Print the seconds of each move, and return the longest."""
    app, longest, pictures = SpringApp(home), 0.0, []
    async with app.run_test(size=SIZE) as pilot:
        lab = app.screen
        assert isinstance(lab, LabScreen)
        try:
            for index, kind in enumerate(NOISE_KINDS):
                lab._choose(index)
                await pilot.pause(0.2)
                for noisy in (False, True, False):
                    value, words = (kind.noisy if noisy else kind.calm), WORDS[noisy]
                    lab.demonstration.set_noise(noisy=noisy)
                    seconds = await shown(pilot, lab, value, words)
                    longest = max(longest, seconds)
                    sentence = f"{kind.label} {value:g}, nonlinearity {kind.nonlinearity:g}: {words}"
                    print(f"{sentence:58} {seconds:5.1f} s", flush=True)
                    await pilot.pause(1.2)
                    pictures.append(f"{sentence}, after {seconds:.1f} s\n\n{frame(app)}\n")
        finally:
            await asyncio.to_thread(lab.control.stop_runs)
            for process in lab.session.leaving:
                await asyncio.to_thread(process.wait, 20)
    if frames is not None:
        frames.write_text("\n".join(pictures), encoding="utf-8")
    return longest


def main() -> int:
    """Exit status 0 where both panels showed every regime that the tour names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=Path, help="file for the screens as text")
    frames = parser.parse_args().frames
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"SPRINGTUI_CONFIG": f"{folder}/preferences.toml", "SPRINGTUI_TOUR": "off"}
        longest = asyncio.run(measure(Path(folder) / "home", frames))
    print(f"longest {longest:.1f} s; wanted at most {WANTED_SECONDS:g} s on two idle cores")
    return 0 if longest < PATIENCE else 1


if __name__ == "__main__":
    sys.exit(main())
