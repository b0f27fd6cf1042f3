"""The model families: one short function each, for what it adds to a Llama.

The same function reads config.json into the fields of a `LlamaConfig` and writes them back; `Keys` knows the direction.
`model_type` chooses the function, as in transformers, and absent keys take that family's defaults there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from jaxft.errors import UserError
from jaxft.llama.rope import NoRope, Rope


class Kind(NamedTuple):
    """A kind of value in config.json."""

    fits: Callable[[Any], bool]
    words: str


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


BOOL = Kind(lambda v: isinstance(v, bool), "true or false")
NUMBER = Kind(_number, "a positive number")
NUMBER_OR_NULL = Kind(lambda v: v is None or _number(v), "a positive number or null")
COUNT = Kind(lambda v: _number(v) and v == int(v), "a positive integer")
COUNT_OR_NULL = Kind(lambda v: v is None or COUNT.fits(v), "a positive integer or null")


@dataclass
class Keys:
    """The keys of one config.json and the fields of its LlamaConfig; a family maps the ones to the others.

    path: of the file, for errors. raw: the JSON object, complete if `reading`, else being written. fields: complete
    if not `reading`; else those of every Llama, to which the family adds.
    """

    path: Path
    raw: dict[str, Any]
    fields: dict[str, Any]
    reading: bool
    layers: int = field(init=False)

    def __post_init__(self) -> None:
        self.layers = self.fields["num_layers"]

    def error(self, message: str) -> UserError:
        return UserError(f"{self.path}: {message}")

    def value(self, key: str, default: Any, kind: Kind) -> Any:
        """The value of a key in the file, checked."""
        found = self.raw.get(key, default)
        if not kind.fits(found):
            raise self.error(f"{key} is {json.dumps(found)}, expected {kind.words}.")
        return found

    def fixed(self, key: str, *values: Any) -> None:
        """A key that must have one of these values, the first one if it is absent; the first one is written."""
        if not self.reading:
            self.raw[key] = values[0]
        elif self.raw.get(key, values[0]) not in values:
            raise self.error(f"{key} is {json.dumps(self.raw[key])}; only {json.dumps(values[0])} is supported.")

    def number(self, key: str, name: str, default: Any = 1.0, kind: Kind = NUMBER, power: float = 1) -> None:
        """A number, to the `power`, in the field `name`."""
        if self.reading:
            found = self.value(key, default, kind)
            self.fields[name] = found if found is None else float(found) ** power
        else:
            found = self.fields[name]
            if found is not None and power != 1:
                found = round(found ** (1 / power), 6)
                found = int(found) if found == int(found) else found
            self.raw[key] = found

    def add(self, **fields: Any) -> None:
        """Fields that every model of the family has."""
        if self.reading:
            self.fields |= fields

    def biases(self, key: str, names: Sequence[str]) -> None:
        """A key that gives these linears a bias."""
        if not self.reading:
            self.raw[key] = set(names) <= set(self.fields["biased"])
        elif self.value(key, False, BOOL):
            self.fields["biased"] = (*self.fields.get("biased", ()), *names)

    def window(self, default: int | None, local: Sequence[bool] | None = None) -> None:
        """`sliding_window`, of all layers, or of those of `local` if the file has no `layer_types`."""
        if self.reading:
            window = self.value("sliding_window", default, COUNT_OR_NULL)
            found = (True,) * self.layers if local is None else self._layer_types(local)
            if window is None and local is not None and any(found):
                raise self.error('layer_types names "sliding_attention", but sliding_window is null.')
            if window is not None and any(found):
                self.add(window=int(window), local=found)
        else:
            self.raw["sliding_window"] = self.fields["window"]
            if local is not None:
                kinds = self.fields["local"] or (False,) * self.layers
                self.raw["layer_types"] = [f"{'sliding' if kind else 'full'}_attention" for kind in kinds]

    def _layer_types(self, local: Sequence[bool]) -> tuple[bool, ...]:
        types = self.raw.get("layer_types")
        if types is None:
            return tuple(local)
        known = ("full_attention", "sliding_attention")
        if not isinstance(types, list) or len(types) != self.layers or any(kind not in known for kind in types):
            words = f'{self.layers} entries "full_attention" or "sliding_attention"'
            raise self.error(f"layer_types is {json.dumps(types)}, expected {words}.")
        return tuple(kind == "sliding_attention" for kind in types)


class Family(NamedTuple):
    """The class of a family in transformers, values of absent keys that differ from a Llama's, and its function."""

    architecture: str
    defaults: dict[str, Any]
    apply: Callable[[Keys], None]


