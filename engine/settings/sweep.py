"""Settings of a phase diagram."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from .fields import SettingsStruct


class SweepConfig(SettingsStruct, frozen=True, kw_only=True, tag="sweep"):
    """A phase diagram: a grid of networks or chains over two axes; see ``sweep.grid``."""

    recipe: Annotated[str, Meta(description="the diagram it began from")] = ""
    system: Annotated[Literal["network", "chain"], Meta(description="what is swept")] = "network"
    x_axis: Annotated[str, Meta(description="the setting that varies along the columns, usually a noise")] = (
        "data_noise"
    )
    x_values: Annotated[tuple[float | str, ...], Meta(description="its values, one a column")] = (0.0,)
    y_axis: Annotated[str, Meta(description="the setting that varies along the rows, usually negative_slope")] = (
        "negative_slope"
    )
    y_values: Annotated[tuple[float | str, ...], Meta(description="its values, one a row")] = (0.0,)
    x_name: Annotated[
        Literal["", "nonlinearity"],
        Meta(description="name that the columns were asked for by, if not the setting's"),
    ] = ""
    y_name: Annotated[Literal["", "nonlinearity"], Meta(description="likewise of the rows")] = ""
    twin: Annotated[
        dict[str, float],
        Meta(description="of a chain over a network's knobs: the map by its numbers; empty: the shipped one"),
    ] = {}
    seeds: Annotated[int, Meta(ge=1, le=10_000, description="networks per cell")] = 3
    method: Annotated[
        Literal["mean_field", "replicas"],
        Meta(description="how a chain's cells are computed: by theory, or by many copies"),
    ] = "mean_field"
    threads: Annotated[
        int, Meta(ge=0, le=1024, description="networks at once; 0 lets a short measurement choose")
    ] = 0
    executor: Annotated[
        str,
        Meta(
            pattern=r"^(threads|processes|in-process|dask://\S+)$",
            description="where cells are made: threads, processes, in-process, dask://host:port, or dask:///scheduler.json",
        ),
    ] = "threads"
    settings: Annotated[
        dict[str, Any], Meta(description="settings that all cells share, where they differ from the defaults")
    ] = {}
