"""The part of a record about the change of weights and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: (lower end, upper end) of a 95 % interval.
Interval = tuple[float | None, float | None]


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Change of the outputs on a text.

    logit_kl: mean KL to the base, nat/token. logit_kl_interval: its 95 % bootstrap interval over texts. relative_drift:
    the KL as a share of the base's entropy. hidden_drift: |h - h0| / |h0| after every block.
    """

    logit_kl: float
    logit_kl_interval: Interval | None = None
    logit_max_difference: float
    relative_drift: float | None = None
    hidden_drift: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Space:
    """One input space of one layer. rank: rank of its protected basis Q. captured_heldout: share of the held-out energy
    in span(Q). leak: |dW Q| / |dW| by changed linear that reads this space."""

    space: str
    layer: int
    width: int
    rank: int
    captured_heldout: float
    leak: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class LinearMovement:
    """One linear, with one value per layer: see `jaxft.subspace.movement.Movement`. full_rank: min(d, n)."""

    full_rank: int
    norm: tuple[float, ...]
    relative: tuple[float, ...]
    effective_rank: tuple[float, ...]
    changed: tuple[float, ...]
    shares: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Movement:
    """Change of the weights, by direction and by linear.

    shares: for each of `energies`, the share of |dW|² over all linears and layers in the directions of the reference
    inputs that hold this share of their energy. isotropic: the same for a change without preferred directions.
    changed_above: a weight counts as changed if |dW| exceeds this multiple of its linear's rms. linears: empty in the
    record of a sweep.
    """

    changed_above: float
    energies: tuple[float, ...]
    shares: tuple[float, ...]
    isotropic: tuple[float, ...]
    linears: Mapping[str, LinearMovement]

    def leak(self, energy: float) -> tuple[float, float]:
        """(|dW Q| / |dW|, the same for an isotropic change); Q: the input directions with the share `energy`."""
        at = self.energies.index(energy)
        return self.shares[at] ** 0.5, self.isotropic[at] ** 0.5


@dataclass(frozen=True, kw_only=True)
class Certificate(Drift):
    """The changes by fine-tuning, inside and outside of the method's own protected directions Q.

    Drift is on held-out reference text. domain: drift on text of the domain. unprojected: changed parameters that are
    not linears. exported: the certificate of the model read back from disk. A sweep's record replaces `spaces` by their
    largest leak, worst_leak, and `exported` by that of the exported model, exported_leak.
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
        """The largest |dW Q| / |dW| over layers and linears, Q the method's own; None if no linear changed."""
        return max((leak for space in self.spaces or () for leak in space.leak.values()), default=self.worst_leak)
