"""Annotated fields of msgspec structs: range, description and choices of each, and values checked against them.

A field's annotation carries its range and its description. Error texts, ``--set``, ``--help``, the app's sliders
and the preferences are all derived from it.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from ..errors import ConfigError, nearest_and_known


class SettingsStruct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of the settings of each kind of run."""

    live: ClassVar[frozenset[str]] = frozenset()
    """Names of the fields that can change in a running worker, without a restart."""


S = TypeVar("S", bound=SettingsStruct)
Fields = type[msgspec.Struct]
SWITCH_WORDS = {
    "on": True,
    "yes": True,
    "true": True,
    "1": True,
    "off": False,
    "no": False,
    "false": False,
    "0": False,
}
"""Texts, in lower case, that a switch takes for true and false."""


@functools.cache
def field_types(cls: Fields) -> dict[str, Any]:
    """Field name to annotation, in the order of declaration."""
    hints = get_type_hints(cls, include_extras=True)
    return {name: hints[name] for name in cls.__struct_fields__}


def field_metas(annotation: Any) -> list[Meta]:
    """The ranges and descriptions in an annotation, outermost first."""
    metas = [m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, Meta)]
    for inner in get_args(annotation):
        metas += field_metas(inner)
    return metas


def plain_type(annotation: Any) -> Any:
    """An annotation without its outermost metadata, as ``float`` of ``Annotated[float, Meta(ge=0)]``."""
    if get_origin(annotation) is Annotated:
        return plain_type(get_args(annotation)[0])
    return annotation


def field_range(cls: Fields, name: str) -> str:
    """The allowed values of one field, in words."""
    return _range_in_words(field_types(cls)[name])


def field_help(cls: Fields, name: str) -> str:
    """The description of one field; empty where it has none."""
    return next((m.description for m in field_metas(field_types(cls)[name]) if m.description), "")


def field_choices(cls: Fields, name: str) -> list[str]:
    """The values to offer for a field, as ``--set`` takes them; empty for numbers and free text."""
    plain = plain_type(field_types(cls)[name])
    if get_origin(plain) is Literal:
        return [str(choice) for choice in get_args(plain)]
    return ["on", "off"] if plain is bool else list(_COMMON_VALUES.get(name, ()))


_COMMON_VALUES = {
    "dataset": ("digits", "mnist", "fashion-mnist", "cifar10", "gaussian-mixture", "gaussian-classes"),
    "device": ("auto", "cpu", "cuda"),
}
"""Values of text settings that are offered, by field; others are allowed too."""


def default_of(cls: type[S], name: str) -> Any:
    """The default value of one field."""
    return getattr(cls(), name)


def field_names(cls: Fields) -> tuple[str, ...]:
    """The names of all fields, in the order of declaration."""
    return cls.__struct_fields__


def parse_assignments(cls: type[S], pairs: Iterable[str]) -> dict[str, Any]:
    """Typed values by field, from texts such as ``["lr=1e-2", "seed=1"]``.

    Raises:
        ConfigError: a pair has no ``=``, or a key or value is not allowed.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, sep, text = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not sep or not key:
            raise ConfigError(f"--set {pair!r} is not of the form key=value; for example --set seed=1")
        values[key] = parse_value(cls, key, text.strip())
    return values


def parse_value(cls: type[S], key: str, value: Any) -> Any:
    """One value converted to its field's type and checked against its range.

    Raises:
        ConfigError: it is not allowed, or the key is unknown; the message names the key, the value, the allowed
            range or the nearest key.
    """
    types = field_types(cls)
    if key not in types:
        raise ConfigError(f"unknown setting {key!r}; {nearest_and_known(key, types, _ALIASES)}")
    annotation = types[key]
    plain = plain_type(annotation)
    if value is None or (isinstance(value, str) and value.lower() in {"none", "null"}):
        candidate: Any = None if type(None) in get_args(plain) else value
    else:
        candidate = _coerce(plain, value)
    try:
        converted = msgspec.convert(candidate, annotation, strict=not isinstance(candidate, str))
    except msgspec.ValidationError as error:
        raise ConfigError(f"{key} = {value!r} is not allowed; allowed: {_range_in_words(annotation)}") from error
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ConfigError(f"{key} = {value!r} is not a finite number; allowed: {_range_in_words(annotation)}")
    return converted


def make(cls: type[S], values: Mapping[str, Any], base: S | None = None) -> S:
    """Settings from values that are all checked; fields not given come from ``base``, else are the defaults.

    Raises:
        ConfigError: a key or value, or their combination, is not allowed.
    """
    checked = {key: parse_value(cls, key, value) for key, value in values.items()}
    try:
        return cls(**checked) if base is None else msgspec.structs.replace(base, **checked)
    except ValueError as error:
        raise ConfigError(str(error)) from error


_ALIASES = {
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
"""Other words for a setting, and its name. They only serve to suggest the name; no setting is given by them."""


def _coerce(plain: Any, value: Any) -> Any:
    """A text as a switch or a number of the field's type, as far as it is one; any other value as it is.

    A whole number may be written ``1e3``; a switch takes ``SWITCH_WORDS``.
    """
    if isinstance(value, str) and plain is bool:
        return SWITCH_WORDS.get(value.lower(), value)
    whole = plain is int or any(plain_type(a) is int or type(a) is int for a in get_args(plain))
    if whole and isinstance(value, (str, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            return value
        if number.is_integer():
            return int(value) if isinstance(value, str) and value.lstrip("+-").isdigit() else int(number)
    elif isinstance(value, str) and (plain is float or any(plain_type(a) is float for a in get_args(plain))):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _range_in_words(annotation: Any) -> str:
    """The allowed values of an annotation, in words."""
    plain = plain_type(annotation)
    if get_origin(plain) is Literal:
        return ", ".join(str(a) for a in get_args(plain))
    options = [a for a in get_args(plain) if a is not type(None)]
    if options:
        return f"{_range_in_words(options[0])}, or none"
    if plain is bool:
        return "on or off"
    metas = field_metas(annotation)
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
