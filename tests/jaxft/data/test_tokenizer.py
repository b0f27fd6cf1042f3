"""Tokenizers round-trip text and are read exactly as their files say."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxft.data.tokenizer import ROLE_TOKENS, bos_id, eos_id, load_tokenizer, train_tokenizer
from jaxft.errors import UserError


def ids(tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)


@given(text=st.text())
def test_every_text_round_trips(small_tokenizer, text):
    assert small_tokenizer.decode(ids(small_tokenizer, text)) == text


@pytest.mark.parametrize(
    "text", ["", " ", "a", " a", "  a  ", "7", " 7", "1234", "x1y", "\n\n", "don't", "é😀", "</s>"]
)
def test_awkward_texts_round_trip(small_tokenizer, text):
    assert small_tokenizer.decode(ids(small_tokenizer, text)) == text


def test_digits_are_single_tokens_and_frequent_words_carry_their_space(small_tokenizer):
    assert small_tokenizer.tokenize("1212") == ["1", "2", "1", "2"]
    assert "Ġroom" in small_tokenizer.tokenize("a room")


def test_special_tokens_come_first_and_nothing_is_added(small_tokenizer):
    first = small_tokenizer.convert_ids_to_tokens(list(range(6)))
    assert first == ["<pad>", "<s>", "</s>", *ROLE_TOKENS]
    assert (bos_id(small_tokenizer), eos_id(small_tokenizer)) == (1, 2)
    assert small_tokenizer.encode("room") == ids(small_tokenizer, "room")


def test_training_is_deterministic_and_keeps_the_size():
    texts = ["one room, two rooms, three rooms"] * 3
    one, other = train_tokenizer(texts, 270), train_tokenizer(iter(texts), 270)
    assert one.get_vocab() == other.get_vocab()
    assert len(one) == 270


def test_a_saved_tokenizer_loads_the_same(small_tokenizer, tmp_path):
    small_tokenizer.save_pretrained(tmp_path)
    # The model's own config lies in the same folder; it must not change which tokenizer class reads the file.
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    loaded = load_tokenizer(tmp_path)
    text = " The  capital of\nFrance is 75 Paris. <|user|></s>"
    assert loaded.encode(text) == small_tokenizer.encode(text)
    assert ids(loaded, text) == ids(small_tokenizer, text)
    assert loaded.get_vocab() == small_tokenizer.get_vocab()
    assert loaded.chat_template == small_tokenizer.chat_template
    assert (bos_id(loaded), eos_id(loaded)) == (1, 2)


def test_a_vocabulary_smaller_than_the_bytes_is_refused():
    with pytest.raises(UserError, match="vocab_size is 100"):
        train_tokenizer(["a"], 100)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"tokenizer\.json is missing"):
        load_tokenizer(tmp_path)


def test_a_malformed_file_is_a_user_error(small_tokenizer, tmp_path):
    small_tokenizer.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"')
    with pytest.raises(UserError, match="cannot be read"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_without_eos_is_refused(small_tokenizer, tmp_path):
    small_tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del config["eos_token"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="no EOS"):
        load_tokenizer(tmp_path)


def test_llama2_tokenizes_as_sentencepiece_does(test_data):
    """The right-hand sides are what sentencepiece gives for tokenizer.model, leading and trailing spaces included."""
    tokenizer = load_tokenizer(test_data / "llama2_tokenizer")
    for text, expected in {
        "Hello": [15043],
        " Hello": [29871, 15043],
        "  a": [259, 263],
        "answer ": [1234, 29871],
        "\n": [29871, 13],
        "a</s>b": [263, 829, 29879, 29958, 29890],
    }.items():
        assert ids(tokenizer, text) == expected, text
    assert (bos_id(tokenizer), eos_id(tokenizer)) == (1, 2)
