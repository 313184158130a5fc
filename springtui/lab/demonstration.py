"""The lab as the tour shows it: one panel at a time, a calm and a noisy training, the regimes of both systems."""

from __future__ import annotations

from collections.abc import Callable

from textual.css.query import NoMatches
from textual.widget import Widget
from textual.widgets import Tabs

from engine.measures.registry import DEFAULT_MEASURE, DISTANCE

from ..screen import BaseScreen
from ..state.knobs import NoiseKind
from ..state.wording import number, shape_of
from .control import LabControl
from .slider import Slider


class Demonstration:
    """What the tour asks of the lab."""

    def __init__(
        self,
        lab: BaseScreen[None],
        control: LabControl,
        kind: Callable[[], NoiseKind],
        choose_next: Callable[[], None],
    ) -> None:
        """``kind`` returns the chosen kind of noise, ``choose_next`` chooses the next one."""
        self._lab = lab
        self._control = control
        self._kind = kind
        self._choose_next = choose_next

    def light(self, selector: str) -> Widget | None:
        """Light the widget of a selector and no other, and return it; its tab is shown where there are tabs."""
        for lit in self._lab.query(".-toured"):
            lit.remove_class("-toured")
        try:
            widget = self._lab.query_one(selector, Widget) if selector else None
        except NoMatches:
            return None
        if widget is None:
            return None
        widget.add_class("-toured")
        for group in ("network", "chain"):
            if widget.has_class(group):
                self._lab.query_one("#tabs", Tabs).active = group
        return widget

    @property
    def has_tabs(self) -> bool:
        """Whether the terminal is so small that network and chain are on tabs."""
        return self._lab.has_class("-tabbed")

    def set_noise(self, *, noisy: bool) -> None:
        """Move both sliders to the calm or the noisy training of the chosen kind of noise."""
        kind = self._kind()
        self._lab.query_one("#nonlinearity", Slider).set_value(kind.nonlinearity)
        self._lab.query_one("#noise", Slider).set_value(kind.noisy if noisy else kind.calm)

    def next_noise(self) -> None:
        """Choose the next kind of noise, and its calm training."""
        self._choose_next()
        self._lab.call_after_refresh(self.set_noise, noisy=False)

    def promise(self) -> str:
        """Which layers are lazy at the calm and at the noisy value of the chosen kind of noise."""
        kind = self._kind()
        whose = "In the lab's own network, at" if self._control.session.chosen else "At"
        noise = f"{kind.label.lower()} {kind.calm:g} makes the shallow layers lazy, {kind.noisy:g} the deep ones"
        return f"{whose} nonlinearity {kind.nonlinearity:g}: {noise}."

    def regimes(self) -> str:
        """Which layers are lazy now, in the network and in the chain."""
        train, chain = (self._control.states.get(panel) for panel in ("train", "chain"))
        network, springs = shape_of(train, DEFAULT_MEASURE), shape_of(chain, DISTANCE)
        noise = train.settings.get(self._kind().key) if train is not None else None
        return (
            f"{self._kind().label} {number(noise)}\n"
            f"network: {network.words if network is not None else 'not measured yet'}\n"
            f"chain:   {springs.words if springs is not None else 'not pulled yet'}"
        )
