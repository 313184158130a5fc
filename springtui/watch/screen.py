"""The Watch screen: one run, live or finished, its log, its use of the machine, and a time bar for replays."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.dom import DOMNode
from textual.geometry import Size
from textual.widgets import Static, Tabs

from engine.measures.registry import DEFAULT_MEASURE, DISTANCE, MEASURES, NETWORK_MEASURES, PROBES
from engine.runs.any_run import AnyRun
from engine.runs.names import WORKER_LOG
from engine.runs.status import Status

from ..dialogs import PromptScreen
from ..follow.follower import Follower
from ..preferences.last_place import LastSession
from ..screen import NOTHING_ASKED, BaseScreen
from ..state.curves import legend_of
from ..state.cycling import next_of
from ..state.run_state import RunState, measures_of
from ..state.timeline import View
from ..state.wording import UNITS, fitting, process_of
from ..terminal import size
from ..terminal.text import plain_text
from ..widgets.chain_view import ChainView, show_chain
from ..widgets.curves_plot import CurvesPlot
from ..widgets.keys_line import KeysLine
from ..widgets.layer_map import LayerMap
from ..widgets.lines import Console
from ..widgets.load_bars import LoadBars
from ..widgets.plot import Plot
from ..widgets.table import Table
from . import log_words, panels
from .control import WatchControl
from .layers import FIRST_COLUMNS, LayersView
from .replay import Replay
from .scalars import ScalarsView
from .tabs import GROUPS, WatchTabs
from .time_bar import TimeBar

TICK = 0.1
"""Seconds between ticks. A tick draws one plot, so that no key waits longer."""
_ASKING = {"toggle_pause", "stop", "set"}
"""Actions that ask the worker for something."""
_NOT_OF_LOGS = {
    *_ASKING, "say_foreign", "next_measure", "next_tower", "toggle_ruler", "open_phase", "open_runs", "detach",
}  # fmt: skip
"""Actions that do nothing for another tool's log."""
TITLES = {
    "#loads": "Load of each layer",
    "#chain-view": "Blocks and springs",
    "#facts": "Settings in force",
    "#console": WORKER_LOG,
    "#usage": "Use of processor and memory",
    "#layers": "Layers",
    "#layer": "Selected layer",
}


