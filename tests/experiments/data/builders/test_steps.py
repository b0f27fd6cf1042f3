"""Steps: the place of the right reply says nothing, and alternatives are right by construction."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from experiments.data.builders.steps import DISTRACTORS, Step, shuffled, with_distractors

STEPS = st.lists(
    st.builds(
        Step,
        dialogue=st.sampled_from("123"),
        turn=st.integers(0, 9),
        task=st.just("book"),
        history=st.just(()),
        known=st.just(""),
        act=st.sampled_from(["ask", "tell", "bye", "unlabelled"]),
        text=st.text("abc", min_size=1, max_size=2),
    ),
    max_size=30,
)


@given(STEPS)
def test_alternatives_are_other_acts_of_other_dialogues(steps):
    for step in with_distractors(steps, "unlabelled"):
        others = {
            other.text
            for other in steps
            if other.dialogue != step.dialogue and other.act not in (step.act, "unlabelled")
        } - {step.text}
        if step.act == "unlabelled" or not others:
            assert step.alternatives == ()
        else:
            assert step.text in step.alternatives
            assert set(step.alternatives) <= others | {step.text}
            assert len(set(step.alternatives)) == len(step.alternatives) == 1 + min(DISTRACTORS, len(others))
    assert with_distractors(steps, "unlabelled") == with_distractors(steps, "unlabelled")


def test_the_right_reply_is_in_every_place_equally_often():
    places = [shuffled(["right", "wrong", "bad"], f"dialogue {n}").index("right") for n in range(600)]
    assert all(150 < places.count(place) < 250 for place in range(3))
    assert shuffled("abc", "x") == shuffled("abc", "x")
