"""LoRA and DoRA adapters in peft's format: adapter_config.json and adapter_model.safetensors."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from safetensors import SafetensorError
from safetensors.numpy import load_file

from jaxft.distributed import barrier, gather, run_on_leader
from jaxft.errors import UserError
from jaxft.io import whole, write_tensors
from jaxft.llama.config import LINEARS, LlamaConfig
from jaxft.llama.hf_json import read_json
from jaxft.llama.model import Llama
from jaxft.methods.adapters import Decomposed, LowRank, column_norms
from jaxft.sharding import reshard

Adapter = LowRank | Decomposed
SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
#: Settings with the one value that is read; absent ones have it too. Of `init_lora_weights`, see STARTS.
_FIXED = {"peft_type": "LORA", "bias": "none", "fan_in_fan_out": False}
#: Values of `init_lora_weights` that leave the weights of the base as they are; others, such as "pissa", change them.
_STARTS = (True, False, "gaussian", "eva", "orthogonal")
#: Settings that change no result of the trained factors. Any other that is set is refused: it may change it.
_FREE = {
    *("task_type", "base_model_name_or_path", "revision", "auto_mapping", "peft_version", "inference_mode"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "lora_dropout", "loftq_config"),
    *("eva_config", "runtime_config", "megatron_core", "qalora_group_size"),
    *("r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "init_lora_weights"),  # all read
}
_FACTOR = re.compile(
    r"base_model\.model\.(model\.layers\.(\d+)\.(.+))\.(lora_A\.weight|lora_B\.weight|lora_magnitude_vector)"
)


def save_adapter(
    adapters: Mapping[str, Adapter], scaling: str, base: str, folder: Path, config: LlamaConfig | None = None
) -> None:
    """Write adapters as a peft folder, whole or not at all; peft keeps A as [r, in] and B as [out, r].

    All adapters have the same rank, scale and dropout. scaling: "lora", or "rslora" to make peft divide lora_alpha by
    sqrt(r); lora_alpha is set so that peft uses the adapters' scale in both cases. config: of the base, if it may store
    several linears as one: their adapters become one, of the summed rank.
    All processes call this; the leader writes, and the others wait until it is done.
    """
    if folder.exists():
        raise UserError(f"{folder}: exists already; nothing is overwritten")
    barrier("adapter folder checked")
    arrays = {name: jax.tree.map(gather, _trained(adapter)) for name, adapter in adapters.items()}
    stored = {LINEARS[name].module: adapter for name, adapter in arrays.items()}
    if config is not None:
        shapes = config.linear_shapes
        parts = {module: {name: shapes[name][1] for name in names} for module, names in config.modules.items()}
        stored = {module: _joined(arrays, its) for module, its in parts.items() if arrays.keys() & its.keys()}
    run_on_leader("adapter saved", lambda: _write(stored, scaling, base, folder))


def _joined(adapters: Mapping[str, Adapter], widths: Mapping[str, int]) -> Adapter:
    """One adapter of linears that are stored as one: A side by side, B in blocks. widths: their outputs."""
    held = {name: adapters[name] for name in widths if name in adapters}
    if len(widths) == 1:
        return next(iter(held.values()))
    factors = [_factors(adapter) for adapter in held.values()]
    a = np.concatenate([one.a for one in factors], axis=2)
    b, row, column = np.zeros((len(a), a.shape[2], sum(widths.values())), a.dtype), 0, 0
    for name, width in widths.items():
        if name in held:
            block = _factors(held[name]).b
            b[:, row : row + block.shape[1], column : column + width] = block
            row += block.shape[1]
        column += width
    joined = replace(factors[0], a=a, b=b)
    decomposed = [adapter for adapter in held.values() if isinstance(adapter, Decomposed)]
    if not decomposed:
        return joined
    if len(held) < len(widths):
        raise UserError(f"DoRA of {', '.join(held)} alone: this model stores {', '.join(widths)} as one; train all.")
    magnitude = np.concatenate([one.magnitude for one in decomposed], axis=1)
    return replace(decomposed[0], factors=joined, magnitude=magnitude)


def _factors(adapter: Adapter) -> LowRank:
    return adapter.factors if isinstance(adapter, Decomposed) else adapter


def _trained(adapter: Adapter) -> Adapter:
    """The adapter without the kernel that DoRA carries."""
    return replace(adapter, kernel=None) if isinstance(adapter, Decomposed) else adapter


def _write(adapters: Mapping[str, Adapter], scaling: str, base: str, folder: Path) -> None:
    tensors = {}
    factors = {module: _factors(adapter) for module, adapter in adapters.items()}
    for name, adapter in adapters.items():
        for index, (a, b) in enumerate(zip(factors[name].a, factors[name].b, strict=True)):
            module = f"base_model.model.model.layers.{index}.{name}"
            if isinstance(adapter, Decomposed):
                tensors[f"{module}.lora_magnitude_vector"] = np.ascontiguousarray(adapter.magnitude[index])
            tensors[f"{module}.lora_A.weight"] = np.ascontiguousarray(a.T)
            tensors[f"{module}.lora_B.weight"] = np.ascontiguousarray(b.T)
    first = next(iter(factors.values()))
    rank = first.a.shape[2]

    def alpha(rank: int) -> float:
        return first.scale * (math.sqrt(rank) if scaling == "rslora" else rank)

    others = {module.split(".")[1]: its.a.shape[2] for module, its in factors.items() if its.a.shape[2] != rank}
    description = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha(rank),
        "rank_pattern": others,
        "alpha_pattern": {module: alpha(rank) for module, rank in others.items()},
        "use_rslora": scaling == "rslora",
        "lora_dropout": first.dropout,
        "use_dora": any(isinstance(adapter, Decomposed) for adapter in adapters.values()),
        "target_modules": [module.split(".")[1] for module in adapters],
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    with whole(folder) as scratch:
        scratch.mkdir()
        write_tensors(scratch / WEIGHTS, tensors, {"format": "pt"})
        (scratch / SETTINGS).write_text(json.dumps(description, indent=1) + "\n")


class Factors(NamedTuple):
    """One linear in all layers: A [L, d, r], B [L, r, n], their scale, and the magnitudes [L, n] of DoRA, NaN in layers
    without. Layers without an adapter have zeros, as have the ranks above those of a layer."""

    a: np.ndarray
    b: np.ndarray
    scale: float
    magnitude: np.ndarray | None


def is_adapter(folder: Path) -> bool:
    """True if the folder holds a peft adapter."""
    return (folder / SETTINGS).is_file()


def adapter_hash(folder: Path) -> str:
    """SHA-256 (hex) of both files of an adapter."""
    digest = hashlib.sha256((folder / SETTINGS).read_bytes())
    with (folder / WEIGHTS).open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def load_adapter(folder: Path, base: Llama) -> dict[str, Adapter]:
    """The adapters of a peft folder for a base of their shape; `adapters.merge` adds them to its weights.

    peft keeps A as [r, in] and B as [out, r]. Rank and scale follow `rank_pattern`, `alpha_pattern` and `use_rslora`.
    UserError names what cannot be merged exactly: another kind of adapter, trained biases, embeddings or heads, a start
    that changes the base (PiSSA, OLoRA, CorDA, LoftQ), factors of another shape, NaN or infinity.
    """
    layout, found = base.compute.layout, {}
    for name, read in read_adapter(folder, base.config).items():
        a, b = reshard(jnp.asarray(read.a), layout.low_rank("a")), reshard(jnp.asarray(read.b), layout.low_rank("b"))
        found[name] = factors = LowRank(a, b, read.scale)
        if read.magnitude is not None:
            kernel = getattr(base.layers, name)[...]
            _, _, everywhere = layout.low_rank("b")
            norms = reshard(column_norms(kernel), PartitionSpec(None, everywhere))
            given = reshard(jnp.asarray(read.magnitude), PartitionSpec(None, everywhere))
            found[name] = Decomposed(factors, jnp.where(jnp.isnan(given), norms, given), kernel)
    return found


def read_adapter(folder: Path, config: LlamaConfig) -> dict[str, Factors]:
    """The factors of a peft folder by linear, checked against the shape of their base; UserError as `load_adapter`."""
    settings = _settings(folder / SETTINGS)
    shapes, adapters = config.linear_shapes, defaultdict(dict)
    modules = config.modules
    for tensor, value in _tensors(folder).items():
        where, match = f"{folder / WEIGHTS}: tensor {tensor}", _FACTOR.fullmatch(tensor)
        names = modules.get(match[3], ()) if match else ()
        if match is None or not names:
            known = ", ".join(module.split(".")[1] for module in modules)
            raise UserError(f"{where} cannot be merged: only LoRA factors of {known} can.")
        if int(match[2]) >= config.num_layers:
            raise UserError(f"{where} is of layer {match[2]}, and the base has {config.num_layers} layers.")
        rank, scale = _rank_and_scale(folder / SETTINGS, settings, match[1])
        d, widths = shapes[names[0]][0], [shapes[name][1] for name in names]
        n = sum(widths)
        expected = {"lora_A.weight": (rank, d), "lora_B.weight": (n, rank)}.get(match[4], (n,))
        if value.shape != expected:
            raise UserError(f"{where} has shape {value.shape}, expected {expected} for this base and rank.")
        if not np.isfinite(value).all():
            raise UserError(f"{where} holds NaN or infinity.")
        apart = [value] * len(names) if match[4] == "lora_A.weight" else np.split(value, np.cumsum(widths)[:-1])
        for name, part in zip(names, apart, strict=True):
            adapters[name].setdefault(int(match[2]), {"scale": scale})[match[4]] = part.astype(np.float32)
    if not adapters:
        raise UserError(f"{folder / WEIGHTS}: holds no adapter.")
    needed = {"lora_A.weight", "lora_B.weight", *(["lora_magnitude_vector"] if settings.get("use_dora") else [])}
    for name, layers in adapters.items():
        for layer, its in layers.items():
            if its.keys() - {"scale"} != needed:
                found, expected = (", ".join(sorted(parts)) for parts in (its.keys() - {"scale"}, needed))
                module = f"layer {layer}, {LINEARS[name].module}"
                raise UserError(f"{folder / WEIGHTS}: {module}: found {found}, expected {expected}.")
    return {name: _stacked(adapters[name], config.num_layers) for name in LINEARS if name in adapters}


def _settings(path: Path) -> dict[str, Any]:
    """The settings of an adapter; UserError for one that is not merged exactly."""
    settings = read_json(path)
    for key, value in settings.items():
        if key in _FIXED and value != _FIXED[key]:
            raise UserError(f"{path}: {key} is {json.dumps(value)}; only {json.dumps(_FIXED[key])} can be merged.")
        if key not in _FIXED and key not in _FREE and value:
            raise UserError(f"{path}: {key} is {json.dumps(value)}; only adapters without it can be merged.")
    if settings.get("init_lora_weights", True) not in _STARTS:
        raise UserError(
            f"{path}: init_lora_weights is {json.dumps(settings['init_lora_weights'])}, which changes the base.\n"
            "Convert the adapter to plain LoRA with peft (path_initial_model_for_weight_conversion)."
        )
    return settings


def _tensors(folder: Path) -> dict[str, np.ndarray]:
    path = folder / WEIGHTS
    if not path.is_file():
        pickles = sorted(found.name for found in folder.glob("*.bin"))
        held = f"holds {pickles[0]}, a pickle file, which can run code when read, but" if pickles else "holds"
        raise UserError(f"{folder}: {held} no {WEIGHTS}.\nSave the adapter with safe_serialization=True.")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a complete safetensors file ({error}); copy or download it again.") from None


def _rank_and_scale(path: Path, settings: Mapping[str, Any], module: str) -> tuple[int, float]:
    """(rank, factor of B A) of a module of the base, by peft's rule: the first pattern that matches its end counts."""

    def setting(key: str, patterns: str) -> Any:
        found = settings.get(patterns) or {}
        return next((found[one] for one in found if re.match(rf"(.*\.)?({one})$", module)), settings.get(key, 8))

    rank, alpha = setting("r", "rank_pattern"), setting("lora_alpha", "alpha_pattern")
    if type(rank) is not int or rank < 1 or type(alpha) not in (int, float) or not math.isfinite(alpha):
        raise UserError(f"{path}: {module} has rank {rank!r} and lora_alpha {alpha!r}, expected numbers.")
    return rank, alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def _stacked(layers: Mapping[int, Mapping[str, Any]], count: int) -> Factors:
    """The adapters of one linear, by layer, as stacks over `count` layers. A scale that all share stays a factor."""
    first, scales = next(iter(layers.values())), {its["scale"] for its in layers.values()}
    shared = len(scales) == 1
    d, n = first["lora_A.weight"].shape[1], len(first["lora_B.weight"])
    rank = max(len(its["lora_A.weight"]) for its in layers.values())
    a, b = np.zeros((count, d, rank), np.float32), np.zeros((count, rank, n), np.float32)
    magnitude = np.full((count, n), np.nan, np.float32) if "lora_magnitude_vector" in first else None
    for layer, its in layers.items():
        its_rank = len(its["lora_A.weight"])
        a[layer, :, :its_rank] = its["lora_A.weight"].T
        b[layer, :its_rank] = its["lora_B.weight"].T * (1 if shared else np.float32(its["scale"]))
        if magnitude is not None:
            magnitude[layer] = its["lora_magnitude_vector"]
    return Factors(a, b, scales.pop() if shared else 1.0, magnitude)
