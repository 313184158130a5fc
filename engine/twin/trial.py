"""A trial: how a network's asymmetry changes where one of its settings is changed, measured (ours). No torch.

Networks are trained from scratch with the run's settings, and with one setting moved a step, from the same seeds.
This module has the steps, the measurements and the file in the run's directory; ``twin.experiment`` trains, and
``twin.comparison`` compares and chooses.

Shape legend: S seeds, L linear maps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from ..errors import ConfigError, RunDirectoryError, RunError
from ..measures.registry import PROBES
from ..runs.directory import Run
from ..runs.files import read_file, replace_file
from ..runs.records import Acknowledged, CurveScalars, Ended, Started
from ..runs.status import Status
from ..settings.fields import make, parse_value
from ..settings.train import TrainConfig

SECONDS = 25.0
"""Time of a trial on idle cores, at most, unless another is asked for; all of the lab's network fits into it."""
MOST_EPOCHS = 100
"""Epochs for which the networks of a trial train at most."""
SEEDS = 3
"""Networks with each value of a setting: the run's own seed and the two after it."""
MORE_SEEDS = 3
"""Further networks with the run's own settings, and with those steps that helped most."""
KNOBS = ("negative_slope", "batch_size", "lr", "dropout", "data_noise", "depth")
"""The settings that a trial moves, one at a time."""
LEAST_BATCH = 2
"""BatchNorm has no variance over one sample."""
LR_FACTOR = math.sqrt(10.0)
"""One step of the learning rate, which is then rounded to 1, 2, 3 or 5 times a power of ten."""
BATCH_FACTOR = 4
"""One step of the batch size."""
_LINEAR = {
    "negative_slope": (0.2, 0.0, 1.0),
    "dropout": (0.1, 0.0, 0.9),
    "data_noise": (0.2, 0.0, 1.0),
    "depth": (2.0, 4.0, 256.0),
}
"""One step of each other setting, and its bounds. Steps change the asymmetry of the lab's network by .05 to .5
somewhere in the setting's range, where the error over three seeds is about .02. Below a depth of 4, three hidden
layers, halves are single layers."""
_IRRELEVANT = frozenset(
    {
        "epochs", "hold", "device", "threads", "measure_every", "measure_steps", "measure_test", "hessian",
        "checkpoint_every", PROBES,
    }
)  # fmt: skip
"""Settings that change no load curve after a given number of epochs."""
_FILE_LIMIT = 1 << 20

Seeds = Annotated[list[Annotated[int, Meta(ge=0, le=2**63 - 1)]], Meta(min_length=1, max_length=100)]


class Turn(NamedTuple):
    """One setting moved by one step."""

    knob: str
    before: float
    after: float


def turns(config: TrainConfig, samples: int) -> list[Turn]:
    """Each setting of ``KNOBS`` moved both ways by one step, one way where it is at a bound.

    Args:
        config: the settings to start from.
        samples: of the training set; a batch holds no more, and one that would is stepped from there.
    """
    found = []
    for knob in KNOBS:
        before = begin = float(getattr(config, knob))
        if knob == "batch_size":
            begin = min(max(before, LEAST_BATCH), samples)
        for sign in (-1, 1):
            after = _stepped(knob, begin, sign, samples)
            if (after - begin) * sign > 0.0:
                found.append(Turn(knob, before, after))
    return found


def further(turn: Turn, samples: int) -> Turn | None:
    """The same setting moved one step more; None at its bound. Arguments as ``turns``."""
    sign = 1 if turn.after > turn.before else -1
    after = _stepped(turn.knob, turn.after, sign, samples)
    return Turn(turn.knob, turn.before, after) if (after - turn.after) * sign > 0.0 else None


