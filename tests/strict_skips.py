"""Skips that are no failure: ``expected_skips.txt`` lists them with their reasons.

With ``--strict-skips``, or where ``CI`` is set, any other skip fails its test; elsewhere it is told at the end.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

LIST = Path("tests") / "expected_skips.txt"
NO = {"", "0", "false", "no", "off"}


class Expected(NamedTuple):
    """A line of the list; ``*`` stands for anything in both."""

    test: str
    reason: str

    def allows(self, test: str, reason: str) -> bool:
        return _like(self.test, plain_id(test)) and _like(self.reason, reason)


def _like(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def plain_id(test: str) -> str:
    """``folder/test_file.py::test_name[parameters]`` without its folder and parameters: neither matters here."""
    file, *names = test.partition("[")[0].split("::")
    return "::".join((file.rpartition("/")[2], *names))


def read_list(file: Path) -> list[Expected]:
    """Lines of ``test | reason``; what stands behind ``#`` at a line's beginning, and empty lines, say nothing.

    Raises:
        ValueError: a line is neither.
    """
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        test, bar, reason = (part.strip() for part in line.partition("|"))
        if not (test and bar and reason):
            raise ValueError(f"{file.name}:{number}: {line!r} is not of the form: test | reason")
        found.append(Expected(test, reason))
    return found


class Skips:
    """A plugin, in every process that runs tests and in the one that reports."""

    def __init__(self, expected: list[Expected], *, strict: bool) -> None:
        self.expected = expected
        self.strict = strict

    def unexpected(self, report: Any) -> str:
        """The reason of a skip that nobody listed, else nothing."""
        if not report.skipped or hasattr(report, "wasxfail"):
            return ""
        reason = (report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)).strip()
        reason = reason.removeprefix("Skipped: ")
        if any(each.allows(report.nodeid, reason) for each in self.expected):
            return ""
        return reason or "no reason given"

    def judge(self, report: Any) -> None:
        if self.strict and (reason := self.unexpected(report)):
            report.outcome = "failed"
            report.longrepr = f"skipped: {reason}\nand {LIST} does not list this skip"

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Generator[None, Any, Any]:
        report = yield
        self.judge(report)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self) -> Generator[None, Any, Any]:
        report = yield
        self.judge(report)
        return report

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        reports = terminalreporter.getreports("skipped")
        if told := Counter(filter(None, map(self.unexpected, reports))):
            terminalreporter.section("skipped here, and not in continuous integration")
            for reason, count in sorted(told.items()):
                terminalreporter.line(f"{count} x {reason}")
            terminalreporter.line(
                "The README tells, under Tests, what to install; --strict-skips makes these failures."
            )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--strict-skips", action="store_true", help=f"fail what skips and is not listed in {LIST}")


def pytest_configure(config: pytest.Config) -> None:
    strict = config.getoption("strict_skips") or os.environ.get("CI", "").lower() not in NO
    config.pluginmanager.register(Skips(read_list(config.rootpath / LIST), strict=strict))
