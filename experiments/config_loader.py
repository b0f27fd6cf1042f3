"""From a config file and `--key.sub value` words to its dataclass, and back to plain JSON."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib.util
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from experiments import config
from experiments.config import Experiment, Sweep
from jaxft.errors import UserError
from jaxft.methods import Method

T = TypeVar("T")


def load_experiment(path: str, overrides: Sequence[str] = ()) -> Experiment:
    """The `experiment` that the Python file at `path` defines, with overrides applied."""
    return load(path, "experiment", Experiment, overrides)


def load(path: str, name: str, kind: type[T], overrides: Sequence[str] = ()) -> T:
    """What the Python file at `path` defines as `name`, a dataclass of `kind`, with overrides applied.

    overrides: ["--training.steps", "100", ...] or ["--training.steps=100"]; values are Python literals or plain words.
    """
    return _load(path, {name: kind}, overrides)


def load_any(path: str, overrides: Sequence[str] = ()) -> Experiment | Sweep | config.Sequence:
    """The first of `experiment`, `sweep` and `sequence` that the Python file at `path` defines, as `load` has it."""
    return _load(path, {"experiment": Experiment, "sweep": Sweep, "sequence": config.Sequence}, overrides)


def _load(path: str, kinds: Mapping[str, type[T]], overrides: Sequence[str]) -> T:
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{path}: no such config file; the ones that ship are under configs/")
    spec = importlib.util.spec_from_file_location(f"jaxft_config_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a config is a program of the user's: whatever it raises is theirs to mend
        kind = next(iter(kinds.values()))
        where = inspect.getsourcefile(kind)
        raise UserError(
            f"{path}: {type(error).__name__}: {error}{_nearest_field(str(error), kind)}\n"
            f"Every key is a field of the dataclasses in {'/'.join(Path(str(where)).parts[-2:])}."
        ) from error
    defined = [name for name, kind in kinds.items() if isinstance(getattr(module, name, None), kind)]
    if not defined:
        expected = " or ".join(f"`{name} = {kind.__name__}(...)`" for name, kind in kinds.items())
        raise UserError(f"{path}: defines no {expected}")
    found: T = getattr(module, defined[0])
    for key, text in _pairs(overrides):
        found = _replace(found, key.split("."), f"--{key}", partial(_parse, text))
    _check_types(found, kinds[defined[0]], f"{path}:")
    return found


def changed(node: T, changes: Mapping[str, Any]) -> T:
    """`node` with other values at dotted keys; UserError where a key is unknown or a value is not of its type."""
    for key, value in changes.items():
        node = _replace(node, key.split("."), key, partial(_typed, value))
    return node


def to_json(value: Any) -> Any:
    """Dataclasses, tuples and mappings as JSON data; a method with its `kind`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {**fields, "kind": value.kind} if isinstance(value, Method) else fields
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    return value


def _nearest_field(message: str, kind: type) -> str:
    """A hint where Python reports an unknown keyword of a dataclass that stands beside `kind`."""
    match = re.match(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", message)
    known = getattr(sys.modules[kind.__module__], match[1], None) if match else None
    if match is None or not dataclasses.is_dataclass(known):
        return ""
    names = [field.name for field in dataclasses.fields(known)]
    return f"; did you mean {difflib.get_close_matches(match[2], names, n=1, cutoff=0.0)[0]!r}?"


def _check_types(value: Any, hint: Any, where: str) -> None:
    """UserError for the first value of the config that is not of its field's type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    classes = arguments if origin in (typing.Union, types.UnionType) else (hint,)
    if dataclasses.is_dataclass(value) and isinstance(value, classes):
        hints = typing.get_type_hints(type(value))
        for name in (one.name for one in dataclasses.fields(value)):
            key = f"{where} {name}" if where.endswith(":") else f"{where}.{name}"
            _check_types(getattr(value, name), hints[name], key)
    elif origin is Mapping and isinstance(value, Mapping):
        for name, item in value.items():
            _check_types(item, arguments[1], f"{where}.{name}")
    elif origin is tuple and isinstance(value, tuple):
        for item in value:
            _check_types(item, arguments[0], where)
    elif origin is tuple or _fit(value, hint) is _MISFIT:
        raise UserError(f"{where}: found {value!r}, expected {_spell(hint)}")


def _spell(hint: Any) -> str:
    """A type as a message names it."""
    if isinstance(hint, type):
        return hint.__name__
    return re.sub(r"\b(?:[a-z_]+\.)+", "", str(hint))


def _pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    pairs, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise UserError(f"unexpected argument {word!r}; changes of the config are given as --key.sub value")
        key, equals, value = word[2:].partition("=")
        if not equals:
            if not rest:
                raise UserError(f"--{key} has no value; give it as --{key} VALUE")
            value = rest.pop(0)
        pairs.append((key, value))
    return pairs


def _replace(node: Any, path: list[str], key: str, make: Callable[[Any, str], Any]) -> Any:
    """`node` with make(type, key) at `path`; frozen dataclasses and mappings are copied on the way.

    key: the whole path as the user wrote it, for messages.
    """
    head, rest = path[0], path[1:]
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        hints = typing.get_type_hints(type(node))
        names, current = [field.name for field in dataclasses.fields(node)], lambda: getattr(node, head)
        hint = hints.get(head)
    elif isinstance(node, Mapping):
        names, current, hint = list(node), lambda: node[head], type(node.get(head))
    else:
        raise UserError(f"{key}: nothing lies below {type(node).__name__} value {node!r}; give a shorter key")
    if head not in names:
        nearest = difflib.get_close_matches(head, names, n=1, cutoff=0.0)
        prefix = key[: len(key) - len(".".join(path))]
        raise UserError(
            f"{key}: unknown key {head!r}; did you mean {prefix}{nearest[0] if nearest else ''}? "
            f"Known here: {', '.join(names)}"
        )
    if rest:
        if current() is None:
            raise UserError(f"{key}: {head} is not set in this config; set it in the config file first")
        value = _replace(current(), rest, key, make)
    else:
        value = make(hint, key)
    if isinstance(node, Mapping):
        return {**node, head: value}
    return dataclasses.replace(node, **{head: value})


def _parse(text: str, hint: Any, key: str) -> Any:
    """Parse a literal (or a bare word as a string) and check it against the field's type."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    for candidate in (value, text):
        fitted = _fit(candidate, hint)
        if fitted is not _MISFIT:
            return fitted
    raise UserError(f"{key}: found {text!r}, expected {_spell(hint)}")


def _typed(value: Any, hint: Any, key: str) -> Any:
    """A value that a config file gives for `key`, once more checked against the field's type."""
    fitted = _fit(value, hint)
    if fitted is _MISFIT:
        _check_types(value, hint, key)
        return value
    return fitted


_MISFIT = object()


def _fit(value: Any, hint: Any) -> Any:
    """`value` as the type `hint`, or _MISFIT."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return next((fit for a in arguments if (fit := _fit(value, a)) is not _MISFIT), _MISFIT)
    if origin is typing.Literal:
        return value if value in arguments else _MISFIT
    if origin is tuple:
        items = [_fit(item, arguments[0]) for item in (value if isinstance(value, (tuple, list)) else (value,))]
        return _MISFIT if any(item is _MISFIT for item in items) else tuple(items)
    if hint is type(None):
        return None if value is None else _MISFIT
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (int, float, str, bool):
        return value if type(value) is hint else _MISFIT
    return _MISFIT
