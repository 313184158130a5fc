"""Gathers a probe batch from a training's own loader of batches, without disturbing what the loader gives next.

A ``torch.utils.data.DataLoader`` is not iterated: its samples are fetched and collated here as it would, in this
process, so that its workers, its iterator and its random numbers stay as they are.

Shape legend: N samples of the probe batch, n of a batch, T tokens.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils.data import DataLoader, IterableDataset

from ...errors import ConfigError, DataError
from ..state.isolation import random_kept
from ..state.values import generator_state
from .graphs import is_graph
from .groupings import IGNORED
from .masks import Masks, keyword_names, parameter_names

LABELS = ("labels", "label", "label_ids", "target", "targets", "y", "class", "classes")
"""Names of the labels in a batch that is a mapping, in the order in which they are looked for."""
_MOST = 8
"""So many times as many samples as wanted are read to find a second one of each class."""
_DEPTH = 4
"""Attributes of attributes of a loader in which random number generators are looked for, as of its data set."""
_COUNTING = 3
"""Depth up to which numbers that count are put back, as a sampler's epoch."""
_FIRST = 64
"""Entries of a list of parts that are looked at, as of transforms."""
_NO_PARTS = (Tensor, np.ndarray, nn.Module, type, ModuleType, FunctionType)
_ALLOWED = "(inputs, labels), a mapping with labels, a tensor, or a batch of PyTorch Geometric"


class Gathered(NamedTuple):
    """Arguments of ``LoadProbe``."""

    inputs: Any
    labels: Any
    """None where the batches hold none."""


Split = Callable[[Any], tuple[Any, Any]]
"""Returns inputs and labels of a batch."""


def gather(model: nn.Module, loader: Any, n: int, split: Split | None = None) -> Gathered:
    """A probe batch of the first samples of a loader: ``n``, and at least two of each class among them.

    The training's later batches, and its random numbers, are the same as without this call.

    Args:
        model: the model that will run them; the names of its parameters tell inputs from labels.
        loader: a DataLoader, or any iterable that begins anew each time it is iterated.
        n: number of samples; fewer where the loader has fewer, more where a class has only one among them.
        split: returns inputs and labels of a batch; by default they are told by place or by name.

    Raises:
        ConfigError: the loader can be iterated only once, or ``n`` is too small.
        DataError: its batches do not fit together, or hold nothing that is known.
    """
    if not isinstance(n, int) or n < 3:
        raise ConfigError(f"n = {n!r} is not allowed; allowed: a whole number >= 3, better some hundred")
    if split is not None and not callable(split):
        raise ConfigError(f"split = {split!r} is not allowed; allowed: a function of a batch, or None")
    names = parameter_names(model.forward)
    parts: list[Gathered] = []
    counts: Counter[Any] = Counter()
    total = 0
    with undisturbed(loader):
        for batch in _batches(loader):
            part = _split(split, batch) if split is not None else split_batch(batch, model, names)
            parts.append(part)
            length = _length(part)
            total += length
            counts.update(_classes(part.labels, length) or ())
            if total >= n and (1 not in counts.values() or total >= _MOST * n):
                break
    if not parts:
        raise DataError("loader gave no batch; a probe batch needs at least 3 samples")
    inputs = _joined([part.inputs for part in parts], "inputs", names)
    if is_graph(inputs):
        return _chosen(Gathered(inputs, parts[0].labels if len(parts) == 1 else inputs.y), total, n)
    labels = None if parts[0].labels is None else _joined([part.labels for part in parts], "labels", names)
    return _chosen(Gathered(inputs, labels), total, n)


def _split(split: Split, batch: Any) -> Gathered:
    """Inputs and labels of one batch by the user's function.

    Raises:
        DataError: it does not return two values.
        Exception: the function's own.
    """
    found = split(batch)
    if not isinstance(found, tuple | list) or len(found) != 2:
        what = f"{len(found)} values" if isinstance(found, tuple | list) else f"a {type(found).__name__}"
        raise DataError(f"split= returned {what}; allowed: (inputs, labels) of the batch")
    return Gathered(*found)


