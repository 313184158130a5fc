"""Inputs that are graphs: which row of the features belongs to which sample of the probe batch.

A model of graphs takes the nodes of all of them at once, [R, …], and a vector that says which graph each node
belongs to, as PyTorch Geometric's ``batch``. Such inputs cannot be cut into chunks: the model runs once on all.

Shape legend: R rows (nodes), N samples (graphs, or nodes where each is a sample), D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError

NODES = "nodes"
_ALLOWED = (
    "samples= is the number of the graph of each node, [R] whole numbers from 0 (-1: of none), as PyTorch "
    "Geometric's batch; a mask [R] of nodes that are samples; or 'nodes'"
)


class RowSamples:
    """Which sample each row of the features belongs to.

    Args:
        sample_R: number of each row's sample, [R], from 0 without gaps; -1 where it belongs to none.
        how: short description.
    """

    def __init__(self, sample_R: Tensor, how: str) -> None:
        self.how = how
        self.rows = len(sample_R)
        self._sample_R = sample_R
        self.count = int(sample_R.max()) + 1 if len(sample_R) else 0
        """Number of samples, N."""
        self._size_N = torch.bincount(sample_R[sample_R >= 0], minlength=self.count)
        if self.count and bool((self._size_N == 0).any()):
            empty = int((self._size_N == 0).nonzero()[0])
            raise DataError(f"samples: no row belongs to sample {empty} of {self.count}; allowed: {_ALLOWED}")

    @property
    def is_whole(self) -> bool:
        """Whether each row is the sample of its own number."""
        return self.rows == self.count and bool((self._sample_R == torch.arange(self.rows)).all())

    @property
    def chosen(self) -> Tensor | None:
        """Rows [N] of the samples where each is one row; None where samples have several."""
        return torch.argsort(self._sample_R)[-self.count :] if bool((self._size_N == 1).all()) else None

    def labels(self, labels: Any, count: int | None) -> Any:
        """The labels of the samples, of labels of all rows where each sample is one row."""
        rows = self.chosen
        if rows is None or count != self.rows or self.rows == self.count:
            return labels
        return labels[rows] if isinstance(labels, Tensor) else np.asarray(labels)[rows.numpy()]

    def pooled(self, x: Tensor) -> Tensor | None:
        """The mean over the rows of each sample, [N, D], of features [R, …], or of [N, …] as they are.

        None where the features have another number of rows, as those of edges.
        """
        if x.ndim == 0 or x.shape[0] not in (self.rows, self.count):
            return None
        x = x.flatten(1) if x.ndim > 1 else x[:, None]
        if x.shape[0] != self.rows or self.is_whole:
            return x
        sample_R = self._sample_R.to(x.device)
        own = sample_R >= 0
        exact = x if x.dtype == torch.float64 else x.float()  # sums of half precision lose digits
        total = torch.zeros(self.count, x.shape[1], dtype=exact.dtype, device=x.device)
        total.index_add_(0, sample_R[own], exact[own])
        return (total / self._size_N.to(x.device)[:, None]).to(x.dtype)


def is_graph(value: Any) -> bool:
    """Whether a value is a graph object of PyTorch Geometric or of its manner."""
    return not isinstance(value, Tensor | Mapping | Sequence) and all(
        hasattr(value, name) for name in ("num_nodes", "to_dict", "apply", "keys")
    )


def row_samples(samples: Any, named: Sequence[tuple[str, Any]], labels: int | None) -> RowSamples | None:
    """Which sample each row belongs to, by ``samples=``, else by an input named ``batch``; None without either.

    Args:
        samples: as ``LoadProbe``.
        named: the model's inputs by name, those of a graph object with them.
        labels: number of labels; None where it is not known.

    Raises:
        DataError: ``samples`` is none of what is allowed.
    """
    rows = _row_count(named)
    if samples is None:
        return _found(named, rows, labels)
    if isinstance(samples, str):
        if samples != NODES:
            raise DataError(f"samples = {samples!r} is not allowed; allowed: {_ALLOWED}")
        if not rows:
            raise DataError("samples = 'nodes', but the inputs hold no tensor of nodes, as x [R, features]")
        return RowSamples(torch.arange(rows), "nodes")
    try:
        values = samples.detach().cpu() if isinstance(samples, Tensor) else torch.as_tensor(np.asarray(samples))
    except (TypeError, ValueError) as error:
        raise DataError(f"samples is a {type(samples).__name__}; allowed: {_ALLOWED}") from error
    if values.ndim != 1 or values.is_floating_point() or values.is_complex():
        raise DataError(
            f"samples of shape {tuple(values.shape)} and type {values.dtype} is not allowed; allowed: {_ALLOWED}"
        )
    if rows and len(values) != rows:
        raise DataError(f"samples has {len(values)} entries, the inputs {rows} rows; allowed: {_ALLOWED}")
    if values.dtype == torch.bool:
        return RowSamples(torch.where(values, values.cumsum(0) - 1, -1), "nodes by a mask")
    if bool((values < -1).any()):
        raise DataError(f"samples holds {int(values.min())}; allowed: {_ALLOWED}")
    return RowSamples(values.long(), "samples=")


def _found(named: Sequence[tuple[str, Any]], rows: int, labels: int | None) -> RowSamples | None:
    """Rows to samples by an input ``batch`` of as many entries as nodes; or nodes, where each has a label."""
    inputs = dict(named)
    has_edges = "edge_index" in inputs or "adj_t" in inputs
    if has_edges and rows and labels == rows:
        return RowSamples(torch.arange(rows), NODES)
    batch = inputs.get("batch")
    if not isinstance(batch, Tensor) or batch.ndim != 1 or batch.is_floating_point() or len(batch) != rows:
        return None
    batch = batch.detach().cpu().long()
    if not rows or int(batch[0]) != 0 or bool((batch.diff() < 0).any()) or int(batch[-1]) + 1 >= rows:
        return None
    return RowSamples(batch, "the inputs' batch") if has_edges or labels == int(batch[-1]) + 1 else None


def _row_count(named: Sequence[tuple[str, Any]]) -> int:
    """Number of nodes, R: of ``x``, ``z``, ``pos`` or ``batch``, else of the first tensor; 0 without any."""
    tensors = {name: value for name, value in named if isinstance(value, Tensor) and not value.is_nested}
    first = next((tensors[name] for name in ("x", "z", "pos", "batch") if name in tensors), None)
    if first is None:
        first = next((tensor for name, tensor in tensors.items() if not name.startswith("edge")), None)
    return 0 if first is None or not first.ndim else len(first)