#: The families by model_type.
FAMILIES: dict[str, Family] = {}
#: Model types that need a second block, or more than text, and why.
REFUSED = {
    **dict.fromkeys(("stablelm", "cohere", "cohere2", "phi", "gpt2", "gpt_neox", "opt", "bloom", "mpt"), "LayerNorm"),
    **dict.fromkeys(("internlm2", "internlm3"), "dynamic RoPE and a layout of its own"),
    **dict.fromkeys(("baichuan", "chatglm", "qwen"), "code of its own and a layout of its own"),
    **dict.fromkeys(("minicpm", "minicpm3"), "code of its own"),
    **dict.fromkeys(("gemma3", "mllama", "mistral3", "llava", "qwen2_vl", "qwen2_5_vl"), "images"),
    **dict.fromkeys(("mixtral", "llama4", "deepseek_v2", "deepseek_v3", "gpt_oss", "phimoe"), "a mixture of experts"),
    "olmo": "norms without weights",
}
ATTENTION, MLP = ("q", "k", "v", "o"), ("gate", "up", "down")


def family(model_type: str, architecture: str, **defaults: Any) -> Callable[[Callable], Callable]:
    """Enter a function in `FAMILIES`."""

    def enter(function: Callable[[Keys], None]) -> Callable[[Keys], None]:
        FAMILIES[model_type] = Family(architecture, defaults, function)
        return function

    return enter


@family("llama", "LlamaForCausalLM")
def llama(keys: Keys) -> None:
    keys.biases("attention_bias", ATTENTION)
    keys.biases("mlp_bias", MLP)
    keys.fixed("hidden_act", "silu")


@family("mistral", "MistralForCausalLM", num_key_value_heads=8)
def mistral(keys: Keys) -> None:
    keys.window(4096)
    keys.fixed("attention_bias", False)
    keys.fixed("hidden_act", "silu")


@family("qwen2", "Qwen2ForCausalLM", bos_token_id=None)
def qwen2(keys: Keys) -> None:
    keys.add(biased=("q", "k", "v"))
    late_windows(keys)


@family("qwen3", "Qwen3ForCausalLM", bos_token_id=None, head_dim=128)
def qwen3(keys: Keys) -> None:
    keys.add(qk_norm="heads")
    keys.biases("attention_bias", ATTENTION)
    late_windows(keys)


def late_windows(keys: Keys) -> None:
    """SiLU, and windows of the layers from `max_window_layers` on, if `use_sliding_window`."""
    keys.fixed("hidden_act", "silu")
    if not keys.reading:
        keys.raw["use_sliding_window"] = keys.fields["window"] is not None
    elif not keys.value("use_sliding_window", False, BOOL):
        keys.raw["sliding_window"] = None
    first = keys.value("max_window_layers", 28, COUNT) if keys.raw.get("sliding_window", 4096) else keys.layers
    keys.window(4096, [number >= first for number in range(keys.layers)])


@family("smollm3", "SmolLM3ForCausalLM", tie_word_embeddings=True, num_key_value_heads=4, rope_theta=2e6)
def smollm3(keys: Keys) -> None:
    """Some layers do not rotate."""
    llama(keys)
    keys.fixed("use_sliding_window", False)
    keys.fixed("sliding_window", None)
    if keys.reading:
        every = keys.value("no_rope_layer_interval", 4, COUNT)
        rotated = keys.raw.get("no_rope_layers") or [(n + 1) % every for n in range(keys.layers)]
        if not isinstance(rotated, list) or len(rotated) != keys.layers:
            raise keys.error(f"no_rope_layers is {json.dumps(rotated)}, expected {keys.layers} entries 0 or 1.")
        if not all(rotated):
            keys.add(local=tuple(not rotates for rotates in rotated), local_rope=NoRope())
    else:
        keys.raw["no_rope_layers"] = [int(not still) for still in keys.fields["local"] or (False,) * keys.layers]


