"""Learnt messages of a dialogue: the last reply, all replies, those of some roles, or those with a weight."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx

from jaxft.data.example import Example, Message
from jaxft.data.packing import INPUTS, pack
from jaxft.data.template import encode
from jaxft.errors import UserError
from jaxft.llama.config import LlamaConfig
from jaxft.llama.loss import token_losses
from jaxft.llama.model import Llama, forward
from tests.jaxft.data.test_chat_template import OPEN, THINKING, TURN, altered, parts, thinking  # noqa: F401

TALK = Example(
    (
        Message("system", "Be kind."),
        Message("user", "Hi"),
        Message("assistant", "First <s>."),
        Message("user", "And?"),
        Message("assistant", "Second."),
        Message("user", "So?"),
    ),
    "Third.",
)
ALL = replace(TALK, learn="all")


def learnt(example: Example, tokenizer, template: str = "tokenizer") -> list[str]:
    return parts(example, tokenizer, template)[1::2]


def weighted(*weights: bool | None, learn="last") -> Example:
    """TALK with OpenAI's weights of its three replies."""
    messages = list(TALK.messages)
    for place, weight in zip((2, 4), weights, strict=False):
        messages[place] = replace(messages[place], learn=weight)
    return replace(TALK, messages=tuple(messages), response_learn=weights[2], learn=learn)


ENDED = [f"{text}</s>" for text in ("First <s>.", "Second.", "Third.")]


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        (TALK, ENDED[2:]),
        (ALL, ENDED),
        (replace(TALK, learn=("assistant",)), ENDED),
        (weighted(None, None, False, learn="all"), ENDED[:2]),
        (weighted(True, None, None), [ENDED[0], ENDED[2]]),
        (weighted(True, False, False), ENDED[:1]),
        (weighted(False, True, None, learn="all"), ENDED[1:]),
        (replace(TALK, learn=("user",)), ["Hi", "And?", "So?</s>"]),
        (replace(TALK, learn=("system", "assistant")), ["Be kind.", *ENDED]),
        (Example.of(ALL.messages, learn="all"), ENDED[:2]),
    ],
)
def test_the_setting_and_the_weights_of_messages_decide(small_tokenizer, example, expected):
    assert learnt(example, small_tokenizer) == expected


def test_the_row_stops_after_what_is_learnt(small_tokenizer):
    short = replace(TALK, messages=TALK.messages[:2], response=TALK.messages[2].content)
    for template in ("tokenizer", "llama2", "plain"):
        cut, whole = (encode(one, small_tokenizer, template) for one in (weighted(True, False, False), short))
        assert cut.tokens.tolist() == whole.tokens.tolist() and cut.weights.tolist() == whole.weights.tolist()


def test_every_reply_of_llama2_has_its_spaces_and_end(small_tokenizer):
    assert learnt(ALL, small_tokenizer, "llama2") == [f" {text.removesuffix('</s>')} </s>" for text in ENDED]


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (weighted(False, False, False), "Every reply that could be learnt has weight 0"),
        (weighted(None, None, False), "Every reply that could be learnt has weight 0"),
        (Example.of(TALK.messages), "An example has no response to learn"),
    ],
)
def test_an_example_without_anything_to_learn_is_refused(small_tokenizer, example, said):
    with pytest.raises(UserError, match=f"^f, line 2: {said}: 'So"):
        encode(replace(example, where="f, line 2"), small_tokenizer, "tokenizer")


LATER = "{% for m in messages %}{{ '<|' + m.role + '|>' + (%s) + eos_token }}{% endfor %}" + OPEN
REFUSED = {
    "plain": (None, "plain", "only one reply of a dialogue is learnt"),
    "no end token": (TURN.replace(" + eos_token", "") + OPEN, "tokenizer", "writes no end token after a reply"),
    "changes earlier replies": (
        LATER.replace("%s", "m.content if loop.last or m.role == 'user' else 'so: ' + m.content"),
        "tokenizer",
        "differently once",
    ),
    "leaves out earlier replies": (
        LATER.replace("%s", "m.content if loop.last or m.role == 'user' else ''"),
        "tokenizer",
        "differently once",
    ),
}


@pytest.mark.parametrize(("jinja", "template", "said"), REFUSED.values(), ids=REFUSED)
def test_templates_under_which_only_one_reply_can_be_learnt(small_tokenizer, jinja, template, said):
    tokenizer = altered(small_tokenizer, jinja) if jinja else small_tokenizer
    example = replace(ALL, messages=TALK.messages[1:], where="f, line 2")
    with pytest.raises(UserError, match=f"^f, line 2: .*{said}"):
        encode(example, tokenizer, template)
    assert encode(replace(example, learn="last"), tokenizer, template)


def test_a_template_that_drops_earlier_thoughts_learns_the_last_reply_alone(thinking):  # noqa: F811
    example = replace(
        TALK,
        messages=(
            *TALK.messages[:2],
            replace(TALK.messages[2], extra={"reasoning_content": "Hm."}),
            *TALK.messages[3:],
        ),
    )
    assert learnt(example, thinking) == ["Third.<|im_end|>"]
    with pytest.raises(UserError, match="only the last reply of a dialogue can be learnt"):
        encode(replace(example, learn="all"), thinking, "tokenizer")


def test_llama2_learns_replies_alone(small_tokenizer):
    with pytest.raises(UserError, match="Only replies are learnt"):
        encode(replace(TALK, learn=("user",)), small_tokenizer, "llama2")


@pytest.mark.parametrize("template", ["tokenizer", "llama2"])
def test_all_replies_at_once_give_the_gradient_of_the_single_steps(small_tokenizer, template):
    config = LlamaConfig(len(small_tokenizer), 32, 48, 2, 4, 2, 8, 256)
    model = Llama(config, rngs=nnx.Rngs(0))
    graph, state = nnx.split(model)

    def gradient(examples: list[Example]) -> list[np.ndarray]:
        rows = pack([encode(one, small_tokenizer, template) for one in examples], 128, "error")

        def loss(state):
            values = forward(nnx.merge(graph, state), *(getattr(rows, name) for name in INPUTS))
            return token_losses(values, rows.targets, rows.weights).sum()

        return [np.asarray(leaf) for leaf in jax.tree.leaves(jax.grad(loss)(state))]

    steps = [Example.of([*TALK.messages, TALK.reply][: place + 1]) for place in (2, 4, 6)]
    for one, other in zip(gradient([ALL]), gradient(steps), strict=True):
        assert np.abs(one - other).max() <= 1e-5 * np.abs(other).max()
