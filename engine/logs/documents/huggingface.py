"""Hugging Face's ``Trainer``: the history in the ``trainer_state.json`` of its checkpoints.

Each checkpoint's state holds all of the history up to it, so the newest one is the run. The time of change alone
does not tell which one that is: the files of a copied folder have changed in any order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..batch import Batch, Remark
from ..folder import Folder
from ..reader import PIECE, Claim, Format, Reader
from ..series import Series, series_of
from .document import Document, flat, number

_STATE = "trainer_state.json"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_SETTINGS = (
    "num_train_epochs", "max_steps", "train_batch_size", "logging_steps", "eval_steps", "save_steps", "trial_name",
)  # fmt: skip
_FARTHEST = 2**62


class HuggingFaceFormat(Format):
    """A folder with ``trainer_state.json``, or with folders ``checkpoint-N`` that hold one: all are one run."""

    name = "huggingface"
    label = "Hugging Face"
    habit = "written at checkpoints"

    def claims(self, folder: Folder) -> Iterator[Claim]:
        """The run whose output a folder is; or a state that a person named, whatever its name is."""
        if folder.is_named:
            for name in folder.files:
                if _is_state(folder.head(name)):
                    yield Claim(self.name, folder.path, (folder.path / name,))
            return
        named = sorted((int(match[1]), name) for name in folder.folders if (match := _CHECKPOINT.fullmatch(name)))
        states = [
            below for below in (folder, *(folder.folder(name) for _, name in named)) if _STATE in below.entries
        ]
        if any(_is_state(below.head(_STATE)) for below in states[-1:] + states[:1]):
            yield Claim(self.name, folder.path, tuple(below.path / _STATE for below in states))

    def reader(self, claim: Claim) -> Reader:
        """Reads the newest of the states."""
        return _StateReader(claim)


def _is_state(head: bytes) -> bool:
    return head.lstrip().startswith(b"{") and b'"log_history"' in head and b'"global_step"' in head


class _StateReader(Reader):
    """Gives what the history has gained, or all of it where it is another one: of a resumed training."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self._documents: dict[Path, Document] = {}
        self._entries: list[int] = []
        """A hash of each entry of the history that was given."""
        self._has_ended = False
        self.refresh(claim)

    def refresh(self, claim: Claim) -> None:
        """Take note of the states that may be the newest: the last checkpoint's, the last changed, the final."""
        super().refresh(claim)
        files = {claim.files[0], claim.files[-1], max(claim.files, key=_changed)}
        self._documents = {
            path: self._documents.get(path, Document(path)) for path in claim.files if path in files
        }

    def poll(self, limit: int = PIECE) -> Batch:  # noqa: ARG002 (a document is read whole)
        """The news of the newest state."""
        documents = self._documents.values()
        batch = Batch(size=sum(document.size for document in documents))
        if any(document.is_changed() for document in documents):
            states = [(document, state) for document in documents if (state := document.load()) is not None]
            batch.problems.update(document.problem for document in documents if document.problem)
            batch.size = sum(document.size for document in documents)
            if states:
                self._give(_newest(states), batch)
        batch.read = batch.size
        return batch

    def _give(self, state: dict[str, Any], batch: Batch) -> None:
        history = _history(state)
        entries = [_mark(entry) for entry in history]
        common = _common(entries, self._entries)
        has_ended = _has_ended(state)
        if common == len(entries) < len(self._entries):
            return
        if common < len(self._entries) or (self._has_ended and not has_ended):
            batch.anew = True
        if common < len(self._entries):
            step = _step(history[common])
            batch.remarks.append(Remark(step, float("nan"), "the training was resumed", "resumed"))
        batch.points = _points(history, 0 if batch.anew else common)
        if not self._entries or batch.anew:
            batch.settings = {
                name: state[name] for name in _SETTINGS if isinstance(state.get(name), (int, float, str))
            }
            batch.settings |= flat(state.get("trial_params"), "trial_params.")
        batch.ended = "finished" if has_ended else ""
        self._entries, self._has_ended = entries, has_ended


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except (OSError, ValueError):
        return 0.0


def _newest(states: Sequence[tuple[Document, dict[str, Any]]]) -> dict[str, Any]:
    """The state of the longest history, unless one that was changed later tells another: of a resumed training."""
    longest, state = max(states, key=lambda one: len(_history(one[1])))
    for document, other in sorted(states, key=lambda one: one[0].changed):
        history, known = _history(other), [_mark(entry) for entry in _history(state)]
        if document.changed > longest.changed and _common([_mark(entry) for entry in history], known) < len(
            history
        ):
            longest, state = document, other
    return state


def _history(state: dict[str, Any]) -> list[dict[str, Any]]:
    found = state.get("log_history")
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _mark(entry: dict[str, Any]) -> int:
    """The same for equal entries, NaN in them included."""
    return hash(repr(entry))


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """How many entries two histories begin with alike."""
    for number_alike, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return number_alike
    return min(len(left), len(right))


def _has_ended(state: dict[str, Any]) -> bool:
    steps, most = number(state.get("global_step")), number(state.get("max_steps"))
    return steps is not None and most is not None and 0 < most <= steps


def _step(entry: dict[str, Any]) -> int | None:
    step = number(entry.get("step"))
    return int(step) if step is not None and abs(step) < _FARTHEST else None


def _points(history: Sequence[dict[str, Any]], start: int) -> dict[str, Series]:
    """The numbers of all entries from ``start`` on, by the names that the trainer gave them."""
    steps: dict[str, list[int]] = {}
    values: dict[str, list[float]] = {}
    last = 0
    for entry in history[start:]:
        found = _step(entry)
        last = last if found is None else found
        for name, value in entry.items():
            if name != "step" and (known := number(value)) is not None:
                steps.setdefault(name, []).append(last)
                values.setdefault(name, []).append(known)
    return {name: series_of(steps[name], values[name]) for name in values}
