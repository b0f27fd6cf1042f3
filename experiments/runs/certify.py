"""What fine-tuning moved: the certificate of a model against an experiment's base, bases and held-out text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.runs.workspace import Workspace
from jaxft.llama.config import SPACE_OF
from jaxft.llama.drift import drift
from jaxft.llama.model import Llama
from jaxft.methods import Method
from jaxft.subspace.certificate import certify
from jaxft.subspace.movement import CHANGED_ABOVE, ENERGIES, movement, share_of_all


def reference_drift(work: Workspace, model: Llama, part: slice = slice(None)) -> dict[str, Any]:
    """How far a model drifted on held-out reference text, or on a part of its examples: see `certify_model`."""
    return _drift(work, model, work.calibration.heldout_batches(part))


def kernel_changes(base: Llama, model: Llama) -> dict[str, jax.Array]:
    """W - W0 of every linear that changed, [L, d, n] float32."""
    changes = {}
    for name in SPACE_OF:
        change = getattr(model.layers, name)[...].astype("float32") - getattr(base.layers, name)[...].astype("float32")
        if bool((change != 0).any()):
            changes[name] = change
    return changes


def delta_norm(base: Llama, model: Llama) -> float:
    """Frobenius norm of the change of all linears."""
    changes = kernel_changes(base, model).values()
    return float(np.sqrt(sum(float(jnp.square(change).sum()) for change in changes)))


def certify_model(
    work: Workspace, method: Method, model: Llama, changes: Mapping[str, jax.Array] | None = None
) -> dict[str, Any]:
    """The certificate of a fine-tuned model against the experiment's base, bases and held-out reference text.

    Beside what `certify` says: "logit_kl" (nat/token), "logit_max_difference", "relative_drift" and "hidden_drift" (by
    layer; see `Drift`) on the held-out reference text, and under "domain" the same on text of the domain.
    """
    base = work.base.model
    others = {
        "embed": (base.embed, model.embed),
        "norm": (base.norm, model.norm),
        "head": (base.head, model.head),
        "layers.attention_norm": (base.layers.attention_norm, model.layers.attention_norm),
        "layers.mlp_norm": (base.layers.mlp_norm, model.layers.mlp_norm),
    }
    moved = [
        name
        for name, (old, new) in others.items()
        if old is not None and new is not None and bool((old[...] != new[...]).any())
    ]
    weights = certify(
        kernel_changes(base, model) if changes is None else changes,
        _kernels(base),
        work.certificate_bases(method),
        work.heldout_moments,
        SPACE_OF,
        moved,
    )
    return {**weights, **reference_drift(work, model), "domain": _drift(work, model, work.domain_batches)}


def describe_movement(work: Workspace, changes: Mapping[str, jax.Array]) -> dict[str, Any]:
    """Where the changes dW [L, d, n] of the linears lie: what `Movement` says, by linear, to four significant digits.

    "changed_above": CHANGED_ABOVE. "energies": ENERGIES. "shares", "isotropic": `share_of_all`. "linears": by name,
    lists over layers "norm", "relative", "effective_rank", "changed" and "shares", and the "full_rank" min(d, n).
    """
    files = work.calibration.files
    moments = (files.read(index).inputs for index in range(len(files)))
    moved = movement(changes, _kernels(work.base.model), moments, SPACE_OF)
    shares, isotropic = share_of_all(moved.values())
    linears = {}
    for name in (name for name in SPACE_OF if name in moved):
        found = moved[name]
        linears[name] = {
            "full_rank": min(changes[name].shape[1:]),
            "norm": _rounded(found.norm),
            "relative": _rounded(found.relative),
            "effective_rank": _rounded(found.effective_rank),
            "changed": _rounded(found.changed),
            "shares": [_rounded(layer) for layer in found.shares],
        }
    return {
        "changed_above": CHANGED_ABOVE,
        "energies": list(ENERGIES),
        "shares": _rounded(shares),
        "isotropic": _rounded(isotropic),
        "linears": linears,
    }


def _kernels(base: Llama) -> dict[str, jax.Array]:
    return {name: getattr(base.layers, name)[...] for name in SPACE_OF}


def _drift(work: Workspace, model: Llama, batches: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = drift(work.base.model, model, batches)
    return {
        "logit_kl": found.logit_kl,
        "logit_max_difference": found.logit_max_difference,
        "relative_drift": found.relative_drift,
        "hidden_drift": _rounded(found.hidden),
    }


def _rounded(values: np.ndarray) -> list[float]:
    """To four significant digits: a record holds many of these."""
    return [float(f"{value:.4g}") for value in values]
