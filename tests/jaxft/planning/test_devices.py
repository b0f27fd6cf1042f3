"""Names of topologies, and what is known of them."""

from __future__ import annotations

import pytest

from jaxft.errors import UserError
from jaxft.planning.devices import (
    GPUS,
    SLICES,
    TPUS,
    chip_count,
    chip_of,
    gpu_count,
    is_gpu,
    topology_devices,
)

needs_compiler = pytest.mark.skipif(
    "not __import__('importlib.util').util.find_spec('libtpu')", reason="needs the TPU compiler, libtpu"
)


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(UserError, match="topology 'v9:2x2': expected KIND:SHAPE.*known kinds: v4, v5e.*h100"):
        topology_devices("v9:2x2")
    with pytest.raises(UserError, match="topology 'v5e': expected KIND:SHAPE"):
        topology_devices("v5e")


@pytest.mark.parametrize("name", ["h100", "h100:", "h100:0", "h100:2x4"])
def test_gpus_are_counted(name: str) -> None:
    with pytest.raises(UserError, match="expected h100:COUNT, such as h100:8"):
        gpu_count(name)


def test_what_a_name_says() -> None:
    assert (chip_count("v5e:4x4"), chip_count("v4:2x2x2"), chip_count("h100:8")) == (16, 8, 8)
    assert chip_of("v5e:4x4") is TPUS["v5e"] and chip_of("h100:8") is GPUS["h100"] and chip_of("attached cpu") is None
    assert is_gpu("h200:1") and not is_gpu("v5e:1x1")


def test_slices_grow() -> None:
    for kind, shapes in SLICES.items():
        counts = [chip_count(f"{kind}:{shape}") for shape in shapes]
        assert counts == sorted(set(counts))


@needs_compiler
@pytest.mark.parametrize("kind", SLICES)
def test_every_slice_is_known_to_the_compiler(kind: str) -> None:
    for shape in SLICES[kind][:5]:
        assert len(topology_devices(f"{kind}:{shape}")) == chip_count(f"{kind}:{shape}")
    with pytest.raises(UserError, match="the TPU compiler refused it"):
        topology_devices(f"{kind}:5x7")
