"""Settings of a user's own training, measured by ``LoadProbe``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from msgspec import Meta

from ..measures.registry import HEALTH, SEPARATIONS
from .fields import SettingsStruct

if TYPE_CHECKING:
    SeparationName = str
    HealthName = str
else:  # msgspec accepts the registered names alone; mypy cannot read a Literal that is made of a tuple
    SeparationName = Literal[SEPARATIONS]
    HealthName = Literal[tuple(HEALTH)]
ReductionName = Literal["auto", "flatten", "spatial_mean", "token_mean", "class_token", "last_token", "position"]


class ProbeConfig(SettingsStruct, frozen=True, kw_only=True, tag="probe"):
    """A user's model, where it is measured and how often; its training is not configured here."""

    live: ClassVar[frozenset[str]] = frozenset({"every"})
    """Names of the fields that a running probe can change."""

    name: Annotated[str, Meta(max_length=200, description="what the user calls this training")] = ""
    model: Annotated[str, Meta(max_length=200, description="class of the model")] = ""
    layers: Annotated[tuple[str, ...], Meta(description="points of the load curve, input first, logits last")] = ()
    reductions: Annotated[
        dict[str, ReductionName], Meta(description="how the features of each point become one vector a sample")
    ] = {}
    measures: Annotated[
        tuple[SeparationName, ...],
        Meta(min_length=1, max_length=len(SEPARATIONS), description="measures of separation that are taken"),
    ] = SEPARATIONS
    health: Annotated[tuple[HealthName, ...], Meta(description="measures of layer health that are taken")] = ()
    grouping: Annotated[str, Meta(max_length=200, description="where the classes come from")] = "labels"
    classes: Annotated[int, Meta(ge=2, le=1_000_000, description="groups of samples")] = 2
    samples: Annotated[int, Meta(ge=3, le=10_000_000, description="samples of the probe batch")] = 3
    every: Annotated[int, Meta(ge=1, le=10**12, description="optimiser steps between measurements")] = 100
    chunk: Annotated[int, Meta(ge=1, le=10_000_000, description="samples that go through the model at once")] = 128
    memory: Annotated[
        int, Meta(ge=1, le=1 << 20, description="MiB of features that are kept at once, and of one forward pass")
    ] = 256
    notes: Annotated[
        bool, Meta(description="whether the run gets a warning when something happens to a layer")
    ] = True
    note_measurements: Annotated[
        int, Meta(ge=1, le=1_000_000, description="measurements in a row before most of these are noted")
    ] = 2
    idle_load: Annotated[
        float, Meta(ge=0, le=1, description="fraction of the mean load below which a layer carries no load")
    ] = 0.1
    idle_measurements: Annotated[
        int, Meta(ge=1, le=1_000_000, description="measurements in a row before a layer is said to carry no load")
    ] = 5
    collapsed_rank: Annotated[
        float,
        Meta(
            ge=0,
            le=1e6,
            description="effective rank below which a layer has collapsed, if it does not separate the classes",
        ),
    ] = 1.5
    vanishing_gradient: Annotated[
        float,
        Meta(ge=0, le=1, description="gradients vanish below this fraction of the longest one of a deeper layer"),
    ] = 1e-4
    exploding_gradient: Annotated[
        float, Meta(gt=1, le=1e30, description="gradients explode above this multiple of their usual norm")
    ] = 1000.0
    dead_units: Annotated[
        float, Meta(ge=0, le=1, description="fraction of dead units above which a layer is dead")
    ] = 0.9
    saturated_activations: Annotated[
        float, Meta(ge=0, le=1, description="fraction of saturated activations above which a layer is saturated")
    ] = 0.9


LIMITS = tuple(ProbeConfig.__struct_fields__[ProbeConfig.__struct_fields__.index("notes") + 1 :])
"""Names of the settings that say when something happens to a layer."""
