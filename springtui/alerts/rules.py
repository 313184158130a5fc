"""Rules that ring the terminal's bell or run a command when something happens to a run.

``Alerts.seen`` is called with the status and the newest scalars of a run whenever they are read, and returns the
alerts that fire. A rule fires once for a run, and again only after it has not held in between (a metric crossed
back, a crashed run was resumed). A rule that holds when a run is first seen does not fire: what happened before
the app was opened is no news. Of several apps over one home each shows the alert, but only one rings and starts
commands: see ``ledger``.

A command is started without waiting for it. It is a list of words, started as they are, or a text, handed to
``/bin/sh``. In both cases no text from a run's files becomes part of the command; it is in the environment
variables SPRINGTUI_RUN (the run's id), SPRINGTUI_EVENT (finished, crashed, diverged, …, warning or threshold),
SPRINGTUI_VALUE (the metric's value, or empty) and SPRINGTUI_TEXT (the alert in one sentence). In a shell write
"$SPRINGTUI_RUN", with the quotes.

``Alerts.warned`` is called with the warnings that a run's records hold. Each is new once; every app shows it, with
or without a rule, and a rule on ``warning`` fires for it.
"""

from __future__ import annotations

import math
import os
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from engine.runs.status import Status

from ..terminal.text import plain_text

LONGEST = 1000
"""Characters of a warning that an alert keeps."""
THRESHOLD = "threshold"
WARNING = "warning"
ENDED = tuple(status.value for status in Status if status.is_over and status is not Status.DAMAGED)
"""How a run can end, in a word."""
if TYPE_CHECKING:
    EventName = str
else:  # msgspec accepts these words alone; mypy cannot read a Literal that is made of a tuple
    EventName = Literal[(*ENDED, WARNING, THRESHOLD)]


class AlertRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule, as it stands in config.toml under ``[[alerts]]``."""

    on: Annotated[
        EventName,
        Meta(
            description="the event: how a run ended, warning for a warning among its records, or threshold for a "
            "metric that crosses a value"
        ),
    ]
    metric: Annotated[
        str, Meta(max_length=64, description="of a threshold: train_loss, test_accuracy, … as in a run's records")
    ] = ""
    above: Annotated[float | None, Meta(description="of a threshold: fires once the metric is above this")] = None
    below: Annotated[float | None, Meta(description="of a threshold: fires once the metric is below this")] = None
    bell: Annotated[bool, Meta(description="ring the terminal's bell")] = True
    command: Annotated[
        str | tuple[str, ...] | None,
        Meta(
            description="a command to start: a list of words, or a text for /bin/sh; "
            "SPRINGTUI_RUN, SPRINGTUI_EVENT, SPRINGTUI_VALUE and SPRINGTUI_TEXT are in its environment"
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.on == THRESHOLD:
            if not self.metric or (self.above is None) == (self.below is None):
                raise ValueError(
                    "on = 'threshold' needs metric and one of above and below; as metric = 'train_loss'"
                )
            if not math.isfinite(self._bound):
                raise ValueError(f"the threshold of {self.metric} must be a finite number")
        elif self.metric or self.above is not None or self.below is not None:
            raise ValueError(f"metric, above and below belong to on = 'threshold', not to {self.on!r}")
        if self.command is not None and not (self.command and self.command[0].strip()):
            raise ValueError("command is empty; leave it out, or write command = ['notify-send', 'springtui']")

    @property
    def _bound(self) -> float:
        bound = self.above if self.above is not None else self.below
        return math.nan if bound is None else bound

    def holds(self, state: str, values: Mapping[str, float | None]) -> bool | None:
        """Whether the rule's condition is met; None where the metric has no finite value."""
        if self.on != THRESHOLD:
            return state == self.on
        value = values.get(self.metric)
        if value is None or not math.isfinite(value):
            return None
        return value > self._bound if self.above is not None else value < self._bound


class Warned(NamedTuple):
    """A warning among a run's records."""

    seq: int
    """Number of the record."""
    time: float
    """Seconds since the epoch."""
    text: str


@dataclass(frozen=True)
class Alert:
    """A rule that fired for a run."""

    rule: AlertRule
    run: str
    event: str
    value: float | None = None
    heard: float = 0.0
    """Time of the newest record known when the rule fired, in seconds since the epoch."""
    clear: float = -math.inf
    """Time of the newest record known when the rule last did not hold for the run."""
    words: str = ""
    """The text of a warning."""

    @property
    def text(self) -> str:
        """The alert in one sentence."""
        if self.event == WARNING:
            return f"{self.run}: {self.words}"
        if self.event != THRESHOLD:
            return f"{self.run}: {self.event}"
        side = f"above {self.rule.above:g}" if self.rule.above is not None else f"below {self.rule.below:g}"
        return f"{self.run}: {self.rule.metric} is {self.value:.4g}, {side}"


