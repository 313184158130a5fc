"""Finds which tokens of each sample are real and which are padding, by masks and lengths among a model's inputs.

Shape legend: N samples of the probe batch, n samples of a chunk, T tokens.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError

_PADDING = re.compile(r"(^|_)(pad|padded|padding)(_?masks?)?$|padding_?masks?$", re.I)
"""Names of masks that are True where a token is padding, as ``src_key_padding_mask`` of PyTorch."""
_ATTENTION = re.compile(r"(^|_)(attention|attn|input|token)_?masks?$", re.I)
"""Names of masks that are 1 where a token is real, as ``attention_mask`` of Hugging Face's models."""
_ANY_MASK = re.compile(r"(^|_)masks?$", re.I)
_LENGTHS = re.compile(r"(^|_)(lengths?|lens?|seq_?lens?|seqlens?)$", re.I)
_OF_DECODER = re.compile(r"(^|[._])(decoder|tgt|target|dec)", re.I)
ALLOWED = "mask=, [N, T] booleans that are True where a token is real"


class Masks:
    """The masks of tokens of a probe batch, each [N, T], True where a token is real.

    Args:
        inputs: the model's inputs by name; a name is "" where it is not known.
        n: number of samples, N.
        given: the user's own mask, which replaces those of the inputs; or None.

    Raises:
        DataError: ``given`` is no mask of N samples.
    """

    def __init__(self, inputs: Sequence[tuple[str, Any]], n: int, given: Any = None) -> None:
        self.names: list[str] = []
        self.values: list[Tensor] = []
        self.was_used = False
        """Whether features were found that a mask fits."""
        self.unclear: list[str] = []
        """Names of inputs that may be masks, but do not tell which of their values is padding."""
        if given is not None:
            self._add("mask", _given(given, n))
            return
        found = [(name, value.detach()) for name, value in inputs if isinstance(value, Tensor)]
        found = [(name, value) for name, value in found if not value.is_nested and value.ndim and len(value) == n]
        lengths = [value.shape for _, value in found if value.ndim > 1]
        for name, value in found:
            if value.ndim == 2:
                self._add(name, self._of_mask(name, value))
            elif value.ndim == 1 and _LENGTHS.search(name):
                self._add(name, _of_lengths(value, lengths))
        order = sorted(range(len(self.names)), key=lambda i: bool(_OF_DECODER.search(self.names[i])))
        self.names, self.values = [self.names[i] for i in order], [self.values[i] for i in order]

    @property
    def main(self) -> Tensor | None:
        """The mask of the model's own tokens, [N, T]; None where there is none."""
        return self.values[0] if self.values else None

    @property
    def length(self) -> int:
        """T of the main mask; 0 where there is none."""
        return 0 if self.main is None else int(self.main.shape[1])

    def part(self, start: int, stop: int, device: torch.device) -> Part:
        """The masks of samples start … stop - 1."""
        return Part(self, [value[start:stop].to(device) for value in self.values])

    def notes(self, points: Iterable[str]) -> list[str]:
        """What the user is to be told of the masks, in words.

        Args:
            points: names of the points that are averaged over tokens, or of which the last token is taken.
        """
        told = []
        if self.unclear:
            told.append(
                f"the input {self.unclear[0]!r} may be a mask of padding, but its values do not tell whether True "
                f"is a real token, so it is not used; give {ALLOWED}"
            )
        first = next(iter(points), None)
        if self.values and first is not None and not self.was_used:
            told.append(
                f"the mask {self.names[0]!r} of {self.length} tokens fits no layer, as {first!r}: their positions "
                f"are others than the inputs', and all of them count, also those of padding; samples of about one "
                f"length make the least of it"
            )
        return told

    def _add(self, name: str, mask: Tensor | None) -> None:
        if mask is not None:
            self.names.append(name)
            self.values.append(mask.cpu())

    def _of_mask(self, name: str, value: Tensor) -> Tensor | None:
        """True where a token is real, [N, T], from an input of this shape; None where it is no mask."""
        is_named = bool(_PADDING.search(name) or _ATTENTION.search(name))
        if not is_named and not (_ANY_MASK.search(name) or (not name and value.dtype == torch.bool)):
            return None
        if value.is_floating_point() and bool((value < 0).any()):  # added to attention's scores
            return value == 0 if bool(((value == 0) | (value < -1e3)).all()) else None
        if not bool(((value == 0) | (value == 1)).all()):
            return None
        is_set = value != 0
        set_is_real = _which_is_real(is_set, named=is_named)
        if set_is_real is None:
            if not is_named:
                self.unclear.append(name)
                return None
            set_is_real = not _PADDING.search(name)
        return is_set if set_is_real else ~is_set


