"""What the Watch screen says of another tool's log: its scalars in groups, how it stands, what is known of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from textual.markup import escape

from engine.errors import ConfigError
from engine.runs.status import Observation

from ..state.curves import legend
from ..state.pictures import Series
from ..state.timeline import View
from ..state.wording import columns, fitting, status_in_words, value_in_words
from ..terminal.text import plain_text
from .panels import setting_in_words

WAITING = "waiting for records"
READING = "reading …"
_PARTS = frozenset({"train", "training", "test", "val", "valid", "validation", "eval", "evaluation", "dev"})
"""Words that say of which samples a number is; tags that differ in them alone share a plot."""
_BESIDE = frozenset({"hp", "lr", "rate", "epoch", "epochs", "step", "steps", "system", "time", "momentum"})
"""Words of scalars that say little of how a training goes."""
_COLORS = {
    "primary": "$primary",
    "good": "$success",
    "accent": "$accent",
    "warn": "$warning",
    "muted": "$secondary",
}
_IN_LEGEND = 5
_SEEN_ABOVE = 60
"""Characters of how the run stands from which on the line above may not show all of it."""
_BETWEEN = re.compile(r"[/_.\s-]+")


def groups_of(names: Sequence[str], units: Mapping[str, str]) -> dict[str, list[str]]:
    """Tags by group: those that share a plot, as the losses of training and of validation over the same steps."""
    groups: dict[str, list[str]] = {}
    for name in names:
        words = [word for word in _BETWEEN.split(name) if word]
        kept = [word for word in words if word.casefold() not in _PARTS] or words
        unit = units.get(name, "")
        key = " ".join(kept).casefold() + (f" by {unit}" if unit else "")
        groups.setdefault(key, []).append(name)
    return groups


def first_group(groups: Mapping[str, Sequence[str]]) -> str:
    """The group to show first: a loss, where there is one; settings and counters where there is nothing else."""
    losses = [key for key in groups if "loss" in key]
    others = [key for key in groups if not _BESIDE.intersection(key.split())]
    return min(losses, key=len) if losses else next(iter(others or groups), "")


def heading(names: Sequence[str], missing: Mapping[str, int]) -> str:
    """The title of the plot of a group: its tags, and how many of their numbers are not finite."""
    parts = [f"{name} ({missing[name]} not finite)" if missing.get(name) else name for name in names]
    return plain_text(", ".join(parts)) or "Scalars"


def why_empty(view: View, names: Sequence[str], *, is_read: bool) -> str:
    """The text in place of the plot of these tags where it has no point."""
    known = [name for name in names if name in view.places]
    if not known:
        return READING if not is_read else "it ended without a record" if view.state.is_over else WAITING
    return "; ".join(_not_finite(view, name, alone=len(known) == 1) for name in known)


def _not_finite(view: View, name: str, *, alone: bool) -> str:
    """What there is of a tag without a finite number: how many there are, and the newest."""
    count, newest = view.missing.get(name, 0), view.state.logged.get(name, 0.0)
    what = "one value" if count == 1 else f"{count} values, none of them finite: the newest is"
    comma = ", " if count == 1 else " "
    text = f"{what}{comma}{value_in_words(newest)} at {view.units.get(name) or 'step'} {view.places[name]}"
    return plain_text(text if alone else f"{name}: {text}")


def legend_of(series: Sequence[Series]) -> str:
    """The legend of several curves, as markup; empty for one."""
    named = [one for one in series if one.name]
    if len(named) < 2:
        return ""
    return legend(*((escape(one.name), _COLORS.get(one.role, "$foreground")) for one in named[:_IN_LEGEND]))


def axis(names: Sequence[str], units: Mapping[str, str]) -> str:
    """What the horizontal axis of a plot of these tags counts."""
    return plain_text(next((units[name] for name in names if units.get(name)), "step"))


def header(view: View, name: str, run: str, *, replayed: bool, width: int) -> str:
    """The run's name, format, status, step and id; parts that do not fit into ``width`` are left out."""
    state = view.state
    status = "replay" if replayed else status_in_words(state.status, is_foreign=True)
    parts = [name or run, str(state.facts.get("format", "")), status]
    if view.histories:
        parts.append(f"step {state.at}")
    if view.read < 1.0:
        parts.append(f"reading {100 * view.read:.0f}%")
    if name:
        parts.append(run)
    parts += skipped(view)
    return plain_text(fitting([part for part in parts if part], width))


def skipped(view: View) -> list[str]:
    """What was left out of the log, with counts."""
    return [f"{count} × {what}" for what, count in view.problems.items()]


def facts(view: View, observation: Observation | None, width: int) -> list[str]:
    """Lines on how the run stands, its newest numbers, its settings, and where it lies."""
    state = view.state
    told = observation.text if observation is not None else ""
    lines = [told] if len(told) > _SEEN_ABOVE else []
    if left_out := skipped(view):
        lines.append("left out: " + ", ".join(left_out))
    newest = [f"{plain_text(name)} {value_in_words(value)}" for name, value in state.values.items()]
    of_machine = [text for text in newest if text.startswith("system/")]
    lines += columns([text for text in newest if not text.startswith("system/")], width)
    known = [f"{plain_text(name)} {plain_text(setting_in_words(value))}" for name, value in state.settings.items()]
    if known:
        lines += ["", *columns(known, width)]
    if of_machine:
        lines += ["", *columns(of_machine, width)]
    lines += ["", f"in {state.facts.get('folder', '')}"]
    return [plain_text(line) for line in lines]


def find_group(groups: Mapping[str, Sequence[str]], current: str, text: str) -> str:
    """The next group after the current one with a tag that holds a text; the current one last.

    Raises:
        ConfigError: there is none.
    """
    keys, wanted = list(groups), text.strip().casefold()
    start = keys.index(current) + 1 if current in groups else 0
    for key in keys[start:] + keys[:start]:
        if any(wanted in name.casefold() for name in (key, *groups[key])):
            return key
    raise ConfigError(f"no scalar of this run holds {text.strip()!r}; there are {len(keys)}: c goes through them")


def remarks(view: View) -> list[str]:
    """The remarks of the log, oldest first."""
    return [f"{note.level}: {note.text}" if note.level != "info" else note.text for note in view.notes]