@dataclass
class Alerts:
    """The rules, and by run whether each last held. Plain data: no widget, no file, no clock."""

    rules: tuple[AlertRule, ...] = ()
    _held: dict[tuple[str, int], bool] = field(default_factory=dict)
    """Whether a rule held for a run when last seen."""
    _clear: dict[tuple[str, int], float] = field(default_factory=dict)
    """Time of the newest record known when it last did not."""
    _heard: dict[str, float] = field(default_factory=dict)
    """By run, the time of its newest record; updates from a screen that has read less are ignored."""
    _warned: dict[str, int] = field(default_factory=dict)
    """By run, the number of the record of the newest warning that is known, -1 where there is none."""

    def seen(
        self,
        run: str,
        state: str,
        values: Mapping[str, float | None],
        *,
        heard: float = 0.0,
        new: bool = False,
    ) -> list[Alert]:
        """The alerts that fire now.

        Args:
            run: the run's id.
            state: its status.
            values: the newest scalars of its records.
            heard: time of its newest record, in seconds since the epoch.
            new: whether this app made the run, so that a rule may fire even when the run is first seen.
        """
        fired: list[Alert] = []
        if heard < self._heard.get(run, -math.inf):
            return fired
        self._heard[run] = heard
        for number, rule in enumerate(self.rules):
            if rule.on == WARNING:
                continue
            holds = rule.holds(state, values)
            if holds is None:
                continue
            before = self._held.get((run, number), not new)
            self._held[run, number] = holds
            if not holds:
                self._clear[run, number] = heard
            elif not before:
                value = values.get(rule.metric) if rule.metric else None
                clear = self._clear.get((run, number), -math.inf)
                fired.append(Alert(rule, run, rule.on, value, heard, clear))
        return fired

    def warned(
        self, run: str, warnings: Sequence[Warned], *, new: bool = False
    ) -> tuple[list[Warned], list[Alert]]:
        """The warnings that are new, and the alerts that fire for them.

        Those that a run held when it was first seen are no news, unless this app made the run: ``new``.
        """
        newest = max((warning.seq for warning in warnings), default=-1)
        known = self._warned.get(run, -1 if new else newest)
        self._warned[run] = max(known, newest)
        fresh = [warning for warning in warnings if warning.seq > known]
        rules = [rule for rule in self.rules if rule.on == WARNING]
        return fresh, [
            Alert(rule, run, WARNING, None, warning.time, warning.time, warning.text[:LONGEST])
            for warning in fresh
            for rule in rules
        ]

    def forget(self, run: str) -> None:
        """Drop what is known of a run that was deleted; should it come back, it is seen for the first time."""
        for key in [key for key in self._held if key[0] == run]:
            del self._held[key]
            self._clear.pop(key, None)
        self._heard.pop(run, None)
        self._warned.pop(run, None)


def deliver(alerts: Iterable[Alert], ring: Callable[[], object], complain: Callable[[str], object]) -> None:
    """Ring once if any rule asks for it, and start each command; never waits for one.

    Args:
        alerts: what fired.
        ring: rings the terminal's bell (an app's ``bell``).
        complain: called from another thread, with a sentence, where a command cannot be started or ends with
            another status than 0.
    """
    known = list(alerts)
    if any(alert.rule.bell for alert in known):
        ring()
    for alert in known:
        if alert.rule.command is not None:
            threading.Thread(target=_run_command, args=(alert, complain), name="alert", daemon=True).start()


def _run_command(alert: Alert, complain: Callable[[str], object]) -> None:
    command = alert.rule.command
    assert command is not None
    environment = {
        "SPRINGTUI_RUN": alert.run,
        "SPRINGTUI_EVENT": alert.event,
        "SPRINGTUI_VALUE": "" if alert.value is None else repr(alert.value),
        "SPRINGTUI_TEXT": plain_text(alert.text),
    }
    name = command if isinstance(command, str) else command[0]
    try:
        status = subprocess.run(
            command if isinstance(command, str) else list(command),
            shell=isinstance(command, str),
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            check=False,
        ).returncode
    except (OSError, ValueError) as error:
        complain(f"the alert's command {name!r} cannot be started: {error}")
        return
    if status:
        complain(f"the alert's command {name!r} ended with status {status}")
