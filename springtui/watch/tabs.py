"""The tabs of the Watch screen."""

from __future__ import annotations

from textual.widgets import Tab, Tabs

from ..state.cycling import next_of

GROUPS = {"curve": "Curve", "history": "History", "log": "Log", "layers": "Layers", "times": "Over time"}
"""Titles of the tabs by id."""
OVERVIEW = ("curve", "history", "log")
"""Tabs whose panels the first shows together where there is room; the others of them are hidden then."""


class WatchTabs(Tabs):
    """The tabs, as many as the terminal's size needs."""

    def __init__(self, id: str) -> None:
        super().__init__(*(Tab(title, id=group) for group, title in GROUPS.items()), id=id)

    def fit(self, *, wide: bool, scalars_alone: bool = False) -> None:
        """Show the tabs for a wide terminal, or for a narrow one; for a run that has no layers, those without."""
        for tab in self.query(Tab):
            of_layers = scalars_alone and tab.id not in OVERVIEW[int(not wide) :]
            tab.set_class(of_layers or (wide and tab.id in OVERVIEW[1:]), "-hidden")
            if tab.id == OVERVIEW[0]:
                tab.label = "Overview" if wide else GROUPS[OVERVIEW[0]]
        if wide and self.active in OVERVIEW[1:]:
            self.active = OVERVIEW[0]
        elif not wide and scalars_alone and self.active not in OVERVIEW[1:]:
            self.active = OVERVIEW[1]

    def go(self, step: int) -> None:
        """Go to the next tab that is shown, or to the one before."""
        shown = [tab.id or "" for tab in self.query(Tab) if not tab.has_class("-hidden")]
        self.active = next_of(shown, self.active, step)
