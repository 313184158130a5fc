"""Full collections at moments when nobody types: by a clock of the test's own, in a Python of its own."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc, weakref
from springtui.terminal.gc_pauses import DUE, LONGEST, QUIET, SOONEST, Collector

class Ring:
    def __init__(self):
        self.me = self

def an_old_ring():
    ring = Ring()
    gc.collect(1)  # what survives this, only a full collection finds
    return weakref.ref(ring)

def make_it_due():
    for _ in range(DUE):
        gc.collect(1)

now, since_key = 0.0, QUIET + 1
before = gc.get_threshold()
collector = Collector(lambda: since_key, lambda: now)
assert gc.get_threshold()[2] > 1e6 and gc.isenabled()
ring = an_old_ring()
make_it_due()
assert ring() is not None
assert not collector.look(), "too soon"
now, since_key = SOONEST + 1, 0.0
assert not collector.look() and ring() is not None, "somebody types"
since_key = QUIET + 1
assert collector.look() and ring() is None, "a quiet moment"
now += LONGEST + 1
assert not collector.look(), "nothing is due"
make_it_due()
since_key = 0.0
assert collector.look(), "put off for long"
collector.close()
assert gc.get_threshold() == before
"""


def test_full_collections_wait_for_a_moment_without_keys() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
