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
    response: the reply that the model should give (for plain text: the text).
    key: strings that a scorer needs to judge a reply; reports split scores by its entry "group".
    options: replies to choose from, one of them `response`; empty if there is no choice.
    control: True if names of special tokens in a plain text mean those tokens, as in text that a model wrote.
    """

    messages: tuple[Message, ...]
    response: str
    key: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    control: bool = False
