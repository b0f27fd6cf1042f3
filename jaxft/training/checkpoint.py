"""Training checkpoints in Orbax: the whole state with the position in the data, tied to the run that wrote them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import grain
import jax
from orbax.checkpoint import v1 as ocp

from jaxft.errors import UserError
from jaxft.training.step import TrainState


def _named(state: TrainState) -> dict[str, jax.Array]:
    """The state's arrays by path: plain arrays, whatever containers the method uses."""
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


class Checkpoints:
    """The latest checkpoint of one run. A save is complete or absent: Orbax renames it into place at the end.

    identity: what the run computes (config, model, data) as plain JSON; another identity in the folder is a UserError.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder, self.identity = folder, identity
        self._checkpointer = self._open()
        found: Any = self._checkpointer.root_metadata().custom_metadata
        if found == identity:
            return
        self._checkpointer.close()
        if self._checkpointer.latest is not None:
            theirs: dict[str, Any] = found or {}
            changed = sorted(k for k in {*identity, *theirs} if identity.get(k) != theirs.get(k))
            raise UserError(
                f"{folder}: holds checkpoints of another run (different: {', '.join(changed)}); "
                "choose another --out, or delete the folder to start anew"
            )
        shutil.rmtree(folder)  # another run was stopped before its first checkpoint; Orbax would keep its identity
        self._checkpointer = self._open()

    def _open(self) -> ocp.training.Checkpointer:
        return ocp.training.Checkpointer(
            str(self.folder.absolute()),
            preservation_policy=ocp.training.preservation_policies.LatestN(1),  # pyright: ignore[reportArgumentType]
            custom_metadata=self.identity,
            cleanup_tmp_directories=True,
        )

    def save(self, state: TrainState, data: grain.DatasetIterator) -> None:
        """Write the state and the data position under the state's step; waits until it is on disk."""
        self._checkpointer.save_checkpointables(int(state.step), {"state": _named(state), "data": data})

    def restore(self, like: TrainState, data: grain.DatasetIterator) -> TrainState | None:
        """The latest state, in the shape of `like`, with `data` moved to its position; None where there is none."""
        latest = self._checkpointer.latest
        if latest is None:
            return None
        loaded = self._checkpointer.load_checkpointables(latest.step, {"state": _named(like), "data": data})
        leaves = [loaded["state"][name] for name in _named(like)]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)

    def close(self) -> None:
        self._checkpointer.close()
