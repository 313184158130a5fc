"""``springtui serve``: the lab in a browser."""

from __future__ import annotations

import importlib.util
import os
import shlex
import socket
import sys

import click

from engine.errors import InputError

from .options import json_option
from .output import print_json, print_line, print_message
from .record import common_arguments
from .session import Session, common, examples

_PORT = 8000


@click.command(
    short_help="Open the lab in a browser.",
    epilog=examples(
        "springtui serve",
        "springtui serve --port 8080 --json | jq -r .url",
        "springtui serve -- lab --recipe paper-mlp --set data_dir=mnist",
        "ssh -L 8000:127.0.0.1:8000 gpu-machine springtui serve",
    ),
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS]")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option(
    "--port",
    default=_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Where to listen; another free port if this one is taken. 0 takes any.",
)
@json_option
@common
@click.pass_obj
def serve(session: Session, arguments: tuple[str, ...], host: str, port: int, as_json: bool) -> int:
    """Serve the lab to a browser on this machine until Ctrl-C, and print the address to open.

    Every page is a screen of its own, over the same runs; closing a page leaves the runs running. The address
    holds a token, without which a page is refused. ARGUMENTS after -- are those of springtui. Needs
    textual-serve: pip install 'springtui[serve]'. With --json one object: url, host, port, pid.
    """
    if importlib.util.find_spec("textual_serve") is None:
        raise InputError("serve needs textual-serve, which is not installed: pip install 'springtui[serve]'")
    from ..serve.server import LabServer, bind, is_loopback
    from ..serve.server import serve as run

    session.open_home()  # its errors are shown here, not in a browser
    if session.preferences().values.ascii == "auto":
        os.environ["SPRINGTUI_ASCII"] = "off"  # browsers draw all of Unicode, whatever the locale here
    listening = bind(host, port)
    command = shlex.join([sys.executable, "-m", "springtui", *common_arguments(session), *arguments])
    server = LabServer(f"exec {command}", listening)
    if port and server.port != port:
        print_message(f"springtui: port {port} is taken; listening at {server.port}")
    if not is_loopback(host):
        print_message(
            f"springtui: warning: listening at {host}, which others reach: anyone who has the address below "
            f"controls the lab, and what passes is not encrypted. Safer: ssh -L, or a proxy with TLS"
        )

    def announce() -> None:
        if as_json:
            print_json({"url": server.url, "host": server.host, "port": server.port, "pid": os.getpid()})
        else:
            print_line(f"open {server.url}")
            if os.environ.get("SSH_CONNECTION") and is_loopback(host):
                name = socket.gethostname()
                print_message(
                    f"on your own machine, first: ssh -L {server.port}:{server.host}:{server.port} {name}"
                )
            print_message("Ctrl-C ends it; runs that go on are kept")
        sys.stdout.flush()

    run(server, announce)
    return 0