def split_batch(batch: Any, model: nn.Module, names: Sequence[str]) -> Gathered:
    """Inputs and labels of one batch, as ``LoadProbe`` takes them.

    Args:
        batch: as the loader gives it.
        model: the model that will run it.
        names: of the model's positional parameters: a batch may hold more than inputs and labels behind them.

    Raises:
        DataError: the batch is of no known form.
    """
    if is_dataclass(batch) and not isinstance(batch, type):
        batch = {field.name: getattr(batch, field.name) for field in fields(batch)}
    if is_graph(batch):
        return Gathered(batch, getattr(batch, "y", None))
    if isinstance(batch, Mapping):
        name = next((name for name in LABELS if batch.get(name) is not None), None)
        keeps = _runs_on_labels(model) and "decoder_input_ids" not in batch
        kept = {k: v for k, v in batch.items() if v is not None and (k != name or keeps)}
        if keeps and name is not None and _is_rows(batch[name]):
            return Gathered(_taken(kept, model), None)  # the decoder's tokens: the encoder is grouped by its own
        return Gathered(_taken(kept, model), None if name is None else batch[name])
    if isinstance(batch, PackedSequence | Tensor | np.ndarray):
        return Gathered(batch, None)
    if not isinstance(batch, tuple | list) or not batch:
        what = f"of type {type(batch).__name__}" if not isinstance(batch, tuple | list) else "that are empty"
        raise DataError(f"loader gives batches {what}; allowed: {_ALLOWED}; or give split=")
    if len(batch) == 1:
        return split_batch(batch[0], model, names)
    count = min(len(batch) - 1, max(1, len(names)))
    inputs, labels = batch[:count], batch[count]
    if count > 1:
        return Gathered(tuple(inputs), labels)
    only = inputs[0]
    is_arguments = isinstance(only, list) and len(only) != _size(labels)  # default_collate makes lists of tuples
    return Gathered(tuple(only) if is_arguments else only, labels)


def _taken(inputs: dict[str, Any], model: nn.Module) -> Any:
    """Of named inputs those that the model's forward takes; one alone that it does not know is given by place."""
    known, takes_any = keyword_names(model.forward)
    if takes_any or not known:
        return inputs
    taken = {name: value for name, value in inputs.items() if name in known}
    if taken:
        return taken
    return next(iter(inputs.values())) if len(inputs) == 1 else inputs


def _is_rows(labels: Any) -> bool:
    """Whether labels are token ids, [n, T]."""
    is_whole = isinstance(labels, Tensor | np.ndarray) and not torch.as_tensor(labels[:1]).is_floating_point()
    return is_whole and labels.ndim == 2 and labels.shape[1] > 1


def _runs_on_labels(model: nn.Module) -> bool:
    """Whether a model makes its decoder's inputs from the labels, as Hugging Face's encoder-decoders."""
    return bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))


@contextlib.contextmanager
def undisturbed(loader: Any) -> Iterator[None]:
    """Put back all random numbers, those of the loader's own generators, and what its parts count."""
    parts = list(_reachable(loader))
    states = [state for part, _ in parts if (state := generator_state(part)) is not None]
    counts = [
        (part, {name: value for name, value in vars(part).items() if _is_plain(value)})
        for part, depth in parts
        if depth < _COUNTING and hasattr(part, "__dict__")
    ]
    with random_kept():
        try:
            yield
        finally:
            for state in states:
                state.put_back()
            for part, values in counts:
                now = vars(part)
                for name in [name for name in now if _is_plain(now[name]) and name not in values]:
                    del now[name]
                for name, value in values.items():
                    if name in now and _is_plain(now[name]) and now[name] != value:
                        now[name] = value


def _batches(loader: Any) -> Iterator[Any]:
    """The loader's batches from its beginning; raises ConfigError where it has only one pass to give."""
    if hasattr(loader, "filter_fn"):  # PyTorch Geometric's samplers of neighbours
        raise ConfigError(
            f"loader is a {type(loader).__name__}, whose batches hold nodes that are no samples; give the whole "
            f"graph: LoadProbe(model, data, data.y, samples=mask)"
        )
    if not isinstance(loader, DataLoader):
        yield from _anew(loader, "loader")
        return
    torch.empty((), dtype=torch.int64).random_(generator=loader.generator)  # as its iterator draws a seed first
    if isinstance(loader.dataset, IterableDataset):
        samples = _anew(loader.dataset, "the loader's data set")
        size = loader.batch_size
        while size and (some := list(itertools.islice(samples, size))):
            yield loader.collate_fn(some)
        yield from () if size else map(loader.collate_fn, samples)
        return
    if loader.batch_sampler is None:
        yield from (loader.collate_fn(loader.dataset[i]) for i in loader.sampler)
        return
    for indices in loader.batch_sampler:
        if hasattr(loader.dataset, "__getitems__"):
            yield loader.collate_fn(loader.dataset.__getitems__(indices))
        else:
            yield loader.collate_fn([loader.dataset[i] for i in indices])


