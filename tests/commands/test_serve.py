"""The lab in a browser: who gets in, what is loaded, what a real browser shows, and how it ends."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.real_terminal import stop_workers, workers_under

from springtui.cli import main
from springtui.serve.server import is_loopback

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Served:
    """A running ``springtui serve``."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "springtui", "serve", "--json", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read() if self.process.stderr else ""
        self.told: dict[str, Any] = json.loads(line)
        self.url = self.told["url"]

    def ask(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and body; redirections are not followed."""
        base = self.url.partition("/?")[0]
        request = urllib.request.Request(base + path, headers=headers)
        try:
            with _OPENER.open(request, timeout=20) as answer:
                return answer.status, answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode() + error.headers.get("Set-Cookie", "")

    def end(self) -> tuple[int, str]:
        """Ctrl-C; the exit status and what was said."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


class _Still(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Still, urllib.request.ProxyHandler({}))


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[Served]:
    served = Served(*arguments)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.process.kill()
        served.process.communicate(timeout=30)


def test_who_gets_in(home: Path) -> None:
    """The token's owner, on his own page, under a name of this machine; nobody else."""
    with serving("--port", "0") as served:
        token = served.url.partition("token=")[2]
        cookie = f"springtui={token}"
        host = f"{served.told['host']}:{served.told['port']}"
        assert served.told["host"] == "127.0.0.1"
        assert served.ask("/")[0] == 403
        assert "open the address" in served.ask("/ws")[1]
        assert served.ask("/", Cookie="springtui=guess")[0] == 403
        assert served.ask("/?token=guess")[0] == 403
        status, answer = served.ask(f"/?token={token}")
        assert (status, "HttpOnly" in answer, "SameSite=Strict" in answer) == (302, True, True)
        assert served.ask("/", Cookie=cookie)[0] == 200
        assert served.ask("/", Cookie=cookie, Host="evil.example:80")[0] == 403
        assert served.ask("/", Cookie=cookie, Host=f"localhost:{served.told['port']}")[0] == 200
        assert served.ask("/ws", Cookie=cookie, Origin="http://evil.example")[0] == 403
        assert served.ask("/", Cookie=cookie, Origin=f"http://{host}")[0] == 200
        page = served.ask("/", Cookie=cookie)[1]
        assert "http://" not in page
        assert "https://" not in page
        for file in ("js/textual.js", "css/xterm.css", "fonts/RobotoMono-VariableFont_wght.ttf"):
            assert f"static/{file}" in page
            assert served.ask(f"/static/{file}")[0] == 200
        status, said = served.end()
        assert (status, "Traceback" in said) == (0, False)


def test_a_taken_port(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serving("--port", str(port)) as served:
            assert served.told["port"] != port
            status, said = served.end()
            assert status == 0
            assert f"port {port} is taken; listening at {served.told['port']}" in said


def test_another_address_is_warned_of(home: Path) -> None:
    with serving("--port", "0", "--host", "0.0.0.0") as served:
        status, said = served.end()
        assert status == 0
        assert "warning: listening at 0.0.0.0" in said
        assert "controls the lab" in said


def test_addresses() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "")))


def test_an_address_of_another_machine(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--host", "192.0.2.1"]) == 2
    assert "192.0.2.1" in (said := capsys.readouterr().err)
    assert "--host" in said


def test_without_textual_serve(home: Path) -> None:
    code = "import sys; sys.modules['textual_serve'] = None; from springtui.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve"],
        capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 2
    assert "springtui[serve]" in done.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
def test_a_real_browser_shows_the_lab(home: Path, tmp_path: Path) -> None:
    """It draws, takes keys, loads nothing from elsewhere; a closed page lets the runs go on, Ctrl-C ends it."""
    from playwright.sync_api import sync_playwright

    drawn = bytearray()
    asked: list[str] = []
    with serving("--port", "0") as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.on("request", lambda request: asked.append(request.url))
        page.on(
            "websocket",
            lambda ws: ws.on("framereceived", lambda data: drawn.extend(data if isinstance(data, bytes) else b"")),
        )
        page.goto(served.url)

        def until(word: str) -> None:
            deadline = time.monotonic() + 60
            while word.encode() not in drawn:
                assert time.monotonic() < deadline, f"no {word!r} in {bytes(drawn[-2000:])!r}"
                page.wait_for_timeout(100)

        until("Nonlinearity")
        until("epoch ")
        page.wait_for_selector("body.-first-byte canvas", state="attached")
        picture = picture_when_drawn(page)
        (tmp_path / "lab.png").write_bytes(picture)
        if folder := os.environ.get("SPRINGTUI_PICTURES"):
            Path(folder, "serve.png").write_bytes(picture)
        page.keyboard.press("?")
        until("Esc closes")
        assert workers_under(home)
        page.close()
        browser.close()
        base = served.url.partition("/?")[0]
        assert all(url.startswith((base, "data:")) for url in asked), asked
        status, said = served.end()
        assert (status, "Traceback" in said) == (0, False), said
        assert workers_under(home), "the runs were let go on"
    stop_workers(home)


def picture_when_drawn(page: Any) -> bytes:
    """A screenshot, once there are as many colours on it as the lab has."""
    deadline = time.monotonic() + 30
    while True:
        picture: bytes = page.screenshot()
        with Image.open(io.BytesIO(picture)) as image:
            colours = image.convert("RGB").getcolors(1 << 22) or []
        if sum(1 for count, _ in colours if count > 200) >= 8:
            return picture
        assert time.monotonic() < deadline, "the page stayed empty"
        page.wait_for_timeout(200)
