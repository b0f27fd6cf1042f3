"""The knobs of every method, one frozen dataclass each; `experiments/config.py` has the rest of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from jaxft.bounds import Positive
from jaxft.data.source import Mix, Source

LINEARS = ("q", "k", "v", "o", "gate", "up", "down")


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
class L2SP(Trained):
    """All weights, pulled toward the base: loss + strength / 2 |W - W0|^2."""

    strength: float = 0.1
    kind: Literal["l2sp"] = "l2sp"


@dataclass(frozen=True)
class EWC(Trained):
    """All weights, pulled toward the base where reference text needs them: loss + strength / 2 sum F (W - W0)^2."""

    strength: float = 1.0  # 1: that term is the KL to the base in nat per token, to second order and F alone
    kind: Literal["ewc"] = "ewc"


@dataclass(frozen=True)
class KL(Trained):
    """All weights; loss + strength * KL(base || model) per token of reference text."""

    strength: Positive = 1.0
    kind: Literal["kl"] = "kl"


@dataclass(frozen=True)
class Interpolated(Trained):
    """All weights are trained, and brought back in the end: W0 + weight (W - W0)."""

    weight: float = 0.5
    kind: Literal["interpolated"] = "interpolated"


@dataclass(frozen=True)
class Grafted(Trained):
    """All weights are trained; those that changed most stay so, the others go back to the base."""

    share: float = 0.01  # of all parameters that keeps its change
    kind: Literal["grafted"] = "grafted"


@dataclass(frozen=True)
class FrozenLayers(Trained):
    """All weights but those of some layers."""

    layers: Annotated[tuple[int, int], "a first and a last layer, from 0"] = field(
        kw_only=True
    )  # first and last that stay as they are, from 0
    kind: Literal["frozen_layers"] = "frozen_layers"


@dataclass(frozen=True)
class Galore(Trained):
    """All weights; Adam sees the linears' gradients in a few directions, chosen anew now and then."""

    rank: int = 8  # of those directions
    gap: int = 200  # steps between two choices
    scale: float = 0.25  # of the linears' updates
    kind: Literal["galore"] = "galore"


@dataclass(frozen=True)
class Osf(Trained):
    """Dense changes of the linears, kept out of the leading singular directions of the weights themselves."""

    keep: float = 0.5  # share of each linear's singular directions
    targets: tuple[str, ...] = LINEARS
    kind: Literal["osf"] = "osf"

    def kept(self, d: int, n: int) -> int:
        """Number of protected singular directions of a linear [d, n]; at least one."""
        return max(1, int(self.keep * min(d, n)))


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
class Neurons:
    """The neurons (outputs of the linears) that may change, chosen once, before training."""

    share: float  # of every linear's outputs in every layer
    by: Literal["importance", "similarity"]  # least used by reference text, or least aligned with its inputs


@dataclass(frozen=True)
class GradientProjection(Protecting):
    """Dense changes of the linears, kept out of the directions that reference text uses."""

    decay: float = 0.0  # lambda of the moment-weighted decay toward the base weights
    two_sided: bool = False  # weight that decay with the moments of the output gradients too
    metric_rank: int = 0  # directions of each of these moments, beside their diagonals; 0, or no fewer: whole matrices
    gradients: float = 1.0  # share of the protected directions, strongest first, that gradients are kept out of
    updates: bool = True  # project updates, last, out of all of them
    neurons: Neurons | None = None  # None: all may change; energy 0 chooses neurons and protects no direction
    kind: Literal["gradient_projection"] = "gradient_projection"


@dataclass(frozen=True)
class Auto(Trained):
    """Gradient projection with one knob: strength of the decay and learning rate are found for a budget.

    Drift is KL(base || tuned) on held-out reference text over the base's entropy there: the relative rise of loss to
    expect on text of the base itself.
    """

    learning_rates: tuple[float, ...] = ()  # found, not set
    budget: float = 0.01  # drift
    trials: int = 16  # training runs of the search, at most
    targets: tuple[str, ...] = LINEARS
    kind: Literal["auto"] = "auto"

    def at(self, decay: float, learning_rate: float) -> GradientProjection:
        """One trial of the search: ranks follow from 95 % of the energy, and the decay holds the rest.

        256 directions of each moment are nearly the whole metric of narrow models and bearable at any width. On the
        base that ships, 64 of them drift nearly twice as far at the same proficiency, and gradients that are kept out
        of the strongest tenth of the protected directions alone learn less at a third more drift.
        """
        return GradientProjection(
            (learning_rate,),
            self.mix,
            energy=0.95,
            targets=self.targets,
            decay=decay,
            two_sided=True,
            metric_rank=256,
        )


@dataclass(frozen=True)
class NullSpaceLora(Adapted, Protecting):
    """Low-rank adapters that read nothing of the directions that reference text uses."""

    kind: Literal["null_space_lora"] = "null_space_lora"


Method = (
    Full
    | L2SP
    | EWC
    | KL
    | Interpolated
    | Grafted
    | FrozenLayers
    | Galore
    | Osf
    | Lora
    | Dora
    | LoraNull
    | Corda
    | SafeLora
    | SafeMerge
    | GradientProjection
    | NullSpaceLora
    | Auto
)
