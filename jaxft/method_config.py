"""The knobs of every method, one frozen dataclass each; `jaxft/config.py` has the rest of a run."""

from __future__ import annotations

from dataclasses import dataclass
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
    """What every method with low-rank adapters on frozen linears has."""

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = LINEARS


@dataclass(frozen=True)
class Lora(Adapted):
    """Low-rank adapters (Hu et al. 2021): W + alpha / rank * A B."""

    kind: Literal["lora"] = "lora"


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


Method = Full | Lora | GradientProjection | Auto
