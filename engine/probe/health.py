"""Layer health beside the load curve: which measures are taken, and their values at a measurement.

Those of activations and features come from the measurement's own forward passes (``activations``, ``measurer``),
those of the optimiser from its hooks (``optimiser``).

Shape legend: L + 1 points of a tower's curve.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from ..errors import ConfigError, nearest
from ..measures.registry import HEALTH, OF_OPTIMISER
from ..settings.fields import make
from ..settings.probe import LIMITS, ProbeConfig
from .measurer import Measured
from .optimiser import UNSEEN, OptimiserWatch, optimisers_of

ALL = "all"


def known_health(names: str | Sequence[str]) -> tuple[str, ...]:
    """The wanted measures of layer health in the order of the registry; ``all`` stands for every one.

    Raises:
        ConfigError: a name is unknown.
    """
    if not isinstance(names, Iterable):
        raise ConfigError(
            f"health = {names!r} is not allowed; allowed: names of {', '.join(HEALTH)}, or {ALL!r}; () for none"
        )
    given = [names] if isinstance(names, str) else list(names)
    for name in given:
        if not isinstance(name, str) or (name != ALL and name not in HEALTH):
            near = nearest(str(name), [*HEALTH, ALL])
            raise ConfigError(
                f"health: {name!r} is not allowed{f'; the nearest is {near!r}' if near else ''}; allowed: "
                f"{', '.join(HEALTH)}, or {ALL!r}"
            )
    return tuple(name for name in HEALTH if name in given or ALL in given)


def note_limits(notes: bool | Mapping[str, float]) -> dict[str, Any]:
    """The settings of the probe that say when something happens to a layer.

    Args:
        notes: whether notes are written; or limits by name, as ``{"idle_load": 0.05}``.

    Raises:
        ConfigError: a name or a value is not allowed.
    """
    if isinstance(notes, bool):
        return {"notes": notes}
    if not isinstance(notes, Mapping):
        raise ConfigError(f"notes is a {type(notes).__name__}; allowed: True, False, or a dict of limits by name")
    for name in notes:
        if name not in LIMITS:
            near = nearest(str(name), LIMITS)
            raise ConfigError(
                f"notes: {name!r} is no limit{f'; the nearest is {near!r}' if near else ''}; allowed: "
                f"{', '.join(LIMITS)}"
            )
    make(ProbeConfig, dict(notes))
    return dict(notes)


class LayerHealth:
    """The measures of layer health of one model's towers.

    Args:
        names: the wanted measures, from ``known_health``.
        optimiser: as ``LoadProbe`` takes it.
        sharded: whether the parameters are spread over processes.

    Raises:
        ConfigError: the optimiser is missing or cannot be watched, or the model is sharded.
    """

    def __init__(self, names: Sequence[str], optimiser: Any, *, sharded: bool = False) -> None:
        self.names = tuple(names)
        self._optimisers = optimisers_of(optimiser, names)
        self._watch: OptimiserWatch | None = None
        self._step, self._stride = 0, 1
        self._said = False
        if sharded and self._optimisers:
            raise ConfigError(
                f"health: {' and '.join(map(repr, self._of_optimiser()))} of a sharded model cannot be measured, "
                f"since each process holds a part of the gradients; leave them out of health="
            )

    def _of_optimiser(self) -> list[str]:
        return [name for name in self.names if name in OF_OPTIMISER]

    def watch(self, towers: Sequence[Sequence[Sequence[nn.Parameter]]]) -> None:
        """Hook the optimiser, to read gradients and updates.

        Args:
            towers: by tower, the parameters of each point's layer.

        Raises:
            ConfigError: it holds no parameter of the layers.
        """
        if self._optimisers:
            layers = [layer for tower in towers for layer in tower]
            self._watch = OptimiserWatch(self._optimisers, layers, self.names)

    def stepped(self, step: int, every: int, *, paused: bool) -> None:
        """Take note that the training counted ``step`` steps and that multiples of ``every`` are measured."""
        if self._watch is None:
            return
        if step > self._step:
            self._stride = step - self._step
        self._step = step
        self._watch.stepped(step)
        self.expect(every, paused=paused)

    def expect(self, every: int, *, paused: bool) -> None:
        """Take note that the next multiple of ``every`` is measured, if the probe is not paused."""
        if self._watch is not None:
            left = math.ceil((every - self._step % every) / self._stride)
            self._watch.expect(math.inf if paused else left)

    def take(self, towers: Sequence[Measured], step: int, *, last: bool) -> list[Measured]:
        """A measurement of each tower with all wanted measures, [L + 1] each, in the order of the registry.

        Args:
            towers: the measurement, with the measures of activations and features.
            step: of the training.
            last: whether the training has ended.
        """
        of_optimiser = {} if self._watch is None else self._watch.values(step, last=last)
        full, start = [], 0
        for measured in towers:
            end = start + len(next(iter(measured.curves.values()), []))
            values = measured.health | {name: values[start:end] for name, values in of_optimiser.items()}
            full.append(measured._replace(health={name: values[name] for name in HEALTH if name in values}))
            start = end
        return full

    def problem(self, step: int) -> str:
        """Why the optimiser cannot be watched, for a warning; empty where it can, and once it was said."""
        if self._watch is None or self._said:
            return ""
        error = self._watch.error
        text = f"the optimiser's steps cannot be read: {type(error).__name__}: {error}" if error else ""
        text = text or (UNSEEN if self._watch.is_blind(step) else "")
        self._said = bool(text)
        return text

    def memory(self) -> tuple[int, str]:
        """Bytes that are kept of the model's weights, at most, and what they are in words."""
        return (0, "no copy of weights") if self._watch is None else (self._watch.memory(), self._watch.words())

    def words(self) -> str:
        """Which measures are taken, and what is kept of the model's weights, for ``LoadProbe.describe``."""
        if not self.names:
            return ""
        kept = self.memory()[1]
        return f"Layer health: {', '.join(self.names)}; the probe keeps {kept}."

    def close(self) -> None:
        """Remove the optimiser's hooks."""
        if self._watch is not None:
            self._watch.close()
