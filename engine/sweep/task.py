"""A slice of a sweep's work as a plain function: bytes in, bytes out, in any process on any machine.

A slice is some seconds of one network's training, or some chains. Its result is cells and, where a network is not
done, the state from which its next slice continues, bit for bit. So a lost worker costs one slice, a pause takes
effect after one, and a network's curve is shown while it trains.
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
    """Index of its cell: y index x columns + x index."""
    member: int
    """Which of the cell's seeds, from 0."""
    settings: TrainConfig | ChainConfig


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The work that is sent to an executor's worker."""

    version: str = __version__
    jobs: list[Job]
    """One network, or any number of chains."""
    method: str = "mean_field"
    """How chains are solved: mean_field or replicas."""
    seconds: float = 2.0
    """Training time after which an unfinished network is returned."""
    state: bytes = b""
    """State of the network at the end of its last slice; empty in its first."""


class SliceResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result that is sent back."""

    cells: list[Cell]
    state: bytes = b""
    """State of an unfinished network; empty where all jobs are done."""


_pack = msgspec.msgpack.Encoder().encode
_slices = msgspec.msgpack.Decoder(Slice)
_results = msgspec.msgpack.Decoder(SliceResult)


def pack(part: Slice) -> bytes:
    """A slice as msgpack."""
    return _pack(part)


def unpack(data: bytes) -> SliceResult:
    """The result in the bytes that ``make_slice`` of the same version returned."""
    return _results.decode(data)


def make_slice(data: bytes) -> bytes:
    """Do a packed slice's work in this process, on one thread; its ``SliceResult``, packed.

    Raises:
        InputError: a setting does not fit, or the data set cannot be read on this machine.
        WorkerError: this machine has another version of springtui than the sender.
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

    return _pack(SliceResult(cells=list(pull(only_chains(part.jobs), part.method, threads=1))))


def _other_version(theirs: str) -> str:
    return (
        f"the worker on {socket.gethostname()} has springtui {__version__}, the sweep {theirs}; "
        f"install the same version on both, and springtui resume the sweep"
    )


def only_chains(jobs: Sequence[Job]) -> list[tuple[tuple[int, int], ChainConfig]]:
    """(cell, member) and settings of the jobs that are chains."""
    return [((job.cell, job.member), job.settings) for job in jobs if isinstance(job.settings, ChainConfig)]


def _train(task: tuple[int, int], config: TrainConfig, part: Slice) -> SliceResult:
    from ..ensemble.learner import begin
    from .networks import cell_of, diverged_cell, finished_cell

    end = time.monotonic() + part.seconds
    try:
        learner = begin(config)
        if part.state:
            learner.load_state(part.state)
        while not learner.finished:
            learner.run_epoch(_never)
            if not learner.finished and time.monotonic() >= end:
                present = cell_of(task, learner.epoch, learner.measure(), final=False)
                return SliceResult(cells=[present], state=learner.state())
        return SliceResult(cells=[finished_cell(task, learner, config)])
    except DivergedError as error:
        return SliceResult(cells=[diverged_cell(task, error)])


def _never() -> bool:
    return False
