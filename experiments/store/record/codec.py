"""Dataclasses to JSON data and back, according to their annotations."""

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any

from jaxft.errors import UserError


def to_json(value: Any) -> Any:
    """Dataclasses, tuples and mappings as JSON data. A field with a default is left out if it is None."""
    if is_dataclass(value) and not isinstance(value, type):
        held = {field.name: getattr(value, field.name) for field in fields(value)}
        _, required = _fields(type(value))
        return {name: to_json(found) for name, found in held.items() if found is not None or name in required}
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    return [to_json(item) for item in value] if isinstance(value, (tuple, list)) else value


def from_json(hint: Any, value: Any, where: str) -> Any:
    """The dataclass `hint`, or a mapping of them, from JSON data in the file `where`: the inverse of `to_json`.

    UserError for a missing or unknown key and for a value of the wrong type.
    """
    return _read(hint, value, f"{where}:")


def _read(hint: Any, value: Any, where: str) -> Any:
    """The value in its annotated type: a dataclass, a union with None, a mapping, a tuple, a plain type or Any."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _read(arguments[0], value, where)
    if origin in (Mapping, dict) and isinstance(value, dict):
        return {key: _read(arguments[1], item, _below(where, key)) for key, item in value.items()}
    if origin is tuple and isinstance(value, list):
        hints = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(hints) == len(value):
            return tuple(_read(one, item, where) for one, item in zip(hints, value, strict=True))
    if is_dataclass(hint) and isinstance(value, dict):
        return _dataclass(hint, value, where)
    plain: Any = (int, float) if hint is float else hint
    if hint in (int, float, str, bool) and isinstance(value, plain) and isinstance(value, bool) == (hint is bool):
        return value
    name = hint.__name__ if isinstance(hint, type) else hint
    raise UserError(f"{where.removesuffix(':')}: found {str(value)[:60]!r}, expected {name}")


def _dataclass(kind: Any, value: Mapping[str, Any], where: str) -> Any:
    hints, required = _fields(kind)
    if missing := required - value.keys():
        raise UserError(f"{where.removesuffix(':')}: found no {', '.join(sorted(missing))}, expected a {kind.__name__}")
    if unknown := value.keys() - hints.keys():
        raise UserError(f"{_below(where, min(unknown))}: unknown key, expected those of a {kind.__name__}")
    return kind(**{name: _read(hints[name], item, _below(where, name)) for name, item in value.items()})


@cache
def _fields(kind: Any) -> tuple[dict[str, Any], set[str]]:
    """(types by field, fields without a default)."""
    return typing.get_type_hints(kind), {field.name for field in fields(kind) if field.default is MISSING}


def _below(where: str, name: str) -> str:
    return f"{where} {name}" if where.endswith(":") else f"{where}.{name}"
