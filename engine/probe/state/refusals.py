"""The error of a model that cannot run the probe batch, with a remedy that fits the cause."""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from ...errors import ConfigError, DataError, SpringtuiError
from .isolation import Autocast
from .memory import is_out_of_memory

_USUAL = (
    "give inputs= as the model takes them (a tuple of arguments, a dict of named ones), samples first, in any "
    "number"
)
_FEW = 8
"""Tensors in a list of inputs that may well be arguments; more are samples."""
_ARGUMENTS = re.compile(r"argument|parameter|forward\(\)|unexpected keyword", re.I)
_GRADIENTS = re.compile(r"require(s)? grad|requires_grad|grad_fn|gradient", re.I)
_TYPES = re.compile(
    r"dtype|expected scalar type|expected m\w* type|must be .* but (got|found)|\b(Double|Half|Long)\b"
)

_P = ParamSpec("_P")
_T = TypeVar("_T")


def check_arguments(layers: Any, groups: Any, autocast: Autocast, forward: Any, home: Any = None) -> None:
    """Check the kinds of a probe's arguments that no record holds.

    Raises:
        ConfigError: one is of a kind that is not allowed.
    """
    named = [layers] if isinstance(layers, str) else layers
    if named is not None and not (isinstance(named, Sequence) and all(isinstance(one, str) for one in named)):
        raise ConfigError(f"layers = {layers!r} is not allowed; allowed: patterns of names, as ['blocks.*']")
    if not isinstance(groups, int) or groups < 2:
        raise ConfigError(f"groups = {groups!r} is not allowed; allowed: a whole number >= 2")
    if autocast is not None and not isinstance(autocast, torch.dtype) and not callable(autocast):
        raise ConfigError(
            f"autocast = {autocast!r} is not allowed; allowed: a dtype, as torch.bfloat16, or a function that "
            f"returns a context, as fabric.autocast"
        )
    if forward is not None and not callable(forward):
        raise ConfigError(f"forward = {forward!r} is not allowed; allowed: a function of the model and its inputs")
    if home is not None and not isinstance(home, str | os.PathLike):
        raise ConfigError(f"home = {home!r} is not allowed; allowed: the path of a directory, or None")


def foreseen(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """The function, whose errors of other classes than ours become a DataError that names them.

    Raises:
        DataError: the function raised an error of another class.
    """

    @functools.wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(*args, **kwargs)
        except (SpringtuiError, Warning):
            raise
        except Exception as error:  # of any class: models hold anything
            words = (
                "memory ran out"
                if is_out_of_memory(error)
                else "this model or batch is of a kind it does not know"
            )
            raise DataError(
                f"the load probe cannot measure this: {type(error).__name__}: {error or 'no text'} ({words}); "
                f"name other layers=, or give forward= and inputs= that are plain tensors; and please report it"
            ) from error

    return called


def cannot_run(model: nn.Module, what: str, error: Exception, args: Any = (), kwargs: Any = None) -> DataError:
    """The error to raise where a model raised one of its own on the probe batch.

    Args:
        model: the inner model.
        what: what it could not run, as "a few samples of the probe batch".
        error: the exception that it raised.
        args, kwargs: what it was given.
    """
    text = str(error).strip() or "no text"
    given = _given(args, kwargs or {})
    return DataError(
        f"{type(model).__name__} cannot run {what}: {type(error).__name__}: {text}; "
        f"{_remedy(model, error, args, kwargs or {})}{f' (it was given {given})' if given else ''}"
    )


def _remedy(model: nn.Module, error: Exception, args: Any, kwargs: Mapping[str, Any]) -> str:
    text = str(error)
    if is_out_of_memory(error):
        return "give shorter or smaller inputs=, or a smaller memory=; few samples at once did not fit"
    if len(args) > max(_FEW, _most_arguments(model)) and all(isinstance(arg, Tensor) for arg in args):
        return (
            f"inputs is a list of {len(args)} tensors, each of which is given as an argument; for a batch of "
            f"samples give torch.stack(inputs)"
        )
    if len(args) == 1 and isinstance(args[0], list):
        return (
            "the samples were given as a list of tensors, as models for detection take them; for a model that "
            "takes a batch give torch.stack(inputs)"
        )
    if isinstance(error, TypeError) and _ARGUMENTS.search(text):
        return f"its forward takes {_signature(model)}: give inputs= as a tuple of these, or as a dict by name"
    if _GRADIENTS.search(text):
        return (
            "it takes gradients within forward, which was tried with gradients of the inputs and of the "
            "parameters; probe the part inside that gives the features, or call that part in forward="
        )
    types = {tensor.dtype for tensor in [*args, *kwargs.values()] if isinstance(tensor, Tensor)}
    own = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    if own is not None and _TYPES.search(text) and types - {own}:
        short = str(own).removeprefix("torch.")
        return f"its parameters are {short}: give real inputs as inputs.to(torch.{short}), tokens as torch.int64"
    return _USUAL


def _most_arguments(model: nn.Module) -> float:
    """How many positional arguments a model takes at most."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return 1
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return float("inf")
    return sum(p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD} for p in parameters)


def _signature(model: nn.Module) -> str:
    try:
        names = list(inspect.signature(model.forward).parameters)
    except (TypeError, ValueError):
        return "other arguments"
    return ", ".join(names[:12]) or "no arguments"


def _given(args: Any, kwargs: Mapping[str, Any]) -> str:
    """The first arguments' types and shapes in words; empty where nothing was given."""
    parts = [_words(value) for value in args[:4]]
    parts += [f"{name}: {_words(value)}" for name, value in list(kwargs.items())[:6]]
    more = len(args) + len(kwargs) - len(parts)
    return ", ".join(parts) + (f" and {more} more" if more > 0 else "")


def _words(value: Any) -> str:
    if isinstance(value, Tensor):
        return (
            f"{list(value.shape) if not value.is_nested else 'nested'} {str(value.dtype).removeprefix('torch.')}"
        )
    return f"a {type(value).__name__}"
