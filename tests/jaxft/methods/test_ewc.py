"""EWC is AdamW on the gradient of the loss plus strength / 2 sum F (W - W0)^2."""

from __future__ import annotations

from jaxft import methods
from tests.jaxft.methods.adam64 import adamw64, assert_equal, leaves, pulled, trained
from tests.jaxft.training.small_run import base, random_subspaces


def test_it_is_adamw_on_the_penalised_gradient() -> None:
    given = random_subspaces(base())
    start, found = trained(methods.EWC((), strength=300.0), given)
    assert_equal(found, adamw64(start, pulled(300.0, leaves(given.fisher), base())), start)
    even = adamw64(start, pulled(300.0, [0.5] * len(leaves(start)), base()))
    assert max(abs(a - b).max() for a, b in zip(leaves(found), even, strict=True)) > 1e-4  # F is not a number
