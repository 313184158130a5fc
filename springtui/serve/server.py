"""Serves the lab to browsers by textual-serve (extra ``serve``), restricted to whoever has the printed address.

Three things are added to textual-serve. Its page loads nothing from other servers. Every request except those for
scripts and fonts needs the token in the printed address, since other users of this machine reach its loopback too.
Connections from pages of another origin are refused, which browsers would allow.
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
"""Seconds that open labs have to close at the end."""
_WITHOUT_TOKEN = "This is springtui; open the address that it printed, with its token.\n"
_POLICY = "default-src 'self' data:; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"


def bind(host: str, port: int) -> socket.socket:
    """A listening socket at a port, or at any free port where that is in use.

    Raises:
        InputError: the host is no address of this machine, or the port is not permitted.
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
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class LabServer(Server):
    """Starts a lab for every page that is opened; closing the page detaches the lab, and runs go on."""

    def __init__(self, command: str, listening: socket.socket) -> None:
        host, port = listening.getsockname()[:2]
        super().__init__(command, host=host, port=port, title="springtui", templates_path=str(PAGES))
        self.token = secrets.token_urlsafe(24)
        self._listening = listening
        self._only_local = is_loopback(host)

    @property
    def url(self) -> str:
        """The address to open, with the token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/?token={self.token}"

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard())
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Print no banner; the verb prints the address."""

    def _guard(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self._is_permitted(request):
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

    def _is_permitted(self, request: web.Request) -> bool:
        """Whether the request is from a page of this server, under a loopback name where the server listens there.

        This refuses pages of other origins, and other names that resolve to loopback (DNS rebinding).
        """
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            return False
        name = urlsplit(f"//{request.host}").hostname or ""
        return not self._only_local or is_loopback(name)

    async def run(self, announce: Callable[[], None]) -> None:
        """Serve until SIGINT, SIGTERM or SIGHUP; ``announce`` is called once pages can be opened."""
        logging.getLogger("textual-serve").setLevel(logging.ERROR)
        runner = web.AppRunner(await self._make_app(), access_log=None, shutdown_timeout=_PATIENCE)
        await runner.setup()
        try:
            await web.SockSite(runner, self._listening).start()
            stopped = asyncio.Event()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, stopped.set)
            announce()
            await stopped.wait()
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(runner.cleanup(), 10 * _PATIENCE)


def serve(server: LabServer, announce: Callable[[], None]) -> None:
    """Run ``server.run`` in a new event loop."""
    asyncio.run(server.run(announce))
