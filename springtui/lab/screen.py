"""The lab screen: two sliders, a network that is trained and a chain that is pulled."""

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

from engine.measures.registry import DEFAULT_MEASURE, NETWORK_MEASURES, PROBES
from engine.twin.maps import TwinMap

from ..follow.watcher import Watcher
from ..preferences.last_place import LastSession
from ..screen import BaseScreen
from ..state.cycling import next_of
from ..state.knobs import NOISE_KINDS, mixing, start_of
from ..state.predictions import TwinPredictions
from ..state.run_state import RunState
from ..terminal import size
from ..terminal.paced import is_behind
from ..widgets.chain_view import ChainView, show_chain
from ..widgets.keys_line import KeysLine
from ..widgets.load_bars import LoadBars
from ..widgets.plot import Plot
from ..widgets.scroll import Column
from . import panels
from .choice import Choice, Choices
from .control import LabControl
from .demonstration import Demonstration
from .keys import KEYS
from .session import PANELS, SYSTEMS, LabSession, Panel
from .settings import chain_settings, network_settings, slider_shape
from .slider import Slider
from .trial import TrialControl

ASK_SECONDS = 0.05
"""Seconds for which slider moves are collected before the workers are asked."""
PLOT_SECONDS = 0.1
"""Seconds between ticks. A tick draws one plot, so that no key waits longer; plots get new data once a round."""
PRELOAD_SECONDS = 0.3
"""After the first frame: the keys in the bottom line are drawn by then, and no worker has sent a curve yet."""
GROUPS = ("network", "chain", "training")


def preload() -> None:
    """Import what drawing curves needs; to be called from a thread once the first frame is drawn.

    Functions that import these modules then do so without a pause in which keys wait.
    """
    import plotext  # noqa: F401

    from engine.chain import mean_field  # noqa: F401
    from engine.measures import friction  # noqa: F401
    from engine.twin import advice  # noqa: F401

    from ..widgets import frame, raster  # noqa: F401


