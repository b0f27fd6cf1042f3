"""L2-SP is AdamW on the gradient of the loss plus strength / 2 |W - W0|^2."""

from __future__ import annotations

from jaxft import methods
from jaxft.methods.base import Statistics
from tests.jaxft.methods.adam64 import adamw64, assert_equal, leaves, pulled, trained
from tests.jaxft.training.small_run import base


def test_it_is_adamw_on_the_penalised_gradient() -> None:
    start, found = trained(methods.L2SP((), strength=200.0), Statistics())
    assert_equal(found, adamw64(start, pulled(200.0, [1.0] * len(leaves(start)), base())), start)
    plain = adamw64(start)
    assert max(abs(a - b).max() for a, b in zip(leaves(found), plain, strict=True)) > 1e-4  # the penalty counts
