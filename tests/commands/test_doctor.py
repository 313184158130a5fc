"""The doctor in front of terminals that answer well, badly, slowly and not at all."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from springtui.doctor import machine as doctor_machine
from springtui.doctor.machine import file_system_of, look_at_home
from springtui.doctor.terminal import tmux_number
from springtui.terminal.query import PATIENCE

ANSWERS = {
    b"\x1b[c": b"\x1b[?62;22c",
    b"\x1b[6n": b"\x1b[1;2R",
    b"\x1b[?2026$p": b"\x1b[?2026;2$y",
    b"\x1b[>0q": b"\x1bP>|fine(1.0)\x1b\\",
    b"\x1bP$qm\x1b\\": b"\x1bP1$r0;48:2::1:2:3m\x1b\\",
}


class Answering:
    """A terminal's far end: answers what it knows, as late and as slowly as the link lets it."""

    def __init__(self, answers: dict[bytes, bytes], *, late: float = 0.0, rate: float = 1e9) -> None:
        self.master, self.slave = pty.openpty()
        self.answers, self.late, self.rate = answers, late, rate
        self.seen = b""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)

    def _answer(self) -> None:
        rest = b""
        while not self._over.is_set():
            if not select.select([self.master], [], [], 0.05)[0]:
                continue
            try:
                data = os.read(self.master, 2048)
            except OSError:
                return
            self.seen += data
            time.sleep(len(data) / self.rate)
            rest += data
            found = [(rest.index(question), question) for question in self.answers if question in rest]
            for _, question in sorted(found):
                time.sleep(self.late)
                os.write(self.master, self.answers[question])
            rest = rest[-8:] if not found else b""

    def doctor(self, *arguments: str, **environment: str) -> dict[str, dict[str, Any]]:
        """The checks by name, from a doctor whose terminal this is."""
        self._thread.start()
        environ = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment}
        for name in ("TMUX", "STY", "COLORTERM", "NO_COLOR", "SSH_CONNECTION"):
            environ.pop(name, None) if name not in environment else None
        process = subprocess.Popen(
            [sys.executable, "-m", "springtui", "doctor", "--json", *arguments],
            stdin=self.slave, stdout=subprocess.PIPE, stderr=self.slave, env=environ, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        out, _ = process.communicate(timeout=90)
        self.echoing = bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)
        self._over.set()
        self._thread.join(10)
        os.close(self.slave)
        os.close(self.master)
        return {check["name"]: check for check in json.loads(out)["checks"]}


