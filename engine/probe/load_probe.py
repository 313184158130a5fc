"""``LoadProbe``: the load curve of a user's own model while it trains (docs/probe.md).

    probe = LoadProbe(model, inputs, labels)
    for step in range(steps):
        ...
        probe.step(loss=loss.item())

A failing probe never stops the training: it warns once, with ``ProbeWarning``.
"""

from __future__ import annotations

import math
import os
import socket
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from torch import nn

from ..errors import ConfigError, ProbeWarning
from ..measures.friction import CurveFit
from ..measures.load_curve import LoadStatistics
from ..measures.registry import DEFAULT_MEASURE, SEPARATIONS
from ..runs.home import default_home, preferred_home
from ..runs.label import checked_name
from ..runs.records import Control, Curve, Health, Started
from ..runs.status import Status
from ..settings.fields import make
from ..settings.probe import ProbeConfig
from .batch.loader import Split, gather
from .events import Events
from .health import LayerHealth, known_health, note_limits
from .model import ProbedModel
from .points.description import NOTHING, Description
from .points.layers import check_reductions, checked_towers
from .points.wrappers import inner_model, is_sharded, rank
from .reporting import Reporter
from .run import ProbeRun, describe, end_with_script
from .state.isolation import Autocast
from .state.refusals import check_arguments
from .steps import StepNumbers
from .tower import Tower, Towers

__all__ = ["LoadProbe"]


