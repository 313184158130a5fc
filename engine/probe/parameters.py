"""Which parameters belong to which point of the load curve: those used after the previous point, up to this one.

The order is that in which modules end their forward pass. A module's own parameters (those of no module inside it)
belong to the first point at or after the end of its call. So a block holds all that is in it, an activation the
linear map and the normalisation before it, the input the embeddings before the first block, and the logits the
head.

- A module that is called again, and a parameter that several modules share, counts in each layer that uses it.
- A module that is never called itself, as the output projection of PyTorch's attention, whose owner reads its
  weights, belongs where its owner does.
- What a module of several layers holds itself, as a position embedding, belongs to no layer; nor does what comes
  after the last point.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from .layers import Point
from .trace import Call, Trace, modules_by_name


def layer_parameters(model: nn.Module, traced: Trace, points: Sequence[Point]) -> list[list[nn.Parameter]]:
    """The parameters of each point, trained and frozen ones, each once; empty where there are none.

    Args:
        model: the inner model.
        traced: a forward pass.
        points: the points of one curve, in forward order.
    """
    ends = _ends(traced, points)
    whole = {parent.name for call in _calls_of(traced, points) for parent in call.parents}
    owners: dict[str, list[int]] = {}
    for at, call in enumerate(traced.calls):
        owner = next((index for index, end in enumerate(ends) if at < end), None)
        owners.setdefault(call.name, []).extend([] if owner is None or call.name in whole else [owner])
    held: list[dict[int, nn.Parameter]] = [{} for _ in points]
    for name, module in modules_by_name(model).items():
        for index in owners[_called(name, owners)] if _called(name, owners) else []:
            held[index] |= {id(p): p for p in module.parameters(recurse=False)}
    return [list(parameters.values()) for parameters in held]


def _called(name: str, called: dict[str, list[int]]) -> str:
    """The innermost module that was called, of this one and those that contain it; empty where there is none."""
    while name and name not in called:
        name = name.rpartition(".")[0]
    return name


def _calls_of(traced: Trace, points: Sequence[Point]) -> list[Call]:
    at = {(call.module, call.number): call for call in traced.calls}
    return [at[point.module, point.number] for point in points if point.module is not None]


def _ends(traced: Trace, points: Sequence[Point]) -> list[int]:
    """By point, the number of calls that have ended there; of a block's input, before the block began."""
    at = {(call.module, call.number): index for index, call in enumerate(traced.calls)}
    ends = []
    for point in points:
        if point.module is None:
            ends.append(0 if point.where == "batch" else len(traced.calls))
            continue
        index = at[point.module, point.number]
        ends.append(index - traced.calls[index].inner if point.where == "before" else index + 1)
    return ends
