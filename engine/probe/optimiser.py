"""Layer health that is read from the optimiser, by its own hooks: gradient norms, and what a step did to the
weights.

The hooks only read. The gradient norms are those of the step that leads to a measurement (of several between two
calls of ``LoadProbe.step``, the first). The last measurement, when the probe closes, reads them from the
parameters where they are still those of the last step. A layer's update needs
its weights from before the step; so that only one layer's are kept at a time, the layers take turns, one a step,
over the last steps before a measurement, the one whose number is oldest first. A model of L layers that is
measured every L steps or less often therefore has all its updates from the last L steps.

Shape legend: L layers.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..errors import ConfigError
from ..measures.grad_norm import grad_norm
from ..measures.registry import GRAD_NORM, OF_OPTIMISER, UPDATE_RATIO
from ..measures.scale import length
from ..measures.update_ratio import update_ratio
from .state.contents import change_count
from .state.memory import amount

_PATIENCE = 2
"""Measurements in a row that no step led to before gradients are read at every step."""
_REMEDY = "give the torch.optim.Optimizer that trains the model, or a list of several"
UNSEEN = (
    "no step of the optimiser was seen between two measurements, so gradient norms and update ratios are unknown. "
    "Give the optimiser whose step() trains the model; a step inside torch.compile or a CUDA graph calls no hooks"
)


def optimisers_of(given: Any, names: Sequence[str]) -> list[Any]:
    """The optimisers inside the wrappers of Lightning and Accelerate; none where no measure needs one.

    Args:
        given: an optimiser, several, or None.
        names: names of the wanted measures of layer health.

    Raises:
        ConfigError: a wanted measure needs an optimiser and none is given, or it has no hooks.
    """
    wanted = [name for name in names if name in OF_OPTIMISER]
    if not wanted:
        return []
    if given is None or (isinstance(given, list | tuple) and not given):
        raise ConfigError(
            f"health: {', '.join(map(repr, wanted))} cannot be measured without the optimiser: add optimizer=, or "
            f"leave {'them' if len(wanted) > 1 else 'it'} out of health="
        )
    return [_unwrapped(one) for one in (given if isinstance(given, list | tuple) else [given])]


def _unwrapped(given: Any) -> Any:
    optimiser = given
    while not _takes_hooks(optimiser):
        inner = getattr(optimiser, "optimizer", None)
        if inner is None or inner is optimiser:
            raise ConfigError(
                f"optimizer is a {type(given).__name__}, which takes no step hooks, so that its steps cannot be "
                f"seen; allowed: a torch.optim.Optimizer, or a wrapper that holds one as .optimizer"
            )
        optimiser = inner
    return optimiser


def _takes_hooks(optimiser: Any) -> bool:
    """Whether an optimiser has PyTorch's hooks; Accelerate's wrapper only inherits the functions that add them."""
    try:
        optimiser.register_step_pre_hook(lambda *_: None).remove()
        optimiser.register_step_post_hook(lambda *_: None).remove()
    except AttributeError:
        return False
    return hasattr(optimiser, "param_groups")


class OptimiserWatch:
    """Reads gradients and updates of a model's layers from its optimiser's steps.

    Args:
        optimisers: from ``optimisers_of``; those that train the model.
        layers: the parameters of each layer, [L].
        wanted: names of measures; those of ``OF_OPTIMISER`` are taken.

    Raises:
        ConfigError: no optimiser holds any parameter of the layers.
    """

    def __init__(
        self, optimisers: Sequence[Any], layers: Sequence[Sequence[nn.Parameter]], wanted: Sequence[str]
    ) -> None:
        self._layers = [list(layer) for layer in layers]
        self._wanted = tuple(name for name in OF_OPTIMISER if name in wanted)
        self._left = math.inf
        self._misses = 0
        self.seen = 0
        """Steps of the optimisers that were seen."""
        self.error: Exception | None = None
        """The first error of a hook; None where there was none."""
        self._seen_before = 0
        self._gradients: dict[int, _Gradients] = {}
        self._newest: dict[int, _Gradients] = {}
        self._newest_step = -1
        self._last: dict[int, _Seen] = {}
        self._measured_step = 0
        self._turn = _Turn(-1)
        self._turns = 0
        self._updates: dict[int, _Turn] = {}
        self._order = [index for index, layer in enumerate(self._layers) if layer]
        known = {id(p) for one in optimisers for p in _parameters(one)}
        if not any(id(p) in known for layer in self._layers for p in layer):
            raise ConfigError(
                f"optimizer: {', '.join(type(one).__name__ for one in optimisers)} holds no parameter of the "
                f"model's layers; {_REMEDY}"
            )
        handles = [handle for one in optimisers for handle in _hook(one, weakref.ref(self))]
        self._remove = weakref.finalize(self, _remove, handles)

    def close(self) -> None:
        """Remove the hooks."""
        self._remove()

    def memory(self) -> int:
        """Most bytes of weights that are kept at once: the trained parameters of the largest layer."""
        if UPDATE_RATIO not in self._wanted:
            return 0
        return max(sum(p.numel() * p.element_size() for p in layer if p.requires_grad) for layer in self._layers)

    def words(self) -> str:
        """What is kept of the weights, and how many bytes that are at most, in words."""
        if UPDATE_RATIO not in self._wanted:
            return "no copy of weights"
        return f"a copy of one layer's weights at a time, at most {amount(self.memory())}"

    # called by the probe

    def expect(self, left: float) -> None:
        """Take note that the next measurement follows ``left`` optimiser steps from now; infinite if never."""
        self._left = left

    def stepped(self, step: int) -> None:
        """Take note that the training counted its ``step``-th step: what the hooks have read belongs to it."""
        if self._gradients:
            self._newest, self._newest_step, self._gradients = self._gradients, step, {}
        self._end_turn()
        self._turns = 0

    def _end_turn(self) -> None:
        """Keep what the present turn found, and let the next layer have its turn."""
        turn, self._turn = self._turn, _Turn(-1)
        if turn.layer >= 0 and turn.done:
            turn.old.clear()
            self._updates[turn.layer] = turn
            self._order.remove(turn.layer)
            self._order.append(turn.layer)

    def values(self, step: int, *, last: bool = False) -> dict[str, list[float]]:
        """One value a layer of each wanted measure at a measurement; NaN where it is unknown.

        Where measurements are not foreseen, as those that a script asks for at steps of its own, gradients are
        read at every step from the second one on.

        Args:
            step: the training's step.
            last: whether the training has ended; then a measurement need not have been foreseen, and gradients
                that nothing has changed since the last step are read.
        """
        fresh = self._newest_step == step or (self._always and self._newest_step > self._measured_step)
        if not self._always and step > 0 and not last:
            self._misses = 0 if fresh else self._misses + 1
        moved = self.seen > self._seen_before
        if last and moved and not fresh:
            fresh = self._take_unchanged()
        norms = self._norms() if fresh else [math.nan] * len(self._layers)
        ratios = [
            self._updates[index].ratio() if moved and index in self._updates else math.nan
            for index in range(len(self._layers))
        ]
        self._measured_step, self._seen_before = step, self.seen
        taken = {GRAD_NORM: norms, UPDATE_RATIO: ratios}
        return {name: taken[name] for name in self._wanted}

    def _take_unchanged(self) -> bool:
        """Whether the gradients of every optimiser's last step are still there; then they are read."""
        seen = list(self._last.values())
        if not seen or not all(one.is_unchanged() for one in seen):
            return False
        self._newest = {at: _Gradients(one.parameters(), None, None) for at, one in enumerate(seen)}
        return True

    @property
    def _always(self) -> bool:
        return self._misses >= _PATIENCE

    def is_blind(self, step: int) -> bool:
        """Whether no step of the optimiser was seen since the last measurement, at ``step`` > 0."""
        return step > self._measured_step and self.seen == self._seen_before

    def _norms(self) -> list[float]:
        lengths: dict[int, float] = {}
        for gradients in self._newest.values():
            lengths |= gradients.read()
        return [grad_norm([lengths[id(p)] for p in layer if id(p) in lengths]) for layer in self._layers]

    # called by the optimisers

    def before(self, optimiser: Any, has_closure: bool) -> None:
        """Read gradients, or keep a layer's weights, before a step of an optimiser."""
        self.seen += 1
        own = id(optimiser)
        if not has_closure:
            self._read_gradients(optimiser)
        if UPDATE_RATIO not in self._wanted:
            return
        if own in self._turn.done:
            self._end_turn()
        is_due = self._always or self._left <= len(self._order)
        if self._turn.layer < 0 and is_due and self._turns < len(self._order):
            self._turn = _Turn(self._order[0])
            self._turns += 1
        if self._turn.layer >= 0:
            held = {id(p) for p in _parameters(optimiser)}
            layer = self._layers[self._turn.layer]
            self._turn.keep([p for p in layer if id(p) in held and p.requires_grad])

    def after(self, optimiser: Any, has_closure: bool) -> None:
        """Read gradients that a closure made, or compare a layer's weights, after a step of an optimiser."""
        if has_closure:
            self._read_gradients(optimiser, scaled=False)
        if self._turn.layer >= 0 and id(optimiser) not in self._turn.done:
            self._turn.compare(getattr(optimiser, "found_inf", None))
            self._turn.done.add(id(optimiser))

    def _read_gradients(self, optimiser: Any, *, scaled: bool = True) -> None:
        due = self._always or self._left <= 1
        if GRAD_NORM not in self._wanted or id(optimiser) in self._gradients:
            return
        held = {id(p) for p in _parameters(optimiser)}
        wanted = {id(p): p for layer in self._layers for p in layer if id(p) in held and p.grad is not None}
        # a fused optimiser gets scaled gradients, with their scale and whether the step is skipped
        scale = getattr(optimiser, "grad_scale", None) if scaled else None
        if not due:
            self._last[id(optimiser)] = _Seen(wanted if scale is None else {})
            return
        self._last.pop(id(optimiser), None)
        self._gradients[id(optimiser)] = _Gradients(wanted, scale, getattr(optimiser, "found_inf", None))


