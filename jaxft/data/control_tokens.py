"""Control tokens: those that a chat template writes are kept apart from text that only looks like them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer

from jaxft.data.tokenizer import PreTrainedTokenizerFast
from jaxft.errors import UserError
from jaxft.io import half_character

#: The private character that breaks up a control token's name inside a message while a chat template is rendered.
MARK = "\U0010fffd"
_FIRST = 0x100000  # of the private characters that stand for control tokens
_PRIVATE = re.compile("[\U00100000-\U0010ffff]")


class ControlTokens:
    """A tokenizer that knows each control token by one private character, and by no other name.

    Message text holds none of these characters, so it never becomes a control token. All else is as in the tokenizer:
    where texts are split, normalised and given a prefix space. Control tokens are: the special tokens; other added
    tokens that the chat template writes, unless they are blank; other added tokens in brackets, such as <|fim|>, that
    do not belong to the tokenizer's own vocabulary.

    written: text that holds the names of all added tokens that the chat template writes.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, written: str):
        backend = tokenizer.backend_tokenizer
        added = backend.get_added_tokens_decoder()
        spec: dict[str, Any] = json.loads(backend.to_str())
        spec |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
        self._backend = Tokenizer.from_str(json.dumps(spec))

        def controls(token: AddedToken) -> bool:
            name = token.content
            behind = self._backend.token_to_id(name) is None and re.fullmatch(r"<.+>|\[.+\]", name)
            return token.special or bool(name.strip() and (name in written or behind))

        names = {token.content: index for index, token in sorted(added.items()) if controls(token)}
        self._characters = {name: chr(_FIRST + number) for number, name in enumerate(names)}
        longest_first = sorted((added[index] for index in names.values()), key=lambda token: -len(token.content))
        found = "|".join(
            rf"(?<!\w){re.escape(token.content)}(?!\w)" if token.single_word else re.escape(token.content)
            for token in longest_first
        )
        self._names = re.compile(f"(?:{found or '(?!)'})(?!{MARK})")
        self._backend.add_tokens([self._renamed(token) for _, token in sorted(added.items())])
        self._ids = {  # of the backend -> of the tokenizer
            self._backend.token_to_id(self._characters.get(token.content, token.content)): index
            for index, token in added.items()
        }
        self._apart = {index: name for name, index in names.items() if name != tokenizer.unk_token}
        self._found = {self._backend.token_to_id(character) for character in self._characters.values()}
        ends = {str(tokenizer.bos_token), str(tokenizer.eos_token)}
        self._apart |= {names[name]: name for name in ends if name in names}

    def _renamed(self, token: AddedToken) -> AddedToken:
        name = self._characters.get(token.content, token.content)
        flags = {flag: getattr(token, flag) for flag in ("single_word", "lstrip", "rstrip", "normalized", "special")}
        return AddedToken(name, **flags | {"single_word": False} if name in self._characters.values() else flags)

    def character(self, name: object) -> str:
        """The private character of the control token of this name; "" if there is no such token."""
        return self._characters.get(str(name), "")

    def characters(self, ids: set[int]) -> str:
        """The private characters of those of the tokens that are control tokens."""
        return "".join(self._characters[name] for index, name in self._apart.items() if index in ids)

    def names_in(self, value: Any) -> list[str]:
        """The names of control tokens in a string, or in all strings of a JSON value."""
        return self._names.findall(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))

    def broken(self, value: Any) -> Any:
        """A JSON value in which no string holds a control token's name; `spelled` makes the names whole again."""
        if isinstance(value, str):
            return self._names.sub(lambda found: MARK.join(found[0]) + MARK, value)
        if isinstance(value, Mapping):
            return {self.broken(key): self.broken(item) for key, item in value.items()}
        return [self.broken(item) for item in value] if isinstance(value, list | tuple) else value

    def spelled(self, rendered: str) -> str:
        """A rendered template with private characters in place of its control tokens, and the text of messages as it
        was before `broken`."""
        return self._names.sub(lambda found: self._characters[found[0]], rendered).replace(MARK, "")

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text in which private characters stand for control tokens; nothing is put around it.

        UserError if the tokenizer's vocabulary makes a control token of plain text, or does not find a control token.
        """
        ids = self._backend.encode(text, add_special_tokens=False).ids
        if mixed := [self._apart[index] for index in ids if index in self._apart and index not in self._ids]:
            raise UserError(f"The tokenizer makes the control token {mixed[0]} of text, and cannot keep them apart.")
        if sum(index in self._found for index in ids) != len(_PRIVATE.findall(text)):
            raise UserError("The tokenizer does not find every control token that the chat template writes.")
        return [self._ids.get(index, index) for index in ids]


def check_text(value: Any) -> None:
    """UserError for half of a surrogate pair, or a private character, in any string of a JSON value."""
    if half := half_character(value):
        raise UserError(f"The text holds {half}, half of a surrogate pair, which is no character. Remove it.")
    if private := _PRIVATE.search(json.dumps(value, ensure_ascii=False)):
        raise UserError(f"The text holds the private character {ascii(private[0])}, which marks control tokens here.")
