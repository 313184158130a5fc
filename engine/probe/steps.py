"""Numbers of the training's steps as they are recorded: each is at least the one before."""

from __future__ import annotations

from typing import Any

from .scalars import shown


class StepNumbers:
    """Counts the training's steps, by the numbers that it gives where it gives any."""

    def __init__(self) -> None:
        self.now = 0
        """Number of the newest step."""
        self._shift = 0
        self._has_warned_of_fall = self._has_warned_of_kind = False

    def take(self, given: Any = None) -> list[str]:
        """Count one step; warnings, each the first time only.

        A number that goes back, as where each epoch counts from 1, counts as the next one, and the numbers after
        it go on from there: so no two measurements have the same step.

        Args:
            given: the step's number; None for the next one.
        """
        if given is None:
            self.now += 1
            return []
        try:
            number = max(0, int(given))
        except Exception as error:  # a value's own int() may raise anything, and the training goes on
            self.now += 1
            if self._has_warned_of_kind:
                return []
            self._has_warned_of_kind = True
            return [
                f"step = {shown(given)} is no number of a step ({type(error).__name__}: {error}); allowed: a "
                f"whole number >= 0. The load probe counts it as step {self.now}"
            ]
        if number + self._shift >= self.now:
            self.now = number + self._shift
            return []
        before, self.now = self.now, self.now + 1
        self._shift = self.now - number
        if self._has_warned_of_fall:
            return []
        self._has_warned_of_fall = True
        return [
            f"step = {number} goes back: the step before was {before}. The load probe counts it as step "
            f"{self.now} and goes on from there, since a run has at most one curve for each step; give step= the "
            f"number of optimiser steps since the training began, or leave it out"
        ]
