"""Settings of one chain and of how it is pulled."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from .fields import SettingsStruct

TWIN_TIME = 200.0
"""Time of its pull at which a friction chain is compared with a trained network: 4000 steps of 0.05."""
PAST_THE_MAP = f"pulled beyond time {TWIN_TIME:.0f}, of which the maps from networks say nothing"
"""Said of a friction chain that was pulled for longer."""


def is_past_the_map(time: float | None) -> bool:
    """Whether a friction chain was pulled for longer than the maps are for; ``time`` is None where it is unknown."""
    return time is not None and time > TWIN_TIME + 0.5


MOST_BETWEEN_HANDS = 2000
"""Most blocks between two hands: the modes of so many take 32 MB."""


class ChainConfig(SettingsStruct, frozen=True, kw_only=True, tag="chain"):
    """A chain of blocks and springs and how it is pulled (Shi et al., arXiv:2407.19353; docs/theory.md).

    Units: lengths are in those of ``target``, time is steps x eta, a force is k times a length.

    Raises:
        ValueError: ``eta`` is too long to follow the stiffest motion; the message gives the largest one allowed.
    """

    live: ClassVar[frozenset[str]] = frozenset(
        {
            "mu_right", "mu_left", "noise", "noise_decay", "gamma", "target", "hold", "input_share", "input_time",
            "output_time",
        }
    )  # fmt: skip

    blocks: Annotated[int, Meta(ge=1, le=100_000, description="blocks between wall and target")] = 7
    order: Annotated[Literal[1, 2], Meta(description="1: overdamped; 2: with inertia")] = 1
    mu_right: Annotated[float, Meta(ge=0.0, le=1e6, description="friction that resists moving right")] = 0.03
    mu_left: Annotated[float, Meta(ge=0.0, le=1e6, description="friction that resists moving left")] = 0.138
    noise: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1e6,
            description="s.d. of the random force: per block and step (order 1), per √time (order 2)",
        ),
    ] = 0.029
    noise_decay: Annotated[
        float, Meta(ge=0.0, le=1e6, description="the noise falls as exp(-noise_decay x time), time = steps x eta")
    ] = 0.0
    common_noise: Annotated[
        bool, Meta(description="one noise for all blocks, √blocks times as strong as each one's own")
    ] = False
    k: Annotated[float, Meta(gt=0.0, le=1e6, description="stiffness of the springs")] = 1.0
    mass: Annotated[float, Meta(gt=0.0, le=1e6, description="of a block (order 2)")] = 1.0
    gamma: Annotated[float, Meta(ge=0.0, le=1e6, description="damping: drag per velocity (order 2)")] = 1.0
    eta: Annotated[float, Meta(gt=0.0, le=1e6, description="step size, in time")] = 0.05
    steps: Annotated[int, Meta(ge=1, le=10**12, description="steps to take")] = 10_000
    replicas: Annotated[int, Meta(ge=1, le=1_000_000, description="independent copies")] = 100
    target: Annotated[float, Meta(ge=-1e6, le=1e6, description="where the last spring is held after the pull")] = (
        1.0
    )
    pulling: Annotated[
        Literal["at_once", "steady", "jerky"],
        Meta(description="the target is there at once, moves steadily, or in jumps that overshoot"),
    ] = "at_once"
    pull_time: Annotated[
        float, Meta(gt=0.0, le=1e9, description="time that a steady or jerky pull takes, time = steps x eta")
    ] = 100.0
    hold: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1e12,
            description="time of the pull at which the chain is held until a force changes, and is then pulled "
            "anew; 0: never",
        ),
    ] = 0.0
    hands: Annotated[
        Literal["output", "both"],
        Meta(description="output: friction and one hand; both: no friction, a hand at each end (ours)"),
    ] = "output"
    input_share: Annotated[
        float, Meta(ge=0.0, le=1.0, description="of both hands: part of the length that the input's hand pulls")
    ] = 0.5
    input_time: Annotated[
        float,
        Meta(ge=0.0, le=1e9, description="of both hands: for which the input's has pulled, in 1/(k mobility)"),
    ] = 5.0
    output_time: Annotated[
        float, Meta(ge=0.0, le=1e9, description="of both hands: for which the output's has pulled, likewise")
    ] = 2.5
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="of the random force")] = 0
    pace: Annotated[float, Meta(ge=0.0, le=1e9, description="steps per second; 0 is as fast as the machine")] = 0.0
    frames: Annotated[float, Meta(gt=0.0, le=60.0, description="records per second")] = 10.0

    def __post_init__(self) -> None:
        if self.hands == "both" and self.blocks > MOST_BETWEEN_HANDS:
            raise ValueError(
                f"blocks = {self.blocks} is not allowed with hands = both, whose closed form takes memory by the "
                f"square of the blocks; allowed: at most {MOST_BETWEEN_HANDS}"
            )
        if self.hands == "both" and (
            self.order == 2 or self.pulling != "at_once" or self.hold or self.common_noise
        ):
            raise ValueError(
                "hands = both is a chain of the first order without friction, whose shape is given by input_share, "
                "input_time and output_time; leave order = 1, pulling = at_once, hold = 0 and common_noise = off"
            )
        if self.order == 1 and self.eta * self.k > 0.5:
            raise ValueError(
                f"eta x k = {self.eta * self.k:g} is above 0.5: a stretched chain would oscillate with growing "
                f"amplitude; choose eta <= {0.5 / self.k:g} for k = {self.k:g}"
            )
        if self.order == 2 and self.eta**2 * self.k / self.mass > 0.5:
            raise ValueError(
                f"eta² x k / mass = {self.eta**2 * self.k / self.mass:g} is above 0.5: the fastest wave of the "
                f"chain would not be followed; choose eta <= {(0.5 * self.mass / self.k) ** 0.5:.4g}"
            )
