"""Trains the networks of a trial: the run's settings and each of their neighbours, from the same seeds.

All train at once, a thread a core. First every step of every setting is trained from the first seed; then, as long
as there is time, from the others, those that come nearest to balance first. A step that helps and does not reach
balance is taken once more. Where not even the first seed of all fits, all train for fewer epochs.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import msgspec
import torch

from ..cores import core_count
from ..ensemble.learner import Learner, begin, dataset_of
from ..ensemble.threads import single_threaded
from ..errors import ConfigError, DivergedError, RunError
from ..measures.load_curve import EVEN_HALVES
from ..measures.registry import DEFAULT_MEASURE, PROBES
from ..runs.records import finite
from ..settings.train import TrainConfig
from .comparison import asymmetry_of, changes
from .trial import (
    BATCH_FACTOR,
    KNOBS,
    MORE_SEEDS,
    MOST_EPOCHS,
    SECONDS,
    SEEDS,
    Start,
    Trial,
    Tried,
    Turn,
    further,
    relevant_settings,
    turned,
    turns,
)

_WARM_EPOCHS = 2
"""Epochs by which the time of all others is estimated; the first of them is not timed, where there are two."""
_KEPT = 4
"""Steps for whose other seeds time is set aside where not all fit; also the most that are taken further."""
_ALWAYS = 2
"""Steps whose other seeds are trained also where time is short: an error needs them."""
_PROMISE = 0.03
"""Least fall of |asymmetry| with the first seed for which a step is taken further."""
_FINALISTS = 3
"""Steps that are trained from further seeds."""
_LEAST_PART, _LEAST_EPOCHS = 4, 10
"""Epochs are reduced to no less than this part of those wanted, and to no less than so many."""
_PATIENCE = 2.0
"""A trial that would take so many times its time is refused."""


class StoppedError(Exception):
    """The trial was to end in the middle of an epoch."""


class Progress(NamedTuple):
    """How far a trial has come."""

    done: int
    """Networks trained."""
    total: int
    """Networks that it will train, as planned at present."""
    left: float
    """Seconds, estimated."""


class _Network:
    """One network of a trial: its settings, its training, and its result."""

    def __init__(self, turn: Turn | None, config: TrainConfig, place: int) -> None:
        self.turn = turn
        """None for the run's own settings."""
        self.config = config
        self.place = place
        """Number of its seed."""
        self.learner: Learner | None = None
        self.seconds = 0.0
        """Of one epoch; measured, or taken from another seed."""
        self.curve: list[float | None] | None = None
        self.error: float | None = None
        """Of the scaled curve, root mean square over its points."""
        self.accuracy: float | None = None
        self.diverged = False
        self.refused = ""
        """Why no network can have its settings."""
        self.is_done = False

    def left(self, epochs: int) -> float:
        """Seconds that it still has to train on one core."""
        done = self.learner.epoch if self.learner is not None else 0
        return 0.0 if self.is_done else self.seconds * max(0, epochs - done)

    @property
    def asymmetry(self) -> float:
        """NaN without a curve."""
        return math.nan if self.curve is None else asymmetry_of(self.curve, self.error)


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
        self._samples = len(dataset_of(start.config).x_train)
        self._began = time.monotonic()
        self._epochs = start.epochs
        self._lock = threading.Lock()
        self._noted_at = 0.0
        self._cores = core_count()
        steps = [None, *turns(start.config, self._samples)]
        self._networks = [self._network(step, place) for place in range(SEEDS) for step in steps]
        self._wanted = list(self._networks)
        """Those that are to be trained, as planned at present."""

    def _network(self, turn: Turn | None, place: int) -> _Network:
        config = self._start.config if turn is None else turned(self._start.config, turn.knob, turn.after)
        seed = (config.seed + place) % 2**63
        own: dict[str, Any] = {
            "seed": seed,
            "epochs": self._epochs,
            "hold": 0,
            PROBES: False,
            "measure_test": False,
        }
        return _Network(turn, msgspec.structs.replace(config, **own), place)

    def run(self) -> Trial | None:
        """Train all that fits into the time, and return what was measured; None where it was cancelled.

        Raises:
            RunError: it would take far longer than the time it has.
        """
        with single_threaded(), ThreadPoolExecutor(self._cores, thread_name_prefix="trial") as pool:
            try:
                self._in_threads(pool, self._warm, self._networks[:1])
                self._require_time()
                first = [network for network in self._networks if network.place == 0]
                self._in_threads(pool, self._warm, first[1:])
                self._reduce_epochs()
                self._in_threads(pool, self._train, [n for n in self._networks if n.place == 0 or n.turn is None])
                self._plan()
                self._in_threads(pool, self._train, self._wanted)
                self._add_seeds()
                self._in_threads(pool, self._train, self._wanted)
            except StoppedError:
                return None
        return self._trial()

    def _in_threads(
        self, pool: ThreadPoolExecutor, work: Callable[[_Network], None], networks: Sequence[_Network]
    ) -> None:
        """Do some work for each network that is not done, on all cores, those that take longest first."""
        unfinished = [network for network in networks if not network.is_done]
        ordered = sorted(unfinished, key=lambda network: -network.left(self._epochs))
        futures = [pool.submit(work, network) for network in ordered]
        _, waiting = wait(futures, return_when=FIRST_EXCEPTION)
        if waiting:
            self._broken_off.set()
            for future in waiting:
                future.cancel()
            wait(waiting)
        errors = [error for future in futures if not future.cancelled() and (error := future.exception())]
        for error in sorted(
            errors, key=lambda error: isinstance(error, StoppedError)
        ):  # the others follow from it
            raise error

    # time

    def _warm(self, network: _Network) -> None:
        """Train the first epochs of a network and time the last of them."""
        torch.set_num_threads(1)
        try:
            network.learner = begin(network.config)
            for _ in range(min(_WARM_EPOCHS, self._epochs)):
                began = time.perf_counter()
                self._train_epoch(network.learner)
                network.seconds = max(time.perf_counter() - began, 1e-6)
        except DivergedError:
            network.diverged = network.is_done = True
        except ConfigError as error:
            self._refuse(network, error)
        for other in self._networks:
            if other.turn == network.turn or network.turn is None:
                other.seconds = network.seconds

    def _refuse(self, network: _Network, error: ConfigError) -> None:
        """Note that the settings of a step do not fit each other; the error itself for the run's own settings."""
        if network.turn is None:
            raise error
        network.refused, network.is_done = str(error), True

    def _budget(self) -> float:
        """Seconds that are left of the time to take."""
        return self._seconds - (time.monotonic() - self._began) if self._seconds else float("inf")

    def _left(self, networks: Sequence[_Network], epochs: int) -> float:
        """Seconds to train networks, on all cores: even shares, and no less than the longest of them."""
        parts = [network.left(epochs) for network in networks]
        return max(sum(parts) / self._cores, max(parts, default=0.0))

    def _require_time(self) -> None:
        """Refuse an experiment that would take far longer than its time, by the first network's first epochs."""
        network, steps = self._networks[0], self._steps()
        needed = network.seconds * self._least_epochs() * (SEEDS + len(steps) + _KEPT * (SEEDS - 1)) / self._cores
        if self._seconds and needed > _PATIENCE * self._seconds:
            each = network.seconds * self._epochs
            raise RunError(
                f"one network with these settings takes about {_in_words(each)} to train for {self._epochs} "
                f"epochs here, and a trial trains {len(self._networks)} or more: that does not fit into "
                f"{_in_words(self._seconds)}; give it more: --seconds "
                f"{each * len(self._networks) / self._cores:.0f}"
            )

    def _steps(self) -> list[Turn]:
        """The settings' first steps."""
        return [network.turn for network in self._networks if network.place == 0 and network.turn is not None]

    def _least_epochs(self) -> int:
        return max(1, min(self._epochs, _LEAST_EPOCHS), self._epochs // _LEAST_PART)

    def _reduce_epochs(self) -> None:
        """Train for fewer epochs where not even the first seed of each step and all seeds of a few fit."""
        first = [n for n in self._networks if n.place == 0 or n.turn is None]
        more = [n for n in self._networks if n.place > 0 and n.turn is not None]
        share = min(1.0, _KEPT / max(1, len(self._steps())))
        needed = self._left(first, self._epochs) + share * self._left(more, self._epochs)
        if needed > self._budget():
            part = max(0.0, self._budget()) / needed
            self._epochs = max(self._least_epochs(), int(self._epochs * part))

    def _plan(self) -> None:
        """Add, as the first seed promises and as long as there is time, the other seeds and further steps.

        First the other seeds of the steps that came nearer to balance, the nearest first; then, where such a step
        does not reach balance, one step more; then the other seeds of all other steps.
        """
        asymmetry = {n.turn: n.asymmetry for n in self._networks if n.place == 0}

        def promise(turn: Turn) -> float:
            """By how much |asymmetry| is lower with the first seed."""
            found = abs(asymmetry[None]) - abs(asymmetry[turn])
            return found if math.isfinite(found) else -math.inf

        ranked = sorted(self._steps(), key=promise, reverse=True)
        better = [turn for turn in ranked if promise(turn) > 0.0]
        groups = [self._others(turn) for turn in better]
        groups += [
            self._all_seeds(more, like=turn)
            for turn in better[:_KEPT]
            if promise(turn) > _PROMISE
            and abs(asymmetry[turn]) > EVEN_HALVES
            and (more := further(turn, self._samples)) is not None
        ]
        groups += [self._others(turn) for turn in ranked if turn not in better]
        chosen = [network for network in self._networks if network.is_done]
        for count, group in enumerate(groups):
            if count < _ALWAYS or self._left([*chosen, *group], self._epochs) <= self._budget():
                chosen += group
        self._networks += [network for network in chosen if network not in self._networks]
        self._wanted = chosen

    def _add_seeds(self) -> None:
        """Add further seeds of the run's own settings and of the steps that helped most, as far as there is time.

        The best of some twenty steps, measured three times, is partly the luckiest; these measurements are new.
        """
        ranked = sorted(changes(self._trial()), key=lambda change: change.certain, reverse=True)
        best = [Turn(change.knob, change.before, change.after) for change in ranked if change.certain > 0.0]
        places = range(SEEDS, SEEDS + MORE_SEEDS)
        more = [self._like(turn, place) for turn in (None, *best[:_FINALISTS]) for place in places]
        if best and self._left(more, self._epochs) <= self._budget():
            self._networks += more
            self._wanted = [*self._wanted, *more]

    def _like(self, turn: Turn | None, place: int) -> _Network:
        """A new network of a step that was trained before, with another seed."""
        network = self._network(turn, place)
        network.seconds = next(other.seconds for other in self._networks if other.turn == turn)
        return network

    def _others(self, turn: Turn) -> list[_Network]:
        """The networks of a step with the other seeds; none where it has no curve with the first."""
        same = [network for network in self._networks if network.turn == turn]
        return [] if same[0].curve is None else same[1:]

    def _all_seeds(self, turn: Turn, *, like: Turn) -> list[_Network]:
        """New networks of a further step; an epoch is taken to last as long as after the first one, or longer."""
        networks = [self._network(turn, place) for place in range(SEEDS)]
        seconds = next(network.seconds for network in self._networks if network.turn == like)
        smaller = turn.knob == "batch_size" and turn.after < turn.before
        for network in networks:
            network.seconds = seconds * (BATCH_FACTOR if smaller else 1)
        return networks

    # training

    def _poll(self) -> bool:
        """Whether to stop training; the progress is noted meanwhile."""
        self._note_progress()
        return self._broken_off.is_set() or self._stop()

    def _train_epoch(self, learner: Learner) -> None:
        """Train one epoch.

        Raises:
            StoppedError: the trial is to end.
        """
        if not learner.run_epoch(self._poll):
            raise StoppedError

    def _train(self, network: _Network) -> None:
        """Train a network to its end and measure it."""
        torch.set_num_threads(1)
        try:
            if network.learner is None:
                network.learner = begin(network.config)
            while network.learner.epoch < self._epochs and not network.learner.finished:
                self._train_epoch(network.learner)
            measured = network.learner.measure()
            network.curve = [finite(value) for value in measured.curves[DEFAULT_MEASURE]]
            network.error = finite(measured.scalars.get("curve_error", math.nan))
            network.accuracy = finite(measured.scalars["test_accuracy"])
        except DivergedError:
            network.diverged = True
        except ConfigError as error:
            self._refuse(network, error)
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
        steps = {network.turn for network in self._networks if network.turn is not None}
        ordered = sorted(steps, key=lambda turn: (KNOBS.index(turn.knob), turn.after))
        config = self._start.config
        return Trial(
            settings=relevant_settings(config),
            epochs=self._epochs,
            wanted_epochs=min(self._start.epochs, MOST_EPOCHS),
            seeds=[n.config.seed for n in self._networks if n.turn is None],
            base=self._tried(None),
            tried=[self._tried(step) for step in ordered],
            seconds=time.monotonic() - self._began,
            time=time.time(),
        )

    def _tried(self, turn: Turn | None) -> Tried:
        found = {network.place: network for network in self._networks if network.turn == turn}
        most = max(network.place for network in self._networks) + 1
        same = [found.get(place) for place in range(most)]
        return Tried(
            knob="" if turn is None else turn.knob,
            before=None if turn is None else turn.before,
            after=None if turn is None else turn.after,
            curves=[None if network is None else network.curve for network in same],
            accuracies=[None if network is None else network.accuracy for network in same],
            errors=[None if network is None else network.error for network in same],
            diverged=sum(network is not None and network.diverged for network in same),
            refused=next((network.refused for network in same if network is not None and network.refused), ""),
        )


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
