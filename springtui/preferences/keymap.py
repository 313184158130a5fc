"""The app's key bindings by id, and the changes that the preferences make to them.

A binding's id is its owner and its action, as ``lab.restart``. Two owners share the keyboard where a key can reach
both: a screen, the app, and the widgets on that screen. There the preferences may not give one key two actions.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import Keys, format_key
from textual.screen import ModalScreen, Screen

from engine.errors import ConfigError, nearest_and_known

from ..terminal.textual_private import key_of_character

_MODIFIERS = {"ctrl", "shift", "alt", "super", "hyper", "meta"}
_TEXTUALS = {"ctrl+p": "the command palette's", "ctrl+q": "the app's, to leave", "ctrl+c": "the terminal's",
             "tab": "for the next control", "shift+tab": "for the control before"}  # fmt: skip


class Bound(NamedTuple):
    """A binding and the class that declares it."""

    owner: type[DOMNode]
    binding: Binding

    @property
    def keys(self) -> list[str]:
        """Its keys under the names of Textual's key events."""
        return normal(self.binding.key)


def normal(keys: str) -> list[str]:
    """Keys separated by commas, under the names of Textual's key events: ? as question_mark."""
    return [key_of_character(key) if len(key := part.strip()) == 1 else key for part in keys.split(",")]


def owned_by(owner: type[Any]) -> list[Binding]:
    """The bindings that a class and its base classes within springtui declare."""
    classes = [cls for cls in owner.__mro__ if cls.__module__.startswith("springtui")]
    return [b for cls in classes for b in cls.__dict__.get("BINDINGS", ()) if isinstance(b, Binding)]


def bound_in(modules: Iterable[str]) -> list[Bound]:
    """Every binding that the widgets, screens and apps of these modules declare; imports the modules."""
    owners = {
        each
        for module in map(importlib.import_module, modules)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, DOMNode) and each.__module__ == module.__name__
    }
    bindings = [Bound(owner, b) for owner in sorted(owners, key=lambda o: o.__name__) for b in owned_by(owner)]
    return list({(bound.owner, bound.binding.id, bound.binding.key): bound for bound in bindings}.values())


def checked_keys(
    keys: Mapping[str, str], where: str, bound: Callable[[], list[Bound]]
) -> tuple[dict[str, str], list[str]]:
    """The allowed changes, with Textual's names of keys, and a message for each other one.

    Args:
        keys: by a binding's id, the keys that replace its own.
        where: the file or option that they come from, for the messages.
        bound: returns all bindings; called only where ``keys`` is not empty.
    """
    if not keys:
        return {}, []
    known = bound()
    allowed: dict[str, str] = {}
    problems: list[str] = []
    for name, text in keys.items():
        try:
            _check_one(name, text, known, {**keys, **allowed}, where)
            allowed[name] = ",".join(normal(text))
        except ConfigError as error:
            problems.append(str(error))
    return allowed, problems


def _check_one(name: str, text: str, bound: list[Bound], keys: Mapping[str, str], where: str) -> None:
    """Raise ConfigError where the id or a key is unknown, or a key has another action already."""
    known = sorted({each.binding.id for each in bound if each.binding.id})
    if name not in known:
        raise ConfigError(f"{where}: keys: {name!r} is no binding's id; {nearest_and_known(name, known)}")
    for key in normal(text):
        if not is_key(key):
            raise ConfigError(
                f"{where}: keys: {name} = {text!r}: {key!r} is no key; allowed: a character, or names as f5, "
                f"ctrl+r, "
                "shift+left, pageup, space, with a comma between several"
            )
        if key in _TEXTUALS:
            raise ConfigError(f"{where}: keys: {name} = {text!r}: {key} is {_TEXTUALS[key]}; choose another")
        for mine in (each for each in bound if each.binding.id == name):
            for other in bound:
                if other.binding.id != name and _meet(mine.owner, other.owner) and key in _keys_now(other, keys):
                    raise ConfigError(
                        f"{where}: keys: {name} = {text!r}: {key} is {other.binding.id}'s already; choose "
                        f"another, or "
                        f"give {other.binding.id} another too"
                    )


def _keys_now(bound: Bound, keys: Mapping[str, str]) -> list[str]:
    """A binding's keys after the changes in ``keys``."""
    changed = keys.get(bound.binding.id or "")
    return normal(changed) if changed else bound.keys


def is_key(key: str) -> bool:
    """Whether a text is the name of a key that Textual knows, with or without modifiers."""
    *modifiers, last = key.split("+")
    names = {str(each.value) for each in Keys}
    sound = len(last) == 1 or last in names or any(last == key_of_character(chr(c)) for c in range(33, 127))
    return bool(last) and sound and set(modifiers) <= _MODIFIERS


def _meet(one: type[DOMNode], other: type[DOMNode]) -> bool:
    """Whether one key press can reach bindings of both classes, on one screen."""
    if one is other or issubclass(one, other) or issubclass(other, one):
        return True
    screens = [each for each in (one, other) if issubclass(each, Screen)]
    if any(issubclass(each, ModalScreen) for each in screens):
        return any(_carries(screen, each) for screen in screens for each in (one, other) if each is not screen)
    if len(screens) == 2:
        return False
    from textual.app import App

    if any(issubclass(each, App) for each in (one, other)):
        return True
    return any(_carries(screen, each) for screen in screens for each in (one, other) if each is not screen)


def _carries(screen: type[Any], widget: type[Any]) -> bool:
    """Whether a screen has a widget: whether the screen's module imports the widget's class."""
    return getattr(sys.modules[screen.__module__], widget.__name__, None) is widget


class Line(NamedTuple):
    """One line of the help: keys as shown to the user, and their action."""

    keys: str
    about: str


def lines_of(
    owner: type[Any], keymap: Mapping[str, str], offered: Callable[[str], bool] | None = None
) -> Iterator[Line]:
    """Lines of the help for a class's bindings, with the keys of ``keymap`` in force.

    Args:
        owner: the class.
        keymap: by a binding's id, the keys that replace its own.
        offered: tells by an action's name whether it is listed; None lists all.
    """
    told: set[tuple[str, str | None]] = set()
    for binding in owned_by(owner):
        if not binding.description or (offered is not None and not offered(binding.action.partition("(")[0])):
            continue
        if (
            same := (binding.key, binding.id)
        ) in told:  # another action by the same key, as the screen's state wants
            continue
        told.add(same)
        changed = keymap.get(binding.id or "")
        shown = changed or binding.key
        text = (
            binding.key_display
            if binding.key_display and not changed
            else " ".join(map(readable, shown.split(",")))
        )
        ident = f"  ({binding.id})" if binding.id else ""
        yield Line(text, f"{binding.tooltip or binding.description}{ident}")


def readable(key: str) -> str:
    """A key's name for the user, as printed on keyboards."""
    *modifiers, last = key.strip().split("+")
    names = {"left": "←", "right": "→", "up": "↑", "down": "↓", "pageup": "PgUp", "pagedown": "PgDn",
             "escape": "Esc", "enter": "Enter", "space": "Space", "home": "Home", "end": "End",
             "delete": "Del"}  # fmt: skip
    last = names.get(last) or (last if len(last) == 1 else format_key(last))
    last = last.upper() if last[1:].isdigit() else last
    return "+".join([*(m.capitalize() for m in modifiers), last.upper() if modifiers and len(last) == 1 else last])
