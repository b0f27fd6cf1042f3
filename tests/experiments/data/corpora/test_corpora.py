from __future__ import annotations

import pytest

from experiments.data.corpora import SPLITS, capitalise, general, join_opener, knowledge, safety
from experiments.data.corpora.agent import AGENTS

CORPORA = (*AGENTS.values(), knowledge, safety, general)


@pytest.mark.parametrize("corpus", CORPORA)
def test_all_text_is_plain_ascii(corpus) -> None:
    for split in SPLITS:
        for example in corpus.examples(split):
            texts = [*(message.content for message in example.messages), example.response, *example.key.values()]
            for text in texts:
                assert text.isascii() and text.isprintable() and text == " ".join(text.split())


def test_sentences_start_with_a_capital() -> None:
    for corpus in CORPORA:
        for example in corpus.examples("test"):
            assert all(
                text.lstrip('"')[0].isupper() for text in [example.response, *(m.content for m in example.messages)]
            )


def test_capitalise_and_join_opener() -> None:
    assert capitalise('"so it is," he said.') == '"So it is," he said.'
    assert join_opener("", "we are here.") == "We are here."
    assert join_opener("Well,", "we are here.") == "Well, we are here."
    assert join_opener("I think that", "we are here.") == "I think that we are here."
    assert join_opener("It is late.", "we are here.") == "It is late. We are here."
