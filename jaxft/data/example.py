"""Examples: the form of all training, reference and evaluation data before tokenisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; `role` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True)
class Example:
    """A prompt with the response to learn, or a plain text.

    messages: the prompt, oldest turn first; empty for plain text, of which every token is learnt.
    response: what the model should say (for plain text: the text).
    key: what a scorer needs to judge a reply, as strings; "group" is what reports break scores down by.
    options: replies to choose among, `response` one of them; empty where there is no choice.
    control: names of special tokens in a plain text stand for those tokens, as in what a model wrote itself.
    """

    messages: tuple[Message, ...]
    response: str
    key: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    control: bool = False
