"""The table of methods says what the classes say."""

from __future__ import annotations

from pathlib import Path

import pytest

from jaxft import methods
from jaxft.data.source import Source
from jaxft.llama.config import INPUT_SPACES, SHAPES

REQUIRED = {
    "FrozenLayers": {"layers": (0, 1)},
    "SafeLora": {"unaligned": "folder"},
    "SafeMerge": {"unaligned": "folder", "safe_sources": (Source("safety"),)},
}
WHEN = {"none": "never", "before training": "before training", "while training": "in every step"}
TABLE = (Path(methods.__file__).parent / "README.md").read_text().split("## In a training loop")[0]
ROWS = {
    line.split("`")[1]: [cell.strip() for cell in line.split("|")[1:-1]] for line in TABLE.splitlines() if "| `" in line
}


@pytest.mark.parametrize("name", [name for name in methods.__all__ if hasattr(getattr(methods, name), "kind")])
def test_a_row_is_what_its_class_says(name: str) -> None:
    method = getattr(methods, name)(**REQUIRED.get(name, {}))
    _, _, when, models, _, cost = ROWS[name]
    assert when == WHEN[method.reference]
    assert {model for model in models.split(", ") if model} == method.reads & {"base", "unaligned", "safe"}
    shape, ranks = SHAPES["llama2_7b"], dict.fromkeys(INPUT_SPACES, 512)
    full, total = (one.step_flops(shape, 4, 4096, ranks).total for one in (methods.Full(), method))
    assert cost == f"{total / full - 1:+.1%}".replace("%", " %")


def test_every_row_is_a_method() -> None:
    assert set(ROWS) <= set(methods.__all__)
