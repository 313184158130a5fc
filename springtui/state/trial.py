"""Whether the trial that is kept with a run answers for its network as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.runs.status import Status

from .run_state import RunState

if TYPE_CHECKING:
    from engine.twin.trial import Trial


def _epochs(state: RunState) -> int:
    """Epochs for which a trial of the network would train now."""
    from engine.twin.trial import epochs_of  # no first frame waits for it

    return epochs_of(state.settings, state.at, has_finished=state.status is Status.FINISHED)


def in_force(trial: Trial | None, state: RunState) -> Trial | None:
    """The trial, if it was made for the network's settings in force and for its epoch; else None."""
    from engine.twin.trial import is_for  # as in _epochs

    if trial is None or not is_for(trial, state.settings) or trial.wanted_epochs != _epochs(state):
        return None
    return trial


def of_another_epoch(trial: Trial | None, state: RunState) -> str:
    """That the trial was made for these settings at another epoch, without a full stop; empty where it was not."""
    from engine.twin.trial import is_for  # as in _epochs

    if trial is None or not is_for(trial, state.settings) or trial.wanted_epochs == (now := _epochs(state)):
        return ""
    return f"The trial that is kept is of epoch {trial.wanted_epochs}, not {now}"
