"""Texts in place of plots that have nothing to show: the reason, and what can be done."""

from __future__ import annotations

from engine.runs.status import Status

from ..terminal.text import plain_text

WAITING = "waiting for the first measurement"
_ENDED = {
    Status.CRASHED: "crashed",
    Status.FAILED: "failed",
    Status.DIVERGED: "diverged",
    Status.STOPPED: "was stopped",
}


def why_empty(status: Status, note: str = "", *, what: str = "the run", remedy: str = "") -> str:
    """The text for a run without a measurement.

    Args:
        status: the run's status.
        note: its worker's note, such as that it compiles.
        what: the run, in a word or two.
        remedy: which keys resume or restart it.
    """
    then = f": {remedy}" if remedy else ""
    if status in _ENDED:
        return f"{what} {_ENDED[status]} before its first measurement{then}"
    if status is Status.FINISHED:
        return f"{what} finished without a measurement"
    if status is Status.WAITING:
        return f"no worker has taken {what} up yet{then}"
    if status is Status.UNKNOWN:
        return "nothing was measured yet, and no worker is in sight"
    if status is Status.GONE:
        return f"the directory of {what} is gone, and nothing had been read of it"
    return plain_text(note) or WAITING
