"""What a record says of how the weights and the outputs moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: (lower end, upper end) of a 95 % interval.
Interval = tuple[float | None, float | None]


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How far the outputs moved on a text.

    logit_kl: mean KL to the base, nat/token; logit_kl_interval: its 95 % bootstrap interval over texts. relative_drift:
    the KL as a share of the base's entropy. hidden_drift: |h - h0| / |h0| behind every block.
    """

    logit_kl: float
    logit_kl_interval: Interval | None = None
    logit_max_difference: float
    relative_drift: float | None = None
    hidden_drift: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Space:
    """One input space of one layer. rank: of its protected basis Q. captured_heldout: the share of held-out energy in
    span(Q). leak: |dW Q| / |dW| of every changed linear that reads it."""

    space: str
    layer: int
    width: int
    rank: int
    captured_heldout: float
    leak: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class LinearMovement:
    """One linear, a value for each layer: see `jaxft.subspace.movement.Movement`. full_rank: min(d, n)."""

    full_rank: int
    norm: tuple[float, ...]
    relative: tuple[float, ...]
    effective_rank: tuple[float, ...]
    changed: tuple[float, ...]
    shares: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Movement:
    """Where the weights changed.

    shares: the share of |dW|² inside the directions of the reference inputs that hold each of `energies` of their
    energy, over all linears and layers. isotropic: the same of a change with no preference. changed_above: a weight
    counts as changed above this share of its linear's rms. linears: empty in the record of a sweep.
    """

    changed_above: float
    energies: tuple[float, ...]
    shares: tuple[float, ...]
    isotropic: tuple[float, ...]
    linears: Mapping[str, LinearMovement]

    def leak(self, energy: float) -> tuple[float, float]:
        """(|dW Q| / |dW|, that of a change with no preference), Q the directions that hold `energy` of the inputs."""
        at = self.energies.index(energy)
        return self.shares[at] ** 0.5, self.isotropic[at] ** 0.5


@dataclass(frozen=True, kw_only=True)
class Certificate(Drift):
    """What fine-tuning changed, inside and outside of the method's own protected directions Q.

    The drift is on held-out reference text; domain: on text of the domain. unprojected: parameters that changed outside
    of the linears. exported: the same of the model as it was written to disk. A sweep's record keeps worst_leak and
    exported_leak, the largest of `spaces` and of the exported model's, in their place.
    """

    relative_delta_norm: float
    unprojected: tuple[str, ...]
    delta_norm: float | None = None
    spaces: tuple[Space, ...] | None = None
    worst_leak: float | None = None
    exported_leak: float | None = None
    domain: Drift | None = None
    movement: Movement | None = None
    exported: Certificate | None = None

    @property
    def own_leak(self) -> float | None:
        """The largest |dW Q| / |dW| over layers and linears, Q the method's own; None where no linear changed."""
        return max((leak for space in self.spaces or () for leak in space.leak.values()), default=self.worst_leak)
