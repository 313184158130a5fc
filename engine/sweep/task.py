"""A slice of a sweep's work as a plain function: bytes in, bytes out, in any process on any machine.

A slice is some seconds of one network's training, or some chains. What comes back is what was made, and, where a
network is not done, the state that its next slice goes on from, bit for bit: so a lost worker costs a slice, a
pause waits for one, and a network's curve is seen while it trains.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

import msgspec

from .. import __version__
from ..errors import DivergedError, WorkerError
from ..runs.records import Cell
from ..settings.chain import ChainConfig
from ..settings.train import TrainConfig


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One network or chain of a sweep."""

    cell: int
    """Its index: y index x columns + x index."""
    member: int
    """Which of the cell's seeds, from 0."""
    settings: TrainConfig | ChainConfig


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """What travels to a worker."""

    version: str = __version__
    jobs: list[Job]
    """One network, or any number of chains."""
    method: str = "mean_field"
    """Of chains."""
    seconds: float = 2.0
    """After which an unfinished network comes back."""
    state: bytes = b""
    """Where it was left; empty at first."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What travels back."""

    cells: list[Cell]
    state: bytes = b""
    """Empty where all is done."""


_pack = msgspec.msgpack.Encoder().encode
_slices = msgspec.msgpack.Decoder(Slice)
_made = msgspec.msgpack.Decoder(Made)


def pack(part: Slice) -> bytes:
    """A slice for the way, as msgpack."""
    return _pack(part)


def unpack(data: bytes) -> Made:
    """What a worker sent back; its bytes come from ``make_slice`` of this very version."""
    return _made.decode(data)


def make_slice(data: bytes) -> bytes:
    """Do a packed slice's work here, on one thread; what was made, packed.

    Raises:
        InputError: a setting does not fit, or the data set cannot be read on this machine.
        WorkerError: this machine has another springtui than the one that sent the slice.
    """
    try:
        part = _slices.decode(data)
    except msgspec.MsgspecError as error:
        raise WorkerError(_other_version("one that sends other slices")) from error
    if part.version != __version__:
        raise WorkerError(_other_version(part.version))
    first = part.jobs[0]
    if isinstance(first.settings, TrainConfig):
        from ..ensemble.threads import single_threaded

        with single_threaded():
            return _pack(_train((first.cell, first.member), first.settings, part))
    from .chains import pull

    return _pack(Made(cells=list(pull(only_chains(part.jobs), part.method, threads=1))))


def _other_version(theirs: str) -> str:
    return (
        f"the worker on {socket.gethostname()} has springtui {__version__}, the sweep {theirs}; "
        f"install the same version on both, and springtui resume the sweep"
    )


def only_chains(jobs: Sequence[Job]) -> list[tuple[tuple[int, int], ChainConfig]]:
    """The jobs that are chains, with their tasks."""
    return [((job.cell, job.member), job.settings) for job in jobs if isinstance(job.settings, ChainConfig)]


def _train(task: tuple[int, int], config: TrainConfig, part: Slice) -> Made:
    from .networks import begin, cell_of, diverged_cell, finished_cell

    end = time.monotonic() + part.seconds
    try:
        learner = begin(config)
        if part.state:
            learner.load_state(part.state)
        while not learner.finished:
            learner.run_epoch(_never)
            if not learner.finished and time.monotonic() >= end:
                present = cell_of(task, learner.epoch, learner.measure(), final=False)
                return Made(cells=[present], state=learner.state())
        return Made(cells=[finished_cell(task, learner, config)])
    except DivergedError as error:
        return Made(cells=[diverged_cell(task, error)])


def _never() -> bool:
    return False
