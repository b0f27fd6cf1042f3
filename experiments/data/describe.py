"""`jaxft data`: a summary of a config's data, with examples, and copies of test data in the rest."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from experiments.config import Experiment
from experiments.data import builders, sources
from experiments.data.contamination import Index
from experiments.data.generated import reference_sources
from experiments.data.rows import other_sources
from jaxft.data.example import Example
from jaxft.data.source import Source

Load = Callable[[str, str, int | None], list[Example]]

_SHOWN = 5  # examples of every source
_WIDTH = 400  # characters shown of one message


def describe(experiment: Experiment) -> str:
    """A text with splits, counts and five examples of every source, then the copies of test examples in the rest."""
    load = functools.cache(sources.load)
    parts = [_source(source, load) for source in _first_uses(experiment)]
    return "\n\n".join([*parts, _copies(contamination(experiment, load))])


def contamination(
    experiment: Experiment, load: Load = sources.load, written: Sequence[Example] = ()
) -> dict[str, dict[str, Any]]:
    """Copies of every axis' test data in the text that any method trains on, and in the reference text.

    written: reference text that the base wrote, which no source holds. Returns {axis: {"source": "name/split",
    "domain": report, "reference": report}} with the reports of `Index.report`; without reference text the entry
    "reference" is absent. Validation data is not compared: a config may validate on reference text.
    """

    def examples(wanted: Iterable[Source]) -> list[Example]:
        return [example for source in wanted for example in load(source.name, source.split, source.limit)]

    indexes = {"domain": Index(examples([*experiment.domain, *other_sources(experiment)]))}
    if experiment.reference is not None:
        indexes["reference"] = Index([*examples(reference_sources(experiment.reference)), *written])
    found = {}
    for name, axis in experiment.evaluation.axes.items():
        test = examples([axis.source])
        reports = {part: index.report(test) for part, index in indexes.items()}
        found[name] = {"source": f"{axis.source.name}/{axis.source.split}", **reports}
    return found


def _first_uses(experiment: Experiment) -> list[Source]:
    """Every source of the config once, with its first use: domain, reference, then the axes."""
    reference = reference_sources(experiment.reference) if experiment.reference else ()
    axes = [source for axis in experiment.evaluation.axes.values() for source in (axis.source, axis.validation)]
    first: dict[str, Source] = {}
    for source in (*experiment.domain, *reference, *axes):
        first.setdefault(source.name, source)
    return list(first.values())


def _source(source: Source, load: Load) -> str:
    title = source.name
    if source.name in builders.DATASETS:
        held = ", ".join(f"{count:,} {what}" for what, count in builders.counts(source.name).items())
        title += f" (raw files: {held})"
    lines, splits = [title], sources.splits(source.name)
    for split in splits:
        lines.append(f"  {split}: {_counted(load(source.name, split, None))}")
    shown = source.split if source.split in splits else splits[0]  # a file is one split under any name
    for number, example in enumerate(load(source.name, shown, _SHOWN), 1):
        lines.append(f"  example {number} of {shown}")
        lines += [f"    {line}" for line in _readable(example)]
    return "\n".join(lines)


def _counted(examples: Sequence[Example]) -> str:
    text = f"{len(examples):,} examples"
    dialogues = {example.key["dialogue"] for example in examples if "dialogue" in example.key}
    if dialogues:
        text += f" from {len(dialogues):,} dialogues"
    choices = sum(bool(example.options) for example in examples)
    return f"{text}, {choices:,} with alternatives" if choices else text


def _readable(example: Example) -> list[str]:
    turns = [f"{message.role}: {_short(message.content)}" for message in example.messages]
    response = _short(example.response) if example.response else "(no right answer: for evaluation alone)"
    others = [f"or: {_short(option)}" for option in example.options if option != example.response]
    key = ", ".join(f"{name}={_short(value)}" for name, value in example.key.items())
    return [*turns, f"-> {response}", *others, *([f"[{key}]"] if key else [])]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"


def _copies(found: dict[str, dict[str, Any]]) -> str:
    lines = ["test examples that are in other text (prompt and response together)"]
    for axis, parts in found.items():
        for where in ("domain", "reference"):
            if where in parts:
                one = parts[where]
                lines.append(
                    f"  {axis} ({parts['source']}, {one['examples']:,} examples) in {where}: {one['exact']:,} exact "
                    f"({one['exact_short']:,} of fewer than 8 words), {one['near']:,} near, "
                    f"{one['prompt']:,} with another response"
                )
                lines += [f"    {copy['kind']}: {_short(copy['evaluation'])}" for copy in one["copies"]]
    return "\n".join(lines)
