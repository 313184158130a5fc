"""Full collections at moments when nobody types: by a clock of the test's own, in a Python of its own."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc, weakref
from springtui.garbage import DUE, LONGEST, QUIET, Collector

class Ring:
    def __init__(self):
        self.me = self

now, since_key = 0.0, 0.0
collector = Collector(lambda: since_key, lambda: now)
assert gc.get_threshold()[2] > 1e6 and gc.isenabled()
ring = weakref.ref(Ring())
gc.collect(1)
old = Ring()
gc.collect(1)  # it is as old as objects become
old, ring = None, weakref.ref(old)
assert not collector.look() and ring() is not None, "somebody types"
since_key = QUIET + 1
assert collector.look() and ring() is None, "a quiet moment"
assert gc.get_freeze_count() > 1000, "what stands is not looked at again"
now += LONGEST + 1
assert not collector.look(), "nothing is due"
for _ in range(DUE):
    gc.collect(1)
since_key = 0.0
assert collector.look(), "put off for long"
for _ in range(DUE):
    gc.collect(1)
assert not collector.look(), "somebody types"
since_key = QUIET + 1
assert collector.look(), "due, and quiet again"
"""


def test_full_collections_wait_for_a_moment_without_keys() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
