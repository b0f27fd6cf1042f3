"""What fine-tuning moved: the certificate of a model against an experiment's base, bases and held-out text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.workspace import Workspace
from jaxft.config import Method
from jaxft.llama.config import SPACE_OF
from jaxft.llama.model import Llama, forward
from jaxft.sharding import put_rows
from jaxft.subspace.certificate import certify, drift

_logits = jax.jit(lambda model, batch: forward(model, batch["tokens"], batch["positions"], batch["segments"]))


def _forward(model: Llama, batch: Mapping[str, Any]) -> jax.Array:
    return _logits(model, put_rows(batch, model.compute.layout))


def logit_drift(work: Workspace, model: Llama, part: slice = slice(None)) -> dict[str, float]:
    """How far the logits moved on held-out reference text, or on a part of its examples."""
    base, batches = work.base.model, work.calibration.heldout_batches(part)
    return drift(lambda batch: _forward(base, batch), lambda batch: _forward(model, batch), batches)


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
    work: Workspace, settings: Method, model: Llama, changes: Mapping[str, jax.Array] | None = None
) -> dict[str, Any]:
    """The certificate of a fine-tuned model against the experiment's base, bases and held-out reference text."""
    base = work.base.model
    kernels = {name: getattr(base.layers, name)[...] for name in SPACE_OF}
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
        kernels,
        work.certificate_bases(settings),
        work.heldout_moments,
        SPACE_OF,
        moved,
    )
    return {**weights, **logit_drift(work, model)}
