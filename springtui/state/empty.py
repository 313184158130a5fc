"""What stands where a run has nothing to show: why, and what can be done. No state of its own."""

from __future__ import annotations

from ..terminal.text import plain_text

WAITING = "waiting for the first measurement"
_ENDED = {"crashed": "crashed", "failed": "failed", "diverged": "diverged", "stopped": "was stopped"}


def why_empty(status: str, note: str = "", *, what: str = "the run", remedy: str = "") -> str:
    """Of a run without a measurement.

    Args:
        status: how the run stands.
        note: what its worker says meanwhile, as that it compiles.
        what: the run, in a word or two.
        remedy: what goes on with it or begins anew.
    """
    then = f": {remedy}" if remedy else ""
    if status in _ENDED:
        return f"{what} {_ENDED[status]} before its first measurement{then}"
    if status == "finished":
        return f"{what} finished without a measurement"
    if status == "waiting":
        return f"no worker has taken {what} up yet{then}"
    if status == "unknown":
        return "nothing was measured yet, and no worker is in sight"
    if status == "gone":
        return f"the directory of {what} is gone, and nothing had been read of it"
    return plain_text(note) or WAITING
