"""The provenance part of a record."""

from __future__ import annotations

import json

from experiments.data.sources import data_hashes
from experiments.store.provenance import hardware, versions
from jaxft.data.source import Source


def test_versions_and_hardware_are_filled_in() -> None:
    assert {"python", "jax", "flax", "optax", "jaxft"} <= versions().keys()
    assert all(versions().values())
    assert hardware()["devices"] >= 1 and hardware()["platform"]
    json.dumps(hardware())


def test_data_hashes_tell_sources_apart() -> None:
    found = data_hashes([Source("hotel", "test", 5), Source("hotel", "test"), Source("hotel", "test", 5)])
    assert list(found) == ["hotel/test[:5]", "hotel/test"]
    assert found["hotel/test[:5]"]["examples"] == 5
    assert found["hotel/test[:5]"]["sha256"] != found["hotel/test"]["sha256"]
