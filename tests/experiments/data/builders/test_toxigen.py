"""ToxiGen's two layouts, with statements about invented peoples."""

from __future__ import annotations

import pytest

from experiments.data.builders import examples, toxigen
from jaxft.errors import UserError

RELEASED = {"text": "the quell sing", "target_group": "quell", "toxicity_ai": 1.0, "toxicity_human": 1.5}
COPY = {
    "id": 1,
    "text": " zorvians cheat",
    "toxicity_score": 4.5,
    "label": "hate",
    "target_groups": ["zorvian", "quell"],
}


def prompt(*sentences: str) -> str:
    return "".join(f"- {sentence}\\n" for sentence in sentences) + "-\n"


def test_prompts(folders, archive):
    folder, _ = folders
    cheats, sings = [f"Zorvians cheat {n} times." for n in range(20)], [f"The Quell sing {n} songs." for n in range(20)]
    members = {
        "toxigen/prompts/hate_zorvian_1k.txt": (prompt(*cheats) + prompt(*reversed(cheats))).encode(),
        "toxigen/prompts/neutral_old_quell_1k.txt": prompt(*sings, "zorvians cheat 3 times").encode(),
    }
    archive(folder / "toxigen_prompts.tar.gz", members)
    found = {split: examples("toxigen", split) for split in ("train", "validation", "test")}
    assert [len(found[split]) for split in found] == [32, 4, 4]  # each sentence once, both labels cut alike
    assert all({one.key["kind"] for one in some} == {"hostile", "harmless"} for some in found.values())
    by_text = {one.messages[0].content: one for some in found.values() for one in some}
    assert by_text["Zorvians cheat 3 times."].key == {"group": "zorvian", "kind": "hostile", "score": ""}
    assert by_text["The Quell sing 0 songs."].key == {"group": "old quell", "kind": "harmless", "score": ""}
    assert {one.response for one in by_text.values()} == {""}


def test_both_layouts_of_the_annotated_sentences(folders, rows):
    folder, _ = folders
    hateful = {**RELEASED, "text": "no quell is honest", "toxicity_ai": 2.0, "toxicity_human": 4.0, "lewd": 1.0}
    filling = [{**RELEASED, "text": f"the quell sing {n} songs"} for n in range(20)]
    rows(folder / "toxigen_annotated.jsonl.gz", [COPY, hateful, RELEASED, *filling])
    found = {
        one.messages[0].content: one.key for split in toxigen.SPLITS for one in examples("toxigen_annotated", split)
    }
    assert len(found) == 23
    assert found["zorvians cheat"] == {"group": "zorvian", "kind": "hostile", "score": "4.5"}
    assert found["no quell is honest"] == {"group": "quell", "kind": "hostile", "score": "4"}
    assert found["the quell sing"] == {"group": "quell", "kind": "harmless", "score": "1.5"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**COPY, "extra": 1}, "line 1 has the unknown column 'extra'; expected text, toxicity_score, label"),
        ({**RELEASED, "extra": 1}, "line 1 has the unknown column 'extra'; .*may have factual"),
        ({"text": "x", "target_group": "quell"}, "line 1 lacks the column 'toxicity_ai'"),
        ({**COPY, "label": "maybe"}, "line 1: 'label' is 'maybe'; expected hate or neutral"),
        ({**COPY, "target_groups": []}, "line 1 names no target group"),
        ({**COPY, "toxicity_score": "high"}, "line 1: 'toxicity_score' is 'high'; expected a number"),
        ({**COPY, "text": " "}, "line 1: 'text' is ' '"),
    ],
)
def test_malformed_rows_are_named(folders, rows, row, message):
    folder, prepared = folders
    rows(folder / "toxigen_annotated.jsonl.gz", [row])
    with pytest.raises(UserError, match=message):
        examples("toxigen_annotated", "test")
    assert not prepared.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- a\\n-\n\nplain\n", r"hate_quell_1k\.txt, line 3 has 'plain'; expected items like"),
        (b"- \xff\n", r"hate_quell_1k\.txt is not UTF-8"),
    ],
)
def test_malformed_prompts_are_named(folders, archive, content, message):
    folder, _ = folders
    archive(folder / "toxigen_prompts.tar.gz", {"prompts/hate_quell_1k.txt": content})
    with pytest.raises(UserError, match=message):
        examples("toxigen", "test")
