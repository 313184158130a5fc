"""Keeps the numbers that a training gives with its steps, each with its own step, until they are recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from ..errors import ConfigError

OWN = (
    "asymmetry", "curve_error", "cv", "effective_friction", "friction_error", "load_curve", "probe_seconds",
    "rate", "regime", "regime_reason", "seconds", "steps", "towers",
)  # fmt: skip
"""Names that the probe itself writes with a curve or in the summary; a user's numbers cannot have them."""
_SHOWN = 60
"""Characters of a value that a warning shows."""


class _Kept(NamedTuple):
    """A number that is not recorded yet."""

    step: int
    value: float | torch.Tensor
    """A tensor where it lies on a device: a copy, so that it stays as it was and need not be waited for."""


class KeptScalars:
    """The newest number of each name that is not recorded yet, with its step."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._refused: set[str] = set()

    def give(self, step: int, scalars: Mapping[str, Any]) -> list[str]:
        """Keep numbers that belong to a step; a warning for each name that is refused for the first time.

        A number that is changed in place afterwards keeps the value that it has now. Nothing waits for a device.
        """
        taken, warned = [], []
        for name, value in scalars.items():
            if name in OWN:
                taken.append(name)
                continue
            try:
                self._kept[name] = _Kept(step, _copied(value))
            except Exception as error:  # a value's own float() may raise anything, and the training goes on
                if name not in self._refused:
                    warned.append(f"{name} = {shown(value)} is no number{_reason(error)}")
                self._refused.add(name)
        new = [name for name in taken if name not in self._refused]
        self._refused.update(new)
        return [*warned, *([refusal(new)] if new else [])]

    def take(self, before: int | None = None) -> tuple[dict[int, dict[str, float]], list[ConfigError]]:
        """The kept numbers by step, in the order of the steps, and an error for each that cannot be read.

        They are kept no longer.

        Args:
            before: only those of earlier steps than this; default: all.
        """
        taken: dict[int, dict[str, float]] = {}
        wrong = []
        chosen = {name: kept for name, kept in self._kept.items() if before is None or kept.step < before}
        for name, kept in sorted(chosen.items(), key=lambda item: item[1].step):
            del self._kept[name]
            try:
                taken.setdefault(kept.step, {})[name] = float(kept.value)
            except Exception as error:  # of a device that failed, for one
                wrong.append(ConfigError(f"{name} of step {kept.step} cannot be read{_reason(error)}"))
        return {step: numbers for step, numbers in taken.items() if numbers}, wrong

    @property
    def is_empty(self) -> bool:
        """Whether no number is kept."""
        return not self._kept


def _copied(value: Any) -> float | torch.Tensor:
    """A number that no later change in place changes.

    Raises:
        ValueError: a tensor does not hold one number.
        TypeError, or what the value raises: it is no number.
    """
    if not isinstance(value, torch.Tensor):
        return float(value)
    if value.numel() != 1:
        raise ValueError
    found = value.detach()
    return float(found) if found.device.type == "cpu" else found.clone()


def shown(value: Any) -> str:
    """A value in words, for a warning."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {list(value.shape)}"
    try:
        text = repr(value)
    except Exception:  # any class may have a repr of its own
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _reason(error: Exception) -> str:
    known = isinstance(error, (TypeError, ValueError))
    return "; allowed: a number, or a tensor of one" if known else f": {type(error).__name__}: {error}"


def refusal(names: list[str]) -> str:
    """The warning that numbers of these names are not kept."""
    listed = ", ".join(map(repr, names))
    return (
        f"the load probe does not record {listed}: it writes values of that name itself. Choose another name, "
        f"as 'my_{names[0]}'; taken are {', '.join(OWN)}"
    )