@pytest.mark.terminal
class TestTerminals:
    def test_one_that_can_all(self, home: Path) -> None:
        terminal = Answering(ANSWERS)
        checks = terminal.doctor()
        assert checks["frames"]["detail"] == "synchronised: each is shown whole, fine(1.0)"
        assert "16 million" in checks["colours"]["detail"]
        assert "COLORTERM=truecolor" in checks["colours"]["remedy"]
        assert checks["encoding"]["detail"] == "UTF-8, as the terminal reads it"
        assert "round trip" in checks["link"]["detail"]
        assert "KB/s" in checks["link"]["detail"]
        assert terminal.echoing

    def test_one_that_can_little(self, home: Path) -> None:
        little = {b"\x1b[c": b"\x1b[?6c", b"\x1b[6n": b"\x1b[1;4R", b"\x1b[?2026$p": b"\x1b[?2026;0$y"}
        checks = Answering(little).doctor()
        assert checks["frames"]["detail"] == "not synchronised"
        assert checks["encoding"]["state"] == "warn"
        assert "--ascii" in checks["encoding"]["remedy"]
        assert "16 million" not in checks["colours"]["detail"]

    def test_one_far_away(self, home: Path) -> None:
        """300 ms and 64 kbit/s: seen as such, and told what to do."""
        far = Answering(ANSWERS, late=0.3, rate=8000.0)
        checks = far.doctor(SSH_CONNECTION="10.0.0.1 1 10.0.0.2 22")
        link = checks["link"]
        assert link["state"] == "warn"
        assert link["detail"].startswith("over ssh")
        words = link["detail"].replace(",", "").split()
        assert float(words[words.index("trip") + 1]) >= 300
        assert 2 <= float(words[words.index("KB/s") - 1]) <= 12
        assert "ssh -C" in link["remedy"]
        assert "ssh -C" in checks["compression"]["remedy"]

    def test_one_that_is_silent(self, home: Path) -> None:
        silent = Answering({})
        checks = silent.doctor()
        assert f"no answer to a question within {PATIENCE:.0f} s" in checks["link"]["detail"]
        assert silent.echoing

    def test_an_old_console_is_asked_nothing_that_it_would_print(self, home: Path) -> None:
        console = Answering(ANSWERS)
        checks = console.doctor(TERM="linux")
        assert b"\x1bP" not in console.seen
        assert b"$p" not in console.seen
        assert "round trip" in checks["link"]["detail"]

    def test_the_size_is_the_terminals_though_the_output_is_piped(self, home: Path) -> None:
        terminal = Answering(ANSWERS)
        fcntl.ioctl(terminal.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        assert terminal.doctor(COLUMNS="110")["size"]["detail"] == "100 x 30"
        assert Answering(ANSWERS).doctor(COLUMNS="110")["size"]["detail"] == "the terminal tells none"

    def test_tmux_answers_for_itself(self, home: Path) -> None:
        checks = Answering(ANSWERS).doctor(TMUX="/tmp/none,1,0")
        assert "as far as tmux" in checks["link"]["detail"]
        assert "no synchronised output" in checks["tmux"]["detail"]
        assert "terminal-features" in checks["tmux colours"]["remedy"]


def test_through_pipes_there_is_no_terminal_whatever_size_is_announced(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "springtui", "doctor", "--json"], stdin=subprocess.DEVNULL, capture_output=True,
        env={**os.environ, "COLUMNS": "110"}, text=True, timeout=90, check=False,
    )  # fmt: skip
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert (checks["size"]["state"], checks["size"]["detail"]) == ("warn", "there is no terminal")
    assert "terminal" in checks["size"]["remedy"]


@pytest.mark.parametrize(("text", "number"), [("tmux 3.3a", (3, 3)), ("tmux next-3.6", (3, 6)), ("tmux", None)])
def test_tmux_number(text: str, number: tuple[int, int] | None) -> None:
    assert tmux_number(text) == number


def test_file_systems(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/a / ext4 rw 0 0\nserver:/x /home nfs4 rw 0 0\n/dev/b /home/my\\040disk xfs rw 0 0\nbroken\n"
    )
    where = {"/etc/x": "ext4", "/home/me/runs": "nfs4", "/home/my disk/y": "xfs", "/homes": "ext4"}
    assert {path: file_system_of(Path(path), mounts) for path in where} == where
    assert file_system_of(Path("/"), tmp_path / "none") == ""


def test_a_shared_file_system_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_machine, "file_system_of", lambda path: "nfs4")
    checks = {check.name: check for check in look_at_home(tmp_path)}
    assert checks["file system"].detail.startswith("nfs4, shared")


def test_extras_are_named_with_what_to_type(home: Path) -> None:
    code = (
        "import sys\nsys.modules.update({'matplotlib': None, 'dask': None})\n"
        "from springtui.cli import main\nsys.exit(main(['doctor', '--json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=90, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["[figures]"]["remedy"] == "pip install 'springtui[figures]'"
    assert checks["[serve]"]["detail"].startswith("installed")
    assert {"compiled", "vectors", "threads", "file system", "mnist", "preferences"} <= set(checks)


def test_what_is_asked_of_nvml_is_there() -> None:
    """The names are those of the real package; where a driver answers, its device is told of."""
    pynvml = pytest.importorskip("pynvml", reason="the extra gpu is not installed")
    for name in ("SystemGetCudaDriverVersion_v2", "DeviceGetHandleByIndex", "DeviceGetCount", "DeviceGetName"):
        assert hasattr(pynvml, f"nvml{name}")
    assert hasattr(pynvml, "nvmlDeviceGetMemoryInfo")
    (check,) = doctor_machine.accelerators()
    assert check.state == "ok"
    assert "GiB free, driver for CUDA" in check.detail or "none found" in check.detail or "MiB" in check.detail
