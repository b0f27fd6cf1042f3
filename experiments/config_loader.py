"""Read a config file and `--key.sub value` words into the config's dataclass, and turn it into plain JSON."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib.util
import os
import re
import sys
import traceback
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from experiments import config
from experiments.config import Experiment, Sweep
from jaxft import bounds, methods
from jaxft.data.source import Source
from jaxft.errors import UserError

T = TypeVar("T")
#: Name or error message of earlier versions -> present name or advice.
RENAMED = {
    "GradientProjection.decay": "kfac_strength",
    "GradientProjection.two_sided": "kfac_outputs",
    "GradientProjection.metric_rank": "kfac_rank",
    "No module named 'jaxft.config'": "import methods from jaxft.methods, and all else from experiments.config",
    "No module named 'jaxft.method_config'": "import methods from jaxft.methods",
}
#: Required field -> a value for it, for the error that says it is missing.
EXAMPLES = {
    "name": '"mine"',
    "domain": '(Source("train.jsonl"),)',
    "evaluation": 'Evaluation({"proficiency": Axis("f1", Source("test.jsonl"), Source("valid.jsonl"))}, target=0.5)',
    "axes": '{"proficiency": Axis("f1", Source("test.jsonl"), Source("valid.jsonl"))}',
    "target": "0.5",
    "source": 'Source("test.jsonl")',
    "validation": 'Source("valid.jsonl")',
}


def load_experiment(path: str, overrides: Sequence[str] = (), beside: str = "") -> Experiment:
    """The `experiment` that the Python file at `path` defines; otherwise as `load`."""
    return load(path, "experiment", Experiment, overrides, beside)


def load(path: str, name: str, kind: type[T], overrides: Sequence[str] = (), beside: str = "") -> T:
    """The dataclass of `kind` that the Python file at `path` defines as `name`, with overrides applied.

    overrides: ["--training.steps", "100", ...] or ["--training.steps=100"]; values are Python literals or plain words.
    beside: a file from whose folder `path` starts, as `__file__` in a config that takes pieces of another config.
    """
    return _load(os.path.join(os.path.dirname(beside), path), {name: kind}, overrides)


def only(experiment: Experiment, *names: str) -> Experiment:
    """The experiment with some of its methods."""
    return dataclasses.replace(experiment, methods={name: experiment.methods[name] for name in names})


def load_any(path: str, overrides: Sequence[str] = ()) -> Experiment | Sweep | config.Sequence:
    """The first of `experiment`, `sweep` and `sequence` that the Python file at `path` defines; otherwise as `load`."""
    return _load(path, {"experiment": Experiment, "sweep": Sweep, "sequence": config.Sequence}, overrides)


def _load(path: str, kinds: Mapping[str, type[T]], overrides: Sequence[str]) -> T:
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{path}: no such config file; the shipped ones are under configs/")
    if file.suffix != ".py":
        raise UserError(f"{path}: found a file of another kind, expected a config, a Python file (.py)")
    spec = importlib.util.spec_from_file_location(f"jaxft_config_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a config is the user's program: any error in it is theirs to fix
        home = sys.modules[next(iter(kinds.values())).__module__]
        hint = _hint(str(error), {**vars(methods), **vars(home), **vars(module)})
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        where = f"{path}, line {lines[-1]}" if lines else path
        raise UserError(f"{where}: {type(error).__name__}: {error}{hint}") from error
    defined = [name for name, kind in kinds.items() if isinstance(getattr(module, name, None), kind)]
    if not defined:
        expected = " or ".join(f"`{name} = {kind.__name__}(...)`" for name, kind in kinds.items())
        raise UserError(f"{path}: defines no {expected}")
    found: T = getattr(module, defined[0])
    for key, text in _pairs(overrides):
        found = _replace(found, key.split("."), f"--{key}", partial(_parse, text))
    try:
        bounds.check(found)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return found


def changed(node: T, changes: Mapping[str, Any]) -> T:
    """`node` with other values at dotted keys; UserError if a key is unknown or a value does not fit it."""
    for key, value in changes.items():
        fitting = tuple(value) if isinstance(value, list) else value
        node = _replace(node, key.split("."), key, partial(bounds.fit, fitting))
    return node


def to_json(value: Any) -> Any:
    """Dataclasses, tuples and mappings as JSON data; a method with its `kind`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {**fields, "kind": value.kind} if isinstance(value, methods.Method) else fields
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    return value


