"""The names under which trainings log their step and their time, in tables and in lines of JSON alike."""

from __future__ import annotations

STEPS = (
    "step", "global_step", "iteration", "iter", "current_steps", "training_iteration", "time/total_timesteps",
    "_step", "trainer/global_step", "total_timesteps", "num_timesteps", "timesteps", "timestep", "steps",
    "iterations", "num_updates", "n_updates", "updates", "update", "global_steps", "train/step",
    "train/global_step", "batch", "epoch", "epochs", "episode", "episodes", "round",
)  # fmt: skip
"""Names that count the training's progress, the surest first; see ``plain``."""
WEAK = frozenset({"batch", "round", "episode", "episodes", "update", "updates", "steps", "iterations"})
"""Those of them that may mean anything where nothing else tells of a training."""
COUNTS = {
    "iteration": "iteration", "iter": "iteration", "training_iteration": "iteration",
    "epoch": "epoch", "epochs": "epoch", "batch": "batch", "episode": "episode", "episodes": "episode",
    "round": "round", "_step": "call", "time/total_timesteps": "timestep", "total_timesteps": "timestep",
    "num_timesteps": "timestep", "timesteps": "timestep", "timestep": "timestep",
}  # fmt: skip
"""What they count, where it is not the optimiser's steps."""
TIMES = (
    "timestamp", "_timestamp", "wall_time", "walltime", "time", "created", "created_at", "datetime", "date",
)  # fmt: skip
"""Names that tell when something was logged, the surest first, where the value can be a time."""


def plain(name: str) -> str:
    """A name as these lists spell it: in small letters, with underscores for blanks."""
    return name.strip().lower().replace(" ", "_")
