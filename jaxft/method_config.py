"""The knobs of every method, one frozen dataclass each; `jaxft/config.py` has the rest of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

LINEARS = ("q", "k", "v", "o", "gate", "up", "down")


@dataclass(frozen=True)
class Source:
    """Examples of one kind: an embedded corpus, a known dataset, or a .jsonl file."""

    name: str
    split: str = "train"
    limit: int | None = None  # so many examples, evenly spaced over the split; all where None


@dataclass(frozen=True)
class Mix:
    """Other text among what is trained on: replayed reference text, general instructions, safety data."""

    sources: tuple[Source, ...]
    share: float  # of the rows that are trained on


@dataclass(frozen=True)
class Trained:
    """What every method has."""

    learning_rates: tuple[float, ...]
    mix: Mix | None = None  # None: the domain alone


@dataclass(frozen=True)
class Full(Trained):
    """All weights are trained."""

    kind: Literal["full"] = "full"


@dataclass(frozen=True)
class Adapted(Trained):
    """What every method with low-rank adapters on frozen linears has. On MLPs alone: targets=("gate", "up", "down")."""

    rank: int = 8
    alpha: float = 16.0
    scaling: Literal["lora", "rslora"] = "lora"  # A B is multiplied by alpha / rank, or by alpha / sqrt(rank)
    dropout: float = 0.0
    weight_decay: float | None = None  # of the adapters; None: training.weight_decay
    targets: tuple[str, ...] = LINEARS


@dataclass(frozen=True)
class Lora(Adapted):
    """Low-rank adapters (Hu et al. 2021): W + scale A B."""

    kind: Literal["lora"] = "lora"


@dataclass(frozen=True)
class Dora(Adapted):
    """Weight-decomposed adapters (Liu et al. 2024): direction W + scale A B, and the size of each column trained."""

    kind: Literal["dora"] = "dora"


@dataclass(frozen=True)
class LoraNull(Adapted):
    """Adapters that start as the part of the weight in the directions that reference inputs use least (Tang 2025)."""

    kind: Literal["lora_null"] = "lora_null"


@dataclass(frozen=True)
class Corda(Adapted):
    """Adapters that start as the components of the weight that reference inputs use least (Yang et al. 2024)."""

    kind: Literal["corda"] = "corda"


@dataclass(frozen=True)
class Realigned(Adapted):
    """What every method has that edits trained adapters by the direction of the base's own safety training."""

    unaligned: str = field(kw_only=True)  # folder of the base as it was before its safety training
    threshold: float = 0.5  # linears whose change is less like its aligned part are edited; a cosine


@dataclass(frozen=True)
class SafeLora(Realigned):
    """LoRA whose changes are projected where they leave the direction of the safety training (Hsu et al. 2024)."""

    kind: Literal["safe_lora"] = "safe_lora"


@dataclass(frozen=True)
class SafeMerge(Realigned):
    """LoRA merged with an adapter trained on safe replies, where it leaves that direction (Djuhera et al. 2025)."""

    safe_sources: tuple[Source, ...] = field(kw_only=True)  # what the safe adapter is trained on
    safe_weight: float = 0.2  # of the safe adapter where both are merged; the trained one has the rest
    threshold: float = 0.35
    kind: Literal["safe_merge"] = "safe_merge"


@dataclass(frozen=True)
class Protecting(Trained):
    """What every method has that keeps changes out of protected directions."""

    energy: float | Literal["auto"] = 0.99  # captured energy of the protected basis; 0 protects nothing
    targets: tuple[str, ...] = LINEARS
    auto_capture: float = 0.99  # energy "auto": held-out energy to capture ...
    auto_plasticity: float = 0.05  # ... while this share of the domain gradient's norm stays free


@dataclass(frozen=True)
class GradientProjection(Protecting):
    """Dense changes of the linears, kept out of the directions that reference text uses."""

    decay: float = 0.0  # lambda of the moment-weighted decay toward the base weights
    two_sided: bool = False  # weight that decay with the moments of the output gradients too
    metric_rank: int = 0  # directions of each of these moments, beside their diagonals; 0: whole matrices
    gradients: float = 1.0  # share of the protected directions, strongest first, that gradients are kept out of
    updates: bool = True  # project updates, last, out of all of them
    kind: Literal["gradient_projection"] = "gradient_projection"


@dataclass(frozen=True)
class Auto(Trained):
    """Gradient projection with one knob: rank, strength of the decay and learning rate are found for a budget.

    Drift is KL(base || tuned) on held-out reference text over the base's entropy there: the relative rise of loss to
    expect on text of the base itself.
    """

    learning_rates: tuple[float, ...] = ()  # found, not set
    budget: float = 0.01  # drift
    trials: int = 16  # training runs of the search, at most
    targets: tuple[str, ...] = LINEARS
    kind: Literal["auto"] = "auto"

    def at(self, decay: float, learning_rate: float) -> GradientProjection:
        """One trial of the search."""
        return GradientProjection(
            (learning_rate,), self.mix, energy="auto", targets=self.targets, decay=decay, two_sided=True
        )


@dataclass(frozen=True)
class NullSpaceLora(Adapted, Protecting):
    """Low-rank adapters that read nothing of the directions that reference text uses."""

    kind: Literal["null_space_lora"] = "null_space_lora"


Method = Full | Lora | Dora | LoraNull | Corda | SafeLora | SafeMerge | NullSpaceLora | GradientProjection | Auto
