"""What the fitted maps give for the lab's network: its chain, the predicted curve, and advice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from engine.measures.registry import DEFAULT_MEASURE, MEASURES
from engine.twin.maps import PRESETS, TwinMap
from engine.twin.two_hands import TWO_HANDS

from .knobs import NOISE_KINDS, NoiseKind, friction_settings, two_hands_settings
from .run_state import RunState
from .wording import shape_of, shown_measure

if TYPE_CHECKING:
    from engine.twin.advice import Outlook
    from engine.twin.trial import Trial


class TwinPredictions:
    """Predictions of the shipped maps; a map of the person's own replaces the shipped one of its noise axis."""

    def __init__(self, own: TwinMap | None = None) -> None:
        self.own = own
        self.maps = PRESETS if own is None else PRESETS | {own.noise_axis: own}
        self.outlook: Outlook | None = None
        self.predicted: list[float] = []
        """The network's predicted load curve, scaled from 1 to 0 over the hidden layers."""
        self._outlook_for: tuple[object, ...] = ()
        self._predicted_for: tuple[object, ...] = ()
        self._asked_for: tuple[object, ...] = ()

    def chain(self, hands: str, nonlinearity: float, kind: NoiseKind, noise: float, depth: int) -> dict[str, Any]:
        """Settings of the chain for a network of ``depth`` linear maps, with a spring for each hidden layer.

        ``hands`` is ``both``, or ``output`` for the friction chain.
        """
        springs = max(2, depth - 1)
        if hands == "both":
            return {"blocks": springs - 1, **two_hands_settings(nonlinearity, kind, noise, springs)}
        return {"blocks": springs - 1, **friction_settings(nonlinearity, kind, noise, self.maps)}

    async def update(self, train: RunState, kind: NoiseKind, hands: str) -> bool:
        """Compute the predictions for the settings in force, in a thread; whether any changed.

        ``hands`` as in ``chain``: the curve is that of the chain that the lab shows.
        """
        if train.latest is None or not train.settings:
            return False
        from engine.twin.advice import outlook  # needs NumPy, which no first frame waits for

        nonlinearity, noise = 1.0 - train.settings["negative_slope"], float(train.settings[kind.key])
        in_force, springs = _knobs(train, kind), len(train.layers) - 2
        changed = False
        if in_force != self._outlook_for:
            self._asked_for = in_force
            samples = int(train.facts.get("train_size", 0))
            found = await asyncio.to_thread(
                outlook, dict(train.settings), kind.key, len(train.layers) - 2, samples, self.own
            )
            if self._asked_for != in_force:  # another run was begun, or a slider moved
                return False
            self._outlook_for, self.outlook, changed = in_force, found, True
        if springs > 1 and (*in_force, springs, hands) != self._predicted_for:
            self._asked_for = in_force
            curve = await asyncio.to_thread(self._curve, hands, nonlinearity, kind, noise, springs)
            if self._asked_for != in_force:
                return changed
            self._predicted_for, self.predicted, changed = (*in_force, springs, hands), curve, True
        return changed

    def _curve(self, hands: str, nonlinearity: float, kind: NoiseKind, noise: float, springs: int) -> list[float]:
        """The scaled load curve, 1 … 0, of the chain at its map's time; empty where no chain applies."""
        if hands == "both":
            from engine.twin.two_hands import predicted_curve

            made = TWO_HANDS[kind.key]
            return list(predicted_curve(nonlinearity, kind.key, noise, springs)) if made.applies(noise) else []
        from engine.chain.mean_field import predicted_curve as friction_curve

        chain = friction_settings(nonlinearity, kind, noise, self.maps)
        return list(friction_curve(chain["mu_right"], chain["mu_left"], chain["noise"], springs))

    def clear(self) -> None:
        """Drop the predictions; called when the network's run is dropped."""
        self.outlook, self.predicted = None, []
        self._outlook_for = self._predicted_for = self._asked_for = ()

    def advice(
        self,
        train: RunState | None,
        kind: NoiseKind,
        measure: str,
        trial: Trial | None = None,
        *,
        offer: str = "T tries each setting",
    ) -> str:
        """A sentence on the newest curve, from the same numbers that ``lab.panels.words`` shows.

        Knobs are advised only for the trace ratio, to which the maps were fitted, and for the settings in force.
        ``trial`` is one that was made for these; None where there is none, when ``offer`` says how to make it.
        """
        shape = shape_of(train, measure)
        if train is None or shape is None or train.is_behind:
            return ""
        from engine.twin.advice import advise, what_loads_say  # as in update

        if shown_measure(measure) != DEFAULT_MEASURE:
            known, by = MEASURES[DEFAULT_MEASURE].label, MEASURES[shown_measure(measure)].label
            words = f"{what_loads_say(shape)}, by {by}"
            return f"{words}; which knob helps is known for the {known} alone (m shows it)."
        slope, noise = train.settings.get("negative_slope"), train.settings.get(kind.key)
        if slope is None or noise is None:
            return ""
        if trial is not None:
            return advise(shape, trial=trial).sentence
        if self._outlook_for != _knobs(train, kind):
            return f"{what_loads_say(shape)}."
        return advise(shape, seen=self.outlook, experiment=offer).sentence


def _knobs(train: RunState, kind: NoiseKind) -> tuple[object, ...]:
    """What a prediction rests on: the run, the kind of noise, and every noise and the nonlinearity in force."""
    names = ("negative_slope", *(known.key for known in NOISE_KINDS))
    return train.run_id, kind.key, *(train.settings.get(name) for name in names)
