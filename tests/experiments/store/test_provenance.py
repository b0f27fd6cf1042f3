"""What a record says of where it comes from."""

from __future__ import annotations

import json

import pytest

from experiments.data.sources import data_hashes
from experiments.store.provenance import digest, hardware, read_json, versions, write_json
from jaxft.data.source import Source
from jaxft.errors import UserError


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


def test_digest_ignores_the_order_of_keys_alone() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})


def test_json_is_written_whole_or_not_at_all(tmp_path) -> None:
    path = tmp_path / "deep" / "x.json"
    write_json(path, {"a": [1.5, None]})
    assert read_json(path) == {"a": [1.5, None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": [1.5, None]}
    assert list(path.parent.iterdir()) == [path]


def test_a_damaged_file_is_named(tmp_path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(UserError, match=r"x\.json: not a readable JSON file"):
        read_json(path)
    path.write_text('{"a": 1')
    with pytest.raises(UserError, match=r"x\.json: not a readable JSON file"):
        read_json(path)


def test_where_nothing_can_be_written(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_json(tmp_path / "file" / "x.json", {})
