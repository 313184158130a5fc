"""The lab in a browser: textual-serve (extra ``serve``), kept to this machine, to its owner, and to itself.

Three things are added to it. Its page loads nothing from elsewhere. Every request but those for scripts and fonts
needs the token of the printed address, since other people's programs on a shared machine reach its loopback too.
And no page of another origin may open the connection, since a browser would let it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.server import Server

from engine.errors import InputError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PAGES = Path(__file__).parent / "pages"
_COOKIE = "springtui"
_PATIENCE = 1.0
"""Seconds that open labs are given to close."""
_WITHOUT_TOKEN = "This is springtui; open the address that it printed, with its token.\n"
_POLICY = "default-src 'self' data:; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"


def bind(host: str, port: int) -> socket.socket:
    """A listening socket at a port, or at a free one where that is taken.

    Raises:
        InputError: the host is not one of this machine's addresses, or the port is not ours to take.
    """
    for number in (port, 0):
        try:
            return socket.create_server((host, number), family=_family(host))
        except OSError as error:
            if number == 0 or (error.errno != 98 and "in use" not in str(error)):
                raise InputError(
                    f"cannot listen at {host}, port {number}: {error.strerror}; --host takes an address of this "
                    f"machine, --port a number from 1024"
                ) from error
    raise AssertionError("unreachable")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class LabServer(Server):
    """One lab for every page that is opened; a closed page detaches its lab, and runs go on."""

    def __init__(self, command: str, listening: socket.socket) -> None:
        host, port = listening.getsockname()[:2]
        super().__init__(command, host=host, port=port, title="springtui", templates_path=str(PAGES))
        self.token = secrets.token_urlsafe(24)
        self._listening = listening
        self._only_local = is_loopback(host)

    @property
    def url(self) -> str:
        """The address to open, token included."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/?token={self.token}"

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard())
        return app

    async def on_startup(self, app: web.Application) -> None:
        """No banner: the verb says what there is to say."""

    def _guard(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self._is_meant(request):
                raise web.HTTPForbidden(text=_WITHOUT_TOKEN)
            if self._is_token(request.query.get("token", "")):
                response: web.StreamResponse = web.HTTPFound("/")
                response.set_cookie(_COOKIE, self.token, httponly=True, samesite="Strict")
                return response
            if not request.path.startswith("/static/") and not self._is_token(request.cookies.get(_COOKIE, "")):
                raise web.HTTPForbidden(text=_WITHOUT_TOKEN)
            response = await handler(request)
            if not response.prepared:
                response.headers["Content-Security-Policy"] = _POLICY
                response.headers["Referrer-Policy"] = "no-referrer"
            return response

        return guard

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _is_meant(self, request: web.Request) -> bool:
        """Whether the page asks under a name of ours, and for itself: no other site, no name bent to loopback."""
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            return False
        name = urlsplit(f"//{request.host}").hostname or ""
        return not self._only_local or is_loopback(name)

    async def run(self, told: Callable[[], None]) -> None:
        """Serve until SIGINT, SIGTERM or a hang-up; ``told`` is called once pages can be opened."""
        logging.getLogger("textual-serve").setLevel(logging.ERROR)
        runner = web.AppRunner(await self._make_app(), access_log=None, shutdown_timeout=_PATIENCE)
        await runner.setup()
        try:
            await web.SockSite(runner, self._listening).start()
            asked = asyncio.Event()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, asked.set)
            told()
            await asked.wait()
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(runner.cleanup(), 10 * _PATIENCE)


def serve(server: LabServer, told: Callable[[], None]) -> None:
    """Serve to the end."""
    asyncio.run(server.run(told))
