"""Bounds on the fields of frozen dataclasses, written as annotations, and the function that checks them.

    rank: Annotated[int, Ge(1)] = 8                    # "expected at least 1"
    scaling: Literal["lora", "rslora"] = "lora"        # "expected one of lora, rslora"
    threshold: Annotated[float, Ge(-1), Le(1), "a cosine in [-1, 1]"] = 0.5   # a string replaces these words

A rule about several fields is the dataclass's method `check(self, key: str) -> None`. No float may be NaN or infinite.
"""

import dataclasses
import operator
import sys
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen, Predicate

from jaxft.errors import require

Count = Annotated[int, Ge(1)]
Whole = Annotated[int, Ge(0)]
Seed = Annotated[int, Ge(0), Lt(2**32), "a whole number in [0, 2**32)"]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0), "0 or a number above it"]
Fraction = Annotated[float, Gt(0), Le(1), "a fraction in (0, 1]"]
BelowOne = Annotated[float, Ge(0), Lt(1), "a fraction in [0, 1)"]
Between = Annotated[float, Gt(0), Lt(1), "a fraction between 0 and 1"]

#: Constraint -> (test of a value, words before the limit).
_RULES = {
    Ge: (operator.ge, "at least"),
    Gt: (operator.gt, "above"),
    Le: (operator.le, "at most"),
    Lt: (operator.lt, "below"),
    MinLen: (lambda value, least: len(value) >= least, "a length of at least"),
}


def check(value: Any, key: str = "") -> None:
    """Raise UserError for the first field, at any depth, whose value has the wrong type or is out of bounds.

    value: a frozen dataclass. key: its place in a config, such as "methods.lora"; the error names `key.field`.
    """
    fit(value, type(value), key)


def join(key: str, field: str) -> str:
    """The key of a field of the value at `key`."""
    return f"{key}.{field}" if key else field


def fit(value: Any, hint: Any, key: str) -> Any:
    """`value` converted to the type `hint` (an int to a float if `hint` is float); UserError if it does not fit.

    hint: int, float, str, bool, None, Any, Literal, a class, a union, tuple, Mapping, or Annotated of one of these.
    """
    hint, bounds = _split(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    require(matches(value, hint), key, value, spell(hint))
    finite = hint is not float or abs(value) <= sys.float_info.max
    whole = origin is not tuple or arguments[-1] is ... or len(value) == len(arguments)
    inside = finite and whole and all(_holds(bound, value) for bound in bounds)
    require(inside, key, value, _expected(hint, bounds))
    if hint is float:
        return float(value)
    if _is_union(hint):
        return fit(value, next(member for member in arguments if matches(value, member)), key)
    if origin is tuple:
        hints = arguments[:1] * len(value) if arguments[-1] is ... else arguments
        keys = [f"{key}[{index}]" if dataclasses.is_dataclass(item) else key for index, item in enumerate(value)]
        return tuple(map(fit, value, hints, keys))
    if origin is Mapping:
        return {fit(name, arguments[0], key): fit(item, arguments[1], join(key, name)) for name, item in value.items()}
    if dataclasses.is_dataclass(value):
        hints = typing.get_type_hints(type(value), include_extras=True)
        for field in dataclasses.fields(value):
            fit(getattr(value, field.name), hints[field.name], join(key, field.name))
        if hasattr(value, "check"):
            value.check(key)  # pyright: ignore[reportAttributeAccessIssue]
    return value


def spell(hint: Any) -> str:
    """The name of a type in error messages."""
    hint, _ = _split(hint)
    arguments = typing.get_args(hint)
    if _is_union(hint):
        return " | ".join(map(spell, arguments))
    if typing.get_origin(hint) is Literal:
        return repr(arguments[0]) if len(arguments) == 1 else f"one of {', '.join(map(str, arguments))}"
    name = "None" if hint is type(None) else "..." if hint is ... else hint.__name__
    return f"{name}[{', '.join(map(spell, arguments))}]" if arguments else name


def _split(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without its bounds, and the bounds."""
    return (hint.__origin__, hint.__metadata__) if typing.get_origin(hint) is Annotated else (hint, ())


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def matches(value: Any, hint: Any) -> bool:
    """True if a value has a type; bounds and the contents of containers are not checked."""
    hint, _ = _split(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if _is_union(hint):
        return any(matches(value, member) for member in arguments)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if hint in (int, float):  # bool is a subclass of int
        return type(value) is int or type(value) is hint
    return hint is Any or isinstance(value, origin or hint)


def _holds(bound: Any, value: Any) -> bool:
    if isinstance(bound, Predicate):
        return bound.func(value)
    return isinstance(bound, str) or _RULES[type(bound)][0](value, *dataclasses.astuple(bound))


def _expected(hint: Any, bounds: tuple[Any, ...]) -> str:
    """The bounds in words, as "at least 1"."""
    if texts := [bound for bound in bounds if isinstance(bound, str)]:
        return texts[0]
    rules = (bound for bound in bounds if type(bound) in _RULES)
    words = " and ".join(f"{_RULES[type(rule)][1]} {dataclasses.astuple(rule)[0]}" for rule in rules)
    if hint is float:
        return f"a number {words}" if words else "a finite number"
    return words or spell(hint)
