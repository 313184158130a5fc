"""Pictures as fast as the terminal takes them: the pace by a clock of the test's own, and a real slow link."""

from __future__ import annotations

import math
import os
import select
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.real_terminal import Terminal, stop_workers

from springtui.terminal.pacing import MOST_ASKED, NO_ANSWER, QUEUED, STALLED, URGENT, URGENT_BYTES, FramePacer


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def draw(pace: FramePacer, size: int = 500) -> bool:
    pace.wrote(size)
    return pace.ask()


def test_a_quick_terminal_is_asked_after_every_picture_and_never_waited_for(clock: Clock) -> None:
    pace = FramePacer(60, clock)
    for _ in range(50):
        clock.now += 0.02
        assert pace.ready()
        assert draw(pace)
        clock.now += 0.002
        pace.answered()
    assert pace.left_out == 0
    assert not draw(pace, 0)  # nothing was drawn, nothing is asked


def test_a_slow_terminal_gets_a_picture_once_it_has_drawn_the_last(clock: Clock) -> None:
    """8 kB/s and 0.3 s: what waits in queues stays below one picture."""
    pace, link, free_at, on_way = FramePacer(60, clock), 8000.0, 0.0, deque[float]()
    pace.answered()
    longest, drawn = 0.0, 0
    for _ in range(2000):
        clock.now += 0.01
        while on_way and on_way[0] <= clock.now:
            on_way.popleft()
            pace.answered()
        if pace.ready():
            draw(pace, 1500)
            free_at = max(free_at, clock.now) + 1500 / link
            on_way.append(free_at + 0.3)
            drawn += 1
            if clock.now > 102:  # the first few find out
                longest = max(longest, free_at - clock.now)
    assert longest < 3 * 1500 / link
    assert drawn * 1500 / 20.0 > 0.3 * link  # and a good part of the link is used
    assert pace.left_out > 100


def test_a_long_way_alone_holds_nothing_up(clock: Clock) -> None:
    """Much room, 0.3 s of delay: several pictures are on their way at once."""
    pace, on_way, most = FramePacer(60, clock), deque[float](), 0
    for _ in range(1000):
        clock.now += 0.01
        while on_way and on_way[0] <= clock.now:
            on_way.popleft()
            pace.answered()
        if pace.ready():
            draw(pace)
            on_way.append(clock.now + 0.3)
            most = max(most, len(on_way))
    assert most >= 2


def test_a_key_goes_before_pictures_unless_much_is_on_its_way(clock: Clock) -> None:
    pace = FramePacer(1, clock)
    draw(pace)
    clock.now += 0.1
    pace.answered()
    draw(pace, URGENT_BYTES - 100)
    clock.now += 0.9
    assert not pace.ready()
    assert pace.is_behind()
    pace.pressed()
    assert pace.ready()
    pace.backlog = lambda: 2  # handed to the writing thread a moment ago
    assert pace.ready()
    draw(pace, 200)
    pace.pressed()
    assert not pace.ready()
    clock.now += URGENT + QUEUED
    assert not pace.ready()


def test_a_terminal_that_never_answers_is_left_in_peace(clock: Clock) -> None:
    pace = FramePacer(60, clock)
    for _ in range(3):
        assert draw(pace)
    clock.now += NO_ANSWER + 1
    assert not draw(pace)
    assert not draw(pace)
    assert pace.ready() is False  # drawn this very moment
    clock.now += 1
    assert pace.ready()
    pace.pressed()
    assert pace.ready()
    pace.backlog = lambda: 1  # it is judged by its writes
    assert not pace.ready()
    clock.now += URGENT + 1
    assert not pace.ready()
    pace.wait_drained(0)


def test_how_long_ago_a_key_was_pressed(clock: Clock) -> None:
    pace = FramePacer(60, clock)
    assert pace.seconds_since_key() == math.inf
    pace.pressed()
    clock.now += 0.25
    assert pace.seconds_since_key() == pytest.approx(0.25)