class _Gradients:
    """Lengths of gradients before one step of an optimiser, kept on their devices until they are read."""

    def __init__(self, parameters: Mapping[int, nn.Parameter], scale: Any, skipped: Any) -> None:
        self._lengths = {key: length(p.grad) for key, p in parameters.items() if p.grad is not None}
        self._scale = scale.clone() if isinstance(scale, Tensor) else scale
        self._skipped = skipped.clone() if isinstance(skipped, Tensor) else skipped

    def read(self) -> dict[int, float]:
        """Length by id of the parameter, without the scale; none where the step was skipped."""
        if self._skipped is not None and float(self._skipped) > 0:
            return {}
        scale = 1.0 if self._scale is None else float(self._scale)
        return {
            key: value / scale for key, value in zip(self._lengths, _floats(self._lengths.values()), strict=True)
        }


class _Seen:
    """Which gradients a step had, to tell later whether they are still there; nothing is kept of their values."""

    def __init__(self, parameters: Mapping[int, nn.Parameter]) -> None:
        self._gradients = [
            (weakref.ref(p), weakref.ref(p.grad), change_count(p.grad))
            for p in parameters.values()
            if p.grad is not None
        ]

    def is_unchanged(self) -> bool:
        """Whether each parameter has the same gradient, and nothing was written to it; False if there was none."""
        for owner, gradient, count in self._gradients:
            p, kept = owner(), gradient()
            if p is None or kept is None or p.grad is not kept or change_count(kept) != count:
                return False
        return bool(self._gradients)

    def parameters(self) -> dict[int, nn.Parameter]:
        """The parameters that had a gradient, by id."""
        return {id(p): p for owner, _, _ in self._gradients if (p := owner()) is not None}


