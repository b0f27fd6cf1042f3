"""`jaxft judge-check`: measure a config's judge against labelled replies."""

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from experiments import config
from experiments.evaluation.judges import build, rubric
from experiments.evaluation.judges.agreement import Pair, measure
from experiments.evaluation.judges.base import Question
from experiments.store.provenance import versions
from jaxft.errors import UserError
from jaxft.io import read_json_lines, write_json

SHIPPED = Path(str(files("experiments.evaluation.judges") / "labelled" / "replies.jsonl"))
_EXPECTED = "rubric, prompt, reference, reply, label (strings), key (an object of strings) and, if you like, part"


@dataclass(frozen=True)
class Labelled:
    """A question with its label by reading; part: the name of a group of replies to report separately, or ""."""

    question: Question
    label: str
    part: str

    @property
    def good(self) -> bool:
        return rubric.load(self.question.rubric).is_good(self.label, self.question)


def check(settings: config.Judge, labelled: Path, out: Path, command: str) -> dict[str, Any]:
    """Measure the judge's agreement with the labels; write the record to `out`/judge_check.json and return it.

    groups: agreement over all replies, by rubric and by part. order: share of replies with the same label if a language
    model reads labels, conversation and reference in the opposite order; None for rules, which do not depend on it.
    """
    found = read(labelled)
    questions = [one.question for one in found]
    judge = build(settings, out / "judge")
    verdicts = judge.verdicts(questions)
    pairs = [
        Pair(one.question.reply, one.label, one.good, verdict) for one, verdict in zip(found, verdicts, strict=True)
    ]
    if not any(verdict.good is not None for verdict in verdicts):
        raise UserError(f"the judge {judge.name} judged none of the {len(found)} replies: {verdicts[0].reason}")
    name, order = judge.name, None
    if settings.kind != "rules":
        del judge  # frees the model of a local judge before the second one is loaded
        turned = build(settings, out / "judge", turned=True).verdicts(questions)
        both = [(a, b) for a, b in zip(verdicts, turned, strict=True) if a.label and b.label]
        order = float(np.mean([a.label == b.label for a, b in both])) if both else None
    record = {
        "format": 1,
        "command": command,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "judge": name,
        "labelled": {"file": labelled.name, "sha256": hashlib.sha256(labelled.read_bytes()).hexdigest()},
        "order": order,
        "groups": {name: measure([pairs[i] for i in group]) for name, group in _groups(found, verdicts).items()},
    }
    write_json(out / "judge_check.json", record)
    return record


def _groups(found: Sequence[Labelled], verdicts: Sequence[Any]) -> dict[str, list[int]]:
    """Indices of the replies of each group (all, every rubric, every part) that has a judged reply."""
    groups: dict[str, list[int]] = {"all": list(range(len(found)))}
    for index, one in enumerate(found):
        for name in (one.question.rubric, one.part, f"{one.question.rubric}, {one.part}" if one.part else ""):
            if name:
                groups.setdefault(name, []).append(index)
    judged = {name for name, group in groups.items() if any(verdicts[i].good is not None for i in group)}
    return {name: group for name, group in groups.items() if name in judged}


def read(path: Path) -> list[Labelled]:
    """Labelled replies, one JSON object per line; UserError with file and line if one is malformed."""
    found = [_labelled(record, where) for where, record in read_json_lines(path)]
    if not found:
        raise UserError(f"{path}: holds no labelled replies; expected JSON lines with {_EXPECTED}")
    return found


def _labelled(record: Any, where: str) -> Labelled:
    names = [field.name for field in fields(Question)]
    strings = [name for name in (*names, "label") if name != "key"]
    if not isinstance(record, dict) or not all(isinstance(record.get(name), str) for name in strings):
        raise UserError(f"{where}: found {str(record)[:80]!r}, expected an object with {_EXPECTED}")
    key, part = record.get("key", {}), record.get("part", "")
    if not isinstance(key, dict) or not all(isinstance(value, str) for value in [*key.values(), part]):
        raise UserError(f"{where}: key must be an object of strings and part a string; found {key!r}, {part!r}")
    try:
        its = rubric.load(record["rubric"])
        question = Question(**{name: record[name] for name in names if name != "key"}, key=key)
        its.kind(question)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    if record["label"] not in its.labels:
        raise UserError(f"{where}: label: found {record['label']!r}, expected one of {', '.join(its.labels)}")
    return Labelled(question, record["label"], part)


def table(record: dict[str, Any]) -> str:
    """The record as text."""
    lines = [
        f"judge: {record['judge']}   labelled replies: {record['labelled']['file']}",
        "",
        f"{'':28}{'replies':>8}{'unjudged':>10}{'agreement':>11}{'kappa':>8}{'(95 %)':>18}{'labels':>9}",
    ]
    for name, group in record["groups"].items():
        interval = "{:.2f} to {:.2f}".format(*group["kappa_interval"]) if group["kappa_interval"] else ""
        lines.append(
            f"{name:28}{group['replies']:>8}{group['unjudged']:>10}{group['agreement']:>11.3f}"
            f"{_number(group['kappa']):>8}{interval:>18}{group['label_agreement']:>9.3f}"
        )
    length = record["groups"]["all"]["length"]
    thirds = ", ".join(f"{_number(third['kappa'])} to {third['longest']} words" for third in length["thirds"])
    lines += ["", f"length: what it calls good is longer by {_number(length['difference'])} words; kappa: {thirds}"]
    if record["order"] is not None:
        lines.append(f"order: {record['order']:.3f} of the labels stay when the order of what it is shown is turned")
    for name in (name for name in rubric.VERSIONS if name in record["groups"]):
        lines += ["", f"{name}: label by reading -> by the judge"]
        for label, counts in record["groups"][name]["confusion"].items():
            lines.append(f"  {label:14}" + ", ".join(f"{theirs} {n}" for theirs, n in counts.items()))
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
