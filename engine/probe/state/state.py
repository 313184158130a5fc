"""The state of a user's model, put back after each look of the probe, and the words for what could not be hidden.

A forward pass in eval mode may still change its model: observers of quantisation-aware training, running averages,
counters, hidden states kept in attributes, weights that are constrained, generators of random numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from torch import Tensor, nn

from ...errors import ConfigError
from .snapshot import Difference, Kind, Snapshot

_REPORTED: tuple[Kind, ...] = ("attribute", "generator", "parameter", "module")
"""Kinds of parts of which a warning tells; buffers that change are put back in silence."""


class ModelState:
    """Puts back what forward passes change in a model.

    Args:
        model: the inner model.
        buffers_only: for sharded models, whose wrappers exchange parameters and keep attributes of their own.
    """

    def __init__(self, model: nn.Module, *, buffers_only: bool = False) -> None:
        self._model, self._buffers_only = model, buffers_only
        self._changing: frozenset[str] = frozenset()
        """Names of what has changed in any look."""
        self._derived: set[str] = set()
        """Names of what all passes make alike, as a table of positions, or a weight of its norm and direction."""
        self._reported: set[str] = set()
        self._news: list[str] = []
        self._open: list[Snapshot] = []
        self._is_first = True

    @contextlib.contextmanager
    def kept(self) -> Iterator[Look]:
        """Put back everything that changes within.

        Raises:
            ConfigError: the forward pass made modules or parameters that the model did not have before.
        """
        look = Look(self._snapshot)
        self._is_first = False
        self._open.append(look.before)
        made: list[str] = []
        try:
            yield look
        finally:
            self._open.remove(look.before)
            made = self._put_back(look)
        if made:
            raise ConfigError(
                f"the forward pass makes {_listed(made)}, which the model did not have before; run one batch "
                f"through the model first, then make the optimiser and the LoadProbe"
            )

    @contextlib.contextmanager
    def kept_in_pass(self) -> Iterator[None]:
        """Put back after one pass of several, where passes are known to change something.

        Each pass then starts from the state that the training left, so that features do not depend on the chunks.
        """
        if self._changing - self._derived:
            with self.kept():
                yield
        else:
            yield

    def before_write(self, tensor: Tensor) -> None:
        """Copy a tensor of the model, of any shape, that an operation is about to write to."""
        for snapshot in self._open:
            snapshot.before_write(tensor)

    def has_uncopied(self) -> bool:
        """Whether some tensor of the model is copied only once an operation is about to write to it."""
        return any(snapshot.has_uncopied() for snapshot in self._open)

    def take_news(self) -> list[str]:
        """Sentences about changes that were not reported before."""
        news, self._news = self._news, []
        return news

    def _snapshot(self) -> Snapshot:
        first = self._is_first
        return Snapshot(self._model, self._changing, is_first=first, buffers_only=self._buffers_only)

    def _put_back(self, look: Look) -> list[str]:
        """Put back all that changed; names of the modules and parameters that the first look made."""
        moving = None if look.middle is None else {d.name for d in look.middle.differences() if not d.is_equal}
        changed: list[Difference] = []
        failed: list[tuple[str, Exception]] = []
        for difference in look.before.differences():
            try:
                difference.put_back()
            except Exception as error:  # of any part's own class; the other parts are put back all the same
                failed.append((difference.name, error))
            if not difference.is_equal:
                changed.append(difference)
            if moving is not None and difference.kind == "attribute" and difference.name not in moving:
                self._derived.add(difference.name)
        self._changing |= {d.name for d in changed}
        self._report(changed, failed)
        if moving is None:
            return []
        return [d.name for d in changed if d.is_new and d.kind in {"module", "parameter"}]

    def _report(self, changed: list[Difference], failed: list[tuple[str, Exception]]) -> None:
        model = type(self._model).__name__
        lost = {name: error for name, error in failed if name not in self._reported}
        names = [d.name for d in changed if d.kind in _REPORTED and d.name not in lost]
        names = [name for name in dict.fromkeys(names) if name not in self._reported | self._derived]
        self._reported |= {*names, *lost}
        if names:
            self._news.append(
                f"the forward pass of {model} changes {_listed(names)}, in eval mode too. The load probe puts "
                f"that back after each pass, so the training goes on as without the probe. Features that depend "
                f"on it are measured with what the training left there; give forward= to set it otherwise"
            )
        if lost:
            reasons = "; ".join(dict.fromkeys(str(error) or type(error).__name__ for error in lost.values()))
            self._news.append(
                f"the load probe could not put back {_listed(list(lost))} ({reasons}), which the forward pass of "
                f"{model} changes in eval mode too: the training is not the same as without the probe. Change it "
                f"only where self.training is true, or probe a copy of the model"
            )


class Look:
    """One or several forward passes between which nothing is put back."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot
        self.before = snapshot()
        self.middle: Snapshot | None = None

    def mark(self) -> None:
        """Note the state after the first of two like passes: what the second leaves alone is no state."""
        self.middle = self._snapshot()


def _listed(names: list[str]) -> str:
    """Up to four names in quotes, and the number of the others."""
    quoted = [repr(name) for name in names]
    more = [f"{len(quoted) - 4} more"] if len(quoted) > 4 else []
    parts = [*quoted[:4], *more]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
