"""What all screens share, and what they ask of the app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from textual.screen import ScreenResultType
from textual.widgets import Static

from engine.runs.directory import Run

from .state.run_state import RunState
from .terminal.paced import PacedScreen


class Host(Protocol):
    """What an app offers to its screens; ``SpringApp`` is one."""

    read_only: bool
    """Whether nothing is asked of a worker and no run is made or changed."""

    def refuses(self, instead: str) -> bool:
        """Whether the app is read-only, which is then said."""

    def tell_alerts(
        self, run_id: str, state: str, values: Mapping[str, float | None], *, heard: float, new: bool = False
    ) -> None:
        """Let the person's rules see how a run stands."""

    def open_run(self, run: Run, *, kind: str = "") -> None:
        """Open the screen for a run of this kind."""

    async def open_lab_with(self, settings: Mapping[str, Any], noise: str = "") -> None:
        """Open the lab with a network of these settings."""

    def first_tour(self) -> None:
        """Show the tour where it was never seen."""


class BaseScreen(PacedScreen[ScreenResultType]):
    """A screen of the app, with what all of them need."""

    def __init__(self) -> None:
        super().__init__()
        self._words: dict[str, str] = {}
        """What its Statics say, by selector."""

    @property
    def host(self) -> Host:
        """The app, as screens know it."""
        return cast("Host", self.app)

    @property
    def read_only(self) -> bool:
        """Whether the app was opened to look only."""
        return self.host.read_only

    def refuses(self, instead: str) -> bool:
        """Whether the app is read-only, which is then said: ``instead`` of the action."""
        return self.host.refuses(instead)

    def tell(self, texts: Mapping[str, str]) -> None:
        """Let Statics, by selector, say a text each; those that say it already are left alone."""
        for selector, text in texts.items():
            if self._words.get(selector) != text:  # an update repaints, whether anything changed or not
                self._words[selector] = text
                self.query_one(selector, Static).update(text)

    def tell_alerts(self, state: RunState, *, new: bool = False) -> None:
        """Let the person's rules see how a run stands."""
        values = state.latest.scalars if state.latest is not None else {}
        self.host.tell_alerts(state.run_id, state.status, values, heard=state.heard, new=new)


NOTHING_ASKED = "nothing is asked of the worker"
