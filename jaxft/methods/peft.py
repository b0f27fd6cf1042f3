"""LoRA adapters as peft reads them: adapter_config.json and adapter_model.safetensors."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from jaxft import config
from jaxft.distributed import led, meet, whole
from jaxft.errors import UserError
from jaxft.methods.adapters import LowRank

#: Module of each linear inside a Hugging Face Llama layer.
MODULES = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}


def save_adapter(adapters: Mapping[str, LowRank], settings: config.Lora, base: str, folder: Path) -> None:
    """Write adapters as a peft folder, whole or not at all; peft keeps A as [r, in] and B as [out, r].

    Where several processes share the arrays, all of them call this and the first one writes; the others return when
    it is done.
    """
    if folder.exists():
        raise UserError(f"{folder}: exists already; nothing is overwritten")
    meet("adapter folder checked")
    arrays = {name: jax.tree.map(whole, adapter) for name, adapter in adapters.items()}
    led("adapter saved", lambda: _write(arrays, settings, base, folder))


def _write(adapters: Mapping[str, LowRank], settings: config.Lora, base: str, folder: Path) -> None:
    tensors = {}
    for name, adapter in adapters.items():
        for index, (a, b) in enumerate(zip(adapter.a, adapter.b, strict=True)):
            module = f"base_model.model.model.layers.{index}.{MODULES[name]}"
            tensors[f"{module}.lora_A.weight"] = np.ascontiguousarray(a.T)
            tensors[f"{module}.lora_B.weight"] = np.ascontiguousarray(b.T)
    description = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "target_modules": [MODULES[name].split(".")[1] for name in adapters],
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        save_file(tensors, partial / "adapter_model.safetensors", metadata={"format": "pt"})
        (partial / "adapter_config.json").write_text(json.dumps(description, indent=1) + "\n")
        partial.replace(folder)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder}: cannot be written ({error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