def _anew(values: Any, what: str) -> Iterator[Any]:
    """An iterator of an iterable; raises ConfigError where it would take values from another one."""
    if not isinstance(values, Iterable):
        raise ConfigError(f"{what} is a {type(values).__name__}; allowed: a DataLoader, or an iterable of batches")
    first, second = iter(values), iter(values)
    if first is values or first is second:
        raise ConfigError(
            f"{what} is a {type(values).__name__} that can be iterated once only: the training would miss what "
            f"the probe takes. Give batches of its own, as a list: LoadProbe.from_loader(model, [batch, …])"
        )
    return second


def _length(part: Gathered) -> int:
    """Number of samples of a batch, n."""
    if not is_graph(part.inputs) and (size := _size(part.labels)):
        return size
    first = next(_leaves(part.inputs), None)
    if first is None:
        raise DataError(f"loader gives batches without a tensor; allowed: {_ALLOWED}; or give split=")
    return _rows(first)


def _size(labels: Any) -> int:
    """Number of labels; 0 where it is not known."""
    if isinstance(labels, Tensor | np.ndarray):
        return int(labels.shape[0]) if labels.ndim else 0
    return len(labels) if isinstance(labels, list | tuple) else 0


def _rows(leaf: Any) -> int:
    if is_graph(leaf):
        return int(getattr(leaf, "num_graphs", 1))
    if isinstance(leaf, PackedSequence):
        return int(leaf.batch_sizes[0])
    return int(leaf.size(0) if isinstance(leaf, Tensor) else leaf.shape[0])


