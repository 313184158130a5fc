"""Trains the networks of a trial: the run's settings and each of their neighbours, from the same seeds.

Networks are trained by compiled code where that supports them, a thread a core, else by PyTorch. Where all of them
do not fit into the time, every neighbour is trained from the first seed and only those that come closest to balance
from the others too; where not even that fits, all train for fewer epochs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import NamedTuple, Protocol

import msgspec
import torch

from ..cores import core_count
from ..datasets.load import Dataset, load_dataset
from ..ensemble.member import Group, MemberTrainer, build_lock, member_of, why_not
from ..ensemble.state import Workspace
from ..ensemble.threads import single_threaded
from ..errors import ConfigError, DivergedError, RunError
from ..measures.load_curve import statistics
from ..measures.registry import DEFAULT_MEASURE
from ..networks.trainer import Measurement, Trainer
from ..runs.records import finite
from ..settings.train import TrainConfig
from .trial import MOST_EPOCHS, SEEDS, Start, Trial, Tried, Turn, relevant_settings, turned, turns

SECONDS = 30.0
"""Time that a trial takes at most on idle cores, where nothing else is asked for; the lab's network fits into it."""
_WARM_EPOCHS = 2
"""Epochs by which the time of all others is estimated; the first of them is not timed, where there are two."""
_KEPT = 4
"""Neighbours for whose other seeds time is set aside where not all fit."""
_LEAST_PART = 4
"""Epochs are reduced to this part of those wanted, at most."""
_PATIENCE = 2.0
"""A trial that would take so many times its time is refused."""


class Progress(NamedTuple):
    """How far a trial has come."""

    done: int
    """Networks trained."""
    total: int
    """Networks that it will train, as planned at present."""
    left: float
    """Seconds, estimated."""


class _Stopped(Exception):
    """The trial was cancelled."""


class _Learner(Protocol):
    """A network in training."""

    @property
    def epoch(self) -> int:
        """Epochs done."""

    @property
    def converged(self) -> bool:
        """Whether training stopped early."""

    def train_epoch(self) -> None:
        """Train one epoch.

        Raises:
            DivergedError: the loss is no longer finite.
            _Stopped: the trial was cancelled.
        """

    def measure(self) -> Measurement:
        """Curves and accuracies now."""


class _Network:
    """One network of a trial: its settings, its training, and its result."""

    def __init__(self, turn: Turn | None, config: TrainConfig, place: int) -> None:
        self.turn = turn
        """None for the run's own settings."""
        self.config = config
        self.place = place
        """Number of its seed."""
        self.learner: _Learner | None = None
        self.seconds = 0.0
        """Of one epoch; measured, or taken from another seed."""
        self.curve: list[float | None] | None = None
        self.accuracy: float | None = None
        self.diverged = False
        self.is_done = False

    def left(self, epochs: int) -> float:
        """Seconds that it still has to train on one core."""
        done = self.learner.epoch if self.learner is not None else 0
        return 0.0 if self.is_done else self.seconds * max(0, epochs - done)

    @property
    def asymmetry(self) -> float:
        """NaN without a curve."""
        return float("nan") if self.curve is None else statistics(self.curve, logits=True).asymmetry


