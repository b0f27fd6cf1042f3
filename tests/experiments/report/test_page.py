"""The HTML page: complete, self-contained, and safe with text that others wrote."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from experiments.report import write_report
from experiments.report.page import page
from tests.experiments.report import builder

VOID = {"meta", "img"}


class Reader(HTMLParser):
    """Collects tags, links and text, and checks that what opens closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(page(builder.build()))


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
        "KL to the base, nat/token on held-out reference 6.67e-07 (exported: 6.67e-07)",
        "chosen",
        "model.width 128",
        "hotel/train.examples 2000",
        "jax 0.10.2",
        "platform cpu",
        "Is this kind?",
        "before, right",
        "after, wrong",
    ],
)
def test_everything_is_on_the_page(reader: Reader, words: str) -> None:
    assert words in reader.text


def test_the_page_fetches_nothing_and_runs_nothing(reader: Reader) -> None:
    assert len(reader.links) == 5
    assert all(link.startswith("data:image/svg+xml;base64,") for link in reader.links)
    assert not reader.tags & {"script", "link", "iframe", "object", "embed", "form"}
    text = page(builder.build())
    assert "http" not in text and "@import" not in text and "url(" not in text


def test_text_of_others_stays_text() -> None:
    reader = Reader(page(builder.hostile()))
    assert "script" not in reader.tags
    assert reader.text.count(builder.HOSTILE) > 10


@pytest.mark.parametrize("name", ["loss_record", "hostile_record", "uncertified_record"])
def test_every_kind_of_record_makes_a_page(name: str, request: pytest.FixtureRequest) -> None:
    assert "Result" in Reader(page(request.getfixturevalue(name))).text


def test_what_is_missing_is_said(uncertified_record) -> None:
    for method in uncertified_record["methods"].values():
        method["examples"] = {}
    text = Reader(page(uncertified_record)).text
    assert "No sweep was run." in text and "None were recorded." in text and "nothing to certify against" in text


def test_the_report_is_drawn_from_json_alone_and_never_differs(loss_record, tmp_path: Path) -> None:
    again = json.loads(json.dumps(loss_record))
    first, second = write_report(loss_record, tmp_path / "a"), write_report(again, tmp_path / "b")
    assert [path.name for path in first[:3]] == ["report.html", "table.txt", "table.md"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert sorted((tmp_path / "a").iterdir()) == sorted(first)
