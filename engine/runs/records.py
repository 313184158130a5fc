"""The records of ``events.jsonl`` and ``control.jsonl``, one JSON object a line.

A network, a chain and a user's own model all record their load curves as ``Curve``. Numbers of a curve or a cell
that are not finite are written as null and read back as None. Those of ``Scalars`` and ``Health`` are written as
the strings "nan", "inf" and "-inf", and read back as floats, so that a loss that became NaN is seen as such.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ..errors import RunDirectoryError

ENDS = ("finished", "stopped", "diverged", "failed")
"""Reasons with which a worker ends a run: those of the words of ``Status`` that it can record itself."""
END_PATTERN = rf"\A({'|'.join(ENDS)})\Z"
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A whole number that springtui may write; a larger one comes from a damaged file."""
Moment = Annotated[float, Meta(ge=0.0, le=1e11)]
"""Seconds since the epoch, up to the year 5138, which Python's calendar can still show."""
if TYPE_CHECKING:
    Number = float
else:  # on a line a string where it is not finite; ``__post_init__`` of the record makes it a float
    Number = float | Literal["nan", "inf", "-inf"]


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    seq: Count = 0
    """Number of the record in its file, from 0; given by the writer."""
    time: Moment = 0.0
    """Given by the writer. The clock may be set back between records: their order is that of ``seq``."""


class Started(_Event, frozen=True, kw_only=True, tag="started"):
    """A worker took the run up, for the first time or again."""

    pid: Count
    host: str
    settings: dict[str, Any]
    """Every setting in force, by name."""
    layers: list[str]
    """Names of the points of the curve, input first: D_0 … D_L."""
    total: Count
    """Epochs or steps that the run will take."""
    facts: dict[str, Any] = {}
    """By name: sizes of the data, device, number of parameters and the like."""


class Curve(_Event, frozen=True, kw_only=True, tag="curve"):
    """One measurement: the load curves D_0 … D_L at a step, and other quantities measured with them."""

    at: Count
    """Epochs (train) or steps (chain) done."""
    step: Count
    """Optimiser steps, or steps of the chain, done. At most one curve is recorded for a step and a path."""
    path: str = ""
    """Name of the tower of a probed model that was measured; empty where the model has one."""
    curves: dict[str, list[float | None]]
    """By measure: ``trace_ratio``, ``fuzziness``, ``inverse_fuzziness`` (natural log); of a chain
    ``distance``, the mean over replicas of y - x_l for l = 0 … L+1, in the unit of ``target``."""
    scalars: dict[str, float | None] = {}
    """``train_loss``, ``train_accuracy``, ``test_accuracy``, ``rate`` (epochs or steps per second), …"""
    linear_probes: list[float] | None = None
    """On request: test accuracy in [0, 1] of a linear classifier on the activations at D_0 … D_L."""
    positions: list[float] | None = None
    """Chain only: x_1 … x_L of the first replica."""
    spread: list[float] | None = None
    """Chain only: s.d. over replicas of x_1 … x_L."""


class Scalars(_Event, frozen=True, kw_only=True, tag="scalars"):
    """Numbers at the step to which they belong, as a training logs them between its curves."""

    step: Count
    """Optimiser steps done."""
    epoch: float | None = None
    """Epochs done, where the training says so."""
    scalars: dict[str, Number]
    """By name; not finite where the number was not."""

    def __post_init__(self) -> None:
        for name, value in self.scalars.items():
            if isinstance(value, str):
                self.scalars[name] = float(value)


class Health(_Event, frozen=True, kw_only=True, tag="health"):
    """Measures of each layer's health at a step: norms of gradients, dead units and the like."""

    step: Count
    """Optimiser steps done."""
    path: str = ""
    """Name of the tower, as in ``Curve``."""
    layers: list[str]
    """Names of the layers, L of them."""
    measures: dict[str, list[Number]]
    """By measure, [L] each, in the order of ``layers``; NaN where a layer has no value."""

    def __post_init__(self) -> None:
        for name, values in self.measures.items():
            if len(values) != len(self.layers):
                raise ValueError(f"{name}: {len(values)} values for {len(self.layers)} layers; give one a layer")
            self.measures[name] = [float(value) for value in values]


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """What the process uses of one GPU."""

    index: Count
    name: str = ""
    memory: Count | None = None
    """Bytes in tensors."""
    reserved: Count | None = None
    """Bytes held by the allocator, those in tensors included."""


class Usage(_Event, frozen=True, kw_only=True, tag="usage"):
    """What the process that writes the run uses of its machine."""

    step: Count = 0
    cpu: float | None = None
    """Cores in use, on average since the record before; None where that is not known."""
    memory: Count | None = None
    """Resident bytes."""
    gpus: list[Gpu] = []


class Console(_Event, frozen=True, kw_only=True, tag="console"):
    """How much the program had printed by then."""

    offset: Count
    """Bytes of ``console.log``."""


