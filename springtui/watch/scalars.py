"""The plot of scalars over time: which are shown, and how they are found and drawn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Protocol

from ..follow.follower import Follower
from ..state.cycling import next_of
from ..state.timeline import Points, View
from ..terminal.text import plain_text
from ..widgets.curves_plot import CurvesPlot
from . import log_words, panels

_MOST_LISTED = 500
"""Most quantities that are listed."""
_NO_MARKUP = str.maketrans("[]", "()")


class WatchedScalars(Protocol):
    """What the scalars need of the screen that shows them."""

    follower: Follower
    whole: View
    """The run up to its newest record."""

    @property
    def of_log(self) -> bool:
        """Whether another tool writes the run."""


class ScalarsView:
    """The group of scalars that the plot shows; those of a group share it."""

    def __init__(self, screen: WatchedScalars) -> None:
        self._screen = screen
        self.group = ""
        self._is_chosen = False
        """Whether the person chose the group."""

    def groups(self) -> dict[str, list[str]]:
        """Names of scalars by group."""
        whole = self._screen.whole
        if self._screen.of_log:
            return log_words.groups_of(list(whole.histories), whole.units)
        return panels.groups_of(whole.histories)

    def choose(self, group: str) -> None:
        """Show a group from now on."""
        self.group, self._is_chosen = group, True

    def go_on(self, step: int) -> None:
        """Choose a group further on, in a circle."""
        if groups := list(self.groups()):
            self.choose(next_of(groups, self.group, step))

    def find(self, text: str) -> str:
        """The next group with a scalar whose name holds a text.

        Raises:
            ConfigError: there is none.
        """
        return log_words.find_group(self.groups(), self.group, text)

    def listed(self) -> Iterator[tuple[str, str]]:
        """Groups, at most a few hundred, and the names of their scalars as text without markup."""
        for group, names in itertools.islice(self.groups().items(), _MOST_LISTED):
            yield group, plain_text(", ".join(names)).translate(_NO_MARKUP)

    def draw(self, plot: CurvesPlot, run_id: str, view: View, *, replayed: bool) -> None:
        """Give the plot the group's curves; in a replay up to the moment of the view.

        Args:
            plot: to draw on.
            run_id: of the run.
            view: the moment that is shown.
            replayed: whether that is an earlier one.
        """
        screen, whole = self._screen, self._screen.whole
        groups = self.groups()
        if groups and (self.group not in groups or (screen.of_log and not self._is_chosen)):
            self.group = log_words.first_group(groups)  # a log's first scalars are seldom those that matter
        names = groups.get(self.group, [])
        plot.heading = plain_text(self.group.replace("_", " ").capitalize()) or "History"
        if screen.of_log:
            plot.heading = log_words.heading(names, whole.missing)
            plot.say_empty(log_words.why_empty(whole, names, is_read=screen.follower.complete))
            plot.axis = log_words.axis(names, whole.units)
            plot.legend = log_words.legend_of(panels.history_series(whole.histories, None, names))
        shown = panels.history_series(whole.histories, view.histories if replayed else None, names)
        marks = view.marks if plot.axis == "step" else []
        holes = {plain_text(name): view.holes[name] for name in names if name in view.holes}
        plot.show_curves(shown, (run_id, self.group), self._finer, marks, holes)

    def _finer(self, shown: str, low: float, high: float) -> Points | None:
        """The true points of a curve, by the name that the plot shows, in a window."""
        name = next((name for name in self._screen.whole.histories if plain_text(name) == shown), shown)
        return self._screen.follower.timeline.finer(name, low, high)