def _stepped(knob: str, value: float, sign: int, samples: int) -> float:
    """A value moved by one step, at most to its bound."""
    if knob == "lr":
        return min(10.0, _rounded(value * LR_FACTOR**sign))
    if knob == "batch_size":
        return min(samples, value * BATCH_FACTOR) if sign > 0 else max(LEAST_BATCH, value // BATCH_FACTOR)
    step, least, most = _LINEAR[knob]
    return round(min(most, max(least, value + sign * step)), 10)


def turned(config: TrainConfig, knob: str, value: float) -> TrainConfig:
    """The settings with one of them changed."""
    return make(TrainConfig, {knob: int(value) if knob in {"batch_size", "depth"} else value}, config)


def _rounded(value: float) -> float:
    """The nearest of 1, 2, 3, 5 and 10 times a power of ten, by ratio."""
    power = math.floor(math.log10(value))
    digit = min((1, 2, 3, 5, 10), key=lambda digit: abs(math.log10(value) - power - math.log10(digit)))
    return float(f"{digit}e{power}")


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """The networks with one value of one setting, or with the run's own settings."""

    knob: str = ""
    """The setting that was moved; empty for the run's own settings."""
    before: float | None = None
    after: float | None = None
    curves: list[list[float | None] | None]
    """By seed: the log trace ratio D_0 … D_L, [L + 1]; None where none was trained, or it diverged."""
    accuracies: list[float | None]
    """By seed: test accuracy in [0, 1], likewise."""
    errors: list[float | None] = []
    """By seed: root mean square standard error of the scaled curve over the samples; None where it is not known.
    Empty: not known of any."""
    diverged: int = 0
    """Networks without a curve because they diverged."""
    refused: str = ""
    """Why no network can have these settings; empty where one can."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A trial's measurements, as they lie in the run's directory."""

    settings: dict[str, Any]
    """The run's settings that it was made for: ``relevant_settings``."""
    epochs: Annotated[int, Meta(ge=1, le=MOST_EPOCHS)]
    """Epochs for which each network trained."""
    wanted_epochs: Annotated[int, Meta(ge=1, le=MOST_EPOCHS)]
    """Epochs for which it would have trained, had there been time."""
    seeds: Seeds
    base: Tried
    """The networks with the run's own settings."""
    tried: list[Tried]
    seconds: float = 0.0
    """How long the trial took."""
    time: float = 0.0
    """When it was made, in seconds since the epoch."""


def relevant_settings(settings: TrainConfig) -> dict[str, Any]:
    """The settings on which a network's load curve after a given number of epochs depends."""
    return {name: value for name, value in msgspec.structs.asdict(settings).items() if name not in _IRRELEVANT}


def config_in_force(settings: Mapping[str, Any]) -> TrainConfig | None:
    """The settings in force of a run of ours, from its records; None where they are not a network's."""
    names = TrainConfig.__struct_fields__
    if "negative_slope" not in settings:
        return None
    try:
        return make(TrainConfig, {name: settings[name] for name in names if name in settings})
    except ConfigError:
        return None


def is_for(trial: Trial, settings: Mapping[str, Any]) -> bool:
    """Whether a trial was made for the settings in force of a run, to whatever epoch."""
    config = config_in_force(settings)
    return config is not None and relevant_settings(config) == trial.settings


def epochs_of(settings: Mapping[str, Any], at: int, *, has_finished: bool) -> int:
    """Epochs for which a trial of a run would train now: the run's own, at most ``MOST_EPOCHS``.

    Of a run that ended early since its loss no longer changed, as many as it was to train.

    Args:
        settings: in force.
        at: epochs of the run's present training.
        has_finished: whether it ended by itself.
    """
    return min(int(settings["epochs"]) if has_finished and "epochs" in settings else at, MOST_EPOCHS)


class Start(NamedTuple):
    """What a trial of a run begins from."""

    config: TrainConfig
    """The settings in force."""
    epochs: int
    """Epochs for which its networks train."""


def start_of(run: Run) -> Start:
    """The settings in force of a run, and the epochs to train, as of ``epochs_of``.

    Raises:
        ConfigError: it is no training of ours.
        RunError: it has not trained for one epoch.
        RunDirectoryError: it cannot be read.
    """
    config = run.config().settings
    if not isinstance(config, TrainConfig):
        raise ConfigError(
            f"{run.id} is a {run.kind} run; other settings are tried of networks that springtui trains, alone"
        )
    log, epoch, has_finished = run.log(), 0, False  # epochs of the present training: the lab begins anew
    settings = msgspec.structs.asdict(config)
    for event in map(log.decode_scalars, log.records()):
        if isinstance(event, Started):
            settings, has_finished = dict(event.settings), False
        elif isinstance(event, Acknowledged):
            settings |= {} if event.error else event.settings
        elif isinstance(event, Ended):
            has_finished = event.reason == Status.FINISHED
        elif isinstance(event, CurveScalars):
            own = event.scalars.get("epochs")
            epoch = event.at if own is None else int(own)
    if epoch < 1:
        raise RunError(f"{run.id} has not trained for an epoch yet; there is nothing to compare, try it later")
    in_force = make(
        TrainConfig, {name: settings[name] for name in TrainConfig.__struct_fields__ if name in settings}
    )
    return Start(in_force, epochs_of(settings, epoch, has_finished=has_finished))


def trial_of(run: Run) -> Trial | None:
    """The trial that was made of a run; None where none was.

    Raises:
        ConfigError: the file is damaged.
    """
    path = run.trial_path
    if not path.exists():
        return None
    remedy = f"springtui twin {run.id} --try makes it anew"
    try:
        found = msgspec.json.decode(read_file(path, _FILE_LIMIT), type=Trial)
        _check(found)
    except (RunDirectoryError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ConfigError(f"{path} is damaged ({error}); {remedy}") from error
    return found


def _check(trial: Trial) -> None:
    """ValueError where parts of a trial do not fit each other."""
    for tried in (trial.base, *trial.tried):
        if not len(tried.curves) == len(tried.accuracies) == len(trial.seeds):
            raise ValueError(f"{tried.knob or 'the run itself'} has not one entry for each seed")
        if tried.errors and len(tried.errors) != len(trial.seeds):
            raise ValueError(f"{tried.knob or 'the run itself'} has not one error for each seed")
    for tried in trial.tried:
        if tried.knob not in KNOBS:
            raise ValueError(f"{tried.knob!r} is none of {', '.join(KNOBS)}")
        for value in (tried.before, tried.after):
            try:
                parse_value(TrainConfig, tried.knob, value)
            except ConfigError as error:
                raise ValueError(str(error)) from error


def save_trial(run: Run, trial: Trial) -> None:
    """Keep a trial in its run's directory, in place of an earlier one.

    Raises:
        OSError: it cannot be written.
    """
    replace_file(run.trial_path, msgspec.json.encode(trial) + b"\n")
