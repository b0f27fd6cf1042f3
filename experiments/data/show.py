"""`jaxft data --show`: the first examples as the model sees them, token by token."""

from __future__ import annotations

from itertools import groupby

from experiments.base_model import Base
from experiments.config import Experiment
from experiments.data.rows import training_rows
from experiments.data.sources import load_examples, source_name
from jaxft.bounds import Count, fit
from jaxft.data.example import Example

_LEARNT, _CONTROL, _END = "\033[32m", "\033[7m", "\033[0m"  # green, inverse


def show(experiment: Experiment, count: int, colour: bool) -> str:
    """The first `count` examples of every source of the domain, then the numbers of all its packed rows.

    Lines that begin with ">" are learnt, and so is nothing else; control tokens stand in [[ ]]. colour: learnt text is
    green and control tokens are inverse instead, for a terminal. UserError for a count below 1 and data
    that cannot be encoded.
    """
    fit(count, Count, "--show")
    base, training = Base(experiment.model), experiment.training
    longest = training.row_length if training.on_long == "drop" else None
    parts = [f"> {_marked('learnt', _LEARNT, colour)}   {_control('control token', colour)}"]
    for source in experiment.domain:
        for number, example in enumerate(load_examples([source])[:count], 1):
            title = f"{source_name(source)}, example {number}" + f" ({example.where})" * bool(example.where)
            parts.append(_example(example, title, base, longest, colour))
    counts, length = training_rows(experiment, base).counts, training.row_length
    parts.append(
        f"all examples: {counts['rows']:,} rows of {length:,} tokens hold {counts['tokens']:,} tokens, of which "
        f"{counts['labels']:,} are learnt; left out: {counts['dropped']:,} examples that are too long, "
        f"{counts['unlabelled']:,} windows in which nothing is learnt"
    )
    return "\n\n".join(parts)


def _example(example: Example, title: str, base: Base, longest: int | None, colour: bool) -> str:
    encoded = base.encode(example)
    ids, learnt = encoded.tokens.tolist(), encoded.weights > 0
    said = f"{title}: {len(ids):,} tokens, {int(learnt.sum()):,} learnt"
    if longest is not None and len(ids) - 1 > longest:
        learnt, said = learnt & False, f"{title}: {len(ids):,} tokens, left out: longer than {longest:,}"
    lines = [said]
    for is_learnt, run in groupby(range(len(ids)), key=lambda at: bool(learnt[at])):
        for line in _text(ids, list(run), base, is_learnt, colour).split("\n"):
            lines.append(("  > " if is_learnt else "    ") + line)
    return "\n".join(lines)


def _text(ids: list[int], run: list[int], base: Base, is_learnt: bool, colour: bool) -> str:
    """The text of the tokens at the places `run`; a new line is written as \\n and begun."""
    added, decode, parts = base.tokenizer.added_tokens_decoder, base.tokenizer.decode, []
    for is_control, places in groupby(run, key=lambda at: ids[at] in added):
        at = list(places)
        if is_control:
            parts += [_control(str(added[ids[place]]), colour) for place in at]
            continue
        # In the context of what stands before, as some tokenizers drop the space before a text's first word.
        before, whole, alone = (str(decode(some)) for some in (ids[: at[0]], ids[: at[-1] + 1], [ids[i] for i in at]))
        text = whole.removeprefix(before) if whole.startswith(before) else alone
        lines = [_marked(_visible(line), _LEARNT, colour and is_learnt) for line in text.split("\n")]
        parts.append("\\n\n".join(lines))
    return "".join(parts)


def _visible(line: str) -> str:
    """A line in which characters that a terminal obeys or hides are escapes."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)


def _marked(text: str, style: str, colour: bool) -> str:
    return f"{style}{text}{_END}" if colour and text else text


def _control(name: str, colour: bool) -> str:
    return _marked(name, _CONTROL, True) if colour else f"[[{name}]]"