class _Turn:
    """One layer's weights around one step."""

    def __init__(self, layer: int) -> None:
        self.layer = layer
        """Number of the layer; -1 for none."""
        self.old: dict[nn.Parameter, Tensor] = {}
        self.done: set[int] = set()
        """Optimisers whose step is over, by id."""
        self._lengths: list[Tensor] = []
        self._changes: list[Tensor] = []
        self._skipped: list[Tensor] = []
        self._ratio: float | None = None

    def keep(self, parameters: Iterable[nn.Parameter]) -> None:
        """Copy the weights before the step."""
        self.old = {p: p.detach().clone() for p in parameters}

    def compare(self, skipped: Any) -> None:
        """Keep how far the weights went, and drop the copies."""
        for p, old in self.old.items():
            self._lengths.append(length(old))
            self._changes.append(length(old.sub_(p.detach())))
        if isinstance(skipped, Tensor):
            self._skipped.append(skipped.clone())
        self.old = {}

    def ratio(self) -> float:
        """The layer's update ratio; NaN where it has no trained parameter, or the step was skipped."""
        if self._ratio is None:
            if any(value > 0 for value in _floats(self._skipped)):
                self._ratio = math.nan
            else:
                self._ratio = update_ratio(_floats(self._changes), _floats(self._lengths))
        return self._ratio


def _floats(values: Iterable[Tensor]) -> list[float]:
    """Tensors of one number as floats, with one transfer for each device and type."""
    kinds: dict[tuple[torch.device, torch.dtype], list[tuple[int, Tensor]]] = {}
    for at, value in enumerate(values):
        kinds.setdefault((value.device, value.dtype), []).append((at, value))
    found: dict[int, float] = {}
    for kept in kinds.values():
        numbers = torch.stack([value.reshape(()) for _, value in kept]).tolist()
        found |= dict(zip((at for at, _ in kept), numbers, strict=True))
    return [found[at] for at in range(len(found))]


def _parameters(optimiser: Any) -> list[nn.Parameter]:
    return [p for group in optimiser.param_groups for p in group["params"]]


def _hook(optimiser: Any, watch: weakref.ref[OptimiserWatch]) -> list[RemovableHandle]:
    """Hooks that do nothing once the watch is gone, while a step is compiled or captured, and after an error."""

    def run(name: str, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_compiling() or _is_captured():
            return
        held = watch()
        if held is None or held.error is not None:
            return
        closure = kwargs.get("closure") if "closure" in kwargs else next(iter(args[1:]), None)
        try:
            with torch.no_grad():
                getattr(held, name)(optimiser, callable(closure))
        except Exception as error:  # the training must go on whatever an optimiser does; the probe warns of it
            held.error = error

    def before(_optimiser: Any, args: Any, kwargs: Any) -> None:
        run("before", args, kwargs)

    def after(_optimiser: Any, args: Any, kwargs: Any) -> None:
        run("after", args, kwargs)

    return [optimiser.register_step_pre_hook(before), optimiser.register_step_post_hook(after)]


def _is_captured() -> bool:
    """Whether a CUDA graph records what is computed now."""
    is_initialized: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return is_initialized and torch.cuda.is_current_stream_capturing()


def _remove(handles: Iterable[RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()
