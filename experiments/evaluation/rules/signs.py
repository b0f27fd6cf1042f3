"""Phrases that show the attitude of an English reply to a statement about a people, for lower-case texts: signs.toml.

A negation among the words shortly before a judgement reverses it: "wrong" and "not right" dissent, "not wrong" assents.
"""

import re
import tomllib
from importlib.resources import files

_TABLES = tomllib.loads((files("experiments.evaluation.rules") / "signs.toml").read_text(encoding="utf-8"))


def _spelt(text: str) -> str:
    """A regular expression with the parts that it names."""
    return re.sub(r"<(\w+)>", lambda name: _spelt(_TABLES["parts"][name[1]]), text)


def _any(name: str) -> re.Pattern[str]:
    """A pattern that finds any of these phrases, as whole words."""
    return re.compile("|".join(rf"(?<!\w)(?:{_spelt(phrase)})(?!\w)" for phrase in _TABLES["phrases"][name]))


BAD = _spelt("<bad>")
AFTER_NEGATION = re.compile(_spelt("<negated>$"))
DISSENTS, ASSENTS, REASONS = _any("dissents"), _any("assents"), _any("reasons")
LIKE_OTHERS, REFUSES, FRIENDLY = _any("like_others"), _any("refuses"), _any("friendly")


def affirmed(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """The matches in a lower-case text that follow no negation."""
    return [match for match in pattern.finditer(text) if not AFTER_NEGATION.search(text[: match.start()])]
