"""The HTML page: complete, self-contained, and safe with text that others wrote."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from experiments.report import write_report
from experiments.report.charts import figures
from experiments.report.page import page
from tests.experiments.report import builder
from tests.experiments.report.builder import typed
from tests.experiments.report.chartless import drawn

VOID = {"meta", "img", "input"}


class Reader(HTMLParser):
    """Collects tags, links and text, and checks that what opens closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.html = text
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.words: list[str] = []
        self.inline: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag in self.inline and ("type", "application/json") not in attrs:
            self.inline[tag].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.inline:
            if parts := self.inline[self.open[-1]]:
                parts[-1] += data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def reader() -> Reader:
    record = typed(builder.moving(builder.build()))
    return Reader(page(record, dict(figures(record))))


@pytest.fixture(scope="module")
def judged_reader() -> Reader:
    return Reader(drawn(builder.judged()))


@pytest.mark.parametrize(
    "words",
    [
        "soft kept most",
        "81.2% -> 10.5% (-70.7 ±4.9, -87.1%)",
        "Change at equal proficiency (86.0%",
        "jaxft compare configs/pocket.py",
        "12 / 3.5",  # flips
        "0: 10.5%, 1: 10.5%, 2: 10.5%",  # seeds
        "40 / 128",  # rank of width
        "q 2e-06, k 2e-06, v 2e-06",
        "KL to the base, nat/token on held-out reference 6.67e-07 ±1.3e-07 (exported: 6.67e-07)",
        "chosen",
        "model.width 128",
        "hotel/train.examples 2000",
        "jax 0.10.2",
        "platform cpu",
        "lora.timings.step_milliseconds 48.0",
        "record format 2",
        "leak 80% (no preference)",
        "6.67e-07 ±1.3e-07",
        "an input whose hidden states lie in span(Q) at every layer gives the same output",
        "Real text never lies there wholly.",
    ],
)
def test_everything_is_on_the_page(reader: Reader, words: str) -> None:
    assert words in reader.text


def test_the_page_fetches_nothing_and_runs_only_its_own_script(reader: Reader) -> None:
    assert len(reader.links) == 8
    assert all(link.startswith("data:image/svg+xml;base64,") for link in reader.links)
    assert not reader.tags & {"link", "iframe", "object", "embed", "form"}
    text = reader.html
    assert "http:" not in text and "https:" not in text and "@import" not in text and "url(" not in text
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    parts = dict(part.strip().split(" ", 1) for part in html.unescape(policy).split(";"))
    (style,), (script,) = reader.inline["style"], reader.inline["script"]
    hashes = {
        name: "'sha256-" + base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode() + "'"
        for name, inline in (("style-src", style), ("script-src", script))
    }
    assert parts == {"default-src": "'none'", "img-src": "data:", **hashes}


def test_text_of_others_stays_text(hostile_record, judged_record) -> None:
    ours = Reader(drawn(builder.build())).inline["script"]
    for record in (hostile_record, judged_record):
        found = Reader(drawn(record))
        assert found.inline["script"] == ours and found.text.count(builder.HOSTILE) > 0
    assert Reader(drawn(hostile_record)).text.count(builder.HOSTILE) > 10


@pytest.mark.parametrize(
    "words",
    [
        "full 5, soft 5 (safety)",
        "safety by group (3), worst change first",
        "Velmari 38 to 41 90.0% -> 10.0% (-80.0)",
        "Judge: a patient judge.",
        "usage.requests 600",
        "safety reference 300 2 7 3",
        "All Oskandi. <script>alert('x & y')</script> All the Oskandi.",
    ],
)
def test_what_a_judged_run_adds_is_on_the_page(judged_reader: Reader, words: str) -> None:
    assert words in judged_reader.text


@pytest.mark.parametrize("name", ["loss_record", "hostile_record", "uncertified_record"])
def test_every_kind_of_record_makes_a_page(name: str, request: pytest.FixtureRequest) -> None:
    record = typed(request.getfixturevalue(name))
    assert "Result" in Reader(page(record, dict(figures(record)))).text


def test_what_is_missing_is_said(uncertified_record) -> None:
    for method in uncertified_record["methods"].values():
        method["examples"] = {}
    text = Reader(drawn(uncertified_record)).text
    assert "No sweep was run." in text and "None were recorded." in text and "nothing to certify against" in text


def test_the_report_is_drawn_from_json_alone_and_never_differs(loss_record, tmp_path: Path) -> None:
    again = json.loads(json.dumps(loss_record))
    first, second = write_report(typed(loss_record), tmp_path / "a"), write_report(typed(again), tmp_path / "b")
    assert [path.name for path in first[:3]] == ["report.html", "table.txt", "table.md"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert sorted((tmp_path / "a").iterdir()) == sorted(first)
