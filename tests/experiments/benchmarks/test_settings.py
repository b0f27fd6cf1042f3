"""Settings that cannot be measured are refused; every config that ships can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.benchmarks import load_benchmark
from experiments.benchmarks.bars import overhead
from jaxft import bounds
from jaxft.errors import UserError
from jaxft.llama.config import LlamaConfig
from jaxft.methods import Full
from tests.experiments.benchmarks.toy import toy

CONFIGS = sorted((Path(__file__).parents[3] / "configs/benchmarks").glob("*.py"))
LLAMA_2_7B = LlamaConfig(32_000, 4096, 11_008, 32, 32, 32, 128, 4096)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_loads_and_states_its_command(path: Path) -> None:
    settings = load_benchmark(str(path))
    assert settings.name == path.stem
    assert f"jaxft benchmark configs/benchmarks/{path.name}" in path.read_text().split('"""')[1]


def test_there_are_configs() -> None:
    assert [path.stem for path in CONFIGS] == ["cpu_overhead", "cpu_small", "gpu_7b", "methods"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": ("trian",)}, "found 'trian', expected one of train"),
        ({"methods": ("full", "galore")}, "found 'galore'"),
        ({"others": {"lora": Full(())}}, "found 'lora', expected a name that is none of methods"),
        ({"dtype": "float16"}, "found 'float16'"),
        ({"remat": "all"}, "found 'all'"),
        ({"rounds": 0}, "rounds: found 0, expected at least 1"),
        ({"rank": 9}, "half the narrowest input"),
        ({"gradients": 1.1}, "gradients: found 1.1"),
        ({"lora_rank": 9}, "lora_rank: found 9, expected at most 8"),
        ({"prompt_length": 33}, "a multiple of 32"),
        ({"row_length": 65}, "row_length: found 65, expected at most 64 tokens"),
        ({"new_tokens": 33}, r"prompt_length \+ new_tokens: found 65, expected at most 64 tokens"),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bounds.check(toy(**changes))


def test_the_shipped_shape() -> None:
    settings = toy(model="base", rank=8)
    bounds.check(settings)
    assert settings.config.hidden_size == 128
    assert settings.config.end_tokens == (settings.config.vocab_size,)  # no model can choose it


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("benchmark = 3", "defines no"),
        ("import experiments.benchmarks as b\nbenchmark = b.Benchmark(nam='x')", "did you mean 'name'"),
    ],
)
def test_a_config_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(UserError, match=message):
        load_benchmark(str(tmp_path / "bad.py"))
    with pytest.raises(UserError, match="no such config"):
        load_benchmark(str(tmp_path / "absent.py"))


def test_cpu_overhead_has_the_ratio_of_llama_2_7b() -> None:
    small = load_benchmark(str(CONFIGS[0]))
    large = toy(model=LLAMA_2_7B, batch_rows=4, row_length=4096, rank=512, gradients=0.1)
    assert overhead(small) == pytest.approx(overhead(large), rel=0.01)
    assert overhead(large) == pytest.approx(0.0208, abs=5e-5)
    assert overhead(replace(large, gradients=1.0)) == pytest.approx(0.0378, abs=5e-5)


def test_keys_of_a_benchmark_can_be_changed_on_the_command_line() -> None:
    path = str(CONFIGS[0])
    assert load_benchmark(path, ["--steps", "1", "--parts", "('import',)"]).parts == ("import",)
    with pytest.raises(UserError, match="unknown key 'stepz'; did you mean --steps"):
        load_benchmark(path, ["--stepz", "1"])
