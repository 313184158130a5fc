"""Upright axes that grow at once and shrink only after some seconds of need; time is the test's own."""

from __future__ import annotations

import math

import pytest
from textual.app import App, ComposeResult

from springtui.state.pictures import Series
from springtui.widgets.curves_plot import CurvesPlot
from springtui.widgets.held_axis import HOLD_SECONDS, HeldAxis
from springtui.widgets.plot import Plot
from springtui.widgets.ticks import Axis


def tight(low: float, high: float) -> Axis:
    """An axis that ends at multiples of 1, as a real one ends at fractions of its labels' step."""
    return Axis(math.floor(low), math.ceil(high), [])


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_grows_at_once_and_shrinks_after_seconds_of_need() -> None:
    clock = Clock()
    held = HeldAxis(clock)
    assert held.over(-5.0, 0.0, "a", tight)[:2] == (-5, 0)
    assert held.over(-8.0, 2.0, "a", tight)[:2] == (-8, 2)
    assert held.over(-5.0, 0.0, "a", tight)[:2] == (-8, 2)
    clock.now += 0.99 * HOLD_SECONDS
    assert not held.is_due
    assert held.over(-5.0, 0.0, "a", tight)[:2] == (-8, 2)
    clock.now += 0.02 * HOLD_SECONDS
    assert held.is_due
    assert held.over(-5.0, 0.0, "a", tight)[:2] == (-5, 0)
    assert not held.is_due


def test_a_range_that_is_needed_now_and_then_stays() -> None:
    """The newcomer's plot jumped between -8 … 2 and -5 … 0 from frame to frame."""
    clock = Clock()
    held = HeldAxis(clock)
    held.over(-8.0, 2.0, "a", tight)
    for _ in range(50):
        clock.now += 0.3 * HOLD_SECONDS
        assert held.over(-5.0, 0.0, "a", tight)[:2] == (-8, 2)
        clock.now += 0.3 * HOLD_SECONDS
        assert held.over(-8.0, 2.0, "a", tight)[:2] == (-8, 2)


def test_it_shrinks_to_all_that_was_shown_while_it_waited() -> None:
    clock = Clock()
    held = HeldAxis(clock)
    held.over(-20.0, 20.0, "a", tight)
    held.over(-5.0, 0.0, "a", tight)
    held.over(0.0, 3.0, "a", tight)
    clock.now += HOLD_SECONDS
    assert held.over(0.0, 1.0, "a", tight)[:2] == (-5, 3)


def test_one_end_grows_while_the_other_stays() -> None:
    held = HeldAxis(Clock())
    held.over(-8.0, 2.0, "a", tight)
    assert held.over(-6.0, 5.0, "a", tight)[:2] == (-8, 5)


def test_data_that_nearly_fill_the_axis_need_no_other() -> None:
    clock = Clock()
    held = HeldAxis(clock)
    held.over(0.0, 10.0, "a", tight)
    held.over(0.0, 9.0, "a", tight)
    clock.now += 10 * HOLD_SECONDS
    assert not held.is_due
    assert held.over(0.0, 9.0, "a", tight)[:2] == (0, 10)


def test_something_else_has_an_axis_of_its_own_at_once() -> None:
    held = HeldAxis(Clock())
    held.over(-8.0, 2.0, ("run", "trace_ratio"), tight)
    assert held.over(0.0, 1.0, ("run", "linear_probes"), tight)[:2] == (0, 1)
    held.forget()
    assert held.over(0.0, 3.0, ("run", "linear_probes"), tight)[:2] == (0, 3)


class Plots(App[None]):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def compose(self) -> ComposeResult:
        yield Plot(id="plot", clock=self.clock)
        yield CurvesPlot(id="curves", clock=self.clock)


def line(low: float, high: float) -> list[Series]:
    return [Series([0.0, 1.0, 2.0], [low, high, low])]


def labels(plot: Plot) -> list[str]:
    """The numbers at the left of the plot's rows."""
    rows = ["".join(segment.text for segment in plot.render_line(y)) for y in range(plot.size.height)]
    return [row.split("┤")[0].strip() for row in rows if "┤" in row]


@pytest.mark.parametrize("name", ["plot", "curves"])
async def test_a_plot_holds_its_axis_while_it_shows_the_same(name: str) -> None:
    clock = Clock()
    app = Plots(clock)
    async with app.run_test(size=(60, 40)) as pilot:
        await pilot.pause()
        plot = app.query_one(f"#{name}", Plot)

        def show(low: float, high: float, about: object) -> list[str]:
            if isinstance(plot, CurvesPlot):
                plot.show_curves(line(low, high), about)
            else:
                plot.show(line(low, high), about)
            plot.redraw()
            return labels(plot)

        wide = show(-8.0, 2.0, "a")
        assert show(-5.0, 0.0, "a") == wide
        assert not plot.is_stale()
        clock.now += HOLD_SECONDS
        assert plot.is_stale()  # the owner draws it again though its data stay
        plot.redraw()
        small = labels(plot)
        assert small != wide
        assert not plot.is_stale()
        assert show(-8.0, 2.0, "a") == wide
        assert show(-5.0, 0.0, "b") == small  # another run, or another measure
        show(-8.0, 2.0, None)
        assert show(-5.0, 0.0, None) == small  # a plot that nobody watches changing
        if isinstance(plot, CurvesPlot):
            wide = show(0.0, 1000.0, "a")
            plot.action_toggle_log_y()
            plot.redraw()
            assert labels(plot) != wide
