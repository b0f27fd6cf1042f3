"""What the page's browser reads: nothing lost, nothing twice, and inert inside a page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

import experiments.report
from experiments.report.replies import FACETS, packed
from tests.experiments.report import builder
from tests.experiments.report.builder import typed
from tests.experiments.report.chartless import drawn

FOLDER = Path(experiments.report.__file__).parent
NASTY = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>\u2028\u2029\0\ud800",
    "&lt;/script&gt; \"quoted\" 'single' \\",
)
texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=20))
verdicts = st.sampled_from([True, False, None])


def embedded(text: str) -> str:
    """The replies as they stand in a page; a browser ends them where this does."""
    return text.split('id="replies-data">')[1].partition("</script")[0]


def unpacked(found: dict[str, list[Any]]) -> list[dict[str, Any]]:
    def read(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [found["texts"][place] for place in value]
        return value if name.endswith("_ok") else found["texts"][value]

    return [{name: read(name, value) for name, value in row.items()} for row in found["rows"]]


@given(st.lists(st.tuples(texts, texts, texts, verdicts, verdicts), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_whatever_a_model_says_comes_back_from_the_page(replies) -> None:
    record = builder.build(seeds=1)
    names = ("prompt", "before", "after", "before_ok", "after_ok")
    record["methods"]["soft"]["examples"] = {"safety": [dict(zip(names, reply, strict=True)) for reply in replies]}
    data = embedded(drawn(record))
    assert not re.search("[<>&]", data) and data.isascii()
    rows = [row for row in unpacked(json.loads(data)) if row["method"] == ["soft"]]
    assert [tuple(row[name] for name in names) for row in rows] == replies


def test_old_examples_have_no_group_label_or_reference(record) -> None:
    row = unpacked(packed(typed(record)))[0]
    assert row == {
        "method": ["lora"],
        "axis": ["safety"],
        "group": [],
        "change": ["flipped", "flipped, right to wrong"],
        "before_label": [],
        "after_label": [],
        "prompt": f"Is this kind? {builder.HOSTILE}",
        "reference": "",
        "before": "No.",
        "after": f"Yes {builder.HOSTILE}",
        "before_ok": True,
        "after_ok": False,
    }


def test_labels_and_flags_are_filtered_by_one_by_one(judged_record) -> None:
    rows = unpacked(packed(typed(judged_record)))
    assert len(rows) == 8
    assert rows[0]["after_label"] == ["agrees", "repetitive"] and rows[0]["group"] == ["Velmari"]
    assert rows[1]["change"] == ["no verdict"] and rows[1]["after_label"] == []


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (False, True, ["flipped", "flipped, wrong to right"]),
        (True, True, ["right both times"]),
        (False, False, ["wrong both times"]),
        (None, True, ["no verdict"]),
        (None, None, ["no verdict"]),
    ],
)
def test_what_became_of_the_verdict(record, before: bool | None, after: bool | None, change: list[str]) -> None:
    record["methods"]["lora"]["examples"]["safety"][0].update(before_ok=before, after_ok=after)
    assert unpacked(packed(typed(record)))[0]["change"] == change


def test_a_text_stands_once_and_choices_are_in_order(judged_record) -> None:
    found = packed(typed(judged_record))
    assert len(set(found["texts"])) == len(found["texts"])
    order = [*judged_record["methods"], *judged_record["axes"], "Oskandi", "Velmari"]
    assert found["texts"][: len(order)] == order


def test_a_record_without_replies_has_no_browser(loss_record) -> None:
    text = drawn(loss_record)
    assert "None were recorded." in text and "<script" not in text


def test_the_script_makes_no_html_and_asks_for_nothing() -> None:
    script = (FOLDER / "replies.js").read_text()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "write(", "eval(", "Function(", "fetch(", "http"):
        assert way not in script
    assert "</" not in script and "<!--" not in script


def test_the_script_finds_what_it_looks_for(judged_record) -> None:
    text, script = drawn(judged_record), (FOLDER / "replies.js").read_text()
    sought = set(re.findall(r"""getElementById\("([\w-]+)"\)""", script))
    assert sought == {"replies-data", "replies"} and all(f'id="{name}"' in text for name in sought)
    buttons = set(re.findall(r"""button\("(\w+)"\)""", script))
    assert buttons == set(re.findall(r'<button type="button" name="(\w+)"', text))
    assert re.findall(r'<label>[\w ]+<select name="(\w+)">', text) == list(FACETS)
    row = packed(typed(judged_record))["rows"][0]
    assert set(re.findall(r"\brow\.(\w+)", script)) <= set(row) and set(FACETS) <= set(row)