class Part:
    """The masks of one chunk of samples, each [n, T]."""

    def __init__(self, masks: Masks, values: Sequence[Tensor]) -> None:
        self._masks, self._values = masks, values

    def note_own(self) -> None:
        """Note that features brought a mask of their own, as packed sequences do."""
        self._masks.was_used = True

    def fitting(self, point: str, shape: Sequence[int]) -> Tensor | None:
        """The mask of features of this shape, [n, T, …]; None where none fits.

        A mask is cut to the tokens of the longest sample of the chunk where the features end there too, as after
        ``pad_packed_sequence``. Of several that fit, the decoder's is taken for a point inside a decoder.

        Args:
            point: name of the point.
            shape: of its features, samples first.
        """
        fits = [
            (bool(_OF_DECODER.search(name)), mask)
            for name, value in zip(self._masks.names, self._values, strict=True)
            if (mask := _cut(value, shape)) is not None
        ]
        self._masks.was_used = self._masks.was_used or bool(fits)
        wanted = bool(_OF_DECODER.search(point))
        return next((mask for of_decoder, mask in fits if of_decoder == wanted), fits[0][1] if fits else None)


def _cut(mask_nT: Tensor, shape: Sequence[int]) -> Tensor | None:
    """A mask for features of this shape, [n, T, …], or None where it does not fit."""
    if len(shape) < 2 or mask_nT.shape[0] != shape[0]:
        return None
    if mask_nT.shape[1] > shape[1] and shape[1] == _longest(mask_nT):
        return mask_nT[:, : shape[1]]
    return mask_nT if mask_nT.shape[1] == shape[1] else None


def _longest(mask_nT: Tensor) -> int:
    """Number of columns up to the last one that is real for any sample."""
    columns = mask_nT.any(0).nonzero()
    return int(columns[-1]) + 1 if len(columns) else 0


def _which_is_real(is_set: Tensor, *, named: bool) -> bool | None:
    """Whether the entries that are set, [N, T], are the real tokens; None where the values do not tell.

    A sample has at least one real token; so a row that is all set says that set is real, one without any the
    contrary. A mask without a telling name is one only if its padding lies at the ends of the rows.
    """
    if not named and not (_is_contiguous(is_set) or _is_contiguous(~is_set)):
        return None
    full, empty = bool(is_set.all(1).any()), bool((~is_set).all(1).any())
    if full != empty:
        return full
    if named or full:
        return None
    for edge in (is_set[:, 0], is_set[:, -1]):  # one end of every row is real, the other is padding in some
        if bool((edge == edge[0]).all()):
            return bool(edge[0])
    return None


def _is_contiguous(mask: Tensor) -> bool:
    """Whether the set entries of each row are neighbours."""
    steps = torch.diff(mask.to(torch.int8), dim=1)
    return bool(((steps == 1).sum(1) + mask[:, 0].to(torch.int64) <= 1).all())


def _of_lengths(lengths: Tensor, shapes: Sequence[torch.Size]) -> Tensor | None:
    """True for the first ``lengths`` tokens, [N, T]; T is of the inputs' axes the longest sample's, or the next.

    None where they are no lengths of the inputs.
    """
    if lengths.is_floating_point() or lengths.dtype == torch.bool or not len(lengths):
        return None
    longest = int(lengths.max())
    axes = [size for shape in shapes for size in shape[1:] if size >= longest]
    if int(lengths.min()) < 1 or not axes:
        return None
    total = longest if longest in axes else axes[0]
    return torch.arange(total, device=lengths.device)[None] < lengths[:, None]


def _given(mask: Any, n: int) -> Tensor:
    """The user's own mask, [N, T]; raises DataError where it is none."""
    try:
        value = (
            mask.detach().cpu() if isinstance(mask, Tensor) else torch.as_tensor(np.asarray(mask), device="cpu")
        )
    except (TypeError, ValueError) as error:
        raise DataError(
            f"mask is a {type(mask).__name__} that is no array ({error}); allowed: {ALLOWED}"
        ) from error
    if value.ndim != 2 or value.shape[0] != n:
        raise DataError(f"mask has the shape {tuple(value.shape)}, inputs hold {n} samples; allowed: {ALLOWED}")
    if value.dtype != torch.bool and not bool(((value == 0) | (value == 1)).all()):
        raise DataError(f"mask holds values other than 0 and 1 (type {value.dtype}); allowed: {ALLOWED}")
    empty = (~(value != 0).any(1)).nonzero().flatten().tolist()
    if empty:
        raise DataError(
            f"mask leaves no token of sample {empty[0]}{f' and {len(empty) - 1} more' if len(empty) > 1 else ''}; "
            f"allowed: {ALLOWED}, at least one in each sample. If True marks padding in yours, give its inverse"
        )
    return value != 0


def parameter_names(function: Callable[..., Any], *, skip: bool = False) -> list[str]:
    """Names of a function's positional parameters, without the first where ``skip``; empty where unknown."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in _parameters(function) if parameter.kind in positional]
    return names[1 if skip else 0 :]


def keyword_names(function: Callable[..., Any]) -> tuple[set[str], bool]:
    """Names of a function's parameters that can be given by name, and whether it takes any other name too."""
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = _parameters(function)
    takes_any = any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    return {parameter.name for parameter in parameters if parameter.kind in named}, takes_any


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # of functions that are not written in Python
        return []
