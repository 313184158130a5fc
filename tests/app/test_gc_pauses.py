"""Garbage collections during and after the start; each test in a Python of its own, as gc.freeze is not undone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HELD = """
import gc
from springtui.terminal.gc_pauses import held

with held():
    assert not gc.isenabled()
assert gc.isenabled() and gc.get_freeze_count() == 0
try:
    with held():
        raise KeyError
except KeyError:
    assert gc.isenabled()
"""

SETTLED = """
import gc, weakref
from springtui.terminal.gc_pauses import held, settle

class Ring:
    def __init__(self):
        self.me = self

with held():
    kept = [[] for _ in range(1000)]
    before = len(gc.get_objects())
    settle()
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before > 1000
    assert len(gc.get_objects()) < 100
    ring = weakref.ref(Ring())
    gc.collect()
    assert ring() is None, "what is made later is collected"
assert gc.isenabled()
"""

OPENED = """
import gc, sys
import springtui.app
from springtui.commands import opening
from springtui.cli import main

opening.check_terminal = lambda: None
seen = []

def run_app(*_, **__):
    seen.append(gc.isenabled())
    if len(seen) > 1:
        raise OSError("no app")
    return 3

springtui.app.run_app = run_app
assert main([]) == 3 and seen == [False] and gc.isenabled(), "the lab"
assert main([]) == 1 and seen == [False] * 2 and gc.isenabled(), "an app that fails"
assert main(["--home", sys.executable]) == 2 and len(seen) == 2 and gc.isenabled(), "a home that is a file"
assert main(["runs"]) == 0 and gc.isenabled() and gc.get_freeze_count() == 0, "another verb"
"""

MOUNTED = """
import asyncio, gc, sys
from pathlib import Path
import springtui.app
from springtui.app import Opening, SpringApp
from springtui.terminal import gc_pauses
from springtui.terminal.pacing import FramePacer
from textual.drivers.headless_driver import HeadlessDriver

paced = sys.argv[2] == "paced"
springtui.app.SETTLED_SECONDS = (0.3, 0.5)
if paced:
    HeadlessDriver.pace = FramePacer()
frozen = []

def settle():
    gc_pauses.settle()
    frozen.append(gc.get_freeze_count())

springtui.app.settle = settle

async def main():
    app = SpringApp(Path(sys.argv[1]), opening=Opening("runs"))
    async with app.run_test() as pilot:
        assert gc.isenabled() is (not paced or bool(frozen)), "after the start"
        for _ in range(20 if not paced else 400):
            await pilot.pause(0.05)
            if len(frozen) == 2:
                break
        assert gc.isenabled()

with gc_pauses.held():
    asyncio.run(main())
assert (len(frozen) == 2 and all(frozen)) if paced else (not frozen and not gc.get_freeze_count()), frozen
"""


@pytest.mark.parametrize("script", [HELD, SETTLED, OPENED], ids=["held", "settled", "opened"])
def test_collections_are_off_only_while_the_lab_starts(script: str, home: Path) -> None:
    run(script, str(home))


@pytest.mark.parametrize("driver", ["paced", "without a pace"])
def test_what_is_there_after_the_start_is_frozen_in_a_real_terminal_alone(driver: str, home: Path) -> None:
    run(MOUNTED, str(home), driver)


def run(script: str, *arguments: str) -> None:
    """See that a script's assertions hold."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "SPRINGTUI_HOME": arguments[0]},
    )
    assert done.returncode == 0, done.stderr