class LabScreen(BaseScreen[None]):
    """Draws the states of two runs, which its control begins, follows and asks."""

    CSS_PATH = "lab.tcss"
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, Any] | None = None,
        last_session: LastSession | None = None,
        twin: TwinMap | None = None,
        noise: str = "",
        *,
        begin_runs: bool = True,
    ) -> None:
        """``noise`` is the setting that the second slider moves; empty: the settings or the last session name it.

        Without ``begin_runs`` the lab begins no runs and draws nothing by itself, for tests and pictures.
        """
        super().__init__()
        self.last_session = last_session or LastSession()
        self.control = LabControl(LabSession(home, settings), self)
        self.predictions = TwinPredictions(twin)
        self.trial = TrialControl(self)
        self.demonstration = Demonstration(
            self, self.control, lambda: self.kind, self.action_next_noise, self.action_next_group
        )
        self._begin_runs = begin_runs
        session = self.session
        start = start_of(session.network, chosen=session.chosen, noise=noise)
        self._nonlinearity, self.kind, self._noise = start
        left = next((kind for kind in NOISE_KINDS if kind.key == self.last_session.noise), None)
        if left is not None and not session.chosen:
            self.kind, self._noise = left, left.default
        self.measure = (
            self.last_session.measure if self.last_session.measure in NETWORK_MEASURES else DEFAULT_MEASURE
        )
        self.tab = GROUPS[0]
        self._stale = False
        self._asking = False
        self._turn = 0

    @property
    def session(self) -> LabSession:
        """The lab's runs and their workers."""
        return self.control.session

    @property
    def states(self) -> dict[Panel, RunState]:
        """By panel, the state of its run as far as its records were read."""
        return self.control.states

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
        if (own := self.predictions.own) is not None:
            self.notify(f"{own.provenance} (r.m.s. {own.rms:.3f})", title="the chain's map", markup=False)
        if self.last_session.tab in GROUPS:
            self.query_one("#tabs", Tabs).active = self.last_session.tab
        if self._begin_runs:
            self.call_after_refresh(self._open)

    def _open(self) -> None:
        """Begin runs and drawing after the first frame, which does not wait for the disk and the workers."""
        self.set_interval(PLOT_SECONDS, self._draw_next)
        self.set_interval(0.5, self.draw_words)
        self.set_interval(2.0, self._advise)
        self.set_interval(0.5, self.trial.follow)
        for panel in PANELS:
            self.control.begin(panel, how="left")
        self.set_timer(PRELOAD_SECONDS, self._preload)
        self.host.first_tour()

    def _preload(self) -> None:
        self.run_worker(asyncio.to_thread(preload), group="preload")

    def on_unmount(self) -> None:
        self.control.close()
        self.trial.let_go()

    # what the sliders ask for

    def settings_of(self, panel: Panel) -> dict[str, Any]:
        """The settings of a panel's run at the sliders' values."""
        nonlinearity = self.query_one("#nonlinearity", Slider).value
        noise = self.query_one("#noise", Slider).value
        network = self.session.network
        if panel == "chain":
            depth = int(network.get("depth", 8))
            return chain_settings(
                self.control.chain,
                self.predictions,
                depth,
                nonlinearity,
                self.kind,
                noise,
                going_on=self.control.going_on,
            )
        return network_settings(
            network,
            nonlinearity,
            self.kind,
            noise,
            probes=self.measure == PROBES,
            going_on=self.control.going_on,
        )

    @on(Slider.Changed)
    def _slider_moved(self) -> None:
        if not self._asking:
            self._asking = True
            self.set_timer(ASK_SECONDS, self._ask)

    async def _ask(self) -> None:
        self._asking = False
        await self.control.adjust()

    @on(RadioSet.Changed, "#kinds")
    def _kind_chosen(self, event: RadioSet.Changed) -> None:
        self.kind = NOISE_KINDS[event.index]
        slider = self.query_one("#noise", Slider)
        slider.configure(**slider_shape(self.kind, self.kind.default))
        slider.in_force = None
        self._show_in_force()
        self._slider_moved()

    # messages of the watchers, and events of the control

    def on_watcher_records_read(self, message: Watcher.RecordsRead) -> None:
        self.control.take_records(message)

    def on_watcher_status_seen(self, message: Watcher.StatusSeen) -> None:
        self.control.take_status(message)

    def run_dropped(self, panel: Panel) -> None:
        """Clear what the panel shows of its former run."""
        self._stale = True
        if panel == "train":
            self.predictions.clear()
            self.trial.drop()
        self.draw_words()

    def run_failed(self, panel: Panel, text: str) -> None:
        """Show why a panel's run failed, in a notice and in the facts."""
        self._stale = True
        self.notify(text, title=f"{SYSTEMS[panel]} run", severity="error", timeout=12, markup=False)
        self.draw_words()

    def run_caught_up(self, panel: Panel, *, ours: bool) -> None:
        """Show the settings in force; if an earlier lab left the run, notify of news, move the sliders there."""
        self._show_in_force()
        if panel == "train":
            self.trial.take_up()
        if ours:
            return
        state = self.states[panel]
        if news := self.last_session.away(state.run_id, state.records, time.time()):
            self.notify(news, title=f"{SYSTEMS[panel]} run", timeout=8, markup=False)
        if panel == "train" and state.settings:
            for slider in self.query(Slider):
                slider.adopt()

    def worker_came(self, panel: Panel) -> None:  # noqa: ARG002
        """Have a panel's new worker asked for the sliders' values."""
        self._slider_moved()

    def worker_went(self, panel: Panel) -> None:  # noqa: ARG002
        """Show that the worker of a panel's run ended."""
        self.draw_words()

    def records_folded(self, panel: Panel, *, first: bool) -> None:
        """Draw the chain at once, and the plots at their ticks."""
        self._stale = True
        self._show_in_force()
        state = self.states[panel]
        if panel == "chain" and state.latest is not None and not is_behind(self.app):
            show_chain(self.query_one(ChainView), state)
        if first:
            self.draw_words()

    def note_session(self, last: LastSession) -> None:
        """Write what this screen shows into ``last``, for the next start of the app."""
        last.screen, last.measure, last.noise, last.tab = "lab", self.measure, self.kind.key, self.tab
        for state in self.states.values():
            last.look_at(state.run_id, state.records)

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
        """Draw one of the plots that changed; once a round all plots get new data."""
        if not self.is_current or is_behind(self.app):
            return
        plots = list(self.query(Plot))
        if self._turn == 0 and self._stale:
            self._stale = False
            predicted = self.predictions.predicted
            panels.show_states(self, self.states, self.measure, predicted, self.control.trouble)
        self._turn = (self._turn + 1) % len(plots)
        waiting = (plot for plot in plots[self._turn :] + plots[: self._turn] if plot.is_stale())
        if (plot := next(waiting, None)) is not None:
            plot.redraw()

    def draw_words(self) -> None:
        """Show the regime, both runs' numbers, and the advice."""
        chain_first = self.has_class("-tabbed") and self.has_class("-chain")
        trouble = self.control.trouble
        train = self.states.get("train")
        noise = train.settings.get(self.kind.key) if train is not None else None
        beyond = "" if noise is None else mixing(self.kind, noise)
        regime, facts = panels.words(self.states, trouble, self.measure, chain_first=chain_first, beyond=beyond)
        trial, offer = self.trial.result(), self.trial.offer()
        advice = self.predictions.advice(train, self.kind, self.measure, trial, offer=offer)
        advice = "\n".join(filter(None, (advice, self.trial.trial.words())))
        self.set_texts({"#regime": regime, "#facts": facts, "#advice": advice})

    async def _advise(self) -> None:
        """Compute the map's predictions anew where the settings that they depend on changed."""
        train = self.states.get("train")
        if train is not None and await self.predictions.update(train, self.kind, self.control.chain.hands):
            self._stale = True
            self.draw_words()

    def _fit(self, columns: int, rows: int) -> None:
        """Set the classes for this size; called before the first frame, which would flicker otherwise."""
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

    async def action_toggle_pause(self) -> None:
        """Pause both runs, or let both go on."""
        await self.control.toggle_pause()

    def action_restart(self) -> None:
        """Stop both runs and start new ones with what the sliders ask for."""
        self.app.clear_notifications()
        self.control.restart()

    def action_resume(self) -> None:
        """Start new workers for the runs that broke off; each continues from its checkpoint."""
        self.control.resume()

    def action_try_settings(self) -> None:
        """Try other settings of the network in the background; cancel that where it is under way."""
        self.trial.toggle()

    def action_cancel_trial(self) -> None:
        """Cancel the trial under way, if there is one."""
        self.trial.cancel()

    async def action_toggle_going_on(self) -> None:
        """Train and pull on beyond the map's time, or begin anew up to it."""
        await self.control.toggle_going_on()

    def action_next_chain(self) -> None:
        """Show the other chain: between two hands, or the paper's with friction."""
        self.control.next_chain()

    def action_next_pulling(self) -> None:
        """Start a new friction chain, pulled in the next way."""
        self.control.pull_next()

    def action_scroll_words(self, lines: int) -> None:
        """Scroll the column at the left, where it is longer than the terminal."""
        self.query_one("#controls").scroll_relative(y=2 * lines, animate=False)

    def action_next_measure(self) -> None:
        """Show the next measure of separation."""
        self.measure = next_of(NETWORK_MEASURES, self.measure)
        self._slider_moved()  # probes cost time, so they are measured only while they are shown
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
        self._choose(NOISE_KINDS.index(next_of(NOISE_KINDS, self.kind)))

    def action_next_group(self, step: int) -> None:
        """Show the next tab, or the one before."""
        tabs = self.query_one("#tabs", Tabs)
        tabs.active = next_of(GROUPS, tabs.active, step)

    def commands(self) -> Iterable[SystemCommand]:
        """What the command palette offers here beside the bindings."""
        for index, kind in enumerate(NOISE_KINDS):
            yield SystemCommand(f"Noise: {kind.label}", kind.description, lambda i=index: self._choose(i))

    def _choose(self, index: int) -> None:
        list(self.query(Choice))[index].value = True
