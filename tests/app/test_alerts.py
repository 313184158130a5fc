"""Rules that ring or run a command: what fires, once, and what a command is told."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from springtui.alerts.ledger import MOST, AlertLedger
from springtui.alerts.rules import Alert, AlertRule, Alerts, Warned, deliver

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


class TestWarnings:
    RULE = AlertRule(on="warning")

    def of(self, *seqs: int) -> list[Warned]:
        return [Warned(seq, float(seq), f"number {seq}") for seq in seqs]

    def test_each_is_new_once(self) -> None:
        alerts = Alerts((self.RULE, OVER))
        assert alerts.warned("r", self.of(1, 2)) == ([], [])  # before the app was opened
        fresh, fired_ = alerts.warned("r", self.of(2, 5, 7))
        assert fresh == self.of(5, 7)
        assert [(alert.event, alert.text) for alert in fired_] == [
            ("warning", "r: number 5"), ("warning", "r: number 7"),
        ]  # fmt: skip
        assert alerts.warned("r", self.of(5, 7)) == ([], [])
        assert alerts.warned("r", []) == ([], [])  # a screen that has read less
        assert alerts.warned("other", self.of(3)) == ([], [])

    def test_all_of_a_run_made_meanwhile_and_none_after_it_was_deleted(self) -> None:
        alerts = Alerts((self.RULE,))
        assert len(alerts.warned("r", self.of(1, 2), new=True)[1]) == 2
        alerts.forget("r")
        assert alerts.warned("r", self.of(1, 2, 3)) == ([], [])

    def test_the_first_of_a_run_that_had_none(self) -> None:
        alerts = Alerts()
        assert alerts.warned("r", []) == ([], [])
        assert alerts.warned("r", self.of(4)) == (self.of(4), [])  # shown without a rule

    def test_a_rule_on_warnings_is_of_no_state(self) -> None:
        alerts = Alerts((self.RULE,))
        assert fired(alerts, ("running", {}), ("finished", {}), ("warning", {})) == [[], [], []]
        with pytest.raises(msgspec.ValidationError, match="belong to"):
            msgspec.convert({"on": "warning", "metric": "loss"}, AlertRule)

    def test_of_several_apps_one_rings_for_each(self, tmp_path: Path) -> None:
        apps = [(Alerts((self.RULE,)), AlertLedger(tmp_path)) for _ in range(2)]
        for alerts, _ in apps:
            alerts.warned("r", [])
        rung = [len(ledger.claim(alerts.warned("r", self.of(3))[1])) for alerts, ledger in apps]
        assert rung == [1, 0]
        rung = [len(ledger.claim(alerts.warned("r", self.of(3, 9))[1])) for alerts, ledger in reversed(apps)]
        assert rung == [1, 0]

    def test_a_command_has_the_text_in_its_environment(self, tmp_path: Path) -> None:
        out = tmp_path / "out"
        script = "import os, sys; open(sys.argv[1], 'w').write(os.environ['SPRINGTUI_TEXT'])"
        rule = AlertRule(on="warning", command=(sys.executable, "-c", script, str(out)), bell=False)
        alert = Alert(rule, "r", "warning", words="a layer\0 $(collapsed)")
        deliver([alert], lambda: None, lambda text: pytest.fail(text))
        end = time.monotonic() + 30
        while not (out.exists() and out.read_text()):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert out.read_text() == "r: a layer\N{REPLACEMENT CHARACTER} $(collapsed)"


class TestAlertLedger:
    """Two apps over one home tell the same event apart from the next one, whichever of them looks more often."""

    def app(self, home: Path, rule: AlertRule = OVER) -> Callable[..., int]:
        alerts, ledger = Alerts((rule,)), AlertLedger(home)

        def sees(state: str, heard: float, **values: float) -> int:
            return len(ledger.claim(alerts.seen("r", state, values, heard=heard)))

        return sees

    def test_an_event_once_and_the_next_again(self, tmp_path: Path) -> None:
        one, other, again = (self.app(tmp_path) for _ in range(3))
        for sees in (one, other):
            assert sees("running", 1.0) == 0
        assert (one("finished", 2.0), other("finished", 2.0)) == (1, 0)
        assert one("running", 3.0) == 0  # the other has not looked
        assert other("finished", 2.0) == 0
        assert again("running", 3.0) == 0  # opened only now
        assert (again("finished", 4.0), one("finished", 4.0), other("finished", 4.0)) == (1, 0, 0)

    def test_a_threshold_seen_at_other_moments(self, tmp_path: Path) -> None:
        often, seldom = (self.app(tmp_path, LOW) for _ in range(2))
        told = [often("running", at, train_loss=loss) for at, loss in ((1, 1.0), (2, 0.05), (3, 1.0), (4, 0.05))]
        assert told == [0, 1, 0, 1]
        told = [
            seldom("running", at, train_loss=loss) for at, loss in ((1.5, 1.0), (4.5, 0.05), (5, 1.0), (6, 0.0))
        ]
        assert told == [0, 0, 0, 1]
        assert [often("running", at, train_loss=loss) for at, loss in ((5, 1.0), (6, 0.0))] == [0, 0]

    def test_a_crash_leaves_no_record_of_its_own(self, tmp_path: Path) -> None:
        one, other = (self.app(tmp_path, AlertRule(on="crashed")) for _ in range(2))
        for sees in (one, other):
            sees("running", 1.0)
        assert (one("crashed", 1.0), other("crashed", 1.0)) == (1, 0)
        for sees in (one, other):
            sees("running", 2.0)
        assert (other("crashed", 2.0), one("crashed", 2.0)) == (1, 0)

    def test_at_the_same_moment(self, tmp_path: Path) -> None:
        alert, begin, mine = Alert(OVER, "r", "finished", heard=2.0, clear=1.0), threading.Barrier(12), []

        def claim() -> None:
            begin.wait(30)
            mine.extend(AlertLedger(tmp_path).claim([alert]))

        threads = [threading.Thread(target=claim) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mine == [alert]

    def test_bounded(self, tmp_path: Path) -> None:
        ledger = AlertLedger(tmp_path)
        alerts = [Alert(OVER, f"run {i}", "finished", heard=float(i)) for i in range(MOST + 50)]
        assert ledger.claim(alerts) == alerts
        assert len(msgspec.json.decode((tmp_path / "alerts.json").read_bytes())) == MOST
        assert ledger.claim(alerts[50:]) == []

    def test_what_cannot_be_used_rings_all_the_same(self, tmp_path: Path) -> None:
        alert = Alert(OVER, "r", "finished")
        (tmp_path / "alerts.json").write_text('{"r ')  # by a power cut
        assert AlertLedger(tmp_path).claim([alert]) == [alert]
        assert AlertLedger(tmp_path).claim([alert]) == []
        assert AlertLedger(tmp_path / "nowhere").claim([alert]) == [alert]

    def test_who_was_killed_while_it_claimed_keeps_nobody_from_it(self, tmp_path: Path) -> None:
        hold = "import sys, time, engine.runs.lock as l, pathlib\nlock = l.Lock(pathlib.Path(sys.argv[1]))\n"
        hold += "lock.acquire()\nprint('held', flush=True)\ntime.sleep(600)"
        words = [sys.executable, "-c", hold, str(tmp_path / "alerts.lock")]
        with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            holder.kill()
        alert = Alert(OVER, "r", "finished")
        assert AlertLedger(tmp_path).claim([alert]) == [alert]
        assert AlertLedger(tmp_path).claim([alert]) == []


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