def _leaves(value: Any) -> Iterator[Any]:
    """Tensors, arrays, packed sequences and graphs in nested containers."""
    if isinstance(value, Tensor | np.ndarray | PackedSequence) or is_graph(value):
        if not isinstance(value, Tensor | np.ndarray) or value.ndim:
            yield value
    elif isinstance(value, Mapping | tuple | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(inner)


def _classes(labels: Any, n: int) -> list[Any] | None:
    """The class of each of n samples, where labels are classes, [n] or [n, 1]; else None."""
    if _size(labels) != n:
        return None
    if isinstance(labels, list | tuple) and all(isinstance(label, str | int) for label in labels):
        return list(labels)
    if isinstance(labels, Tensor | np.ndarray):
        values = torch.as_tensor(labels) if isinstance(labels, Tensor) or labels.dtype.kind in "iub" else None
        if values is not None and not values.is_floating_point() and values.numel() == len(values):
            return list(values.flatten().tolist())
    return None


def _joined(values: Sequence[Any], name: str, names: Sequence[str]) -> Any:
    """The same argument of several batches as one, samples in front.

    Raises:
        DataError: the batches hold different things.
    """
    first = values[0]
    if len(values) == 1:
        return first
    if is_graph(first):
        each = [value.to_data_list() if hasattr(value, "to_data_list") else [value] for value in values]
        return type(first).from_data_list([graph for graphs in each for graph in graphs])
    if isinstance(first, PackedSequence):
        return pack_sequence([row for value in values for row in _unpacked(value)], enforce_sorted=False)
    if isinstance(first, np.ndarray):
        return _joined([torch.as_tensor(value) for value in values], name, names)
    if isinstance(first, Tensor):
        return _one_tensor(values, name)
    if isinstance(first, Mapping):
        if any(set(value) != set(first) for value in values):
            raise DataError(f"loader gives batches with different names: {sorted(first)} and others; {_ALLOWED}")
        _require_masked(values)
        return {key: _joined([value[key] for value in values], str(key), names) for key in first}
    if isinstance(first, tuple):
        keys = [names[i] if i < len(names) else f"{name}[{i}]" for i in range(len(first))]
        joined = _joined([dict(zip(keys, value, strict=True)) for value in values], name, names)
        return tuple(joined.values())
    if isinstance(first, list):
        return [item for value in values for item in value]
    if any(value != first for value in values):
        raise DataError(
            f"loader gives batches with different {name}: {first!r} and others, which cannot be joined"
        )
    return first


def _one_tensor(values: Sequence[Tensor], name: str) -> Tensor:
    """Tensors of several batches as one, padded where the batches were padded to different lengths."""
    first = values[0]
    if first.is_nested:
        rows = [row for value in values for row in value.unbind()]
        return torch.nested.as_nested_tensor(rows, layout=first.layout)
    if first.ndim == 0:
        if any(not torch.equal(value, first) for value in values):
            raise DataError(
                f"loader gives single numbers as {name}, which cannot be joined: its batches seem to be single "
                f"samples; give the loader a batch_size="
            )
        return first
    lengths = {tuple(value.shape[1:2]) for value in values}
    if any(value.shape[2:] != first.shape[2:] or value.ndim != first.ndim for value in values):
        shapes = sorted({str(tuple(value.shape)) for value in values})
        raise DataError(f"loader gives {name} of shapes {', '.join(shapes[:3])}, which cannot be joined")
    if len(lengths) > 1:
        if name == "inputs":  # alone, so without a mask
            _require_masked([{name: value} for value in values])
        longest = max(int(value.shape[1]) for value in values)
        filled = []
        for value in values:
            wide = value.new_full((len(value), longest, *value.shape[2:]), _filling(name, value))
            wide[:, : value.shape[1]] = value
            filled.append(wide)
        values = filled
    return torch.cat(list(values))


def _filling(name: str, value: Tensor) -> float | bool:
    """What fills an argument's end where other batches are longer."""
    if name in LABELS:
        return IGNORED
    return value.dtype == torch.bool and "pad" in name.lower()


def _require_masked(values: Sequence[Mapping[str, Any]]) -> None:
    """Raise DataError where batches have different lengths and no mask that tells padding from tokens."""
    widths = {
        str(name): {int(value[name].shape[1]) for value in values}
        for name, first in values[0].items()
        if isinstance(first, Tensor) and not first.is_nested and first.ndim > 1
    }
    ragged = [name for name, sizes in widths.items() if len(sizes) > 1 and name not in LABELS]
    if ragged and Masks(list(values[0].items()), len(values[0][ragged[0]])).main is None:
        raise DataError(
            f"loader gives {ragged[0]!r} of {', '.join(map(str, sorted(widths[ragged[0]])[:3]))} tokens, and no "
            f"mask that tells padding; let its collate function pad to one length, or give an attention_mask"
        )


def _unpacked(value: PackedSequence) -> list[Tensor]:
    """The sequences of a packed sequence, in the order of the samples."""
    x, lengths = torch.nn.utils.rnn.pad_packed_sequence(value, batch_first=True)
    return [row[: int(length)] for row, length in zip(x, lengths, strict=True)]


def _chosen(gathered: Gathered, total: int, n: int) -> Gathered:
    """The first n samples, and where a class has one of them only, its next one; without those that have none."""
    classes = _classes(gathered.labels, total)
    keep = list(range(min(n, total)))
    if classes is not None:
        counts = Counter(classes[i] for i in keep)
        for i in range(len(keep), total):
            if counts[classes[i]] == 1:
                keep.append(i)
                counts[classes[i]] += 1
        left = [i for i in keep if counts[classes[i]] > 1]
        keep = left if len({classes[i] for i in left}) > 1 else keep
    if keep == list(range(total)):
        return gathered
    at = torch.tensor(keep)
    if is_graph(gathered.inputs):
        graphs = type(gathered.inputs).from_data_list([gathered.inputs[i] for i in keep])
        return Gathered(graphs, getattr(graphs, "y", None))
    return Gathered(_picked(gathered.inputs, at, total), _picked(gathered.labels, at, total))


def _picked(value: Any, at: Tensor, total: int) -> Any:
    """Samples by their number, of all arguments that have as many."""
    if isinstance(value, PackedSequence):
        rows = _unpacked(value)
        return pack_sequence([rows[i] for i in at.tolist()], enforce_sorted=False)
    if isinstance(value, Tensor) and value.is_nested:
        rows = list(value.unbind())
        return torch.nested.as_nested_tensor([rows[i] for i in at.tolist()], layout=value.layout)
    if isinstance(value, Tensor | np.ndarray):
        return value[at] if value.ndim and value.shape[0] == total else value
    if isinstance(value, Mapping):
        return {name: _picked(inner, at, total) for name, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(_picked(inner, at, total) for inner in value)
    if isinstance(value, list) and len(value) == total:
        return [value[i] for i in at.tolist()]
    return value


def _reachable(loader: Any) -> Iterator[tuple[Any, int]]:
    """The loader, its sampler, data set and what they hold, with their depth: what may keep random numbers."""
    seen: set[int] = set()
    level = [loader]
    for depth in range(_DEPTH):
        following: list[Any] = []
        for value in level:
            if id(value) in seen or isinstance(value, _NO_PARTS):
                continue
            seen.add(id(value))
            yield value, depth
            if isinstance(value, list | tuple | Mapping):
                following += itertools.islice(value.values() if isinstance(value, Mapping) else value, _FIRST)
            elif hasattr(value, "__dict__"):
                following += [inner for inner in vars(value).values() if not _is_plain(inner)]
        level = following


def _is_plain(value: Any) -> bool:
    """Whether a value is a number, text or nothing, which an attribute may count by."""
    return value is None or isinstance(value, bool | int | float | str)
