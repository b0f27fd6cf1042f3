"""What the tests of the data layer share."""

from __future__ import annotations

import pytest
from hypothesis import settings

from jaxft.data.tokenizer import train_tokenizer

# The machines that run the tests are shared: time limits would fail at random, and so would new random cases.
settings.register_profile("jaxft", deadline=None, derandomize=True, database=None)
settings.load_profile("jaxft")

TEXTS = ["Customer: I would like a double room for 12 nights, please.", "The capital of France is Paris. Yes."] * 20


@pytest.fixture(scope="session")
def small_tokenizer():
    return train_tokenizer(TEXTS, 320)