class LoadProbe:
    """Measures how well each layer of a model separates the classes of a fixed batch, every so many steps.

    Args:
        model: any ``torch.nn.Module``; also compiled, or wrapped by DataParallel, DDP or FSDP.
        inputs: the probe batch: a tensor, a tuple of positional arguments, or a mapping of named ones.
        labels: classes [N]; a target [N] to be binned; token labels [N, T]; groups from ``bins`` or
            ``next_token``; or None for the next token of a language model's inputs.
        every: optimiser steps between measurements.
        layers: patterns of module names, as ``["blocks.*", "fc?"]``; found automatically by default.
        towers: chains of layers that are measured apart, by name, as ``{"image": ["visual.blocks.*"], "text":
            ["text.blocks.*"]}``; found automatically by default where they are plain; False for one chain.
        reductions: how features become vectors: one name for all points, or names by pattern.
        measures: measures of separation beside ``trace_ratio``.
        health: measures of layer health: ``grad_norm``, ``update_ratio``, ``dead``, ``saturated``, ``scale``,
            ``effective_rank``, or ``all``; none by default. The first two need ``optimizer``.
        optimizer: the optimiser that trains the model, or a list of several; its steps are only read.
        notes: whether the run gets a warning when something happens to a layer; or limits by name, as
            ``{"idle_load": 0.05}``.
        groups: number of bins of a target, or of most frequent next tokens.
        chunk: samples that go through the model at once; by default as many as fit into ``memory``. Where memory
            runs out it is halved.
        memory: MiB (2²⁰ bytes) of features kept at once, and of one forward pass.
        name: name of this training.
        home: where runs are kept; by default ``SPRINGTUI_HOME``, else ``home`` of config.toml, else the user's
            data directory.
        autocast: a dtype to compute in, or a function that returns a context; default: the autocast in force.
        forward: called in place of the model: ``forward(model, *args, **kwargs)``.
        mask: True where a token is real, [N, T]; by default from the masks and lengths among the inputs.
        samples: of graphs, the number of the graph of each node, [R]; a mask [R] of nodes that are samples; or
            "nodes"; by default from the inputs' ``batch``. The model then runs on all samples at once.

    Raises:
        ConfigError, DataError: an argument is not allowed; the message says what is. Later errors only warn.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Any,
        labels: Any = None,
        *,
        every: int = 100,
        layers: str | Sequence[str] | None = None,
        towers: Mapping[str, str | Sequence[str]] | bool | None = None,
        reductions: str | Mapping[str, str] = "auto",
        measures: str | Sequence[str] = SEPARATIONS,
        health: str | Sequence[str] = (),
        optimizer: Any = None,
        notes: bool | Mapping[str, float] = True,
        groups: int = 10,
        chunk: int | None = None,
        memory: int = 256,
        name: str = "",
        home: str | os.PathLike[str] | None = None,
        autocast: Autocast = None,
        forward: Any = None,
        mask: Any = None,
        samples: Any = None,
    ) -> None:
        inner = inner_model(model)
        self._sharded = is_sharded(inner)
        self._kind = type(inner).__name__
        try:
            name = checked_name(name)
        except ConfigError as error:
            warnings.warn(f"{error}. The load probe's run has no name", ProbeWarning, 2)
            name = ""
        wanted = known_health(health)
        options = {"every": every, "memory": memory, "name": name, "measures": _known(measures)}
        options |= {} if chunk is None else {"chunk": chunk}
        config = make(ProbeConfig, {**options, "health": wanted, **note_limits(notes)})
        self._health = LayerHealth(wanted, optimizer, sharded=self._sharded)
        self._events: list[Events] = []
        check_reductions(reductions)
        check_arguments(layers, groups, autocast, forward, home)
        named = checked_towers(towers, layers)
        self._every = config.every
        self._numbers, self._measured_at = StepNumbers(), -1
        self._warned = self._paused = self._closed = self._late = False
        self._began = time.monotonic()
        self._mark, self._cost = (self._began, 0), 0.0
        self._towers = Towers([Tower("", [], has_logits=False)])
        self._reporters: list[Reporter] = []
        self._probed: ProbedModel | None = None
        self._described = Description(self._kind, [], [], [], NOTHING)
        self._run: ProbeRun | None = None
        self._writes = writes = rank() == 0
        if writes or self._sharded:
            self._probed = ProbedModel(
                inner,
                inputs,
                labels,
                layers=[layers] if isinstance(layers, str) else layers,
                towers=named,
                reductions=reductions,
                groups=groups,
                measures=config.measures,
                health=wanted,
                chunk=None if chunk is None else config.chunk,
                memory=config.memory,
                sharded=self._sharded,
                autocast=autocast,
                forward=forward,
                keeps=writes,
                mask=mask,
                samples=samples,
            )
            self._towers = self._probed.towers()
            self._described = self._probed.describe()
        if writes:
            assert self._probed is not None
            self._health.watch(self._probed.parameters)
            self._health.expect(self._every, paused=False)
            self._described = replace(self._described, health=self._health.words())
            if config.notes:
                self._events = [
                    Events(tower.layers, config, logits=tower.has_logits, path=tower.path)
                    for tower in self._towers
                ]
            self._attempt(lambda: self._open(None if home is None else Path(home), config))
            for text in self._probed.notes if self._probed is not None else []:
                self._warn(text, level=3)
        self._attempt(self._measure)

    @classmethod
    def from_loader(
        cls, model: nn.Module, loader: Any, n: int = 512, *, split: Split | None = None, **options: Any
    ) -> LoadProbe:
        """A probe whose batch is the first ``n`` samples of a loader, with at least two of each class among them.

        The training's batches and random numbers stay as they would be without it.

        Args:
            model: as ``LoadProbe``.
            loader: a DataLoader of ``(inputs, labels)``, of mappings with ``labels``, ``label``, ``target`` or
                ``y``, or of PyTorch Geometric's batches; or another iterable that can be iterated again.
            n: number of samples.
            split: returns ``(inputs, labels)`` of a batch of another form.
            options: of ``LoadProbe``.

        Raises:
            ConfigError, DataError: the loader can be iterated only once, or its batches have no known form.
        """
        inputs, labels = gather(inner_model(model), loader, n, split)
        return cls(model, inputs, labels, **options)

    # called by the training

    def step(self, *, step: int | None = None, **scalars: Any) -> None:
        """Count one optimiser step, and measure the load curve at every ``every``-th.

        Args:
            step: number of the step; default: the last one plus 1. Where numbers skip a multiple of ``every``, the
                next one is measured. A number that goes back counts as the next one, with one warning.
            scalars: numbers of this step, as ``loss``. The newest of each name is recorded at its own step: with
                the curve where this step is measured, else at most once a second. A tensor is copied where it
                lies, and read only when it is recorded.
        """
        before = self._steps
        warned = self._numbers.take(step)
        if self._probed is None:
            return
        for text in warned:
            self._warn(text, level=3)
        self._health.stepped(self._steps, self._every, paused=self._paused)
        if self._run is not None:
            self._run.at = self._steps
            self._keep(scalars)
            self._attempt(self._listen)
        if self._steps // self._every != before // self._every and not self._paused:
            self._attempt(self._measure)
        if self._run is not None:
            self._attempt(self._run.write_kept_now_and_then)

    def log(self, *, step: float | None = None, epoch: float | None = None, **scalars: Any) -> None:
        """Record numbers now, every one of them; names that the probe itself uses are refused and warned of.

        Args:
            step: the step to which they belong; default: the present one.
            epoch: epochs done by then, where that is known.
            scalars: numbers, or tensors of one, which are read now.
        """
        run, warned = self._run, []
        if run is None or not scalars:
            return
        if self._closed:
            self._warn_of_late(scalars)
            return
        at = self._steps if step is None else step
        self._attempt(lambda: warned.extend(run.log(scalars, max(0, int(at)), epoch)))
        for text in warned:
            self._warn(text, level=3)

    def measure(self, **scalars: Any) -> dict[str, float]:
        """Measure now, and return ``metrics()``; the numbers are those of the present step."""
        self._keep(scalars)
        self._attempt(self._measure)
        if self._run is not None:
            self._attempt(self._run.write_kept)
        return self.metrics()

    def metrics(self, prefix: str = "load_probe/", *, logged: bool = True) -> dict[str, float]:
        """The newest measurement as a flat dict of finite numbers, for any tracker.

        ``separation/LAYER`` and ``load/LAYER`` (trace ratio), ``fuzziness/LAYER``, ``inverse_fuzziness/LAYER``,
        all natural logs; ``cv``, ``asymmetry``, ``effective_friction``, ``friction_error`` and ``curve_error``,
        dimensionless, the first four only where the curve's shape means something; measures of layer health, as
        ``grad_norm/LAYER``; ``seconds`` that the measurement took; on the process that writes the run
        ``scalars/NAME``, the newest number of each name that was recorded, ``usage/cpu`` in cores, and in bytes
        ``usage/memory``, ``usage/gpu0/memory`` and ``usage/gpu0/reserved``. The names of further towers begin with
        ``TOWER/``.

        Args:
            prefix: in front of every name.
            logged: whether ``scalars/NAME`` are among them; a tracker that the training logs to has them already.
        """
        numbers = self._towers.metrics()
        if numbers:
            numbers["seconds"] = self._cost
        if self._run is not None:
            numbers |= self._run.metrics(logged=logged)
        return {prefix + name: value for name, value in numbers.items() if math.isfinite(value)}

    def report_to(self, tracker: Any, *, prefix: str = "load_probe/", run_id: str | None = None) -> None:
        """Send ``metrics()`` to a tracker now and after each measurement; a failing tracker only warns, once.

        On processes that write no run nothing is sent.

        Args:
            tracker: a run of wandb, or wandb itself; MLflow, or its client; a TensorBoard SummaryWriter; trackio;
                a logger with ``log_metrics`` or ``log``; or a function of a dict of numbers and a step.
            prefix: of the names.
            run_id: MLflow's run; by default the active one.

        Raises:
            ConfigError: nothing can be sent to the tracker.
        """
        if not self._writes:  # the tracker may be ready on rank 0 alone
            return
        reporter = Reporter(tracker, prefix, run_id)
        self._reporters.append(reporter)
        self._report([reporter])

    def close(self, error: BaseException | None = None) -> None:
        """End the run: as finished, after a last measurement; after an exception as stopped or failed.

        Args:
            error: the exception that ended the training; None where it finished.
        """
        self._closed = True
        self._towers.end()
        if error is None or (isinstance(error, SystemExit) and not error.code):
            if not self._sharded:  # a sharded model's other processes may have ended
                self._attempt(self._measure)
            self._end(Status.FINISHED, f"finished after {self._steps} steps")
        elif isinstance(error, KeyboardInterrupt):
            self._end(Status.STOPPED, "the training was interrupted")
        else:
            self._end(Status.FAILED, f"the training ended by {describe(error)}")

    def __enter__(self) -> LoadProbe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close(error)

    # what is measured

    def describe(self) -> Description:
        """Every point with its module, shape, reduction and role, and what is left out and why; print it.

        Without points on processes that measure nothing.
        """
        return self._described

    @property
    def towers(self) -> list[str]:
        """Names of the towers, the main one first; ``[""]``, one empty name, where the model is one chain."""
        return self._towers.names

    def tower(self, name: str = "") -> Tower:
        """The newest measurement of one tower; of the main one without a name.

        Raises:
            ConfigError: there is no tower of this name.
        """
        return self._towers[name] if name else self._towers.main

    # the newest measurement, of the main tower

    @property
    def _tower(self) -> Tower:
        return self._towers.main

    @property
    def layers(self) -> list[str]:
        """Names of the points of the curve, input first; empty on processes that write no run."""
        return list(self._tower.layers)

    @property
    def curves(self) -> dict[str, list[float]]:
        """The newest D_0 … D_L by measure, [L + 1] each, in natural logs."""
        return {name: list(curve) for name, curve in self._tower.curves.items()}

    @property
    def loads(self) -> dict[str, float]:
        """The newest load of each layer, D_(l-1) - D_l of the trace ratio (Shi et al., arXiv:2407.19353)."""
        return self._tower.loads

    @property
    def statistics(self) -> LoadStatistics:
        """Coefficient of variation, asymmetry and regime of the newest curve without the logits.

        Where the curve's shape means nothing the numbers are NaN, and ``reason`` says why.
        """
        return self._tower.statistics

    @property
    def regime(self) -> str:
        """balanced, concave, convex, uneven or unclear; ``statistics.words`` says it to a person."""
        return self._tower.regime

    @property
    def twin(self) -> CurveFit | None:
        """The chain fitted to the newest curve; None where its shape means nothing: see ``statistics.reason``."""
        return self._tower.twin

    @property
    def effective_friction(self) -> float:
        """F*/k of the twin, its length 1: > 0 where shallow layers are lazy, < 0 where deep ones are; else NaN."""
        return self._tower.effective_friction

    @property
    def run_id(self) -> str | None:
        """Id of the run, for ``springtui watch``; None where no run is written."""
        return self._run.run.id if self._run is not None else None

    @property
    def path(self) -> Path | None:
        """The run's directory; None where no run is written."""
        return self._run.run.path if self._run is not None else None

    def __repr__(self) -> str:
        return f"<LoadProbe of {self._kind}, {self._towers.points} points, {self.run_id or 'writes nothing'}>"

    # internals

    @property
    def _steps(self) -> int:
        return self._numbers.now

    def _open(self, home: Path | None, config: ProbeConfig) -> None:
        assert self._probed is not None
        facts = self._probed.facts()
        filled = msgspec.structs.replace(
            config,
            model=self._kind[:200],
            layers=tuple(self.layers),
            reductions=facts["reductions"],
            grouping=facts["grouping"],
            classes=facts["classes"],
            samples=facts["samples"],
            chunk=self._probed.chunk,
        )
        run = ProbeRun(home or self._home(), filled)
        self._run = run
        weakref.finalize(self, end_with_script, run)
        run.start(
            Started(
                pid=os.getpid(),
                host=socket.gethostname(),
                settings=msgspec.to_builtins(filled),
                layers=self.layers,
                total=0,
                facts=facts,
            )
        )

    def _home(self) -> Path:
        """The home directory by the preferences; the default one, with a warning, where these are wrong."""
        try:
            return preferred_home()
        except ConfigError as error:
            home = default_home()
            self._warn(f"{error}. The load probe writes to {home}")
            return home

    def _measure(self) -> None:
        if self._probed is None or self._measured_at == self._steps:
            return
        began = time.monotonic()
        self._measured_at = self._steps
        try:
            measured = self._probed.measure_towers()
        finally:
            for text in self._probed.take_news():
                self._warn(text)
        if problem := self._health.problem(self._steps):
            self._warn(f"layer health: {problem}")
        measured = self._health.take(measured, self._steps, last=self._closed)
        self._cost = time.monotonic() - began
        if measured[0].curves:
            self._towers.take(measured)
            try:
                self._write(began)
                self._write_health()
            finally:
                self._report(self._reporters)

    def _write_health(self) -> None:
        """Write the layer health, and note what has happened to a layer since the last measurement."""
        if self._run is None:
            return
        for tower in self._towers:
            if tower.health:
                self._run.write_health(
                    Health(step=self._steps, path=tower.path, layers=tower.layers, measures=tower.health)
                )
        if self._steps == 0:  # an untrained network is no news
            return
        for tower, events in zip(self._towers, self._events, strict=False):
            clear = tower.shows_loads
            for event in events.see(self._steps, tower.curve, clear=clear, health=tower.health):
                self._run.note(event.text, event.level)

    def _write(self, began: float) -> None:
        numbers = self._tower.numbers()
        rate = (self._steps - self._mark[1]) / max(began - self._mark[0], 1e-9)
        self._mark = (time.monotonic(), self._steps)
        scalars: dict[str, float | None] = {**numbers, "rate": rate, "probe_seconds": self._cost}
        if self._run is None:
            return
        seconds = time.monotonic() - self._began
        summary = {"steps": self._steps, "seconds": seconds, **self._towers.summary(), **scalars}
        found = []
        for tower in self._towers:
            own: dict[str, float | None] = {**(scalars if tower is self._tower else tower.numbers())}
            curves: dict[str, list[float | None]] = {name: [*curve] for name, curve in tower.curves.items()}
            found.append(Curve(at=self._steps, step=self._steps, path=tower.path, curves=curves, scalars=own))
        self._run.write_curves(found, summary)

    def _keep(self, scalars: Mapping[str, Any]) -> None:
        if self._run is not None and scalars:
            for text in self._run.keep(scalars):
                self._warn(text, level=4)

    def _warn_of_late(self, scalars: Mapping[str, Any]) -> None:
        """Warn, the first time only, that numbers came after the end of the run."""
        if not self._late:
            names = ", ".join(scalars)
            self._warn(f"the load probe does not record {names}: its run has ended; log before close()", level=4)
        self._late = True

    def _report(self, reporters: Sequence[Reporter]) -> None:
        """Send the newest measurement; warns of a tracker that fails, the first time only."""
        for reporter in reporters:
            try:
                reporter.send(self.metrics(reporter.prefix, logged=False), self._steps)
            except Exception as error:  # of another library, of any type; the training goes on
                if not reporter.has_failed:
                    reporter.has_failed = True
                    self._warn(f"the load probe could not report to {reporter.name}: {describe(error)}")

    def _listen(self) -> None:
        assert self._run is not None
        for control in self._run.asked():
            self._run.answer(control, self._take)
            if control.action == "stop" and not self._sharded:
                self._end(Status.STOPPED, f"stopped watching at step {self._steps}; the training goes on")

    def _take(self, control: Control) -> dict[str, Any]:
        """Apply one request to the probe, never to the training; the settings that it changed."""
        if self._sharded:
            raise ConfigError("a sharded model is measured by all its processes together; nothing can change now")
        if control.action == "set":
            unknown = sorted(set(control.settings) - ProbeConfig.live)
            if unknown:
                raise ConfigError(f"{unknown[0]!r} cannot change while a probe watches; this can: every")
            self._every = make(ProbeConfig, control.settings).every
            self._health.expect(self._every, paused=self._paused)
            return {"every": self._every}
        if control.action in {"pause", "resume"}:
            self._paused = control.action == "pause"
            self._health.expect(self._every, paused=self._paused)
        elif control.action != "stop":
            raise ConfigError(f"unknown request {control.action!r}; allowed: set, pause, resume, stop")
        return {}

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Warn of an error, the first time only."""
        if self._warned:
            return
        self._warned = True
        text = f"the load probe failed at step {self._steps}: {describe(error)}"
        self._warn(text, ". The training goes on; the probe tries again later, silently")

    def _warn(self, text: str, more: str = "", *, level: int = 5) -> None:
        """Warn at the user's line, ``level`` calls above, and add a note to the run where there is one."""
        if self._run is not None:
            self._run.note(text)
        warnings.warn(text + more, ProbeWarning, level)

    def _end(self, reason: Status, text: str) -> None:
        self._probed = None
        self._health.close()
        if self._run is not None:
            self._run.end(reason, text)


def _known(measures: str | Sequence[str]) -> tuple[str, ...]:
    """The measures in their usual order, trace_ratio always; raises ConfigError for an unknown one."""
    measures = [measures] if isinstance(measures, str) else measures
    if not isinstance(measures, Iterable):
        raise ConfigError(f"measures = {measures!r} is not allowed; allowed: names of {', '.join(SEPARATIONS)}")
    measures = list(measures)
    unknown = [name for name in measures if name not in SEPARATIONS]
    if unknown:
        raise ConfigError(f"measures: {unknown[0]!r} is not allowed; allowed: {', '.join(SEPARATIONS)}")
    return tuple(name for name in SEPARATIONS if name == DEFAULT_MEASURE or name in measures)
