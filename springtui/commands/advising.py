"""Advice on a run, as ``springtui twin`` prints it: the sentence, what would measure it, and what was measured."""

from __future__ import annotations

import math
from typing import Any

from engine.errors import ConfigError
from engine.measures.registry import DEFAULT_MEASURE
from engine.runs.directory import Run
from engine.twin.comparison import changes
from engine.twin.trial import Trial, trial_of

from ..state.knobs import noise_of
from ..state.run_state import RunState
from ..state.trial import in_force, of_another_epoch
from ..state.wording import decimals, shape_of
from .output import print_line, print_message, print_table
from .train import in_digits

ADVICE = ("advice", "experiment", "trial")
"""What ``advice_on`` gives, by name."""
_COMPARE = "To find out, train twice with one setting changed and compare the asymmetries, as this script does"
SNIPPET = """\
from springtui import LoadProbe

for lr in (1e-3, 3e-3):  # or any other setting of yours, one at a time
    for seed in (0, 1, 2):
        torch.manual_seed(seed)
        model, optimiser = build(lr)  # yours
        with LoadProbe(model, inputs, labels, name=f"lr {lr}, seed {seed}") as probe:
            train(model, optimiser, probe)  # yours; calls probe.step() once an optimiser step
            print(f"lr {lr}, seed {seed}: asymmetry {probe.statistics.asymmetry:+.2f}")
"""
"""What measures a setting of a user's own training; their own functions are called build and train."""


def print_advice(result: dict[str, Any]) -> None:
    """Print what ``advice_on`` gave: the sentence, the table of what was measured, the script for a model."""
    print_line(f"{'advice':26} {result['advice']['sentence']}")
    if steps := (result["trial"] or {}).get("changes"):
        print_line("")
        print_table(tuple(_row(steps[0])), [tuple(_row(step).values()) for step in steps])
    if (script := result["experiment"] or "").count("\n"):
        print_line("")
        for line in script.splitlines():
            print_line(line)


def _row(step: dict[str, Any]) -> dict[str, str]:
    """What a step did as a row of the table, by column: accuracies in points, a dash for what is not known."""
    return {
        "setting": step["knob"],
        **{name: in_digits(step[name]) for name in ("from", "to")},
        **{name: _fixed(step[name], sign=name != "error") for name in ("asymmetry", "change", "error", "fall")},
        "accuracy, points": _fixed(100.0 * step["accuracy_change"], 1, sign=True),
        "its error": _fixed(100.0 * step["accuracy_error"], 1),
        "seeds": f"{step['seeds']}",
        "not advised, since": step["trouble"],
    }


def _fixed(value: float, places: int = 2, *, sign: bool = False) -> str:
    """A number with a fixed number of decimals; the dash of other tables where it is not known."""
    return decimals(value, places, sign=sign) if math.isfinite(value) else in_digits(None)


def advice_on(run: Run, state: RunState) -> dict[str, Any]:
    """``advice``, ``experiment`` and ``trial`` of the object that ``--json`` prints, ``ADVICE``.

    Args:
        run: a training.
        state: after all its records, one curve among them.
    """
    import msgspec

    from engine.twin.advice import LAZY, advise, outlook

    shape, ours = shape_of(state, DEFAULT_MEASURE), "negative_slope" in state.settings
    assert shape is not None
    kept = _kept_trial(run)
    trial = in_force(kept, state)
    kind, _ = noise_of(state.settings)
    seen = (
        outlook(state.settings, kind.key, len(state.layers) - 2, int(state.facts.get("train_size", 0)))
        if ours
        else None
    )
    command = f"springtui twin {run.id} --try"
    offer = f"{command} measures each setting" if ours else _COMPARE
    if other := of_another_epoch(kept, state):
        offer = f"{other}: {command} makes it anew"
    advice = advise(shape, trial=trial, seen=seen, experiment=offer)
    experiment = None if trial is not None or shape.regime not in LAZY else command if ours else SNIPPET
    return {
        "advice": msgspec.to_builtins(advice),
        "experiment": experiment,
        "trial": None if trial is None else _measured(trial),
    }


def _kept_trial(run: Run) -> Trial | None:
    """The trial that is kept with a run; None where there is none, or it is damaged, which is said."""
    try:
        return trial_of(run)
    except ConfigError as error:
        print_message(f"springtui: {error}")
        return None


_KEYS = {"before": "from", "after": "to"}


def _measured(trial: Trial) -> dict[str, Any]:
    """A trial as ``--json`` prints it: one entry for each setting that was tried."""
    steps = [change._asdict() for change in changes(trial)]
    return {
        "epochs": trial.epochs,
        "wanted_epochs": trial.wanted_epochs,
        "seeds": trial.seeds,
        "seconds": trial.seconds,
        "changes": [{_KEYS.get(key, key): value for key, value in step.items()} for step in steps],
    }