def test_lost_answers_do_not_stop_the_pictures_for_ever(clock: Clock) -> None:
    pace = FramePacer(60, clock)
    draw(pace)
    pace.answered()
    for _ in range(MOST_ASKED):
        draw(pace)
    clock.now += 1
    assert not pace.ready()
    clock.now += STALLED
    assert pace.ready()


class SlowTerminal(Terminal):
    """A link with a rate and a delay each way, between the pseudo-terminal and a terminal that answers."""

    def __init__(self, *, rate: float, delay: float, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.rate, self.delay = rate, delay
        self._allowed = time.monotonic()
        self._coming: deque[tuple[float, bytes]] = deque()
        self._going: deque[tuple[float, bytes]] = deque()

    def read(self, seconds: float) -> bytes:
        """Let the link work for a time; what arrived at the terminal."""
        end, arrived = time.monotonic() + seconds, b""
        while True:
            now = time.monotonic()
            room = int((now - self._allowed) * self.rate)
            if room >= 64 and (data := self._from_program(min(room, 800))):
                self._allowed = max(self._allowed + len(data) / self.rate, now - 0.1)
                self._coming.append((now + self.delay, data))
            while self._coming and self._coming[0][0] <= now:
                data = self._coming.popleft()[1]
                self.take(data)
                arrived += data
            while self._going and self._going[0][0] <= now:
                os.write(self._master, self._going.popleft()[1])
            if now >= end:
                return arrived
            time.sleep(0.005)

    def _from_program(self, most: int) -> bytes:
        if not select.select([self._master], [], [], 0)[0]:
            return b""
        try:
            return os.read(self._master, most)
        except OSError:
            return b""

    def _answer(self, data: str) -> None:
        self._going.append((time.monotonic() + self.delay, data.encode()))

    def press(self, keys: str) -> None:
        self._going.append((time.monotonic() + self.delay, keys.encode()))


@pytest.fixture
def slow(home: Path) -> Iterator[SlowTerminal]:
    with SlowTerminal(rate=8000.0, delay=0.15, columns=100, rows=30) as terminal:
        yield terminal
    stop_workers(home)


@pytest.mark.terminal
@pytest.mark.slow
def test_keys_are_answered_within_a_second_over_a_slow_link(slow: SlowTerminal) -> None:
    """300 ms there and back, 64 kbit/s, a live lab: DESIGN's slow link."""
    slow.wait_for(lambda text: "epoch" in text and "two hands" in text, 90)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        slow.read(0.1)
    taken = []
    for i in range(12):
        line = slider_line(slow)
        began = time.monotonic()
        slow.press("\x1b[D" if i % 2 else "\x1b[C")
        while slider_line(slow) == line:
            slow.read(0.01)
            assert time.monotonic() - began < 15, slow.text()
        taken.append(time.monotonic() - began)
        end = time.monotonic() + 0.4 + 0.05 * i
        while time.monotonic() < end:
            slow.read(0.02)
    assert sorted(taken)[-2] < 1.0, taken  # 0.31 to 0.36 s were measured; one may fall on a busy machine
    slow.press("q")
    slow.read(1)


def slider_line(terminal: Terminal) -> str:
    """The first slider's value."""
    line = next((line for line in terminal.screen.display if "Nonlinearity" in line), "")
    return line.split("Nonlinearity")[-1].split("│")[0].strip()[:6]


@pytest.mark.terminal
def test_a_live_lab_keeps_to_its_bytes(home: Path) -> None:
    """What one redraw costs at 100×30, counted in bytes and redraws, so that a loaded machine changes nothing."""
    with Terminal(columns=100, rows=30) as terminal:
        terminal.wait_for(lambda text: "epoch" in text and "two hands" in text, 60)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            terminal.read(0.05)
        before, began = len(terminal.raw), time.monotonic()
        end = began + 5
        while time.monotonic() < end:
            terminal.read(0.05)
        sent, seconds = len(terminal.raw) - before, time.monotonic() - began
        pictures = terminal.raw[before:].count(b"\x1b[6n")
        assert pictures > 0
        assert sent / seconds <= 20_000
        assert sent / pictures <= 2_500
        terminal.press("q")
    stop_workers(home)
