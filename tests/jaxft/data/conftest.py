"""What the tests of the data layer share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from jaxft.data.tokenizer import train_tokenizer

# The machines that run the tests are shared: time limits would fail at random, and so would new random cases.
settings.register_profile("jaxft", deadline=None, derandomize=True, database=None)
settings.load_profile("jaxft")

TEXTS = ["Customer: I would like a double room for 12 nights, please.", "The capital of France is Paris. Yes."] * 20


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with public data and real tokenizers; it is no part of the repository."""
    folder = os.environ.get("JAXFT_TEST_DATA")
    if not folder:
        pytest.skip("JAXFT_TEST_DATA is not set: no real data to read")
    return Path(folder)


@pytest.fixture(scope="session")
def small_tokenizer():
    return train_tokenizer(TEXTS, 320)
