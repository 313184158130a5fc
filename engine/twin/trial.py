"""A trial: how a network's asymmetry changes where one of its settings is changed, measured (ours). No torch.

Networks are trained from scratch with the run's settings, and with one setting moved a step, from the same seeds.
This module has the steps, the measurements, the choice and the file in the run's directory; ``twin.experiment``
trains.

Shape legend: S seeds, L linear maps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from ..errors import ConfigError, RunDirectoryError, RunError
from ..measures.load_curve import LoadStatistics, statistics
from ..measures.registry import PROBES
from ..runs.directory import Run
from ..runs.files import read_file, replace_file
from ..runs.records import Acknowledged, CurveScalars, Ended, Started
from ..runs.status import Status
from ..settings.fields import make, parse_value
from ..settings.train import TrainConfig

MOST_EPOCHS = 100
"""Epochs for which the networks of a trial train at most."""
SEEDS = 3
"""Networks with each value of a setting: the run's own seed and the two after it."""
MORE_SEEDS = 3
"""Further networks with the run's own settings, and with those steps that helped most."""
SURE = 2.0
"""Standard errors by which a step has to help."""
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
ACCURACY_COST = 0.01
"""Test accuracy, a fraction, that a step may cost without another being named beside it."""
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
        samples: of the training set; a batch holds no more.
    """
    found = []
    for knob in KNOBS:
        before = float(getattr(config, knob))
        if knob == "batch_size":
            before = min(max(before, LEAST_BATCH), samples)
        for sign in (-1, 1):
            after = _stepped(knob, before, sign, samples)
            if (after - before) * sign > 0.0:
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
    diverged: int = 0
    """Networks without a curve because they diverged."""


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


class Change(NamedTuple):
    """What a step of one setting does; means over the seeds that both values have."""

    knob: str
    before: float
    after: float
    asymmetry: float
    """With the changed setting."""
    change: float
    """Of the asymmetry."""
    error: float
    """Standard error of the change over seeds, paired; NaN for one seed."""
    fall: float
    """By how much |asymmetry| falls."""
    accuracy_change: float
    """Of the test accuracy, a fraction."""
    accuracy_error: float
    seeds: int
    """Seeds that both values have."""

    @property
    def certain(self) -> float:
        """The fall of |asymmetry| less ``SURE`` errors; minus infinity where the error is not known."""
        return self.fall - SURE * self.error if math.isfinite(self.error) else -math.inf


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
    """Whether a trial was made for the settings in force of a run."""
    config = config_in_force(settings)
    return config is not None and relevant_settings(config) == trial.settings


class Start(NamedTuple):
    """What a trial of a run begins from."""

    config: TrainConfig
    """The settings in force."""
    epochs: int
    """Epochs for which its networks train."""


def start_of(run: Run) -> Start:
    """The settings in force of a run, and the epochs to train: the run's own, at most ``MOST_EPOCHS``.

    Of a run that ended early since its loss no longer changed, as many as it was to train.

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
    return Start(in_force, min(in_force.epochs if has_finished else epoch, MOST_EPOCHS))


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


def asymmetries_of(tried: Tried) -> list[float]:
    """The asymmetry with each seed, [S]; NaN where none was trained, or its shape means nothing."""
    return [math.nan if curve is None else asymmetry_of(curve) for curve in tried.curves]


def asymmetry_of(curve: Sequence[float | None]) -> float:
    """The asymmetry of a network's load curve D_0 … D_L, [L + 1]; NaN where its shape means nothing."""
    return statistics(curve, logits=True, ended=True).asymmetry


def mean_curve(tried: Tried) -> list[float | None]:
    """D_0 … D_L, [L + 1], mean over the seeds that have one; empty where none has."""
    curves = [curve for curve in tried.curves if curve is not None]
    points = zip(*curves, strict=True)
    return [None if None in point else sum(v for v in point if v is not None) / len(point) for point in points]


def shape_of(tried: Tried) -> LoadStatistics:
    """Statistics of the mean curve over seeds, whose error is that over seeds; unclear where there is none."""
    from ..measures.curve_error import curve_error_over_seeds  # needs NumPy, which no first frame waits for

    curves = [[math.nan if v is None else v for v in curve[:-1]] for curve in tried.curves if curve is not None]
    error = curve_error_over_seeds(curves) if len(curves) > 1 else None
    return statistics(mean_curve(tried), logits=True, error=error, ended=True)


def changes(trial: Trial) -> list[Change]:
    """What each step did, in the order in which they were tried; steps without a network in common are left out.

    With three seeds a standard error can be small by chance, so that no standard deviation over seeds is taken to
    be less than the median of all steps'.
    """
    base, base_accuracies = asymmetries_of(trial.base), trial.base.accuracies
    pairs = []
    for tried in trial.tried:
        found = [
            (a, b, x, y)
            for a, b, x, y in zip(base, asymmetries_of(tried), base_accuracies, tried.accuracies, strict=True)
            if math.isfinite(a) and math.isfinite(b) and x is not None and y is not None
        ]
        if found:
            pairs.append((tried, found))
    floor = _median([sd for _, found in pairs if math.isfinite(sd := _sd([b - a for a, b, _, _ in found]))])
    return [_change(tried, found, floor) for tried, found in pairs]


def _change(tried: Tried, pairs: Sequence[tuple[float, float, float, float]], floor: float) -> Change:
    n = len(pairs)
    now, then = _mean([a for a, _, _, _ in pairs]), _mean([b for _, b, _, _ in pairs])
    moved = [y - x for _, _, x, y in pairs]
    sd = _sd([b - a for a, b, _, _ in pairs])
    return Change(
        knob=tried.knob,
        before=_number(tried.before),
        after=_number(tried.after),
        asymmetry=then,
        change=then - now,
        error=max(sd, floor) / math.sqrt(n) if math.isfinite(sd) else math.nan,
        fall=abs(now) - abs(then),
        accuracy_change=_mean(moved),
        accuracy_error=_sd(moved) / math.sqrt(n),
        seeds=n,
    )


def choice(found: Sequence[Change], *, accurate: bool = False) -> Change | None:
    """The step that lowers |asymmetry| most, each counted by what is certain; None where none is.

    Certain is the fall less ``SURE`` errors: of some twenty steps one falls by an error by chance. A step of one
    seed has no error and is not chosen. A step beyond balance counts by what is left beyond it.

    Args:
        found: as of ``changes``.
        accurate: leave out steps that cost more than ``ACCURACY_COST``.
    """
    helping = [change for change in found if change.certain > 0.0]
    fitting = [change for change in helping if not accurate or change.accuracy_change >= -ACCURACY_COST]
    return max(fitting, key=lambda change: change.certain, default=None)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _sd(values: Sequence[float]) -> float:
    """Sample standard deviation; NaN of one value."""
    if len(values) < 2:
        return math.nan
    mean = _mean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    if not ordered:
        return 0.0
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else 0.5 * (ordered[half - 1] + ordered[half])
