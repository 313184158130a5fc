"""The app: one process that reads run directories and draws. It imports no torch, numba or scikit-learn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from engine.errors import SpringtuiError

from .desk import Desk
from .preferences import Effective
from .preferred import PreferredApp
from .screens.help import HelpScreen
from .screens.lab import LabScreen
from .screenshot import picture_of, save_picture, screen_name
from .terminal import plain_text

LEAVE_SECONDS = 2.0
"""A terminal that takes no more output must not keep a process that was told to leave."""
_LEAVE_ON = (signal.SIGTERM, signal.SIGHUP)


class SpringApp(PreferredApp):
    """The lab and its help."""

    TITLE = "springtui"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit_lab", "Quit", id="app.quit", tooltip="stop the lab's runs and leave"),
        Binding("f", "open_phase", "Phase", id="app.phase", tooltip="phase diagrams of networks and chains"),
        Binding("d", "detach", "Detach", id="app.detach", tooltip="leave, and let the runs go on", show=False),
        Binding("question_mark", "help", "Help", id="app.help", key_display="?", tooltip="this help"),
        Binding(
            "ctrl+s", "save_screen", "Picture", id="app.save_screen", show=False, priority=True,
            tooltip="save the screen as SVG under the home directory",
        ),
    ]  # fmt: skip

    def __init__(
        self, home: Path, settings: Mapping[str, Any] | None = None, effective: Effective | None = None
    ) -> None:
        super().__init__(effective)
        self.home = home
        self.settings = settings
        """Of the lab's network, where a person chose them."""
        self.desk = Desk(home)

    def on_mount(self) -> None:
        self._leave_on_signals()
        self.push_screen(LabScreen(self.home, self.settings))
        self.tell_warnings()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        own = {"Screenshot", "Picture"}  # a picture is taken once the palette is gone
        yield from (c for c in super().get_system_commands(screen) if c.title.split("  [")[0] not in own)
        yield SystemCommand("Save the screen", "As SVG, under the home directory", self._save_when_drawn)

    async def action_open_lab(self) -> None:
        """Back to the lab."""
        if not isinstance(self.screen, LabScreen):
            await self.pop_screen()

    def action_open_phase(self) -> None:
        """The phase diagrams, over the lab."""
        if isinstance(self.screen, LabScreen):
            from .screens.phase import PhaseScreen  # the lab's first frame need not wait for it

            self.push_screen(PhaseScreen(self.desk))

    async def open_lab_with(self, settings: Mapping[str, Any]) -> None:
        """The lab anew, with a network of these settings."""
        await self.action_open_lab()
        old = self.screen
        if isinstance(old, LabScreen):
            await asyncio.to_thread(old.stop_runs)
        await self.switch_screen(LabScreen(self.home, settings))

    def action_help(self) -> None:
        """Open the help, once."""
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    async def action_quit_lab(self) -> None:
        """Stop what the lab started, and leave."""
        for screen in self.screen_stack:
            if isinstance(screen, LabScreen):
                await asyncio.to_thread(screen.stop_runs)
        await asyncio.to_thread(self.desk.stop_ours)
        self.exit(0)

    def action_detach(self) -> None:
        """Leave; the runs go on, and the next lab takes them up."""
        self.exit(0)

    async def action_save_screen(self) -> None:
        """Save the screen as SVG in ``exports`` under the home directory, and say where."""
        picture, name = picture_of(self), screen_name(self)
        try:
            path = await asyncio.to_thread(save_picture, self.home / "exports", name, picture)
        except (OSError, SpringtuiError) as error:
            self.notify(plain_text(f"cannot save the screen: {error}"), severity="error", timeout=8, markup=False)
        else:
            self.notify(plain_text(f"written: {path}"), timeout=6, markup=False)

    def _save_when_drawn(self) -> None:
        """The palette that asked for it is gone from the screen a moment later."""
        self.set_timer(0.2, self.action_save_screen)

    def _leave_on_signals(self) -> None:
        """Textual does not restore the terminal on SIGTERM and SIGHUP; leaving through ``exit`` does."""
        loop = asyncio.get_running_loop()
        for number in _LEAVE_ON:
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, self._leave, number)

    def _leave(self, number: int) -> None:
        self.exit(128 + number)
        last_resort = threading.Timer(LEAVE_SECONDS, os._exit, [128 + number])
        last_resort.daemon = True
        last_resort.start()


def run_app(home: Path, settings: Mapping[str, Any] | None = None, effective: Effective | None = None) -> int:
    """Open the lab; the exit status of the process."""
    app = SpringApp(home, settings, effective)
    status = app.run(mouse=app.preferences.mouse)
    _let_go_of_the_terminal()
    return status if status is not None else app.return_code or 0


def _let_go_of_the_terminal() -> None:
    """After a lost terminal nothing may be flushed into it at exit: that would raise, or wait for ever."""
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if not os.isatty(stream):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
