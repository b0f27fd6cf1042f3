"""Parity with transformers: committed goldens, live comparison where torch is installed, and a real trained model."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from jaxft.llama.checkpoint import content_hash, load, read_config, save
from jaxft.llama.config import LlamaConfig
from jaxft.llama.generate import generate
from jaxft.llama.locate import locate
from jaxft.llama.model import Llama, forward
from tests.jaxft.llama.small import CONFIGS, tensors, write_folder
from tests.jaxft.llama.small_families import CONFIGS as FAMILIES
from tests.jaxft.llama.small_families import texts, write_family

GOLDENS = Path(__file__).parent / "goldens" / "transformers.safetensors"
GOLDEN_SEED = 7  # of make_goldens.py
TOLERANCE = 1e-4  # largest absolute difference of a logit in float32


def logits_of(model: Llama, tokens: np.ndarray) -> np.ndarray:
    positions = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    return np.asarray(jax.jit(forward)(model, tokens, positions, np.ones_like(tokens)))


def until_end(tokens: np.ndarray, end: int) -> list[int]:
    values = tokens.tolist()
    return values[: values.index(end)] if end in values else values


@pytest.mark.parametrize("variant", CONFIGS)
def test_logits_and_greedy_replies_equal_the_goldens(tmp_path: Path, variant: str) -> None:
    config = CONFIGS[variant]
    golden = {name: value for name, value in load_file(GOLDENS).items() if name.startswith(f"{variant}.")}
    prompts, expected, replies = (golden[f"{variant}.{name}"] for name in ("prompts", "logits", "replies"))
    write_folder(tmp_path, config, tensors(config, seed=GOLDEN_SEED))
    model = load(tmp_path)
    np.testing.assert_allclose(logits_of(model, prompts), expected, rtol=0, atol=TOLERANCE)
    got = generate(model, prompts.tolist(), max_new_tokens=replies.shape[1], batch_size=2)
    assert got == [until_end(reply, config["eos_token_id"]) for reply in replies]


def test_goldens_tell_the_constants_apart(tmp_path: Path) -> None:
    """Each constant that only the config holds moves the logits by far more than the tolerance."""
    golden = load_file(GOLDENS)
    changes: list[tuple[str, dict[str, Any]]] = [
        ("multi_query", {"rms_norm_eps": 1e-5}),
        ("large_theta", {"rope_theta": 1e4}),
        ("scaled", {"rope_scaling": None}),
        ("scaled_v5", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1000.0}}),
    ]
    for variant, change in changes:
        write_folder(tmp_path / variant, {**CONFIGS[variant], **change}, tensors(CONFIGS[variant], seed=GOLDEN_SEED))
        got = logits_of(load(tmp_path / variant), golden[f"{variant}.prompts"])
        assert np.abs(got - golden[f"{variant}.logits"]).max() > 30 * TOLERANCE, variant


def transformers_model(folder: Path) -> tuple[Any, Any]:
    """(torch, the folder's model as transformers loads it), or skip."""
    torch = pytest.importorskip("torch", reason="live parity needs torch; the goldens above hold without it")
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.disable_progress_bar()
    return torch, transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def assert_same_logits(
    model: Llama, torch: Any, reference: Any, tokens: np.ndarray, tolerance: float = TOLERANCE
) -> None:
    with torch.no_grad():
        expected = reference(torch.tensor(tokens)).logits.numpy()
    np.testing.assert_allclose(logits_of(model, tokens), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("variant", CONFIGS)
def test_what_is_saved_loads_in_transformers(tmp_path: Path, variant: str) -> None:
    pytest.importorskip("torch", reason="live parity needs torch; the goldens above hold without it")
    config, seed = CONFIGS[variant], 100 + sorted(CONFIGS).index(variant)
    write_folder(tmp_path / "source", config, tensors(config, seed=seed))
    model = load(tmp_path / "source")
    save(model, tmp_path / "saved", max_shard_bytes=30_000)
    torch, reference = transformers_model(tmp_path / "saved")
    tokens = np.random.RandomState(seed).randint(3, config["vocab_size"], (3, 50))
    assert_same_logits(model, torch, reference, tokens)
    prompt = tokens[:1, :20]
    reply = reference.generate(torch.tensor(prompt), do_sample=False, max_new_tokens=16, pad_token_id=0)[0, 20:]
    assert generate(model, prompt.tolist(), max_new_tokens=16, batch_size=1) == [
        until_end(reply.numpy(), config["eos_token_id"])
    ]


@pytest.mark.parametrize("variant", CONFIGS)
def test_what_transformers_saves_loads_here(tmp_path: Path, variant: str) -> None:
    config = CONFIGS[variant]
    write_folder(tmp_path / "source", config, tensors(config, seed=3))
    torch, reference = transformers_model(tmp_path / "source")
    reference.save_pretrained(tmp_path / "saved", max_shard_size="30KB")
    model = load(tmp_path / "saved")
    assert model.config == read_config(tmp_path / "source")
    tokens = np.random.RandomState(3).randint(3, config["vocab_size"], (2, 30))
    assert_same_logits(model, torch, reference, tokens)


@pytest.mark.parametrize(
    ("architecture", "dtype"),
    [("llama", "F32"), ("llama", "BF16"), ("llama", "Q4_1"), ("qwen2", "Q8_0"), ("qwen3", "Q8_0"), ("gemma2", "F32")],
)
def test_gguf_files_are_read_as_transformers_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, dtype: str
) -> None:
    torch = pytest.importorskip(
        "torch", reason="live parity needs torch; test_gguf.py compares with the source weights"
    )
    pytest.importorskip("gguf", reason="the package gguf is not installed (extra gguf)")
    from transformers import AutoModelForCausalLM

    from tests.jaxft.llama.gguf_files import write
    from tests.jaxft.llama.test_gguf import FAMILIES, added

    monkeypatch.setenv("JAXFT_CACHE", str(tmp_path / "cache"))
    width = {"qwen3": 128, "gemma2": 256}.get(architecture, 8)  # that transformers takes without reading it
    config = {**CONFIGS["tied"], "vocab_size": 64, "intermediate_size": 64, "rope_theta": 5e5, "head_dim": width}
    ends = FAMILIES[architecture][1] if architecture != "llama" else []
    path = write(tmp_path / "a.gguf", architecture, config, added(config, tensors(config), *ends), dtype=dtype)
    reference = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
    )
    tokens = np.random.RandomState(3).randint(3, 64, (2, 40))
    assert_same_logits(load(locate(path)), torch, reference.eval(), tokens, 2 * TOLERANCE)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # transformers warns of itself
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_goes_to_transformers_and_back(tmp_path: Path, name: str) -> None:
    pytest.importorskip("torch", reason="live parity needs torch; test_families.py has goldens that hold without it")
    config = write_family(tmp_path / "source", name)
    model = load(tmp_path / "source")
    save(model, tmp_path / "saved")
    torch, reference = transformers_model(tmp_path / "saved")
    assert_same_logits(model, torch, reference, texts()[0][None])
    reference.save_pretrained(tmp_path / "back")
    assert read_config(tmp_path / "back") == config
    assert_same_logits(load(tmp_path / "back"), torch, reference, texts()[1][None])


