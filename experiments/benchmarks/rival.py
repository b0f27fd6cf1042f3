"""The same work in torch, transformers and peft, at the best settings they offer without compiling.

Training: sdpa attention, the fused AdamW, the same clipping, labels shifted and masked as jaxft's, no dropout. Rows are
padded at the end, where causal attention never looks, so no attention mask is built and sdpa takes its fast path.
bfloat16 is used as in jaxft: for frozen weights and activations (autocast), with trained weights in float32.
Generation: `generate` with its key-value cache, greedy, without an end token. On CUDA, float32 products run in TF32, as
in JAX.
"""

import importlib.metadata
import importlib.util
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from experiments.benchmarks import ours
from experiments.benchmarks.contest import Contestant, Opened
from experiments.benchmarks.settings import Benchmark
from jaxft.llama.config import LINEARS
from jaxft.llama.hf_config import config_json
from jaxft.methods import Lora

PACKAGES = ("torch", "transformers", "peft")
#: jaxft's methods that the rival has too.
METHODS = ("full", "lora")
IMPORT = ("-c", "import transformers.models.llama.modeling_llama")


def missing() -> list[str]:
    """The packages of PACKAGES that cannot be imported."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def describe(settings: Benchmark) -> dict[str, Any]:
    """The record's entry about the rival: where and how it runs, or why it does not."""
    if absent := missing():
        return {"available": False, "reason": f"not installed: {', '.join(absent)}"}
    import torch

    device = _device()
    return {
        "available": True,
        "platform": device,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "dtype": settings.dtype,
        "threads": torch.get_num_threads(),
        "compiled": False,
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def contestants(settings: Benchmark, part: str) -> list[Contestant]:
    """The contestants of one part, each the counterpart of one in `ours`; calibration has no counterpart."""
    opens = {name: partial(_training, settings, name) for name in METHODS}
    opens |= {"greedy": partial(_generation, settings), "import": partial(ours.start, IMPORT)}
    return [
        replace(found, side="torch", open=opens[found.work])
        for found in ours.contestants(settings, part)
        if found.work in opens
    ]


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _model(settings: Benchmark, dtype: str) -> Any:
    """A LlamaForCausalLM of the benchmark's shape with random weights."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.set_float32_matmul_precision("high")
    exported = json.loads(config_json(settings.config, dtype))
    shape = LlamaConfig(**{**exported, "attention_dropout": 0.0, "eos_token_id": None, "pad_token_id": None})
    with torch.device(_device()):
        return AutoModelForCausalLM.from_config(shape, dtype=getattr(torch, dtype), attn_implementation="sdpa")


@contextmanager
def _training(settings: Benchmark, name: str) -> Iterator[Opened]:
    import torch

    device, low = _device(), settings.dtype == "bfloat16"
    model = _model(settings, "float32" if name == "full" else settings.dtype)
    if settings.remat == "full":
        model.activation_checkpointing_enable()
    if name == "lora":
        model = _with_lora(model, settings)
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=ours.LEARNING_RATE, weight_decay=0.0, fused=True)
    rows = ours.batch(settings)
    tokens = torch.from_numpy(rows["tokens"]).long()
    labels = tokens.masked_fill(torch.from_numpy(rows["segments"]) == 0, -100)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def run(times: int) -> None:
        for _ in range(times):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device, torch.bfloat16, enabled=low):
                loss = model(input_ids=tokens.to(device), labels=labels.to(device), use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    def facts() -> dict[str, Any]:
        peak = {"bytes": torch.cuda.max_memory_allocated(), "kind": "measured"} if device == "cuda" else None
        return {"memory": peak, "trained_parameters": sum(parameter.numel() for parameter in trained)}

    yield Opened(run, facts)
    _leave(device)


@contextmanager
def _generation(settings: Benchmark) -> Iterator[Opened]:
    import torch

    device, model = _device(), _model(settings, settings.dtype).eval()
    texts = torch.from_numpy(ours.prompts(settings)).to(device)
    everything = torch.ones_like(texts)
    new = settings.new_tokens

    def run(times: int) -> None:
        with torch.inference_mode():
            for _ in range(times):
                out = model.generate(
                    texts, attention_mask=everything, do_sample=False, max_new_tokens=new, min_new_tokens=new
                )
                assert out.cpu().shape == (settings.prompts, settings.prompt_length + new)

    yield Opened(run, dict)
    _leave(device)


def _with_lora(model: Any, settings: Benchmark) -> Any:
    from peft import LoraConfig, get_peft_model

    lora = settings.method("lora")
    assert isinstance(lora, Lora)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=int(lora.alpha),
        lora_dropout=lora.dropout,
        target_modules=[LINEARS[name].module.split(".")[1] for name in lora.targets],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft reads an attribute that transformers is renaming
        return get_peft_model(model, config)


def _leave(device: str) -> None:
    """Free the cached device memory for the other side."""
    import torch

    if device == "cuda":
        torch.cuda.empty_cache()
