"""Settings in YAML as training tools write them: names and plain values, nested by indents.

This is no parser of YAML: anchors, types and texts of several lines are passed over. It reads what PyYAML's
``dump`` makes of numbers, texts, lists of them, and dictionaries.
"""

from __future__ import annotations

from typing import Any

SETTINGS = ("hparams.yaml", "hparams.yml", "args.yaml", "params.yaml")
"""Files that hold a run's settings, beside its logs: of Lightning, Ultralytics, DVCLive."""
_WORDS = {"true": True, "false": False, "null": None, "~": None, ".nan": float("nan"), ".inf": float("inf"),
          "-.inf": float("-inf")}  # fmt: skip
_LONGEST = 1000
"""Characters of a value that are kept."""
_MOST = 10_000
"""Settings that are read."""


def settings_in(text: str) -> dict[str, Any]:
    """Settings by name, nested names joined by dots; a list's items are one text, with commas between them.

    Never raises: what is not understood is left out.
    """
    found: dict[str, Any] = {}
    above: list[tuple[int, str]] = []
    """Indent and full name of each mapping that the line stands in."""
    for line in text.splitlines():
        body = line.strip()
        if len(found) >= _MOST or not body or body.startswith(("#", "---", "...", "%")):
            continue
        indent = len(line) - len(line.lstrip(" "))
        is_item = body.startswith("- ")
        while above and (above[-1][0] > indent or (above[-1][0] == indent and not is_item)):
            above.pop()
        outer = above[-1][1] if above else ""
        name, value = (None, body[2:].strip()) if is_item else _split(body)
        if name is None:
            if is_item and outer and not value.startswith(("!", "&", "*")):
                items = f"{found[outer]}, " if outer in found else ""
                found[outer] = f"{items}{_unquoted(value)}"[:_LONGEST]
            continue
        name = f"{outer}.{name}" if outer else name
        if not value or value.startswith(("!", "&", "#")):
            above.append((indent, name))
        elif not value.startswith(("|", ">", "*")):
            found[name] = value_of(value)
    return found


def _split(body: str) -> tuple[str | None, str]:
    """The name and the value of a line; no name where it has none."""
    if body[0] in "\"'":
        end = body.find(body[0], 1)
        name, rest = body[: end + 1], body[end + 1 :].lstrip()
        if end < 0 or not rest.startswith(":"):
            return None, ""
        return _unquoted(name), rest[1:].strip()
    name, colon, value = body.partition(": ")
    if not colon:
        if not body.endswith(":"):
            return None, ""
        name, value = body[:-1], ""
    return name.strip() or None, value.strip()


def value_of(text: str) -> str | float | int | bool | None:
    """The plain value that a text in YAML stands for; a list in brackets stays a text."""
    if text[:1] in {'"', "'"}:
        return _unquoted(text)[:_LONGEST]
    text = text.split(" #")[0].strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if "_" not in text and (text[-1:].isdigit() or text.endswith(".")):
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                pass
    return text[:_LONGEST]


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text
