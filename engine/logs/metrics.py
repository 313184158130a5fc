"""Which names are those of a training's numbers, wherever they stand: in a table's header or in lines of JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable

_METRICS = frozenset({
    "loss", "losses", "acc", "accuracy", "lr", "ppl", "perplexity", "reward", "rewards", "rew", "gradnorm", "grad",
    "learning", "mse", "rmse", "mae", "f1", "auc", "bleu", "rouge", "entropy", "kl", "miou", "wer", "cer",
})  # fmt: skip
"""Words in names that hardly any data set has but that every log has some of."""
_PARTS = frozenset({"val", "train", "eval", "valid", "validation"})
"""Words that say so beside another one: a data set may well have a column ``train`` or ``val``."""
_WORDS = re.compile(r"[^a-z0-9]+")


def has_metric(names: Iterable[str]) -> bool:
    """Whether one of the names is that of something a training measures."""
    for name in names:
        words = {word for word in _WORDS.split(name.lower()) if word}
        if words & _METRICS or (words & _PARTS and words - _PARTS):
            return True
        if any(word.endswith("loss") for word in words):
            return True
    return False
