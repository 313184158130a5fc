"""Recording a session, reading it back, and what a played recording may do to a terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyte
import pytest
from support.real_terminal import _UNKNOWN_TO_PYTE, SPRINGTUI, Terminal, stop_workers

from engine.errors import DataError, HomeError
from springtui.cli import main
from springtui.recording.cast import EscapeFilter, Recorder, played, read_cast


def test_a_session_is_recorded_and_shows_the_lab_again(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "talk.cast"
    with Terminal([*SPRINGTUI, "record", str(file)], columns=120, rows=40) as terminal:
        terminal.wait_for("Nonlinearity")
        terminal.resize(112, 36)
        terminal.wait_for(lambda text: "Detach" in text or "Help" in text)
        terminal.press("?")
        terminal.wait_for("Esc closes")
        terminal.press("\x1b")
        # a frame is written style by style: one text is gone before the next is there
        terminal.wait_for(lambda text: "Esc closes" not in text and "Nonlinearity" in text)
        last = terminal.text()
        terminal.press("d")
        assert terminal.wait_exit() == 0
        assert not terminal.modes_left_on()
        assert str(file) in terminal.text().replace("\n", "")
    stop_workers(home)
    assert file.read_bytes().isascii()
    header = json.loads(file.read_text().splitlines()[0])
    assert (header["version"], header["width"], header["height"]) == (2, 120, 40)
    cast = read_cast(file)
    assert [text for _, kind, text in cast.events if kind == "r"] == ["112x36"]
    times = [at for at, _, _ in cast.events]
    assert times == sorted(times)
    screen = replayed(cast.events, 120, 40)
    assert "Nonlinearity" in screen
    assert "Nonlinearity" in last


def replayed(events: list[tuple[float, str, str]], columns: int, rows: int) -> str:
    """The last whole screen before the program cleared it and left, as pyte draws it."""
    screen = pyte.Screen(columns, rows)
    stream = pyte.ByteStream(screen)
    shown = ""
    for _, kind, text in events:
        if kind == "r":
            wide, tall = map(int, text.split("x"))
            screen.resize(tall, wide)
            continue
        if "\x1b[?1049l" in text:
            break
        stream.feed(_UNKNOWN_TO_PYTE.sub(b"", text.encode()))
        if any(line.strip() for line in screen.display):
            shown = "\n".join(screen.display)
    return shown


def test_what_ends_the_recorded_program_ends_the_recorder(tmp_path: Path, home: Path) -> None:
    with Terminal([*SPRINGTUI, "record", str(tmp_path / "a.cast"), "--", "train", "--set", "lr=99"]) as terminal:
        assert terminal.wait_exit() == 2
        assert "<= 10" in terminal.text()


class TestRecorder:
    def recorder(self, file: Path, limit: int = 1 << 20) -> Recorder:
        return Recorder(file, 80, 24, title="a session", limit=limit)

    def test_bytes(self, tmp_path: Path) -> None:
        """A character cut in two comes whole; what is no UTF-8 is replaced; nothing but ASCII is in the file."""
        recorder = self.recorder(tmp_path / "a.cast")
        euro = "€".encode()
        for part in (b"a", euro[:1], euro[1:], b"\xff\x1b[2J\x9b\x7f"):
            recorder.output(part)
        recorder.resized(100, 30)
        recorder.close()
        raw = (tmp_path / "a.cast").read_bytes()
        assert not set(raw) - set(range(0x20, 0x7F)) - {0x0A}
        events = read_cast(tmp_path / "a.cast").events
        assert "".join(text for _, kind, text in events if kind == "o") == "a€�\x1b[2J�\x7f"
        assert events[-1][1:] == ("r", "100x30")

    def test_limit(self, tmp_path: Path) -> None:
        recorder = self.recorder(tmp_path / "a.cast", limit=2000)
        for _ in range(100):
            recorder.output(b"x" * 100)
        recorder.close()
        assert recorder.full
        assert recorder.events > 5
        assert (tmp_path / "a.cast").stat().st_size <= 2000
        assert len(read_cast(tmp_path / "a.cast").events) == recorder.events

    def test_never_over_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.cast").write_text("mine")
        with pytest.raises(HomeError, match=r"a\.cast is there already"):
            self.recorder(tmp_path / "a.cast")
        with pytest.raises(HomeError, match="cannot write"):
            self.recorder(tmp_path / "no" / "a.cast")


class TestReading:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "line 1"),
            ("hello\n", "line 1"),
            ('{"version": 1, "width": 80, "height": 24}\n', "version 2"),
            ('{"version": 2, "width": 0, "height": 24}\n', "width and height"),
            ('{"version": 2, "width": 80, "height": 24}\n[1, "o"]\n', "line 2"),
            ('{"version": 2, "width": 80, "height": 24}\n[NaN, "o", "x"]\n', "line 2"),
        ],
    )
    def test_damaged(self, text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "a.cast").write_text(text)
        with pytest.raises(DataError, match=words):
            read_cast(tmp_path / "a.cast")
        assert main(["play", str(tmp_path / "a.cast"), "--json"]) == 2
        assert words in capsys.readouterr().err

    def test_json(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        lines = [{"version": 2, "width": 80, "height": 24, "title": "t"}, [0.5, "o", "x"], [2, "r", "90x30"]]
        (tmp_path / "a.cast").write_text("\n".join(map(json.dumps, lines)))
        assert main(["play", str(tmp_path / "a.cast"), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["seconds"] == 2
        assert (told["width"], told["events"], told["sizes"], told["title"]) == (80, 2, ["90x30"], "t")


class TestPlaying:
    @pytest.mark.parametrize(
        ("text", "kept"),
        [
            ("plain €", "plain €"),
            ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
            ("\x1b[38;2;1;2;3m\x1b[4;5Hx\x1b[K", "\x1b[38;2;1;2;3m\x1b[4;5Hx\x1b[K"),
            ("\x1b[?1049h\x1b[?25l\x1b[?2026h", "\x1b[?1049h\x1b[?25l\x1b[?2026h"),
            ("\x1b[?1000h\x1b[?1003;1006h\x1b[?2004h", ""),
            ("\x1b[?25;1000h", "\x1b[?25h"),
            ("\x1b]0;owned\x07a\x1b]52;c;aGk=\x1b\\b", "ab"),
            ("\x1bP+q544e\x1b\\a\x1b_x\x1b\\b", "ab"),
            ("\x1b[c\x1b[6n\x1b[>c\x1b[?2026$p\x1b[>1u\x1b[18t\x1bZ", ""),
            ("\x1bc\x1b(0\x9b31m\x05\x0e", "31m"),
            ("a\r\n\tb\x08", "a\r\n\tb\x08"),
        ],
    )
    def test_only_what_draws_gets_through(self, text: str, kept: str) -> None:
        assert EscapeFilter().take(text) == kept
        in_pieces = EscapeFilter()
        assert "".join(in_pieces.take(char) for char in text) == kept

    def test_pauses(self, tmp_path: Path) -> None:
        lines = [{"version": 2, "width": 80, "height": 24}, [1, "o", "a"], [9, "i", "x"], [9.5, "o", "b"]]
        (tmp_path / "a.cast").write_text("\n".join(map(json.dumps, lines)))
        cast = read_cast(tmp_path / "a.cast")
        assert list(played(cast, speed=2, idle=4)) == [(0.5, "a"), (2.0, ""), (0.25, "b")]

    def test_in_a_terminal(self, tmp_path: Path, home: Path) -> None:
        """It shows the screen, and leaves the terminal as it was."""
        lines = [
            {"version": 2, "width": 80, "height": 24},
            [0, "o", "\x1b[?1049h\x1b[?25l\x1b[?1003h\x1b[2J\x1b[5;5Hhere it is"],
            [3600, "o", "late"],
        ]
        (tmp_path / "a.cast").write_text("\n".join(map(json.dumps, lines)))
        with Terminal([*SPRINGTUI, "play", str(tmp_path / "a.cast")]) as terminal:
            assert "here it is" in terminal.wait_for("here it is").splitlines()[4]
            terminal.press("\x03")
            assert terminal.wait_exit() == 1
            assert not terminal.modes_left_on()
            assert b"1003" not in terminal.raw

    def test_piped(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "a.cast").write_text('{"version": 2, "width": 80, "height": 24}\n')
        assert not sys.stdout.isatty()
        assert main(["play", str(tmp_path / "a.cast")]) == 2
        assert "--json" in capsys.readouterr().err
