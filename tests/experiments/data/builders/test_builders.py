"""The datasets by name: hotel steps from end to end on invented dialogues, and the counts of the real files."""

from __future__ import annotations

from collections import Counter

import pytest

from experiments.data import sources
from experiments.data.builders import DATASETS, SPLITS, counts, examples
from experiments.data.contamination import report
from jaxft.data.example import Message
from jaxft.errors import UserError
from tests.experiments.data.builders import sgd_talk, star_talk

TALK = star_talk.dialogue(
    star_talk.user("Hello"), star_talk.pick("hello", "Hello!", "bye"), star_talk.pick("bye", "Bye!")
)
SGD = [sgd_talk.talk(number) for number in range(4)]
MULTIWOZ = [sgd_talk.multiwoz(f"p{number}") for number in range(2)]
ARCHIVES = {
    "star_steps": ("star_hotel.tar.gz", {f"dialogues/{number}.json": TALK for number in range(10)}),
    "sgd_steps": ("sgd_hotel.tar.gz", {"train/dialogues_001.json": SGD, "dev/dialogues_001.json": SGD}),
    "multiwoz_steps": (
        "multiwoz_2.2.tar.gz",
        {f"M/{split}/dialogues_001.json": MULTIWOZ for split in ("train", "dev", "test")} | {"M/dialog_acts.json": {}},
    ),
}


@pytest.mark.parametrize("source", ARCHIVES)
def test_hotel_steps_and_dialogues_from_end_to_end(folders, archive, source):
    name, members = ARCHIVES[source]
    archive(folders[0] / name, members)
    for split in SPLITS:
        found = sources.load(source, split)
        choices = [one for one in found if one.options]
        if choices:  # the invented turns of MultiWOZ are unlabelled
            assert sources.load(source.replace("steps", "choices"), split) == choices
        assert found and all(one.response in (*one.options, one.response) and one.messages for one in found)
        assert all(one.key.keys() == {"group", "act", "dialogue", "turn"} for one in found)
        whole = sources.load(source.replace("steps", "dialogues"), split)
        replies = [message.content for one in whole for message in (*one.messages, one.reply) if is_reply(message)]
        assert replies == [one.response for one in found]
        assert [one.key["dialogue"] for one in whole] == list(dict.fromkeys(one.key["dialogue"] for one in found))
        assert all(one.learn == "all" and one.key.keys() == {"group", "dialogue"} for one in whole)


def is_reply(message: Message) -> bool:
    return message.role == "assistant"


def test_mistakes(folders):
    with pytest.raises(UserError, match="dolly has no split 'dev'; it has train, validation, test"):
        sources.load("dolly", "dev")
    with pytest.raises(UserError, match=r"'multiwoz_steps' needs multiwoz_2\.2\.tar\.gz"):
        sources.load("multiwoz_steps", "train")
    with pytest.raises(UserError, match="Did you mean 'star_steps'"):
        sources.load("star_step", "train")


REAL = {
    "star_steps": ({"dialogues": 516}, [2521, 280, 333]),
    "star_choices": ({"dialogues": 516}, [2171, 250, 268]),
    "sgd_steps": ({"train dialogues": 457, "dev dialogues": 56}, [3681, 276, 283]),
    "star_dialogues": ({"dialogues": 516}, [364, 45, 47]),
    "sgd_dialogues": ({"train dialogues": 457, "dev dialogues": 56}, [457, 28, 28]),
    "sgd_choices": ({"train dialogues": 457, "dev dialogues": 56}, [3681, 276, 283]),
    "toxigen": ({"prompt files": 25, "distinct sentences": 574}, [449, 58, 67]),
    "toxigen_annotated": ({"annotated sentences": 3911}, [3120, 390, 401]),
    "dolly": (
        {
            "rows of dolly_rows_0_4999.jsonl.gz": 5000,
            "rows of dolly_full_rows_387.jsonl.gz": 387,
            "distinct rows": 5341,
        },
        [4209, 518, 516],
    ),
    "nq_open": ({"questions": 3610}, [2888, 361, 361]),
}


@pytest.mark.parametrize("source", REAL)
def test_the_real_files(prepared, source):
    raw, sizes = REAL[source]
    assert counts(source) == raw
    found = [examples(source, split) for split in SPLITS]
    assert [len(one) for one in found] == sizes
    copies = report(found[0], found[2])
    # Several STAR dialogues open with the same greeting, and one with the same request.
    star = source in ("star_steps", "star_choices")
    assert (copies["exact"], copies["exact_short"]) == ((12, 11) if star else (0, 0))


def test_the_right_option_of_the_real_steps_has_no_place_of_its_own(prepared):
    steps = [one for one in examples("star_steps", "train") if len(one.options) == 3]
    places = Counter(one.options.index(one.response) for one in steps)
    assert len(steps) > 1900 and all(0.3 < places[place] / len(steps) < 0.37 for place in range(3))
    assert all(len(set(one.options)) == len(one.options) for one in steps)


def test_every_dataset_was_tried():
    assert set(DATASETS) == {*REAL, "multiwoz_steps", "multiwoz_choices", "multiwoz_dialogues"}
