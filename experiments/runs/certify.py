"""The certificate of a fine-tuned model: changed weights, leak into protected bases, drift on held-out text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.evaluation.statistics import interval
from experiments.runs.workspace import Workspace
from experiments.store.record.certificate import Certificate, Drift, LinearMovement, Movement, Space
from jaxft.llama.config import SPACE_OF
from jaxft.llama.drift import drift
from jaxft.llama.model import Llama
from jaxft.methods import Method
from jaxft.progress import tracked
from jaxft.subspace.certificate import certify
from jaxft.subspace.movement import CHANGED_ABOVE, ENERGIES, movement, share_of_all


def reference_drift(work: Workspace, model: Llama, part: slice = slice(None)) -> Drift:
    """The drift of a model on held-out reference text, or on the slice `part` of its examples."""
    return _drift(work, model, work.calibration.heldout_batches(part))


def kernel_changes(base: Llama, model: Llama) -> dict[str, jax.Array]:
    """dW = W - W0 [L, d, n] float32 of every linear that changed, by name."""
    changes = {}
    for name in SPACE_OF:
        change = getattr(model.layers, name)[...].astype("float32") - getattr(base.layers, name)[...].astype("float32")
        if bool((change != 0).any()):
            changes[name] = change
    return changes


def delta_norm(base: Llama, model: Llama) -> float:
    """Frobenius norm of dW over all linears."""
    changes = kernel_changes(base, model).values()
    return float(np.sqrt(sum(float(jnp.square(change).sum()) for change in changes)))


def certify_model(
    work: Workspace, method: Method | None, model: Llama, changes: Mapping[str, jax.Array] | None = None
) -> Certificate:
    """The certificate of a fine-tuned model. changes: dW by linear; None: the difference from the base."""
    base = work.base.model
    moved = [
        f"{owner}.{name}" if owner else name
        for (owner, name, old), (_, _, new) in zip(base.parameters(), model.parameters(), strict=True)
        if name not in SPACE_OF and bool((old[...] != new[...]).any())
    ]
    weights = certify(
        kernel_changes(base, model) if changes is None else changes,
        _kernels(base),
        work.certificate_bases(method),
        work.heldout_moments,
        SPACE_OF,
        moved,
    )
    weights |= {"unprojected": tuple(moved), "spaces": tuple(Space(**space) for space in weights["spaces"])}
    return Certificate(
        **weights,
        **vars(reference_drift(work, model)),
        domain=_drift(work, model, work.domain_batches) if work.experiment.domain else None,
    )


def describe_movement(work: Workspace, changes: Mapping[str, jax.Array]) -> Movement:
    """The movement of the linears, from their changes dW [L, d, n], to four significant digits."""
    files = work.calibration.files
    moments = (files.read(index).inputs for index in range(len(files)))
    moved = movement(changes, _kernels(work.base.model), moments, SPACE_OF)
    shares, isotropic = share_of_all(moved.values())
    linears = {}
    for name in (name for name in SPACE_OF if name in moved):
        found = moved[name]
        linears[name] = LinearMovement(
            full_rank=min(changes[name].shape[1:]),
            norm=_rounded(found.norm),
            relative=_rounded(found.relative),
            effective_rank=_rounded(found.effective_rank),
            changed=_rounded(found.changed),
            shares=tuple(_rounded(layer) for layer in found.shares),
        )
    return Movement(
        changed_above=CHANGED_ABOVE,
        energies=ENERGIES,
        shares=_rounded(shares),
        isotropic=_rounded(isotropic),
        linears=linears,
    )


def _kernels(base: Llama) -> dict[str, jax.Array]:
    return {name: getattr(base.layers, name)[...] for name in SPACE_OF}


def _drift(work: Workspace, model: Llama, batches: Sequence[Mapping[str, Any]]) -> Drift:
    found = drift(work.base.model, model, tracked(batches, "drift  batch", len(batches)))
    kl = found.text_kl / np.maximum(found.text_tokens, 1)
    low, high = interval(kl, found.text_tokens, seed=0)
    return Drift(
        logit_kl=found.logit_kl,
        logit_kl_interval=(float(f"{low:.4g}"), float(f"{high:.4g}")),
        logit_max_difference=found.logit_max_difference,
        relative_drift=found.relative_drift,
        hidden_drift=_rounded(found.hidden),
    )


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    """Round to four significant digits, because a record holds many of these values."""
    return tuple(float(f"{value:.4g}") for value in values)
