"""The lab: two sliders, a network that learns and a chain that stretches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.containers import Container, Horizontal
from textual.widgets import RadioSet, Static, Tab, Tabs

from engine.runs.records import Started
from engine.twin.maps import TwinMap

from ..follow.watcher import Watcher
from ..preferences.last_place import Place
from ..state.knobs import NOISE_KINDS, start_of
from ..state.measures import MEASURES, PROBES
from ..state.predictions import Foresight
from ..state.run_state import RunState
from ..terminal import size
from ..terminal.text import is_behind, plain_text
from ..widgets.chain_view import ChainView, show_chain
from ..widgets.keys_line import KeysLine
from ..widgets.load_bars import LoadBars
from ..widgets.plot import Plot
from ..widgets.scroll import Column
from . import panels
from .choice import Choice, Choices
from .control import LabRuns
from .keys import KEYS
from .session import PANELS, SYSTEMS, Laboratory, Panel
from .settings import chain_settings, moved, network_settings, slider_shape
from .slider import Slider

ASK_SECONDS = 0.05
"""Slider moves within this time reach the workers as one."""
PLOT_SECONDS = 0.1
"""One plot is drawn a tick, so that no key waits for more than one; new data is handed out once a round."""
PRELOAD_SECONDS = 0.3
"""After the first frame: the keys in the bottom line are drawn by then, and no worker has sent a curve yet."""
GROUPS = ("network", "chain", "training")


def preload() -> None:
    """Import what drawing curves needs; to be called from a thread once the first frame is drawn.

    What imports these modules inside functions then does so without a pause in which keys wait.
    """
    import plotext  # noqa: F401

    from engine.chain import mean_field  # noqa: F401
    from engine.measures import friction  # noqa: F401
    from engine.twin import advice  # noqa: F401


class LabScreen(LabRuns):
    """Folds the records of two runs into plain states and draws them."""

    CSS_PATH = "lab.tcss"
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, Any] | None = None,
        place: Place | None = None,
        twin: TwinMap | None = None,
        noise: str = "",
    ) -> None:
        """``noise`` is the setting that the second slider moves; without one the settings or the place tell."""
        super().__init__()
        self.place = place or Place()
        self.laboratory = Laboratory(home, settings)
        self.foresight = Foresight(twin)
        start = start_of(self.laboratory.network, chosen=self.laboratory.chosen, noise=noise)
        self._nonlinearity, self.kind, self._noise = start
        left = next((kind for kind in NOISE_KINDS if kind.key == self.place.noise), None)
        if left is not None and not self.laboratory.chosen:
            self.kind, self._noise = left, left.default
        self.measure = self.place.measure if self.place.measure in MEASURES else MEASURES[0]
        self.tab = GROUPS[0]
        self._caught_up: set[str] = set()
        """Runs whose records have all been read once."""
        self._asking = False
        self._turn = 0

    def compose(self) -> ComposeResult:
        self._fit(*self.app.size)
        with Horizontal(id="lab"):
            with Column(id="controls"):
                yield Slider("Nonlinearity", minimum=0.0, maximum=1.0, value=self._nonlinearity, id="nonlinearity")
                with Choices(id="kinds"):
                    for kind in NOISE_KINDS:
                        yield Choice(kind.label, value=kind is self.kind, id=kind.key.replace("_", "-"))
                yield Slider(id="noise", **slider_shape(self.kind, self._noise))
                yield Static(id="regime", markup=False)
                yield Static(id="facts", markup=False)
                yield Static(id="advice", markup=False)
            with Container(id="panels"):
                yield Tabs(*(Tab(group.capitalize(), id=group) for group in GROUPS), id="tabs")
                with Container(id="grid"):
                    yield Plot(id="network-curve", classes="network")
                    yield Plot(id="chain-curve", classes="chain")
                    yield LoadBars(id="loads", classes="network")
                    yield ChainView(id="chain-view", classes="chain")
                    yield Plot(id="loss", classes="training")
                    yield Plot(id="accuracy", classes="training")
        yield Static(id="too-small", markup=False)
        yield KeysLine()

    async def on_mount(self) -> None:
        for selector, title in panels.TITLES.items():
            self.query_one(selector).border_title = title
        for selector, legend in panels.legends().items():
            self.query_one(selector).border_subtitle = legend
        if (own := self.foresight.own) is not None:
            self.notify(f"{own.provenance} (r.m.s. {own.rms:.3f})", title="the chain's map", markup=False)
        if self.place.tab in GROUPS:
            self.query_one("#tabs", Tabs).active = self.place.tab
        self.call_after_refresh(self._open)

    def _open(self) -> None:
        """After the first frame: the disk and the workers can wait that long, the person need not."""
        self.set_interval(PLOT_SECONDS, self._draw_next)
        self.set_interval(0.5, self.draw_words)
        self.set_interval(2.0, self._advise)
        for panel in PANELS:
            self.begin(panel, how="left")
        self.set_timer(PRELOAD_SECONDS, self._preload)
        self.host.first_tour()

    def _preload(self) -> None:
        self.run_worker(asyncio.to_thread(preload), group="preload")

    # what the sliders ask for

    def settings_of(self, panel: Panel) -> dict[str, Any]:
        """What the sliders ask of a panel."""
        nonlinearity = self.query_one("#nonlinearity", Slider).value
        noise = self.query_one("#noise", Slider).value
        network = self.laboratory.network
        if panel == "chain":
            depth = int(network.get("depth", 8))
            return chain_settings(self.foresight, depth, nonlinearity, self.kind, noise, self.pulling)
        return network_settings(network, nonlinearity, self.kind, noise, probes=self.measure == PROBES)

    @on(Slider.Changed)
    def _slider_moved(self) -> None:
        if not self._asking:
            self._asking = True
            self.set_timer(ASK_SECONDS, self._ask)

    async def _ask(self) -> None:
        self._asking = False
        for panel in PANELS:
            state = self.states.get(panel)
            if (
                state is not None
                and not state.is_over
                and (changed := moved(self.settings_of(panel), state.settings))
            ):
                await self.put("set", panel, **changed)

    @on(RadioSet.Changed, "#kinds")
    def _kind_chosen(self, event: RadioSet.Changed) -> None:
        self.kind = NOISE_KINDS[event.index]
        slider = self.query_one("#noise", Slider)
        slider.configure(**slider_shape(self.kind, self.kind.default))
        slider.in_force = None
        self._show_in_force()
        self._slider_moved()

    # what the watchers tell

    def on_watcher_records_read(self, message: Watcher.RecordsRead) -> None:
        panel = self._panel_of(message.watcher)
        if panel is not None:
            state = self.states[panel]
            newly = state.latest is None
            for event in message.events:
                state.fold(event)
                if isinstance(event, Started):
                    self._worker_came(panel, state)
                    newly = True
            if not message.more and state.run_id not in self._caught_up:
                self._show_in_force()
                self._catch_up(panel, state)
            if state.run_id in self._caught_up:
                self.tell_alerts(state, new=panel in self.laboratory.processes)
            self._stale = True
            self._show_in_force()
            if panel == "chain" and state.latest is not None and not is_behind(self.app._driver):
                show_chain(self.query_one(ChainView), state)
            if newly:
                self.draw_words()
        message.watcher.folded()

    def _worker_came(self, panel: Panel, state: RunState) -> None:
        """It is no trouble any more, and hears of the sliders that were moved while there was none."""
        self.trouble.pop(panel, None)
        if panel in self.laboratory.processes or state.run_id in self._caught_up:
            self._slider_moved()

    def on_watcher_liveness_seen(self, message: Watcher.LivenessSeen) -> None:
        panel = self._panel_of(message.watcher)
        if panel is None:
            return
        state = self.states[panel]
        if state.run_id not in self._caught_up and (state.records or not message.alive):
            self._catch_up(panel, state)  # not before its first record, which says where its sliders stand
        if message.alive:
            state.worker_is_seen()
            return
        state.worker_is_gone(message.found.state)
        self.tell_alerts(state, new=panel in self.laboratory.processes)
        if state.status == "diverged":
            self.notify(plain_text(state.note), title="diverged", severity="error", timeout=12, markup=False)
        elif state.status in {"crashed", "failed", "unknown"}:
            log = " | ".join(line.strip() for line in message.log[-3:] if line.strip())
            why = (state.ended and state.ended.text) or message.found.text
            ways = f"press g to resume it (as springtui resume {state.run_id} does) or r to restart"
            self.say_trouble(panel, f"{why}; {ways}. {log}".strip())
        self.draw_words()

    def _catch_up(self, panel: Panel, state: RunState) -> None:
        """All that a run had to tell has been read: say what is new of it, and put the sliders where it stands."""
        self._caught_up.add(state.run_id)
        if panel not in self.laboratory.processes:  # it was left by an earlier lab
            if said := self.place.away(state.run_id, state.records, time.time()):
                self.notify(said, title=f"{SYSTEMS[panel]} run", timeout=8, markup=False)
            if panel == "train" and state.settings:
                for slider in self.query(Slider):
                    slider.adopt()

    def note_place(self, place: Place) -> None:
        """For the next time."""
        place.screen, place.measure, place.noise, place.tab = "lab", self.measure, self.kind.key, self.tab
        for state in self.states.values():
            place.look_at(state.run_id, state.records)

    def _panel_of(self, watcher: Watcher) -> Panel | None:
        return next((panel for panel, known in self.watchers.items() if known is watcher), None)

    # drawing

    def _show_in_force(self) -> None:
        train = self.states.get("train")
        if train is None or not train.settings:
            return
        slope, noise = train.settings.get("negative_slope"), train.settings.get(self.kind.key)
        if slope is not None:
            self.query_one("#nonlinearity", Slider).in_force = round(1.0 - slope, 10)
        if noise is not None:
            self.query_one("#noise", Slider).in_force = noise

    def _draw_next(self) -> None:
        """Hand the plots their data once a round, and draw one of those that changed."""
        if not self.is_current or is_behind(self.app._driver):
            return
        plots = list(self.query(Plot))
        if self._turn == 0 and self._stale:
            self._stale = False
            predicted = self.foresight.predicted
            panels.show_states(self, self.states, self.measure, predicted, self.trouble)
        self._turn = (self._turn + 1) % len(plots)
        waiting = (plot for plot in plots[self._turn :] + plots[: self._turn] if plot.is_stale())
        if (plot := next(waiting, None)) is not None:
            plot.redraw()

    def draw_words(self) -> None:
        """The regime, and the runs' numbers."""
        chain_first = self.has_class("-tabbed") and self.has_class("-chain")
        regime, facts = panels.words(self.states, self.trouble, self.measure, chain_first=chain_first)
        advice = self.foresight.advice(self.states.get("train"), self.kind, self.measure)
        self.tell({"#regime": regime, "#facts": facts, "#advice": advice})

    async def _advise(self) -> None:
        """What the map predicts, when what that rests on has changed."""
        train = self.states.get("train")
        if train is not None and await self.foresight.reckon(train, self.kind):
            self._stale = True
            self.draw_words()

    def _forget(self, panel: Panel) -> None:
        super()._forget(panel)
        if panel == "train":
            self.foresight.clear()
        self.draw_words()

    def _fit(self, columns: int, rows: int) -> None:
        """What this size has room for; known before the first picture, or it would flicker."""
        self.set_class(size.is_small(columns, rows), "-small")
        self.set_class(not size.is_wide(columns, rows), "-tabbed")

    def on_resize(self, event: events.Resize) -> None:
        columns, rows = event.size
        self._fit(columns, rows)
        self.query_one("#too-small", Static).update(size.too_small("The lab", columns, rows))

    @on(Tabs.TabActivated, "#tabs")
    def _tab_activated(self, event: Tabs.TabActivated) -> None:
        for group in GROUPS:
            self.set_class(event.tab.id == group, f"-{group}")
        controls, advice, facts = (self.query_one(name) for name in ("#controls", "#advice", "#facts"))
        advice.set_class(event.tab.id == "training", "-above")
        if event.tab.id == "training":  # a small terminal has no room for both
            controls.move_child(advice, before=facts)
        else:
            controls.move_child(advice, after=facts)
        self.tab = event.tab.id or GROUPS[0]
        self.draw_words()

    # actions

    def action_scroll_words(self, lines: int) -> None:
        """Scroll the column at the left, where it is longer than the terminal."""
        self.query_one("#controls").scroll_relative(y=2 * lines, animate=False)

    def action_next_measure(self) -> None:
        """Show the next of the three measures of separation."""
        self.measure = MEASURES[(MEASURES.index(self.measure) + 1) % len(MEASURES)]
        self._slider_moved()  # probes cost time: they are taken only while they are looked at
        self._stale = True
        self.draw_words()

    def action_toggle_ruler(self) -> None:
        """Draw the chain as blocks and springs, or as a folding ruler."""
        as_ruler = self.query_one(ChainView).toggle_ruler()
        self._name_chain("folding ruler" if as_ruler else "blocks and springs")

    def _name_chain(self, view: str) -> None:
        self.query_one(ChainView).border_title = f"Chain · {view}"

    def action_next_noise(self) -> None:
        """Choose the next kind of noise."""
        following = (NOISE_KINDS.index(self.kind) + 1) % len(NOISE_KINDS)
        list(self.query(Choice))[following].value = True

    def action_next_group(self, step: int) -> None:
        """Show the next tab, or the one before."""
        tabs = self.query_one("#tabs", Tabs)
        tabs.active = GROUPS[(GROUPS.index(tabs.active) + step) % len(GROUPS)]

    def commands(self) -> Iterable[SystemCommand]:
        """What the command palette offers here beside the bindings."""
        for index, kind in enumerate(NOISE_KINDS):
            yield SystemCommand(f"Noise: {kind.label}", kind.description, lambda i=index: self._choose(i))

    def _choose(self, index: int) -> None:
        list(self.query(Choice))[index].value = True