class WatchScreen(BaseScreen[None]):
    """Draws a run as its follower knows it: its newest state, or an earlier one in a replay."""

    CSS_PATH = "watch.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "next_scalar", "Quantity", id="watch.scalar", tooltip="next quantity over time"),
        Binding("N", "previous_scalar", "Quantity before", id="watch.previous_scalar",
                tooltip="quantity before over time", show=False),
        Binding("slash", "find_scalar", "Find", id="watch.find_scalar", key_display="/",
                tooltip="find a quantity by a part of its name", show=False),
        Binding("m", "next_measure", "Measure", id="watch.measure", tooltip="next measure of separation"),
        Binding("space", "toggle_play", "Play", id="watch.play", tooltip="replay, or hold it", priority=True),
        Binding("comma", "step(-1)", "Step back", id="watch.step_back", tooltip="one record back", show=False),
        Binding("full_stop", "step(1)", "Step", id="watch.step", tooltip="one record on", show=False),
        Binding("less_than_sign", "speed(-1)", "Slower", id="watch.slower", tooltip="replay slower", show=False),
        Binding("greater_than_sign", "speed(1)", "Faster", id="watch.faster", tooltip="replay faster", show=False),
        Binding("end", "live", "End", id="watch.live", tooltip="the end of the run, or its present", show=False),
        Binding("P", "next_tower", "Tower", id="watch.tower", tooltip="next tower of a model with several"),
        Binding("b", "toggle_pause", "Pause", id="watch.pause", tooltip="pause or resume the run"),
        Binding("x", "stop", "Stop", id="watch.stop", tooltip="stop the run; what it wrote is kept"),
        Binding("i", "set", "Set", id="watch.set", tooltip="change a setting while it runs"),
        Binding("b", "say_foreign", "Pause", id="watch.pause", tooltip="pause or resume the run", show=False),
        Binding("x", "say_foreign", "Stop", id="watch.stop", tooltip="stop the run", show=False),
        Binding("i", "say_foreign", "Set", id="watch.set", tooltip="change a setting while it runs", show=False),
        Binding("v", "toggle_ruler", "View", id="watch.view", tooltip="springs or a folding ruler", show=False),
        Binding("right_square_bracket", "next_group(1)", "Next tab", id="watch.next_tab", key_display="]",
                tooltip="next tab"),
        Binding("left_square_bracket", "next_group(-1)", "Previous tab", id="watch.previous_tab", key_display="[",
                tooltip="previous tab", show=False),
        Binding("escape", "app.back", "Back", id="watch.back", tooltip="back to the runs"),
    ]  # fmt: skip

    def __init__(
        self,
        run: AnyRun,
        last_session: LastSession,
        *,
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        super().__init__()
        self.watched = run
        self.last_session = last_session
        self.follower = Follower(run, process)
        self.control = WatchControl(run, self)
        self.whole = View(self.follower.timeline.view().state, {}, 0)
        """The run up to its newest record."""
        self.replay = Replay(self)
        self.measure = last_session.measure if last_session.measure in NETWORK_MEASURES else DEFAULT_MEASURE
        self.scalars = ScalarsView(self)
        self.tab = "curve"
        self.layers_view = LayersView(self)
        self._drawn_version = -1
        self._turn = 0
        self._towers: list[str] = []
        self._room = Size(0, 0)
        """Size of the settings' panel when its columns were made."""
        self._away: str | None = None

    @property
    def layer_map(self) -> LayerMap:
        """The heat map of layers over steps."""
        return self.query_one(LayerMap)

    @property
    def view(self) -> View:
        """The view that is shown: the newest, or the replay's."""
        return self.replay.view or self.whole

    @property
    def path(self) -> str:
        """The tower that is shown; empty where the model has one."""
        return self.layers_view.path(self.whole.state)

    @property
    def of_log(self) -> bool:
        """Whether another tool writes the run: there are scalars alone."""
        return self.watched.is_foreign

    @property
    def kind(self) -> str:
        """train, chain, probe or log; by the id while the configuration is not read."""
        return panels.kind_in_words(self.control.config) or self.watched.kind

    def compose(self) -> ComposeResult:
        self._fit(*self.app.size)
        yield Static(id="head", markup=False)
        yield Static(id="said", markup=False)
        with Container(id="watch"):
            yield WatchTabs(id="tabs")
            with Container(id="grid"):
                yield CurvesPlot(id="curve", classes="curve")
                yield CurvesPlot(id="history", classes="history")
                yield LoadBars(id="loads", classes="curve")
                yield ChainView(id="chain-view", classes="curve")
                yield Static(id="facts", classes="history", markup=False)
                yield Console(id="console", classes="log")
                yield Static(id="usage", classes="log", markup=False)
            with Vertical(id="layers-tab"):
                yield Table(FIRST_COLUMNS, self.layers_view.line, id="layers")
                yield Static(id="layer", markup=False)
            with Container(id="times-tab"):
                yield LayerMap(id="times")
                yield CurvesPlot(id="layer-curve")
        yield Static(id="too-small", markup=False)
        yield TimeBar(id="time")
        yield KeysLine()

    def on_mount(self) -> None:
        for selector, title in TITLES.items():
            self.query_one(selector).border_title = title
        self.query_one("#history" if self.of_log else "#time").focus()
        if self.last_session.run == self.watched.id and self.last_session.tab in GROUPS:
            self.query_one(WatchTabs).active = self.last_session.tab
        self.query_one(WatchTabs).fit(wide=not self.has_class("-tabbed"), scalars_alone=self.of_log)
        if self.of_log:
            self.query_one("#facts").border_title = "Newest numbers and settings"
        self._shape()
        self.follower.start()
        self.set_interval(TICK, self._tick)
        self.run_worker(self._read_config(), group="config")

    async def _read_config(self) -> None:
        await self.control.read_config()
        self._shape()
        self._drawn_version = -1

    def _shape(self) -> None:
        """Show the panels that this kind of run has, with their headings."""
        chain = self.kind == "chain"
        self.set_class(chain, "-of-chain")
        self.set_class(self.kind == "probe", "-of-probe")
        self.set_class(self.of_log, "-of-log")
        if chain:
            self.measure = DISTANCE
        towers = [tower.path for tower in self.whole.state.towers]
        tower = f" · tower {plain_text(self.path)}" if len(towers) > 1 else ""
        curve = self.query_one("#curve", CurvesPlot)
        curve.heading = f"Load curve · {MEASURES[self.measure].label}{tower}"
        curve.legend = legend_of("chain" if chain else "network")
        if tower:
            curve.legend = panels.towers_legend(towers, self.path)
        curve.axis = "block" if chain else "layer"
        self.query_one(LoadBars).border_title = Content(f"Load{tower}" if tower else TITLES["#loads"])
        self.query_one("#history", CurvesPlot).axis = UNITS.get(self.kind, "step")

    def on_unmount(self) -> None:
        self.follower.close()
        self.note_session(self.last_session)

    def note_session(self, last: LastSession) -> None:
        """Write what this screen shows into ``last``, for the next start of the app."""
        if self.of_log:
            return
        last.screen, last.run = "watch", self.watched.id
        last.tab = self.tab
        if self.follower.complete:
            last.look_at(self.watched.id, self.whole.state.records)

    # following

    async def _tick(self) -> None:
        if not self.is_current and self._drawn_version >= 0:
            return
        await self.replay.advance(TICK)
        room = self.query_one("#facts").size
        bare = self.whole.state.latest is None and not self.whole.histories
        if (bare or self._turn == 0) and (self.follower.version != self._drawn_version or room != self._room):
            self._room = room
            self._take_view()
        self.draw_notices()
        plots: list[Plot | LayerMap] = [*self.query(Plot), self.query_one(LayerMap)]
        if self.of_log:  # the others have nothing to show, and what is new is drawn sooner
            plots = [self.query_one("#history", CurvesPlot)]
        stale = [plot for plot in plots[self._turn :] + plots[: self._turn] if plot.is_stale()]
        for plot in stale[:1]:
            plot.redraw()
        self._turn = (self._turn + 1) % len(plots)
        if bare and (self.whole.state.latest is not None or self.whole.histories):
            self.call_after_refresh(self.follower.drawn)

    def _take_view(self) -> None:
        """Take the follower's newest view, and draw it."""
        self._drawn_version = self.follower.version
        was_over, self.whole = self.whole.state.is_over, self.follower.view()
        if was_over != self.whole.state.is_over:
            self.refresh_bindings()
        if self.follower.complete:
            self.check_alerts(self.whole.state)
        self.control.requests.settle(list(self.follower.timeline.answers))
        known = measures_of(self.whole.state)
        unknown = bool(known) and self.kind != "chain" and self.measure not in known
        if unknown:  # as linear probes, which were chosen while another run was shown
            self.measure = known[0]
        if (towers := [tower.path for tower in self.whole.state.towers]) != self._towers or unknown:
            self._towers = towers
            self.refresh_bindings()
            self._shape()
        if self._away is None and self.follower.complete:
            self._away = self.last_session.away(self.watched.id, self.whole.state.records, time.time())
        self._draw()

    def _draw(self) -> None:
        """Give every panel what it should show."""
        whole, replayed = self.view, self.replay.position is not None
        nothing = panels.why_no_curve(whole.state)
        for canvas in (*self.query(Plot), self.query_one(LoadBars), self.query_one(ChainView), self.layer_map):
            canvas.say_empty(nothing)
        view = replace(whole, state=whole.state.of_tower(self.path))
        curves = panels.curve_series(view, self.measure)
        curves += panels.tower_series(whole.state, self.path, self.measure)
        about = self.watched.id, self.measure, *([self.path] if len(self._towers) > 1 else [])
        self.query_one("#curve", CurvesPlot).show_curves(curves, about)
        found, names = panels.loads_of(view.state, self.measure)
        self.query_one(LoadBars).show(found, names)
        if self.kind == "chain":
            show_chain(self.query_one(ChainView), view.state)
        self.scalars.draw(self.query_one("#history", CurvesPlot), self.watched.id, whole, replayed=replayed)
        self._draw_layers()
        self._draw_words(view)
        self.draw_notices()
        self._draw_bar()

    def _draw_layers(self) -> None:
        """Draw the tab on layers that is shown."""
        if self.tab == "layers":
            self.layers_view.draw_table(self.view.state, self.measure, self.kind)
        elif self.tab == "times":
            latest = self.view.state.latest
            moment = latest.step if self.replay.position is not None and latest is not None else None
            self.layers_view.draw_times(self.whole.state, self.measure, self.kind, moment)

    def _draw_words(self, view: View) -> None:
        if self.of_log:
            self._draw_log_words(view)
            return
        facts = self.query_one("#facts")
        follower = self.follower
        lines = panels.facts(view.state, self.measure, None if follower.gone else follower.observation)
        lines += ["", *panels.settings_lines(view.state, self.control.config, facts.size.width)]
        usage = panels.usage_lines(
            list(follower.usage), follower.gpu_note, follower.observation,
            width=max(10, self.query_one("#usage").size.width), process=process_of(self.kind),
        )  # fmt: skip
        head = panels.header(
            view,
            self.control.name,
            self.watched.id,
            self.kind,
            replayed=self.replay.position is not None,
            width=self.size.width - 2,
        )
        self.set_texts({"#facts": "\n".join(lines), "#usage": "\n".join(usage), "#head": head})
        console, warnings = self.query_one(Console), panels.warning_lines(self.whole.state)
        of_probe = self.kind == "probe" and not follower.log
        console.border_title = "Warnings" if of_probe else WORKER_LOG
        console.say_empty("no warnings" if of_probe else Console.EMPTY)
        console.show([*follower.log, *warnings])

    def _draw_log_words(self, view: View) -> None:
        """Draw what another tool's log says."""
        follower, facts, replayed = self.follower, self.query_one("#facts"), self.replay.position is not None
        lines = log_words.facts(view, None if replayed else follower.observation, facts.size.width)
        name, width = self.control.name, self.size.width - 2
        head = log_words.header(view, name, self.watched.id, replayed=replayed, width=width)
        self.set_texts({"#facts": "\n".join(lines), "#head": head})
        console, remarks = self.query_one(Console), log_words.remarks(view)
        console.border_title = (
            "Output and remarks" if follower.log and remarks else "Remarks" if remarks else "Output"
        )
        console.say_empty("this log holds no output of the training and no remarks")
        console.show([*follower.log, *remarks])

    def _draw_bar(self) -> None:
        whole, replay = self.whole, self.replay
        words = panels.bar_words(self.view, replay.position, whole, playing=replay.playing, speed=replay.speed)
        at = whole.curves - 1 if replay.position is None else replay.position
        moves = [move.curves for move in whole.moves]
        self.query_one(TimeBar).show(max(0, at), whole.curves, moves, *words)

    def draw_notices(self) -> None:
        """Show the line of errors, of the newest request, and of what came since the run was last seen."""
        asked = self.control.requests.newest_in_words(time.time(), alive=self.follower.alive)
        gone = "the run's directory is gone; what was read is still shown" if self.follower.gone else ""
        wrong = gone or self.control.trouble
        problem = "" if gone else panels.what_went_wrong(self.follower.observation)
        if self.of_log and (seen := self.follower.observation) is not None:
            problem = seen.text if not gone else ""
        state = self.view.state.of_tower(self.path)
        on_curve = self.has_class("-tabbed") and self.tab not in ("layers", "times")
        regime = panels.regime_parts(state, self.measure) if on_curve else []
        notes = [
            plain_text(self.host.trouble),
            wrong,
            asked,
            self._away or "",
            problem,
            "read-only" if self.read_only else "",
            *regime,
        ]
        text = fitting([note for note in notes if note], self.size.width - 2)
        self.set_texts({"#said": plain_text(text)})
        self.set_class(not text, "-silent")
        unheard = "not acknowledged" in asked or "refused" in asked
        problem = "" if problem.startswith(Status.WAITING) or self.of_log else problem
        self.query_one("#said").set_class(bool(wrong or problem or self.host.trouble) or unheard, "-wrong")

    # what is asked of the worker

    def run_state(self) -> RunState:
        """The run's newest state, also while a replay shows an earlier one."""
        return self.whole.state

    def request_written(self) -> None:
        """Show the newest request."""
        self.draw_notices()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """False for what cannot be done, which hides its key: to ask an ended run, another tower or measure."""
        if action == "next_tower":
            return len(self._towers) > 1
        if action == "next_measure":
            return self.kind != "chain" and not self.of_log
        if self.of_log and action == "next_group":
            return self.has_class("-tabbed")
        if action == "next_scalar":
            return self.tab != "layers"
        if action in ("previous_scalar", "find_scalar"):
            return self.tab not in ("layers", "times")
        if action == "say_foreign" or self.of_log:
            return self.of_log and action not in _ASKING
        return self.read_only or action not in _ASKING or not self.whole.state.is_over

    def offers(self, action: str) -> bool:
        """Whether an action can do something: a log has scalars alone, and nobody to ask."""
        if action == "toggle_ruler":
            return self.kind == "chain"
        return not self.of_log or action not in _NOT_OF_LOGS

    def helped(self) -> Iterable[DOMNode]:
        """The widgets whose keys the help lists: of a log's not those of layers."""
        if not self.of_log:
            return self.query("*")
        return [
            each for each in self.query("*") if not {"layers-tab", "times-tab"} & {a.id for a in each.ancestors}
        ]

    def action_say_foreign(self) -> None:
        """Say that nothing can be asked of another tool's training."""
        self.control.has_nobody_to_ask()

    async def action_toggle_pause(self) -> None:
        """Pause the worker, or let it go on."""
        if not self.refuses(NOTHING_ASKED):
            await self.control.toggle_pause()

    async def action_stop(self) -> None:
        """Ask the worker to stop."""
        if not self.refuses(NOTHING_ASKED):
            await self.control.stop()

    def action_set(self) -> None:
        """Ask for a setting's new value, and ask the worker for it."""
        if self.refuses(NOTHING_ASKED) or self.control.has_nobody_to_ask():
            return
        about = f"key=value; these can change while it runs: {', '.join(self.control.movable())}"
        self.app.push_screen(PromptScreen("Set", about, check=self.control.check_setting), self._set_chosen)

    async def _set_chosen(self, text: str | None) -> None:
        if text is not None:
            await self.control.set(text)

    # replay

    def replay_moved(self) -> None:
        """Draw the moment that the replay shows."""
        self._draw()

    def replay_changed(self) -> None:
        """Draw how the replay goes."""
        self._draw_bar()

    @on(TimeBar.Scrubbed)
    def _scrubbed(self, message: TimeBar.Scrubbed) -> None:
        self.replay.go_to(message.position)

    def action_toggle_play(self) -> None:
        """Start the replay, at the first curve where the newest is shown; or pause it."""
        self.replay.toggle()

    def action_step(self, step: int) -> None:
        """Go one curve back or forward."""
        self.replay.step(step)

    def action_speed(self, step: int) -> None:
        """Replay faster or slower."""
        self.replay.change_speed(step)

    def action_live(self) -> None:
        """Show the newest state."""
        self.replay.go_to(None)

    # what is shown

    def action_next_scalar(self) -> None:
        """Show the next quantity over time, of all layers in the heat map's tab."""
        if self.tab == "times":
            self.layers_view.next_quantity(self.whole.state)
            self._draw_layers()
            return
        self._go_on(1)

    def action_previous_scalar(self) -> None:
        """Show the quantity over time before this one."""
        self._go_on(-1)

    def _go_on(self, step: int) -> None:
        self.scalars.go_on(step)
        self._draw()

    def show_scalar(self, group: str) -> None:
        """Show a group of scalars over time."""
        self.scalars.choose(group)
        self._draw()

    def action_find_scalar(self) -> None:
        """Ask for a part of a quantity's name, and show the next one that holds it."""

        def chosen(text: str | None) -> None:
            if text is not None:
                self.show_scalar(self.scalars.find(text))

        count = len(self.scalars.groups())
        about = f"A part of the name of one of {count} quantities; the same again finds the next one."
        self.app.push_screen(PromptScreen("Find", about, check=self.scalars.find), chosen)

    def action_next_measure(self) -> None:
        """Show the next measure of separation that the run holds; linear probes have no loads over time."""
        known = [name for name in measures_of(self.whole.state) if self.tab != "times" or name != PROBES]
        if self.kind != "chain" and known:
            self.measure = next_of(known, self.measure)
            self.last_session.measure = self.measure
            self._shape()
            self._draw()

    def action_next_tower(self) -> None:
        """Show the next tower of a model that has several."""
        self.layers_view.next_tower(self.whole.state)
        self._shape()
        self._draw()

    @on(Table.Moved, "#layers")
    def _layer_pointed_at(self, message: Table.Moved) -> None:
        if self.layers_view.pointed_at(message.table.current):
            self._shape()
        self._draw_layers()

    @on(LayerMap.Selected)
    def _layer_selected(self, message: LayerMap.Selected) -> None:
        self.layers_view.select(message.layer)
        self.layers_view.draw_selected(self.kind)

    def action_toggle_ruler(self) -> None:
        """Draw the chain as blocks and springs, or as a folding ruler."""
        view = self.query_one(ChainView)
        view.border_title = "Folding ruler" if view.toggle_ruler() else "Blocks and springs"

    def action_next_group(self, step: int) -> None:
        """Show the next tab, or the one before."""
        self.query_one(WatchTabs).go(step)

    @on(Tabs.TabActivated, "#tabs")
    def _tab_activated(self, event: Tabs.TabActivated) -> None:
        for group in GROUPS:
            self.set_class(event.tab.id == group, f"-{group}")
        self.tab = event.tab.id or "curve"
        self.refresh_bindings()
        self._drawn_version = -1
        self.call_after_refresh(self._focus_tab)

    def _focus_tab(self) -> None:
        """Give the keys to what the tab shows: layers, their heat map, a log's plot, or the bar of time."""
        of_log = {"history": "#history", "curve": "#history", "log": "#console"} if self.of_log else {}
        at = {"layers": "#layers-tab Table", "times": "#times-tab LayerMap", **of_log}.get(self.tab, "#time")
        self.query_one(at).focus()
        self._draw_layers()

    def _fit(self, columns: int, rows: int) -> None:
        """Set the classes for this size; called before the first frame, which would flicker otherwise."""
        self.set_class(size.is_small(columns, rows), "-small")
        self.set_class(not size.is_wide(columns, rows), "-tabbed")
        self.set_class(rows < size.WIDE[1], "-low")

    def on_resize(self, event: events.Resize) -> None:
        columns, rows = event.size
        self._fit(columns, rows)
        if self.focused is None and not self.has_class("-small"):  # lost while nothing was shown
            self.call_after_refresh(self._focus_tab)
        self.query_one(WatchTabs).fit(wide=not self.has_class("-tabbed"), scalars_alone=self.of_log)
        self.query_one("#too-small", Static).update(size.too_small("Watching", columns, rows))
        self._drawn_version = -1

    def commands(self) -> Iterable[SystemCommand]:
        """The command palette's entries of this screen."""
        yield SystemCommand("Replay", "Play the run from here, or pause", self.action_toggle_play)
        yield SystemCommand("Go to the end", "The run as it is now", self.action_live)
        for group, names in self.scalars.listed():
            yield SystemCommand(f"Show {names}", "Over time", partial(self.show_scalar, group))
        if self.of_log:
            return
        yield SystemCommand("Pause or resume the run", f"Its {process_of(self.kind)}", self.action_toggle_pause)
        yield SystemCommand("Stop the run", "What it wrote is kept", self.action_stop)
        yield SystemCommand("Set", "Change a setting while it runs", self.action_set)
