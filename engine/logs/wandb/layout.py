"""Numbers in the records of a .wandb file that both ways of reading them go by."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """Kinds of a record, by field number; there are more, which nothing is read from."""

    NONE = 0
    HISTORY = 2
    SUMMARY = 3
    OUTPUT = 4
    CONFIG = 5
    STATS = 7
    ALERT = 10
    METRIC = 12
    OUTPUT_RAW = 13
    RUN = 17
    EXIT = 18


NUMBER, CONTROL, UUID, INFO = 1, 16, 19, 200
"""Fields that any record may have beside the one that says its kind."""
STEPS = 1 << 62
"""Steps are smaller than this, by sign either way; of what is larger the row counts as one without a step."""