class Experiment:
    """The networks of one trial.

    Args:
        start: settings in force and epochs.
        seconds: to take at most, on idle cores; 0: as long as it takes for all seeds and epochs.
        note: called with the progress, from any thread, a few times a second at most.
        stop: polled between steps; True cancels the trial.

    Raises:
        InputError: the data set cannot be read, or settings do not fit each other.
    """

    def __init__(
        self,
        start: Start,
        seconds: float = SECONDS,
        note: Callable[[Progress], object] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._start, self._seconds, self._note, self._stop = start, seconds, note, stop
        self._broken_off = threading.Event()
        self._dataset = load_dataset(start.config)
        self._began = time.monotonic()
        self._epochs = start.epochs
        self._groups: dict[TrainConfig, Group] = {}
        self._local = threading.local()
        """Each thread's workspace for the group that it trained last."""
        self._lock = threading.Lock()
        self._noted_at = 0.0
        self._cores = core_count()
        steps = [None, *turns(start.config, len(self._dataset.x_train))]
        self._networks = [self._network(step, place) for place in range(SEEDS) for step in steps]
        self._wanted = list(self._networks)
        """Those that are to be trained, as planned at present."""

    def _network(self, turn: Turn | None, place: int) -> _Network:
        config = self._start.config if turn is None else turned(self._start.config, turn.knob, turn.after)
        most = 2**63
        seed = (config.seed + place) % most
        changed = msgspec.structs.replace(config, seed=seed, epochs=max(self._epochs, 1), linear_probes=False)
        return _Network(turn, changed, place)

    def run(self) -> Trial | None:
        """Train all that fits into the time, and return what was measured; None where it was cancelled.

        Raises:
            RunError: it would take far longer than the time it has.
        """
        with single_threaded(), ThreadPoolExecutor(self._cores, thread_name_prefix="trial") as pool:
            try:
                self._in_threads(pool, self._warm, [self._networks[0]])
                self._require_time()
                first = [network for network in self._networks if network.place == 0]
                self._in_threads(pool, self._warm, first[1:])
                self._plan()
                self._in_threads(pool, self._train, [n for n in self._wanted if n.place == 0 or n.turn is None])
                self._keep_the_best()
                self._in_threads(pool, self._train, [n for n in self._wanted if not n.is_done])
            except _Stopped:
                return None
        return self._trial()

    def _in_threads(
        self, pool: ThreadPoolExecutor, work: Callable[[_Network], None], networks: Sequence[_Network]
    ) -> None:
        """Do some work for each network, on all cores; the longest first, so that none is left to the end."""
        ordered = sorted(networks, key=lambda network: -network.left(self._epochs))
        futures = [pool.submit(work, network) for network in ordered]
        done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
        if waiting:
            self._broken_off.set()
            for future in waiting:
                future.cancel()
            wait(waiting)
        for future in done:
            future.result()

    # time

    def _warm(self, network: _Network) -> None:
        """Train the first epochs of a network and time the last of them."""
        torch.set_num_threads(1)
        try:
            network.learner = self._begin(network.config)
            for _ in range(min(_WARM_EPOCHS, self._epochs)):
                began = time.perf_counter()
                network.learner.train_epoch()
                network.seconds = max(time.perf_counter() - began, 1e-6)
        except DivergedError:
            network.diverged = network.is_done = True
        except ConfigError:
            if network.turn is None:
                raise
            network.is_done = True  # the neighbour's settings do not fit each other
        for other in self._networks:
            if other.turn == network.turn or network.turn is None:
                other.seconds = network.seconds

    def _budget(self) -> float:
        """Seconds that are left of the time to take."""
        return self._seconds - (time.monotonic() - self._began) if self._seconds else float("inf")

    def _left(self, networks: Sequence[_Network], epochs: int) -> float:
        """Seconds to train networks, on all cores: even shares, and no less than the longest of them."""
        parts = [network.left(epochs) for network in networks]
        return max(sum(parts) / self._cores, max(parts, default=0.0))

    def _require_time(self) -> None:
        """Refuse an experiment that would take far longer than its time, by the first network's first epochs."""
        network = self._networks[0]
        needed = network.seconds * self._least_epochs() * self._screened_count() / self._cores
        if self._seconds and needed > _PATIENCE * self._seconds:
            each = network.seconds * self._epochs
            whole = each * len(self._networks) / self._cores
            raise RunError(
                f"one network with these settings takes about {_in_words(each)} to train for {self._epochs} epochs "
                f"here, and a trial trains {len(self._networks)} of them: it does not fit into "
                f"{_in_words(self._seconds)}; ask for more time with --seconds, {whole:.0f} for all of it"
            )

    def _screened_count(self) -> int:
        """Networks that are trained at least: each neighbour once, the best and the base from every seed."""
        neighbours = sum(network.place == 0 for network in self._networks) - 1
        return neighbours + SEEDS + min(_KEPT, neighbours) * (SEEDS - 1)

    def _least_epochs(self) -> int:
        return max(1, min(self._epochs, 10), self._epochs // _LEAST_PART)

    def _plan(self) -> None:
        """Leave out seeds, and then epochs, where the time requires it."""
        if self._left(self._networks, self._epochs) <= self._budget():
            return
        screened = [n for n in self._networks if n.place == 0 or n.turn is None]
        steps = {network.turn for network in screened if network.turn is not None}
        self._kept = max(2, _KEPT)
        later = [n for n in self._networks if n.place > 0 and n.turn in steps]
        share = min(1.0, self._kept / max(1, len(steps)))
        needed = self._left(screened, self._epochs) + share * self._left(later, self._epochs)
        if needed > self._budget():
            part = max(0.0, self._budget()) / needed
            self._epochs = max(self._least_epochs(), int(self._epochs * part))
        self._wanted = screened

    def _keep_the_best(self) -> None:
        """Where not all seeds fit, choose the neighbours that are trained from the other seeds too."""
        first = {n.turn: n for n in self._networks if n.place == 0}
        later = [n for n in self._networks if n.place > 0 and n.turn is not None and not first[n.turn].diverged]
        if not later or (
            len(self._wanted) == len(self._networks) and self._left(later, self._epochs) < 1.2 * self._budget()
        ):
            return
        base = [n.asymmetry for n in self._networks if n.turn is None and n.curve is not None]
        now = sum(base) / len(base) if base else float("nan")

        def promise(turn: Turn) -> float:
            """By how much |asymmetry| is lower with the first seed; the most promising first."""
            found = abs(now) - abs(first[turn].asymmetry)
            return found if found == found else float("-inf")

        ranked = sorted({n.turn for n in later if n.turn is not None}, key=promise, reverse=True)
        chosen: list[_Network] = []
        for count, turn in enumerate(ranked):
            more = [n for n in later if n.turn == turn]
            if count >= 2 and self._left([*chosen, *more], self._epochs) > self._budget():
                break
            chosen += more
        done = [n for n in self._networks if n.is_done]
        self._wanted = [*done, *chosen]

    # training

    def _begin(self, config: TrainConfig) -> _Learner:
        if why_not(config) or self._dataset.x_train.ndim != 2:
            return _Eager(config, self._dataset, self._poll)
        return _Compiled(self, self._group_of(config), config)

    def _group_of(self, config: TrainConfig) -> Group:
        shared = msgspec.structs.replace(config, seed=0, negative_slope=0.0, dropout=0.0, lr=1e-3, data_noise=0.0)
        with self._lock:
            if shared not in self._groups:
                self._groups[shared] = Group(shared, self._dataset)
            return self._groups[shared]

    def workspace(self, group: Group) -> Workspace:
        """This thread's scratch memory for a group."""
        known: tuple[Group, Workspace] | None = getattr(self._local, "workspace", None)
        if known is None or known[0] is not group:
            known = self._local.workspace = (group, group.workspace())
        return known[1]

    def poll(self) -> bool:
        """Whether to stop training; the progress is noted meanwhile."""
        self._note_progress()
        return self._broken_off.is_set() or self._stop()

    def _poll(self) -> None:
        if self.poll():
            raise _Stopped

    def _train(self, network: _Network) -> None:
        """Train a network to its end and measure it."""
        torch.set_num_threads(1)
        try:
            if network.learner is None:
                network.learner = self._begin(network.config)
            while network.learner.epoch < self._epochs and not network.learner.converged:
                network.learner.train_epoch()
            measured = network.learner.measure()
            network.curve = [finite(value) for value in measured.curves[DEFAULT_MEASURE]]
            network.accuracy = finite(measured.scalars["test_accuracy"])
        except DivergedError:
            network.diverged = True
        network.learner, network.is_done = None, True

    def _note_progress(self) -> None:
        now = time.monotonic()
        with self._lock:
            if now < self._noted_at + 0.25:
                return
            self._noted_at = now
        known = [n.seconds for n in self._networks if n.seconds]
        if not known:
            return
        done = sum(network.is_done for network in self._wanted)
        self._note(Progress(done, len(self._wanted), self._left(self._wanted, self._epochs)))

    def _trial(self) -> Trial:
        steps = list(dict.fromkeys(network.turn for network in self._networks))
        config = self._start.config
        base, *tried = [self._tried(step) for step in steps]
        return Trial(
            settings=relevant_settings(config),
            epochs=self._epochs,
            wanted_epochs=min(self._start.epochs, MOST_EPOCHS),
            seeds=[n.config.seed for n in self._networks if n.turn is None],
            base=base,
            tried=tried,
            seconds=time.monotonic() - self._began,
            time=time.time(),
        )

    def _tried(self, turn: Turn | None) -> Tried:
        same = [network for network in self._networks if network.turn == turn]
        return Tried(
            knob="" if turn is None else turn.knob,
            before=None if turn is None else turn.before,
            after=None if turn is None else turn.after,
            curves=[network.curve for network in same],
            accuracies=[network.accuracy for network in same],
            diverged=sum(network.diverged for network in same),
        )


class _Compiled:
    """A network trained by compiled code."""

    def __init__(self, experiment: Experiment, group: Group, config: TrainConfig) -> None:
        self._experiment, self._trainer = experiment, MemberTrainer(group, member_of(config))

    @property
    def epoch(self) -> int:
        return self._trainer.epoch

    @property
    def converged(self) -> bool:
        return self._trainer.converged

    def train_epoch(self) -> None:
        if not self._trainer.run_epoch(self._experiment.workspace(self._trainer.group), self._experiment.poll):
            raise _Stopped

    def measure(self) -> Measurement:
        return self._trainer.measure()


class _Eager:
    """A network trained by PyTorch's operations."""

    def __init__(self, config: TrainConfig, dataset: Dataset, poll: Callable[[], None]) -> None:
        self._poll = poll
        with build_lock:
            self._trainer = Trainer(config, dataset)

    @property
    def epoch(self) -> int:
        return self._trainer.epoch

    @property
    def converged(self) -> bool:
        return self._trainer.converged

    def train_epoch(self) -> None:
        for _ in self._trainer.run_epoch():
            self._poll()

    def measure(self) -> Measurement:
        return self._trainer.measure()


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