class Cell(_Event, frozen=True, kw_only=True, tag="cell"):
    """One network or chain of a sweep: its result where ``final``, else its present state."""

    cell: Count
    """Row by row: y index times columns, plus x index."""
    member: Count
    """0 … seeds - 1; its seed is the sweep's first plus this."""
    final: bool
    at: Count
    """Epochs or steps done."""
    curves: dict[str, list[float | None]] = {}
    scalars: dict[str, float | None] = {}
    text: str = ""
    """Why it has no result, where it has none."""
    done: Count = 0
    """Members finished by then, this one included."""


class Acknowledged(_Event, frozen=True, kw_only=True, tag="ack"):
    """The worker's answer to a request; from ``step`` on it is in force, so that a run can be repeated exactly."""

    control: Count
    """``seq`` of the control record."""
    action: str
    step: Count
    settings: dict[str, Any] = {}
    """Of ``set``: the values now in force."""
    error: str = ""
    """Why the request was refused; empty where it was not."""


class Note(_Event, frozen=True, kw_only=True, tag="note"):
    """A message of the worker to a person."""

    text: str
    level: str = "info"
    """info, warning or error."""
    lost: Count = 0
    """Number of an executor's workers that were lost; 0 in a note of anything else."""


class Ended(_Event, frozen=True, kw_only=True, tag="ended"):
    """The worker's last record."""

    reason: Annotated[str, Meta(pattern=END_PATTERN)]
    """One of ``ENDS``."""
    text: str = ""
    """One sentence for a person."""
    at: Count = 0
    summary: dict[str, Any] = {}


Series = Scalars | Health | Usage | Console
"""Records of which a run may write many between two of the other kinds; no status follows from them."""
SERIES_LINES = (b'{"kind":"scalars"', b'{"kind":"health"', b'{"kind":"usage"', b'{"kind":"console"')
"""How the lines of such records begin."""
Event = Started | Curve | Cell | Acknowledged | Note | Ended | Series


class CurveScalars(msgspec.Struct, frozen=True, tag_field="kind", tag="curve"):
    """A ``Curve`` record whose curves stay undecoded, for reading a long log quickly."""

    at: Count
    curves: msgspec.Raw
    path: str = ""
    time: Moment = 0.0
    scalars: dict[str, float | None] = {}


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """A request to a worker: one line of ``control.jsonl``."""

    seq: Count = 0
    time: Moment = 0.0
    action: str
    """set, pause, resume or stop."""
    settings: dict[str, Any] = {}
    source: str = ""
    """Who asked, as host:pid."""


_encoder = msgspec.json.Encoder()
_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_scalars: msgspec.json.Decoder[CurveScalars | Started | Cell | Acknowledged | Note | Ended | Series] = (
    msgspec.json.Decoder(CurveScalars | Started | Cell | Acknowledged | Note | Ended | Series)
)
_controls = msgspec.json.Decoder(Control)


def encode(record: Event | Control) -> bytes:
    """One line, its newline included."""
    return _encoder.encode(plain(record) if isinstance(record, Scalars | Health) else record) + b"\n"


def plain(record: Event | Control) -> dict[str, Any]:
    """The object on a record's line, as plain values; a number of a curve or a cell may be NaN, for null."""
    found: dict[str, Any] = msgspec.to_builtins(record)
    if isinstance(record, Scalars):
        found["scalars"] = dict(zip(record.scalars, words(record.scalars.values()), strict=True))
    elif isinstance(record, Health):
        found["measures"] = {name: words(values) for name, values in record.measures.items()}
    return found


def words(values: Iterable[float]) -> list[float | str]:
    """Numbers as ``Scalars`` and ``Health`` write them: as the strings nan, inf and -inf where not finite."""
    return [value if math.isfinite(value) else str(float(value)) for value in values]


def decode_event(line: bytes) -> Event:
    """The record on a line.

    Raises:
        RunDirectoryError: it is not a record of a known kind with the right types.
    """
    try:
        return _events.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RunDirectoryError(f"not an event record: {error}") from error


def decode_control(line: bytes) -> Control:
    """The request on a line.

    Raises:
        RunDirectoryError: it is not a control record.
    """
    try:
        return _controls.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RunDirectoryError(f"not a control record: {error}") from error


def read_event(line: bytes) -> Event | None:
    """The record on a line, or None where there is none."""
    try:
        return decode_event(line) if line.strip() else None
    except RunDirectoryError:
        return None


def decode_scalars(line: bytes) -> Event | CurveScalars | None:
    """The record on a line, of a curve the scalars alone; None where there is none."""
    try:
        return _scalars.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        return None


def finite(value: float) -> float | None:
    """The value as a record holds it: None where it is not finite."""
    return value if math.isfinite(value) else None
