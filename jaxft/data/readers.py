"""A user's own data: JSON lines, one example per line, plain or gzipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxft.data.example import Example, Message
from jaxft.errors import UserError
from jaxft.io import read_json_lines

_ROLES = ("system", "user", "assistant")
_FORMS = '{"messages": [{"role", "content"}, ...]}, {"prompt", "response"} or {"text"}'


def examples(path: str | Path) -> list[Example]:
    """Read a .jsonl or .jsonl.gz file.

    A line is {"messages": [{"role", "content"}, ...]} with the assistant's response last, or {"prompt", "response"}, or
    {"text"} for plain text. Other fields are ignored, blank lines skipped. Raises UserError naming the file and line.
    """
    found = [_example(record, where) for where, record in read_json_lines(Path(path))]
    if not found:
        raise UserError(f"{path} holds no examples; expected one JSON object a line: {_FORMS}.")
    return found


def _example(record: Any, where: str) -> Example:
    if not isinstance(record, dict):
        raise UserError(f"{where} is a JSON {type(record).__name__}; expected an object: {_FORMS}.")
    forms = [form for form in (("messages",), ("prompt", "response"), ("text",)) if set(form) <= record.keys()]
    if len(forms) != 1:
        raise UserError(f"{where} has the fields {', '.join(sorted(record)) or '(none)'}; expected one of {_FORMS}.")
    match forms[0]:
        case ("messages",):
            messages = _messages(record["messages"], where)
        case ("text",):
            return Example((), _string(record["text"], "text", where))
        case _:
            user = Message("user", _string(record["prompt"], "prompt", where))
            messages = [user, Message("assistant", _string(record["response"], "response", where))]
    return Example(tuple(messages[:-1]), messages[-1].content)


def _messages(value: Any, where: str) -> list[Message]:
    if not isinstance(value, list) or not all(
        isinstance(one, dict) and {"role", "content"} <= one.keys() for one in value
    ):
        raise UserError(f'{where}: "messages" must be a list of objects with "role" and "content".')
    for one in value:
        if one["role"] not in _ROLES:
            raise UserError(f"{where} has a message of the role {one['role']!r}; expected one of {', '.join(_ROLES)}.")
    if len(value) < 2 or value[-1]["role"] != "assistant":
        raise UserError(
            f"{where}: the messages must end with the assistant's response, after at least one other message."
        )
    return [Message(one["role"], _string(one["content"], "content", where)) for one in value]


def _string(value: Any, field: str, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise UserError(f'{where}: "{field}" is {value!r:.40}; expected a string that is not empty.')
    return value
