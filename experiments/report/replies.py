"""Replies before and after, as data for the script of the page: every text once, every example a row of indices."""

from collections.abc import Iterator, Mapping
from typing import Any

from experiments.store.record import ComparisonRecord

#: Fields that the page filters by, with their names there.
FACETS: Mapping[str, str] = {
    "method": "method",
    "axis": "axis",
    "group": "group",
    "change": "change",
    "before_label": "verdict before",
    "after_label": "verdict after",
}
#: (right before, right after) -> words for it, in the page's order. A flip has two: the general one, and its direction.
CHANGES: Mapping[tuple[bool | None, bool | None], tuple[str, ...]] = {
    (True, False): ("flipped", "flipped, right to wrong"),
    (False, True): ("flipped", "flipped, wrong to right"),
    (True, True): ("right both times",),
    (False, False): ("wrong both times",),
}
UNJUDGED = ("no verdict",)
#: Fields of a reply that a row shows.
SHOWN = ("prompt", "reference", "before", "after", "before_ok", "after_ok")


def packed(record: ComparisonRecord) -> dict[str, list[Any]]:
    """{"texts", "rows"}: rows refer to "texts" by index, because most texts are shared by all methods.

    A row holds a list of indices for each key of FACETS (empty if it has no value), the indices of prompt, reference,
    before and after, and the verdicts before_ok and after_ok (None: no verdict). "texts" begins with the values of
    FACETS, in the order in which the page lists them.
    """
    rows = list(_rows(record))
    labels = {label for row in rows for label in (*row["before_label"], *row["after_label"])}
    changes = [word for words in (*CHANGES.values(), UNJUDGED) for word in words]
    groups = {group for row in rows for group in row["group"]}
    listed = [*record.methods, *record.axes, *sorted(groups, key=_folded), *changes, *sorted(labels, key=_folded)]
    places: dict[str, int] = {}

    def place(value: Any) -> Any:
        if isinstance(value, tuple):
            return [place(each) for each in value]
        return places.setdefault(value, len(places)) if isinstance(value, str) else value

    place(tuple(listed))
    return {"rows": [{name: place(value) for name, value in row.items()} for row in rows], "texts": list(places)}


def _rows(record: ComparisonRecord) -> Iterator[dict[str, Any]]:
    for method_name, method in record.methods.items():
        for axis, examples in (method.examples or {}).items():
            for example in examples:
                yield {
                    "method": (method_name,),
                    "axis": (axis,),
                    "group": (example.group,) if example.group else (),
                    "change": CHANGES.get((example.before_ok, example.after_ok), UNJUDGED),
                    "before_label": _labels(example.before_label),
                    "after_label": _labels(example.after_label),
                    **{name: getattr(example, name) for name in SHOWN},
                }


def _folded(text: str) -> tuple[str, str]:
    return text.casefold(), text


def _labels(text: str) -> tuple[str, ...]:
    """The label and flags of a judge, which a record joins with semicolons."""
    return tuple(part.strip() for part in text.split(";") if part.strip())
