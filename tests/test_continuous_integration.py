"""What a run of the tests comes to: skips that nobody expected fail, and the sum of its parts loses no failure."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import strict_skips
from strict_skips import Expected, plain_id, read_list
from tally import closing, main

HERE = Path(strict_skips.__file__).parent
EXAMPLE = """
import pytest

def test_passes():
    pass

@pytest.mark.parametrize("what", ["image"])
def test_listed(what):
    pytest.skip(f"no {what} is here")

@pytest.mark.skipif(True, reason="no image is here")
def test_listed_by_mark():
    pass

@pytest.mark.xfail(strict=True)
def test_known_to_fail():
    assert False
"""
UNLISTED = """
def test_of_another_reason():
    pytest.skip("no shell is here")

@pytest.mark.skip(reason="no image is here")
def test_unlisted():
    pass

class TestWithFixture:
    @pytest.fixture
    def shell(self):
        pytest.skip("no shell is here")

    def test_unlisted(self, shell):
        pass
"""
LIST = """
# images
test_example.py::test_listed* | no * is here
test_example.py::test_of_another_reason | no image is here
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Some tests with a list of skips."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "tests" / "deep").mkdir(parents=True)
    (tmp_path / "tests" / "conftest.py").write_text("pytest_plugins = ['strict_skips', 'tally']\n")
    (tmp_path / "tests" / "expected_skips.txt").write_text(LIST)
    (tmp_path / "tests" / "deep" / "test_example.py").write_text(EXAMPLE)
    return tmp_path


def run(project: Path, *arguments: str, ci: str = "") -> tuple[int, str, dict[str, int]]:
    """Exit status, what was said and what was counted; several runs of a test add to one file."""
    file = project / "tally"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "xdist.plugin", f"--tally={file}", *arguments],
        cwd=project, env={**os.environ, "CI": ci, "PYTHONPATH": str(HERE), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    counts = json.loads(file.read_text().splitlines()[-1])["counts"]
    return done.returncode, done.stdout + done.stderr, {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize("processes", ["0", "2"])
def test_listed_skips_pass_and_others_fail_where_it_is_strict(project: Path, processes: str) -> None:
    good = {"passed": 1, "skipped": 2, "xfailed": 1}
    status, said, counts = run(project, "-n", processes, "--strict-skips")
    assert (status, counts) == (0, good), said
    (project / "tests" / "deep" / "test_example.py").write_text(EXAMPLE + UNLISTED)
    status, said, counts = run(project, "-n", processes, ci="true")
    assert (status, counts) == (1, {**good, "failed": 1, "error": 2}), said
    assert "skipped: no shell is here" in said
    assert "does not list this skip" in said


def test_elsewhere_unexpected_skips_are_told(project: Path) -> None:
    (project / "tests" / "deep" / "test_example.py").write_text(EXAMPLE + UNLISTED)
    status, said, counts = run(project, ci="false")
    assert (status, counts) == (0, {"passed": 1, "skipped": 5, "xfailed": 1}), said
    assert "2 x no shell is here" in said
    assert "1 x no image is here" in said


def test_a_module_that_skips_itself(project: Path) -> None:
    (project / "tests" / "test_module.py").write_text("import pytest; pytest.importorskip('nothing_of_this_name')")
    assert run(project)[0] == 0
    for processes in ("0", "2"):
        status, said, _ = run(project, "-n", processes, "--strict-skips")
        assert status in {1, 2}
        assert "nothing_of_this_name" in said


def test_a_line_of_the_list() -> None:
    assert plain_id("tests/a/test_b.py::TestC::test_d[x-[y]::z]") == "test_b.py::TestC::test_d"
    one = Expected("test_b.py::TestC::*", "nothing [can] be mounted: *")
    assert one.allows("tests/test_b.py::TestC::test_d[1]", "nothing [can] be mounted: no\nright")
    assert not one.allows("tests/test_b.py::test_d", "nothing [can] be mounted: no right")
    assert not one.allows("tests/test_b.py::TestC::test_d", "something else")


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("\n# a comment\ntest_a.py::test_b\n")
    with pytest.raises(ValueError, match=r"list:3: 'test_a\.py::test_b'"):
        read_list(tmp_path / "list")


def test_what_the_list_names_is_there(pytestconfig: pytest.Config) -> None:
    tests = pytestconfig.rootpath / "tests"
    for expected in read_list(tests / "expected_skips.txt"):
        file, *names = expected.test.split("::")
        (found,) = tests.rglob(file)
        text = found.read_text(encoding="utf-8")
        assert all(name == "*" or re.search(rf"(class|def) {name}\b", text) for name in names), expected
        assert expected.reason.rstrip("* ").split(":")[0] in text, expected


def part(status: int = 0, seconds: float = 1.0, **counts: int) -> dict[str, Any]:
    every = dict.fromkeys(("failed", "passed", "skipped", "xfailed", "xpassed", "error"), 0)
    return {"counts": every | counts, "seconds": seconds, "exit_status": status}


@pytest.mark.parametrize(
    ("parts", "line", "well"),
    [
        (
            [part(passed=3, skipped=1, seconds=1.5), part(passed=2, skipped=1)],
            "5 passed, 2 skipped in 2.50s",
            True,
        ),
        ([part(1, passed=3, failed=1), part(passed=2)], "1 failed, 5 passed in 2.00s", False),
        ([part(1, passed=3, error=1), part(1, passed=2, error=1)], "5 passed, 2 errors in 2.00s", False),
        ([part(passed=3)], "3 passed, 1 error in 1.00s", False),
        ([part(passed=3), part(5)], "3 passed, 1 error in 2.00s", False),
        ([part(passed=3), part(passed=0, skipped=4)], "3 passed, 4 skipped, 1 error in 2.00s", False),
        ([part(passed=3), part(2, passed=1)], "4 passed, 1 error in 2.00s", False),
        ([], "2 errors in 0.00s", False),
    ],
    ids=["well", "failed", "errors", "missing", "nothing", "all-skipped", "broken-off", "none"],
)
def test_parts_are_summed(parts: list[dict[str, Any]], line: str, well: bool) -> None:
    assert closing(parts, 2) == (line, well)


def test_a_part_that_died_while_it_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tally"
    file.write_text(json.dumps(part(passed=3)) + "\n" + '{"counts": {"pas')
    assert main(str(file), "2") == 1
    assert capsys.readouterr().out == "3 passed, 1 error in 1.00s\n"
    assert main(str(tmp_path / "absent"), "2") == 1