def _hint(message: str, names: Mapping[str, Any]) -> str:
    """The correction of a module or keyword that Python reports as unknown; "" if none is known.

    names: those of the methods, of the config file and of its dataclass's module, among them the called class.
    """
    if message in RENAMED:
        return f"; {RENAMED[message]}"
    match = re.match(r"(\w+)\.__init__\(\) (got an unexpected|missing \d+ required).*?'(\w+)'", message)
    known = names.get(match[1]) if match else None
    if match is None or not dataclasses.is_dataclass(known):
        return ""
    if match[2].startswith("missing"):
        kind = bounds.spell(typing.get_type_hints(known, include_extras=True)[match[3]])
        needed = (
            f"for example {match[3]}={EXAMPLES[match[3]]}" if match[3] in EXAMPLES else f"{match[3]} is of type {kind}"
        )
        return f"; {needed}. A complete config is in configs/README.md."
    fields = ", ".join(field.name for field in dataclasses.fields(known))
    return f"; {_known(match[1], fields.split(', '), match[3], repr)} Known here: {fields}"


def _known(kind: str, names: Sequence[str], name: str, spell: Callable[[str], str]) -> str:
    """A correction of `name`, which is unknown: its new name, or the nearest of `names`, the keys of a `kind`."""
    if new := RENAMED.get(f"{kind}.{name}"):
        return f"it is now called {spell(new)}."
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    return f"did you mean {spell(nearest[0] if nearest else '')}?"


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
    """A copy of `node` with make(type, key) at `path`; `node` is a frozen dataclass or a mapping.

    key: the whole path as the user wrote it, for messages.
    """
    head, rest = path[0], path[1:]
    if isinstance(node, tuple):
        items = _replace({str(index): item for index, item in enumerate(node)}, path, key, make)
        return tuple(items.values())
    if isinstance(node, Mapping):
        whole = ".".join(path)
        if any("." in name for name in node):  # the keys of a sweep's grid
            head = max((name for name in node if f"{whole}.".startswith(f"{name}.")), key=len, default=whole)
            rest = path[head.count(".") + 1 :]
        hints, current = {name: type(value) for name, value in node.items()}, node.get(head)
    elif dataclasses.is_dataclass(node) and not isinstance(node, type):
        types, current = typing.get_type_hints(type(node), include_extras=True), getattr(node, head, None)
        hints = {field.name: types[field.name] for field in dataclasses.fields(node)}
    else:
        raise UserError(f"{key}: nothing lies below {type(node).__name__} value {node!r}; give a shorter key")
    if head not in hints:
        prefix = key.removesuffix(".".join(path))
        meant = _known(type(node).__name__, [*hints], head, lambda name: prefix + name)
        raise UserError(f"{key}: unknown key {head!r}; {meant} Known here: {', '.join(hints)}")
    if rest and current is None:
        raise UserError(f"{key}: {head} is not set in this config; set it in the config file first")
    value = _replace(current, rest, key, make) if rest else make(hints[head], key)
    return {**node, head: value} if isinstance(node, Mapping) else dataclasses.replace(node, **{head: value})


def _sources(value: Any, hint: Any) -> Any:
    """`value` with a Source for every name, if `hint` is a Source or a tuple of them."""
    if hint is Source:
        return Source(value) if isinstance(value, str) else value
    if typing.get_args(hint)[:1] == (Source,):
        return tuple(_sources(one, Source) for one in (value if isinstance(value, tuple) else (value,)))
    return value


def _parse(text: str, hint: Any, key: str) -> Any:
    """The value of an override: a Python literal or a bare word, alone or as the one item of a tuple."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    value = tuple(value) if isinstance(value, list) else value
    value = _sources(value, hint.__origin__ if typing.get_origin(hint) is typing.Annotated else hint)
    candidates = (value, text, (value,), (text,))
    return bounds.fit(next((one for one in candidates if bounds.matches(one, hint)), value), hint, key)
