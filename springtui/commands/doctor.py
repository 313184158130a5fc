"""``springtui doctor``: checks of this terminal, machine and installation."""

from __future__ import annotations

from collections import Counter

import click

from .options import json_option
from .output import print_json, print_line
from .session import Session, common, examples

_SIGNS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@click.command(
    short_help="See what this terminal and machine can do.",
    epilog=examples("springtui doctor", "springtui doctor --json | jq '.checks[] | select(.state!=\"ok\")'"),
)
@json_option
@common
@click.pass_obj
def doctor(session: Session, as_json: bool) -> int:
    """Look at this terminal, machine and installation, and say what to do about each shortcoming.

    On a terminal it sends the terminal a few questions, and measures how long answers take and how fast bytes
    pass. Inside tmux or screen, tmux or screen answers. The exit status is 1 where a check fails. With --json:
    state, and checks, each with name, state, detail, remedy.
    """
    from ..doctor.doctor import examine

    checks = examine(session.look_home())
    counts = Counter(check.state for check in checks)
    worst = next(state for state in ("fail", "warn", "ok") if counts[state] or state == "ok")
    if as_json:
        print_json({"state": worst, "checks": [check._asdict() for check in checks]})
    else:
        for check in checks:
            print_line(f"{_SIGNS[check.state]}  {check.name:14}  {check.detail}")
            if check.remedy:
                print_line(f"{'':22}{check.remedy}")
        print_line(f"{counts['ok']} ok, {counts['warn']} to mind, {counts['fail']} failed")
    return 1 if worst == "fail" else 0
