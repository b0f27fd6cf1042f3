from pathlib import Path

import pytest

from tests.tpu.world import World, build


@pytest.fixture
def world(tmp_path: Path) -> World:
    return build(tmp_path)
