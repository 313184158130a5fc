"""Private names of Textual that widgets and preferences need, under public ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.app import App
from textual.keys import _character_to_key
from textual.widgets._footer import FooterKey as FooterKey


def key_of_character(character: str) -> str:
    """The name that key events have for a character: question_mark for ``?``."""
    return _character_to_key(character)


def keymap_of(app: App[Any]) -> Mapping[str, str]:
    """The keys set by ``App.set_keymap``, by a binding's id."""
    return app._keymap