@pytest.fixture
def data() -> Path:
    folder = os.environ.get("JAXFT_TEST_DATA")
    if not folder:
        pytest.skip("JAXFT_TEST_DATA is unset: no trained model to compare with")
    return Path(folder)


def test_a_trained_model_has_its_published_loss(data: Path, tmp_path: Path) -> None:
    """1.307 nat/token: the mean over all tokens after BOS of 40 stories, no EOS; the longest story is 506 tokens, so
    none is cut at the context of 512. An exported copy has the same hash."""
    tokenizer = Tokenizer.from_file(str(data / "stories260K_hf" / "tokenizer.json"))
    with gzip.open(data / "tinystories_1000.jsonl.gz", "rt") as lines:
        stories = [tokenizer.encode(json.loads(next(lines))["text"]).ids for _ in range(40)]
    assert {story[0] for story in stories} == {1}
    assert max(map(len, stories)) == 506
    tokens, real = np.zeros((40, 512), np.int32), np.zeros((40, 512), bool)
    for row, story in enumerate(stories):
        tokens[row, : len(story)], real[row, : len(story)] = story, True
    positions = np.broadcast_to(np.arange(512), tokens.shape)

    @jax.jit
    def loss(model: Llama) -> jax.Array:
        logs = jax.nn.log_softmax(forward(model, tokens, positions, real.astype(np.int32))[:, :-1])
        chosen = jax.numpy.take_along_axis(logs, tokens[:, 1:, None], axis=-1)[..., 0]
        return -(chosen * real[:, 1:]).sum() / real[:, 1:].sum()

    model = load(data / "stories260K_hf")
    assert float(loss(model)) == pytest.approx(1.307, abs=5e-4)
    save(model, tmp_path / "copy")
    assert content_hash(tmp_path / "copy") == content_hash(data / "stories260K_hf")


def test_a_trained_model_tells_its_story(data: Path) -> None:
    model = load(data / "stories260K_hf")
    tokenizer = Tokenizer.from_file(str(data / "stories260K_hf" / "tokenizer.json"))
    prompt = tokenizer.encode("Once upon a time").ids
    (reply,) = generate(model, [prompt], max_new_tokens=60, batch_size=1)
    assert tokenizer.decode(prompt + reply).startswith(
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
        "One day, she saw a big, red ball."
    )


def test_a_trained_model_exported_to_transformers(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="live parity needs torch; the goldens above hold without it")
    model = load(data / "stories260K_hf")
    save(model, tmp_path / "copy", like=data / "stories260K_hf")
    torch, reference = transformers_model(tmp_path / "copy")
    tokens = np.random.RandomState(0).randint(3, 512, (2, 256))
    tokens[:, 0] = 1
    assert_same_logits(model, torch, reference, tokens)


def test_llama_2_7b_has_its_published_size(data: Path) -> None:
    config = read_config(data / "llama2_tokenizer")
    assert config == LlamaConfig(32000, 4096, 11008, 32, 32, 32, 128, 4096)
    assert config.parameter_count == 6_738_415_616


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (LlamaConfig(32000, 4096, 11008, 32, 32, 32, 128, 4096), 6_738_415_616),
        (LlamaConfig(32000, 5120, 13824, 40, 40, 40, 128, 4096), 13_015_864_320),
        (LlamaConfig(32000, 8192, 28672, 80, 64, 8, 128, 4096), 68_976_648_192),
    ],
    ids=["7B", "13B", "70B"],
)
def test_published_sizes(config: LlamaConfig, count: int) -> None:
    """The counts of Llama 2, in the formula and in the arrays of a model of that shape."""
    assert config.parameter_count == count
    shapes = jax.eval_shape(lambda: Llama(config, rngs=nnx.Rngs(0)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count
