"""Fills the directory of a ``chain`` run: pulls one chain and obeys its control file.

An interrupted chain continues from its checkpoint, bit for bit. Steps that earlier workers recorded after the
checkpoint are computed again but not recorded again, with changed settings at the same steps (``runs.replay``).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from ..arrays import Floats
from ..chain.build import new_chain
from ..chain.checkpoint import Progress, read_state, write_state
from ..chain.mean_field import MeanField, friction, mean_field_positions, settled
from ..chain.pulling import CHUNK, hold_steps, targets
from ..errors import ConfigError, DivergedError, RunError
from ..measures.registry import DISTANCE
from ..runs.controls import ControlReader
from ..runs.directory import Run
from ..runs.records import Curve, Ended, Started
from ..runs.replay import Replay
from ..runs.status import Status
from ..runs.writer import RunWriter
from ..settings.chain import ChainConfig
from ..settings.fields import make
from .control_loop import ControlLoop, Interrupted, Stopwatch

_SLICE = 0.03
"""Most seconds of work between reads of the control file."""
SAVE_EVERY = 5.0
"""Least seconds between checkpoints; longer where writing one would take over a twentieth of the time."""


def run_chain(
    run: Run, writer: RunWriter, controls: ControlReader, interrupted: Interrupted | None = None
) -> Ended:
    """Pull to the end, or until stopped, and return the last record. The caller releases the writer.

    Args:
        run: the chain's directory.
        writer: of that run.
        controls: reader of its control file.
        interrupted: set by SIGTERM.

    Raises:
        RunError: the run is of another kind.
        RunDirectoryError: its checkpoint is damaged, or the directory is gone.
        DiskFullError: there is no room for a record or a checkpoint.
    """
    config = run.config().settings
    if not isinstance(config, ChainConfig):
        raise RunError(f"{run.id} is no chain run")
    ended = _Job(run, writer, controls, interrupted, config).run()
    writer.write(ended)
    return ended


class _Job:
    """Pulls one chain and writes all records of one worker."""

    def __init__(
        self,
        run: Run,
        writer: RunWriter,
        controls: ControlReader,
        interrupted: Interrupted | None,
        config: ChainConfig,
    ) -> None:
        self.at_file = run
        self.writer = writer
        self.config = config
        self.chain = new_chain(config)
        followed = config.pace and config.order == 1 and config.hands == "output"
        self.theory = MeanField(config) if followed else None
        """Mean field at the same step as the chain, where a pace is set and the chain is overdamped."""
        self.replay = Replay(run.events())
        self.loop = ControlLoop(writer, controls, self._change, interrupted, self.replay.behind)
        self.stopwatch = Stopwatch(self.loop, earlier=self._restore())
        self._next_save = time.monotonic() + SAVE_EVERY
        self._speed = 1000.0
        """Steps per second of this machine, measured while pulling."""
        self._recorded_at = self._saved_at = -1

    def _restore(self) -> float:
        """Go back to the checkpoint, if there is one; the seconds that earlier workers spent up to it."""
        self.writer.remove_half_written_checkpoints()
        if (checkpoint := self.at_file.checkpoint()) is None:
            return 0.0
        progress = read_state(checkpoint, self.chain, self.theory)
        self.config = make(ChainConfig, progress.settings, self.config)
        self.chain.config = self.config
        if self.theory is not None:
            self.theory.config = self.config
        self.replay.taken = min(progress.moves, len(self.replay.moves))
        return progress.seconds

    def _save(self) -> None:
        began = time.monotonic()
        in_force = {name: getattr(self.config, name) for name in sorted(ChainConfig.live)}
        progress = Progress(
            steps=self.chain.steps,
            moves=self.replay.taken,
            seconds=self.stopwatch.seconds(),
            settings=in_force,
            began=self.chain.began,
        )
        self.writer.write_checkpoint(write_state(self.chain, self.theory, progress))
        now = time.monotonic()
        self._next_save = now + max(SAVE_EVERY, 20.0 * (now - began))
        self._saved_at = self.chain.steps

    def run(self) -> Ended:
        self._write_started()
        try:
            done = self._pull()
        except DivergedError as error:
            return self._ended(Status.DIVERGED, str(error))
        self._record(0.0)
        self._save()
        text = f"{'finished' if done else 'stopped'} after {self.chain.steps} steps"
        return self._ended(Status.FINISHED if done else Status.STOPPED, text)

    def _pull(self) -> bool:
        """Pull in slices at ``pace``, recording ``frames`` times a second; False where it was stopped.

        A chain that is held waits for a change of its settings where a pace is set; else it has finished.
        """
        config, chain = self.config, self.chain
        self._record(0.0)
        frame_time, frame_steps = time.monotonic(), chain.steps
        due = frame_time + 1.0 / config.frames
        while chain.steps < config.steps:
            for settings in self.replay.due(chain.steps):
                self._apply(settings)
            if not self.loop.poll(chain.steps):
                return False
            now = time.monotonic()
            if now >= due:
                self._record((chain.steps - frame_steps) / max(now - frame_time, 1e-9))
                frame_time, frame_steps = now, chain.steps
                due = max(due + 1.0 / config.frames, now)  # by the clock: slices and frames do not fit each other
            if now >= self._next_save and chain.steps != self._saved_at:
                self._save()
            if chain.is_held and not self.replay.behind(chain.steps):
                self._record(0.0)
                if not config.pace:
                    return True
                time.sleep(_SLICE)
                continue
            self._advance(self._next_slice())
            if config.pace and not self.replay.behind(chain.steps):
                time.sleep(max(0.0, self._slice_seconds() - (time.monotonic() - now)))
            else:
                self._measure_speed(chain.steps - frame_steps, time.monotonic() - frame_time)
        return True

    def _advance(self, steps: int) -> None:
        self.chain.advance(steps)
        if self.theory is not None:
            self.theory.advance(steps)

    def _slice_seconds(self) -> float:
        return min(_SLICE, 1.0 / self.config.frames)

    def _next_slice(self) -> int:
        """Steps until the next read of the control file; not past the end or the next replayed change of settings.

        Whole chunks where no pace is set: noise is drawn by chunks, so results do not depend on the slices.
        """
        chain, rate = self.chain, self.config.pace or self._speed
        steps = max(1, round(rate * self._slice_seconds()))
        if not self.config.pace:
            steps = -(-steps // CHUNK) * CHUNK
        ahead = [self.config.steps, *(step for step, _ in self.replay.moves[self.replay.taken :])]
        if (held := hold_steps(self.config)) is not None:
            ahead.append(chain.began + held)
        return min(steps, max(1, min(ahead) - chain.steps))

    def _measure_speed(self, steps: int, seconds: float) -> None:
        if steps and seconds > 0.001:
            self._speed = steps / seconds

    def _change(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        fixed = sorted(set(settings) - ChainConfig.live)
        if fixed:
            raise ConfigError(
                f"{fixed[0]!r} cannot change while pulling; these can: {', '.join(sorted(ChainConfig.live))}"
            )
        self._apply(settings)
        in_force = {name: getattr(self.config, name) for name in settings}
        self.replay.took(self.chain.steps, in_force)
        return in_force

    def _apply(self, settings: Mapping[str, Any]) -> None:
        self.config = make(ChainConfig, settings, self.config)
        self.chain.change(self.config)
        if self.theory is not None:
            self.theory.change(self.config)

    def _record(self, rate: float) -> None:
        chain = self.chain
        if chain.steps == self._recorded_at or chain.steps <= self.replay.recorded:
            return
        self._recorded_at = chain.steps
        x_RL = chain.x_RL
        self.writer.write(
            Curve(
                at=chain.steps,
                step=chain.steps,
                curves={DISTANCE: self._curve(chain.mean()), **self._theory_curve()},
                scalars={
                    "rate": rate,
                    "target": self._held_at(),
                    "time": chain.pulled_steps * self.config.eta,
                    **self._friction(),
                },
                positions=x_RL[0].tolist(),
                spread=chain.sd().tolist(),
            )
        )

    def _curve(self, x_L: Floats) -> list[float | None]:
        """y - x_l for l = 0 … L + 1, [L + 2] from positions [L]; in lengths of the chain."""
        y = self.config.target
        return [y, *(y - x_L).tolist(), y - self._held_at()]

    def _held_at(self) -> float:
        """Position of the last spring's end at the current step."""
        return float(targets(self.config, max(0, self.chain.pulled_steps - 1), 1)[0])

    def _theory_curve(self) -> dict[str, list[float | None]]:
        if self.theory is not None:
            return {"mean_field": self._curve(self.theory.x_L)}
        return {"mean_field": self._curve(settled(self.config))} if self.config.pace else {}

    def _friction(self) -> dict[str, float]:
        """The friction (μ→ - μ←)/2, a force, by its name; empty for a chain without any."""
        c = self.config
        return {} if c.hands == "both" else {"friction": friction(c.mu_right, c.mu_left)}

    def _write_started(self) -> None:
        blocks = [f"block {i + 1}" for i in range(self.config.blocks)]
        self.writer.write(
            Started(
                pid=os.getpid(),
                host=socket.gethostname(),
                settings=msgspec.structs.asdict(self.config) | self.replay.ahead(),
                layers=["wall", *blocks, "target"],
                total=self.config.steps,
                facts={"from_step": self.chain.steps, "known_to_step": max(self.replay.horizon, self.chain.steps)},
            )
        )

    def _ended(self, reason: Status, text: str) -> Ended:
        chain = self.chain
        summary = {
            "steps": chain.steps,
            "seconds": self.stopwatch.seconds(),
            "positions": chain.mean().tolist(),
            "sd": chain.sd().tolist(),
            "friction": self._friction().get("friction"),
        }
        if reason is not Status.DIVERGED:
            done = msgspec.structs.replace(self.config, steps=max(1, chain.pulled_steps))
            theory = mean_field_positions(done)
            summary["mean_field"] = None if theory is None else theory.tolist()
        return Ended(reason=reason, text=text, at=chain.steps, summary=summary)
