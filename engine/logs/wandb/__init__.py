"""The files that wandb writes: ``run-ID.wandb``, of a run that is offline or is sent to a server as well."""

from .format import Wandb as Wandb
