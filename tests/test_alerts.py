"""Rules that ring or run a command: what fires, once, and what a command is told."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from springtui.alerts import Alert, AlertRule, Alerts, deliver

OVER = AlertRule(on="finished")
LOW = AlertRule(on="threshold", metric="train_loss", below=0.1)


def fired(
    alerts: Alerts, *seen: tuple[str, dict[str, float | None]], run: str = "r", **how: bool
) -> list[list[str]]:
    return [[alert.event for alert in alerts.seen(run, state, values, **how)] for state, values in seen]


class TestRule:
    def test_as_written_in_a_file(self) -> None:
        found = msgspec.convert(
            [
                {"on": "crashed", "command": ["notify-send", "springtui"]},
                {"on": "threshold", "metric": "test_accuracy", "above": 0.9, "bell": False, "command": "echo hi"},
            ],
            list[AlertRule],
        )
        assert found[0].command == ("notify-send", "springtui")
        assert (found[1].above, found[1].bell, found[1].command) == (0.9, False, "echo hi")

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"on": "ended"}, "ended"),
            ({"on": "threshold"}, "needs metric"),
            ({"on": "threshold", "metric": "loss"}, "above and below"),
            ({"on": "threshold", "metric": "loss", "above": 1.0, "below": 0.0}, "above and below"),
            ({"on": "threshold", "metric": "loss", "above": math.inf}, "finite"),
            ({"on": "finished", "metric": "loss"}, "belong to"),
            ({"on": "finished", "command": " "}, "empty"),
            ({"on": "finished", "command": []}, "empty"),
            ({"on": "finished", "sound": True}, "sound"),
        ],
    )
    def test_refused(self, wrong: dict[str, Any], words: str) -> None:
        with pytest.raises(msgspec.ValidationError, match=words):
            msgspec.convert(wrong, AlertRule)


class TestFires:
    def test_once_when_it_comes_to_it(self) -> None:
        told = fired(Alerts((OVER,)), ("running", {}), ("finished", {}), ("finished", {}))
        assert told == [[], ["finished"], []]

    def test_nothing_of_what_was_so_before(self) -> None:
        assert fired(Alerts((OVER, LOW)), ("finished", {"train_loss": 0.01})) == [[]]

    def test_at_first_sight_of_a_run_made_meanwhile(self) -> None:
        assert fired(Alerts((OVER,)), ("finished", {}), ("finished", {}), new=True) == [["finished"], []]

    def test_again_after_it_was_over(self) -> None:
        alerts = Alerts((AlertRule(on="crashed"),))
        told = fired(alerts, ("running", {}), ("crashed", {}), ("running", {}), ("crashed", {}))
        assert told == [[], ["crashed"], [], ["crashed"]]

    def test_a_threshold_when_it_is_crossed(self) -> None:
        values: list[float | None] = [0.5, None, math.nan, 0.09, 0.08, 0.2, 0.1, 0.01]
        told = fired(Alerts((LOW,)), *(("running", {"train_loss": value}) for value in values), ("running", {}))
        assert [bool(events) for events in told] == [False, False, False, True, False, False, False, True, False]

    def test_runs_and_rules_are_told_apart(self) -> None:
        high = AlertRule(on="threshold", metric="test_accuracy", above=0.9)
        alerts = Alerts((LOW, high, OVER))
        assert fired(alerts, ("running", {"train_loss": 1.0, "test_accuracy": 0.1}), run="a") == [[]]
        assert fired(alerts, ("running", {"train_loss": 1.0, "test_accuracy": 0.1}), run="b") == [[]]
        (first, second) = alerts.seen("a", "finished", {"train_loss": 1.0, "test_accuracy": 0.95})
        assert (first.rule, first.value, first.text) == (high, 0.95, "a: test_accuracy is 0.95, above 0.9")
        assert (second.rule, second.text) == (OVER, "a: finished")
        assert fired(alerts, ("running", {"train_loss": 0.0}), run="b") == [["threshold"]]
        alerts.forget("b")
        assert fired(alerts, ("running", {"train_loss": 0.0}), run="b") == [[]]


class TestDelivery:
    def deliver(self, *alerts: Alert) -> tuple[list[str], list[str]]:
        rung: list[str] = []
        complaints: list[str] = []
        deliver(alerts, lambda: rung.append("bell"), complaints.append)
        return rung, complaints

    def until(self, true: Any) -> None:
        end = time.monotonic() + 30
        while not true():
            assert time.monotonic() < end
            time.sleep(0.01)

    def test_one_bell_for_all(self) -> None:
        assert self.deliver(Alert(OVER, "a", "finished"), Alert(OVER, "b", "finished")) == (["bell"], [])
        assert self.deliver(Alert(AlertRule(on="finished", bell=False), "a", "finished")) == ([], [])

    @pytest.mark.parametrize("form", ["words", "shell"])
    def test_a_command_is_told_in_its_environment(self, form: str, tmp_path: Path) -> None:
        """And nothing of it is ever part of a shell's text: this run's name would run a command there."""
        out, hostile = tmp_path / "out", f"$(touch {tmp_path / 'owned'}); touch {tmp_path / 'owned'} #"
        script = "import os, sys; open(sys.argv[1], 'w').write(os.environ['SPRINGTUI_RUN'] + '|' "
        script += "+ os.environ['SPRINGTUI_EVENT'] + '|' + os.environ['SPRINGTUI_VALUE'])"
        shell = f'printf \'%s|%s|%s\' "$SPRINGTUI_RUN" "$SPRINGTUI_EVENT" "$SPRINGTUI_VALUE" > \'{out}\''
        command: Any = (sys.executable, "-c", script, str(out)) if form == "words" else shell
        rule = AlertRule(on="threshold", metric="x", above=0.5, command=command)
        _, complaints = self.deliver(Alert(rule, hostile, "threshold", 0.75))
        self.until(lambda: out.exists() and out.read_text().count("|") == 2 and out.read_text().endswith("5"))
        assert out.read_text() == f"{hostile}|threshold|0.75"
        assert not (tmp_path / "owned").exists()
        assert complaints == []

    @pytest.mark.parametrize(
        ("command", "words"), [(("/nonexistent/command",), "cannot be started"), ("exit 3", "status 3")]
    )
    def test_one_that_fails_is_told(self, command: Any, words: str) -> None:
        _, complaints = self.deliver(Alert(AlertRule(on="finished", command=command), "r", "finished"))
        self.until(lambda: complaints)
        assert words in complaints[0]
