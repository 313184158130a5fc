"""Settings by name: each field's range and description, and values checked against them.

A field's annotation carries its range and its description. Error texts, ``--set``, ``--help`` and the app's sliders
are all derived from it.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from ..errors import ConfigError, nearest


class SettingsStruct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What the kinds of settings share."""

    live: ClassVar[frozenset[str]] = frozenset()
    """Names of the fields that a running worker takes on without a restart."""


S = TypeVar("S", bound=SettingsStruct)


def field_range(cls: type[S], name: str) -> str:
    """The allowed values of one field, in words."""
    return _describe(_types(cls)[name])


def field_help(cls: type[S], name: str) -> str:
    """The description of one field; empty where it has none."""
    return next((m.description for m in _metas(_types(cls)[name]) if m.description), "")


def field_choices(cls: type[S], name: str) -> list[str]:
    """The values of a field that has only some, as ``--set`` takes them; empty where it is a number or text."""
    plain = _plain(_types(cls)[name])
    if get_origin(plain) is Literal:
        return [str(choice) for choice in get_args(plain)]
    return ["on", "off"] if plain is bool else list(_NAMED.get(name, ()))


_NAMED = {
    "dataset": ("digits", "mnist", "fashion-mnist", "cifar10", "gaussian-mixture", "gaussian-classes"),
    "device": ("auto", "cpu", "cuda"),
}
"""What a text setting is usually one of."""


def default_of(cls: type[S], name: str) -> Any:
    """The default value of one field."""
    return getattr(cls(), name)


def field_names(cls: type[S]) -> tuple[str, ...]:
    """The names that ``--set`` takes for this kind of run."""
    return cls.__struct_fields__


def parse_assignments(cls: type[S], pairs: Iterable[str]) -> dict[str, Any]:
    """Turn ``["lr=1e-2", …]`` into typed values.

    Raises:
        ConfigError: a pair has no ``=``, or a key or value is not allowed.
    """
    out: dict[str, Any] = {}
    for pair in pairs:
        key, sep, text = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not sep or not key:
            raise ConfigError(f"--set {pair!r} is not of the form key=value; for example --set seed=1")
        out[key] = parse_value(cls, key, text.strip())
    return out


def parse_value(cls: type[S], key: str, value: Any) -> Any:
    """Check one value against its field and convert it to the field's type.

    Raises:
        ConfigError: names the key, the value, the allowed range and, for an unknown key, the nearest one.
    """
    types = _types(cls)
    if key not in types:
        raise ConfigError(
            f"unknown setting {key!r}; the nearest is {_nearest(key, types)!r}. Known: {', '.join(types)}"
        )
    annotation = types[key]
    plain = _plain(annotation)
    if value is None or (isinstance(value, str) and value.lower() in {"none", "null"}):
        candidate: Any = None if type(None) in get_args(plain) else value
    else:
        candidate = _loosen(plain, value)
    try:
        converted = msgspec.convert(candidate, annotation, strict=not isinstance(candidate, str))
    except msgspec.ValidationError as error:
        raise ConfigError(f"{key} = {value!r} is not allowed; allowed: {_describe(annotation)}") from error
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ConfigError(f"{key} = {value!r} is not a finite number; allowed: {_describe(annotation)}")
    return converted


def make(cls: type[S], values: Mapping[str, Any], base: S | None = None) -> S:
    """A configuration from values of any origin, every one checked.

    Raises:
        ConfigError: a key or value, or their combination, is not allowed.
    """
    checked = {key: parse_value(cls, key, value) for key, value in values.items()}
    try:
        return cls(**checked) if base is None else msgspec.structs.replace(base, **checked)
    except ValueError as error:
        raise ConfigError(str(error)) from error


@functools.cache
def _types(cls: type[Any]) -> dict[str, Any]:
    """Field name to annotation, in the order of declaration."""
    hints = get_type_hints(cls, include_extras=True)
    return {name: hints[name] for name in cls.__struct_fields__}


_MEANT = {
    "learning_rate": "lr",
    "alpha": "negative_slope",
    "slope": "negative_slope",
    "nonlinearity": "negative_slope",
    "layers": "depth",
    "label_noise": "data_noise",
    "friction": "mu_right",
    "stiffness": "k",
    "epsilon": "noise",
}
"""What people write for a setting; only ever suggested, so that one concept keeps one name."""


def _nearest(key: str, names: Iterable[str]) -> str:
    known = list(names)
    meant = {word: name for word, name in _MEANT.items() if name in known}
    near = nearest(key, [*known, *meant])
    return meant.get(near, near)


def _metas(annotation: Any) -> list[Meta]:
    found = [m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, Meta)]
    for inner in get_args(annotation):
        found += _metas(inner)
    return found


def _plain(annotation: Any) -> Any:
    """The annotation without its metadata, at the top and in a union."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    return annotation


def _loosen(plain: Any, value: Any) -> Any:
    """Accept ``1e3`` for a whole number, ``.5`` for a number, and on/off, yes/no for a switch."""
    if isinstance(value, str) and plain is bool:
        words = {
            "on": True,
            "yes": True,
            "true": True,
            "1": True,
            "off": False,
            "no": False,
            "false": False,
            "0": False,
        }
        return words.get(value.lower(), value)
    whole = plain is int or any(_plain(a) is int for a in get_args(plain))
    if whole and isinstance(value, (str, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            return value
        if number.is_integer():
            return int(value) if isinstance(value, str) and value.lstrip("+-").isdigit() else int(number)
    elif isinstance(value, str) and (plain is float or any(_plain(a) is float for a in get_args(plain))):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _describe(annotation: Any) -> str:
    plain = _plain(annotation)
    if get_origin(plain) is Literal:
        return ", ".join(str(a) for a in get_args(plain))
    options = [a for a in get_args(plain) if a is not type(None)]
    if options:
        return f"{_describe(options[0])}, or none"
    if plain is bool:
        return "on or off"
    metas = _metas(annotation)
    if plain is str:
        return next((m.description for m in metas if m.description), "text")
    bounds = [
        f"{sign} {limit:g}" if isinstance(limit, float) else f"{sign} {limit}"
        for m in metas
        for sign, limit in ((">=", m.ge), (">", m.gt), ("<=", m.le), ("<", m.lt))
        if limit is not None
    ]
    noun = "a whole number" if plain is int else "a number"
    return f"{noun} {' and '.join(bounds)}".rstrip()
