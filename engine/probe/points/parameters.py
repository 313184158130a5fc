"""Which parameters belong to which point of a load curve: those of the modules between it and the point before.

A module's own parameters (those of no module inside it) belong to the first point that its output contributes to,
by the flow of data. So a block holds all that is in it, an activation the linear map and the normalisation before
it, the input the embeddings before the first block, and the logits the head. Where the flow of data is unknown, or
a module reads none of it, as an embedding of positions, the order of calls stands for it: the first point at or
after the end of the call.

- A module that is called again, and a parameter that several modules share, counts in each layer that uses it.
- A module that is never called itself, as the output projection of PyTorch's attention, whose owner reads its
  weights, belongs where its owner does.
- What a module of several layers holds itself, as a class token, belongs to no layer; nor does what leads to no
  point.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from .layers import Point
from .modules import every_module_by_name
from .trace import Call, Trace


def layer_parameters(
    model: nn.Module, traced: Trace, points: Sequence[Point], *, is_only: bool = True
) -> list[list[nn.Parameter]]:
    """The parameters of each point, trained and frozen ones, each once; empty where there are none.

    Args:
        model: the inner model.
        traced: a forward pass.
        points: the points of one tower, in forward order.
        is_only: whether it is the only tower, so that the order of calls is that of its points.
    """
    owners: dict[str, list[int]] = {}
    for call, owner in _Owners(traced, points, is_only=is_only).all():
        owners.setdefault(call.name, []).extend([] if owner is None else [owner])
    held: list[dict[int, nn.Parameter]] = [{} for _ in points]
    for name, module in every_module_by_name(model).items():
        for index in owners.get(_called(name, owners), ()):
            held[index] |= {id(p): p for p in module.parameters(recurse=False)}
    return [list(parameters.values()) for parameters in held]


def _called(name: str, called: dict[str, list[int]]) -> str:
    """The innermost module that was called, of this one and those that contain it; empty where there is none."""
    while name and name not in called:
        name = name.rpartition(".")[0]
    return name


class _Owners:
    """The point that each call of a pass belongs to."""

    def __init__(self, traced: Trace, points: Sequence[Point], *, is_only: bool) -> None:
        self._traced = traced
        self._at = {(call.module, call.number): index for index, call in enumerate(traced.calls)}
        self._is_only = is_only
        self._ends = [self._end(point) for point in points]
        places = [self._at[point.module, point.number] for point in points if point.module is not None]
        self._whole = {id(parent) for place in places for parent in traced.calls[place].parents}
        self._first = self._first_points([self._node(point) for point in points])

    def all(self) -> list[tuple[Call, int | None]]:
        """Every call with the number of its point; None where it belongs to none."""
        return [(call, self._owner(at)) for at, call in enumerate(self._traced.calls)]

    def _owner(self, at: int) -> int | None:
        call = self._traced.calls[at]
        if id(call) in self._whole:
            return None
        if self._traced.flow is None:
            return self._by_order(at)
        for one in (call, *reversed(call.parents)):  # what reads no data, as a parametrization, is its owner's
            if id(one) not in self._whole and one.left:
                return min((self._first[node] for node in one.left if node in self._first), default=None)
        return self._by_order(at) if self._is_only else None

    def _by_order(self, at: int) -> int | None:
        return next((index for index, end in enumerate(self._ends) if at < end), None)

    def _end(self, point: Point) -> int:
        """The number of calls that have ended at a point; of a layer's input, before the layer began."""
        if point.module is None:
            return 0 if point.where == "batch" else len(self._traced.calls)
        at = self._at[point.module, point.number]
        return at - self._traced.calls[at].inner if point.where == "before" else at + 1

    def _node(self, point: Point) -> int | None:
        """The operation of the flow whose output a point measures."""
        if point.module is None:
            return self._traced.left[0] if point.where == "model" and self._traced.left else None
        call = self._traced.calls[self._at[point.module, point.number]]
        return call.entered if point.where == "before" else next(iter(call.left), None)

    def _first_points(self, nodes: Sequence[int | None]) -> dict[int, int]:
        """By operation of the flow, the first point that it contributes to."""
        first: dict[int, int] = {}
        for index, node in enumerate(nodes if self._traced.flow is not None else ()):
            waiting = [] if node is None else [node]
            while waiting:
                node = waiting.pop()
                if node not in first:
                    first[node] = index
                    waiting += self._traced.flow.made_from[node]  # type: ignore[union-attr]
        return first
