"""LoRA and DoRA adapters in peft's format: adapter_config.json and adapter_model.safetensors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from jaxft.distributed import barrier, gather, run_on_leader
from jaxft.errors import UserError
from jaxft.io import whole, write_tensors
from jaxft.llama.config import LINEARS
from jaxft.methods.adapters import Decomposed, LowRank

Adapter = LowRank | Decomposed


def save_adapter(adapters: Mapping[str, Adapter], scaling: str, base: str, folder: Path) -> None:
    """Write adapters as a peft folder, whole or not at all; peft keeps A as [r, in] and B as [out, r].

    All adapters have the same rank, scale and dropout. scaling: "lora", or "rslora" to make peft divide lora_alpha by
    sqrt(r); lora_alpha is set so that peft uses the adapters' scale in both cases.
    All processes call this; the leader writes, and the others wait until it is done.
    """
    if folder.exists():
        raise UserError(f"{folder}: exists already; nothing is overwritten")
    barrier("adapter folder checked")
    arrays = {name: jax.tree.map(gather, _trained(adapter)) for name, adapter in adapters.items()}
    run_on_leader("adapter saved", lambda: _write(arrays, scaling, base, folder))


def _trained(adapter: Adapter) -> Adapter:
    """The adapter without the kernel that DoRA carries."""
    return replace(adapter, kernel=None) if isinstance(adapter, Decomposed) else adapter


def _write(adapters: Mapping[str, Adapter], scaling: str, base: str, folder: Path) -> None:
    tensors = {}
    factors = {name: found.factors if isinstance(found, Decomposed) else found for name, found in adapters.items()}
    for name, adapter in adapters.items():
        for index, (a, b) in enumerate(zip(factors[name].a, factors[name].b, strict=True)):
            module = f"base_model.model.model.layers.{index}.{LINEARS[name].module}"
            if isinstance(adapter, Decomposed):
                tensors[f"{module}.lora_magnitude_vector"] = np.ascontiguousarray(adapter.magnitude[index])
            tensors[f"{module}.lora_A.weight"] = np.ascontiguousarray(a.T)
            tensors[f"{module}.lora_B.weight"] = np.ascontiguousarray(b.T)
    first = next(iter(factors.values()))
    rank = first.a.shape[2]
    description = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": first.scale * (math.sqrt(rank) if scaling == "rslora" else rank),
        "use_rslora": scaling == "rslora",
        "lora_dropout": first.dropout,
        "use_dora": any(isinstance(adapter, Decomposed) for adapter in adapters.values()),
        "target_modules": [LINEARS[name].module.split(".")[1] for name in adapters],
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    with whole(folder) as scratch:
        scratch.mkdir()
        write_tensors(scratch / "adapter_model.safetensors", tensors, {"format": "pt"})
        (scratch / "adapter_config.json").write_text(json.dumps(description, indent=1) + "\n")