@family("granite", "GraniteForCausalLM")
def granite(keys: Keys) -> None:
    llama(keys)
    keys.number("embedding_multiplier", "embedding_scale")
    keys.number("residual_multiplier", "residual_scale")
    keys.number("attention_multiplier", "query_scale")
    keys.number("logits_scaling", "logit_divisor")


@family("olmo2", "Olmo2ForCausalLM", bos_token_id=None)
def olmo2(keys: Keys) -> None:
    keys.add(norms="after", qk_norm="all")
    keys.biases("attention_bias", ATTENTION)
    keys.fixed("hidden_act", "silu")


GEMMA = {"tie_word_embeddings": True, "bos_token_id": 2, "eos_token_id": 1, "head_dim": 256}


@family("gemma", "GemmaForCausalLM", **GEMMA, num_key_value_heads=16)
def gemma(keys: Keys) -> None:
    keys.add(norm_plus_one=True, activation="gelu_pytorch_tanh", embedding_scale=keys.fields["hidden_size"] ** 0.5)
    keys.biases("attention_bias", ATTENTION)
    keys.fixed("hidden_act", "gelu_pytorch_tanh", "gelu")  # "gelu" in old files means the same
    keys.fixed("hidden_activation", "gelu_pytorch_tanh", None)
    keys.fixed("use_bidirectional_attention", False, None)


@family("gemma2", "Gemma2ForCausalLM", **GEMMA, num_key_value_heads=4)
def gemma2(keys: Keys) -> None:
    gemma(keys)
    keys.add(norms="both")
    keys.number("query_pre_attn_scalar", "query_scale", 256, power=-0.5)
    keys.number("attn_logit_softcapping", "score_cap", 50.0, NUMBER_OR_NULL)
    keys.number("final_logit_softcapping", "logit_cap", 30.0, NUMBER_OR_NULL)
    keys.window(4096, [number % 2 == 0 for number in range(keys.layers)])


@family("gemma3_text", "Gemma3ForCausalLM", **GEMMA, num_key_value_heads=4, rope_theta=1e6)
def gemma3(keys: Keys) -> None:
    """Most layers are local: a window and a RoPE of their own."""
    gemma(keys)
    keys.add(norms="both", qk_norm="heads")
    keys.number("query_pre_attn_scalar", "query_scale", 256, power=-0.5)
    keys.fixed("attn_logit_softcapping", None)
    keys.number("final_logit_softcapping", "logit_cap", None, NUMBER_OR_NULL)
    every = keys.value("sliding_window_pattern", keys.raw.get("_sliding_window_pattern", 6), COUNT)
    keys.window(4096, [(number + 1) % every != 0 for number in range(keys.layers)])
    if not keys.reading:
        keys.raw["rope_local_base_freq"] = (keys.fields["local_rope"] or Rope()).rope_theta
    elif any(keys.fields.get("local", ())) and "local_rope" not in keys.fields:
        keys.add(local_rope=Rope(rope_theta=float(keys.value("rope_local_base_freq", 10_000.0, NUMBER))))


@family("phi3", "Phi3ForCausalLM", partial_rotary_factor=1.0)
def phi3(keys: Keys) -> None:
    if keys.fields["rope"].kind not in ("default", "longrope"):
        raise keys.error(f'RoPE type "{keys.fields["rope"].kind}"; only "default" and "longrope" are known to a Phi-3.')
    keys.add(fused=True)
    keys.window(None)
    for key in ("attention_bias", "mlp_bias", "lm_head_bias"):
        keys.fixed(key, False)
    keys.fixed("hidden_act", "silu")
