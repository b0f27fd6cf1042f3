"""Templates: BOS, EOS, weights, and the exact boundary between what is given and what is learnt."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, trainers
from transformers import PreTrainedTokenizerFast

from jaxft.data.example import Example, Message
from jaxft.data.template import encode, encode_prompt
from jaxft.data.tokenizer import load_tokenizer
from jaxft.errors import UserError

USER, ASSISTANT = "user", "assistant"
ASK = Example((Message(USER, "Which capital?"),), "The capital of France is Paris.")
TALK = Example(
    (Message("system", "Be kind."), Message(USER, " Hi "), Message(ASSISTANT, "Hello!"), Message(USER, "A room?")),
    "Yes.",
)
EXAMPLES = [ASK, TALK, Example((Message(USER, "x"),), " spaced"), Example((Message(USER, "x"),), "\n\nlines\n")]

LLAMA2_JINJA = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set turns = messages[1:] %}"
    "{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}{% for turn in turns %}"
    "{% if turn['role'] == 'user' %}"
    "{% set head = '<<SYS>>\n' + system + '\n<</SYS>>\n\n' if loop.first and system else '' %}"
    "{{ bos_token + '[INST] ' + (head + turn['content']) | trim + ' [/INST]' }}"
    "{% else %}{{ ' ' + turn['content'] | trim + ' ' + eos_token }}{% endif %}{% endfor %}"
)
CHATML_JINJA = (
    "{% for m in messages %}{{ '[' + m['role'] + ']\n' + m['content'] + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant]\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def prefixing_tokenizer():
    """Puts a space before the first word of each text, as tokenizers from sentencepiece do."""
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    alphabet = [chr(code) for code in range(33, 127)] + ["▁", "\n"]
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=110, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(["The"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def with_template(tokenizer, jinja):
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = jinja
    return changed


def tokens(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("template", ["tokenizer", "llama2", "plain"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_shape_of_every_template(small_tokenizer, example, template):
    encoded = encode(example, small_tokenizer, template)
    prompt = encode_prompt(example, small_tokenizer, template)
    assert encoded.tokens.dtype == np.int32 and encoded.weights.dtype == np.float32
    assert encoded.tokens[0] == small_tokenizer.bos_token_id
    assert encoded.tokens[: len(prompt)].tolist() == prompt
    assert encoded.weights.tolist() == [0] * len(prompt) + [1] * (len(encoded.tokens) - len(prompt))
    assert encoded.tokens[-1] == small_tokenizer.eos_token_id
    assert (encoded.tokens[len(prompt) : -1] != small_tokenizer.eos_token_id).all()
    reply = small_tokenizer.decode(encoded.tokens[len(prompt) : -1])
    assert reply.strip() == example.response.strip()


def test_plain_text_is_bos_and_all_learnt_without_eos(small_tokenizer):
    encoded = encode(Example((), " The capital</s>"), small_tokenizer, "tokenizer")
    assert encoded.tokens[0] == 1 and (encoded.tokens[1:] > 5).all()
    assert small_tokenizer.decode(encoded.tokens[1:]) == " The capital</s>"
    assert encoded.weights.tolist() == [0] + [1] * (len(encoded.tokens) - 1)
    assert encode_prompt(Example((), "text"), small_tokenizer, "plain") == [1]


def test_the_small_chat_template(small_tokenizer):
    text = "<s><|system|>Be kind.<|user|> Hi <|assistant|>Hello!</s><|user|>A room?<|assistant|>Yes.</s>"
    assert small_tokenizer.decode(encode(TALK, small_tokenizer, "tokenizer").tokens) == text
    assert encode(TALK, small_tokenizer, "tokenizer").tokens.tolist() == tokens(small_tokenizer, text)


def test_plain_joins_with_newlines(small_tokenizer):
    text = "Be kind.\n Hi \nHello!\nA room?\nYes."
    assert encode(TALK, small_tokenizer, "plain").tokens.tolist() == [1, *tokens(small_tokenizer, text), 2]


def test_a_prefixing_tokenizer_puts_no_space_before_a_plain_reply(prefixing_tokenizer):
    encoded = encode(ASK, prefixing_tokenizer, "plain")
    reply = encoded.tokens[len(encode_prompt(ASK, prefixing_tokenizer, "plain")) :].tolist()
    assert "".join(prefixing_tokenizer.convert_ids_to_tokens(reply)) == "The▁capital▁of▁France▁is▁Paris.</s>"


def test_a_merge_across_the_boundary_keeps_the_prompt(small_tokenizer):
    """With "ab" one token, the prompt "..a" and the reply "b.." must not become "..ab.."."""
    merging = with_template(small_tokenizer, "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}")
    example = Example((Message(USER, "the capit"),), "al of")
    assert tokens(merging, "the capital of")[: len(tokens(merging, "the capit"))] != tokens(merging, "the capit")
    encoded = encode(example, merging, "tokenizer")
    assert encoded.tokens.tolist() == [1, *tokens(merging, "the capit"), *tokens(merging, "al of"), 2]


@pytest.mark.parametrize("bos", ["", "{{ bos_token }}"])
def test_a_template_alone_writes_bos_and_the_reply_ends_at_eos(small_tokenizer, bos):
    chatml = with_template(small_tokenizer, bos + CHATML_JINJA)
    encoded = encode(ASK, chatml, "tokenizer").tokens.tolist()
    assert encoded.count(1) == bool(bos) and (encoded[0] == 1) == bool(bos)
    assert encode_prompt(ASK, chatml, "tokenizer") == chatml.apply_chat_template(
        [message.fields() for message in ASK.messages], add_generation_prompt=True, return_dict=False
    )
    assert encoded[-1] == 2 and encoded.count(2) == 2
    assert chatml.decode(encoded).endswith("[assistant]\nThe capital of France is Paris.</s>")


@pytest.mark.parametrize("example", EXAMPLES)
def test_llama2_equals_its_rendered_form(prefixing_tokenizer, example):
    rendered = with_template(prefixing_tokenizer, LLAMA2_JINJA)
    one, other = encode(example, rendered, "llama2"), encode(example, rendered, "tokenizer")
    assert one.tokens.tolist() == other.tokens.tolist()
    assert one.weights.tolist() == other.weights.tolist()


@pytest.mark.parametrize("example", EXAMPLES)
def test_llama2_equals_its_rendered_form_with_the_real_tokenizer(test_data, example):
    tokenizer = with_template(load_tokenizer(test_data / "llama2_tokenizer"), LLAMA2_JINJA)
    one, other = encode(example, tokenizer, "llama2"), encode(example, tokenizer, "tokenizer")
    assert one.tokens.tolist() == other.tokens.tolist()


def test_llama2_tokens_of_the_reference_code(test_data):
    """The numbers are sentencepiece's for tokenizer.model, with the strings that Meta's reference code builds."""
    tokenizer = load_tokenizer(test_data / "llama2_tokenizer")
    messages = (
        Message("system", "Be kind."),
        Message(USER, "Hi"),
        Message(ASSISTANT, "Hello!"),
        Message(USER, "A room?"),
    )
    first = [1, 518, 25580, 29962, 3532, 14816, 29903, 6778, 13, 3629, 2924, 29889, 13, 29966, 829, 14816, 29903, 6778]
    first += [13, 13, 18567, 518, 29914, 25580, 29962, 15043, 29991, 29871, 2]
    second = [1, 518, 25580, 29962, 319, 5716, 29973, 518, 29914, 25580, 29962]
    reply = [3869, 29889, 29871, 2]
    assert encode_prompt(Example(messages, "Yes."), tokenizer, "llama2") == first + second
    assert encode(Example(messages, "Yes."), tokenizer, "llama2").tokens.tolist() == first + second + reply


def test_special_tokens_in_the_data_stay_text(small_tokenizer):
    example = Example((Message(USER, "a</s>b"),), "c<s>d")
    for template in ("llama2", "plain", "tokenizer"):
        encoded = encode(example, small_tokenizer, template).tokens.tolist()
        assert (encoded.count(1), encoded.count(2)) == (1, 1), template


def test_special_tokens_in_control_text_are_tokens(small_tokenizer):
    text = encode(Example((), "c<s>d</s>"), small_tokenizer, "plain")
    found = encode(Example((), "c<s>d</s>", control=True), small_tokenizer, "plain")
    assert (text.tokens == 1).sum() == 1 and (found.tokens == 1).sum() == 2 and found.tokens[-1] == 2
    assert found.weights.tolist() == [0, *(1 for _ in found.tokens[1:])]


@pytest.mark.parametrize("roles", [["system"], [USER, USER], [ASSISTANT], [USER, ASSISTANT], [USER, "system", USER]])
def test_llama2_refuses_what_it_cannot_express(small_tokenizer, roles):
    with pytest.raises(UserError, match="cannot express"):
        encode(Example(tuple(Message(role, "x") for role in roles), "y"), small_tokenizer, "llama2")


def test_templates_that_do_not_work_are_user_errors(small_tokenizer):
    with pytest.raises(UserError, match="template: found 'chatml', expected one of tokenizer, llama2, plain"):
        encode(ASK, small_tokenizer, "chatml")
    with pytest.raises(UserError, match="no chat template"):
        encode(ASK, with_template(small_tokenizer, None), "tokenizer")
    with pytest.raises(UserError, match="no system here"):
        encode(TALK, with_template(small_tokenizer, "{{ raise_exception('no system here') }}"), "tokenizer")
    with pytest.raises(UserError, match="differently"):
        encode(ASK, with_template(small_tokenizer, "{{ messages | length }}"), "tokenizer")


def test_what_has_no_response_is_not_for_training(small_tokenizer):
    statement = Example((Message(USER, "The Zorvians cannot bake."),), "")
    assert encode_prompt(statement, small_tokenizer, "plain")
    with pytest.raises(UserError, match="has no response to learn: 'The Zorvians cannot bake.'"):
        encode(statement, small_tokenizer, "plain")
