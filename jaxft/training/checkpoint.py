"""Training checkpoints in Orbax: the whole state, tied to the run that wrote it."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from jaxft import distributed
from jaxft.errors import UserError
from jaxft.training.step import TrainState


def _named(state: TrainState) -> dict[str, jax.Array]:
    """The state's arrays by path: a plain dict, independent of the method's containers."""
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _abstract(array: jax.Array) -> jax.ShapeDtypeStruct:
    """The array's shape, dtype and sharding, without its values."""
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def _reason(error: Exception) -> str:
    """The operating system's message, which TensorStore hides in a long one; without it, the error's first line."""
    code = re.search(r"os_error_code='(\d+)'", str(error))
    return os.strerror(int(code[1])) if code else (str(error).splitlines() or [type(error).__name__])[0][:200]


class Checkpoints:
    """The latest checkpoint of one run. A save is complete or absent: Orbax renames it into place at the end.

    All processes call every method together and use the same folder; the number of processes may change between saving
    and restoring. identity: config, model and data of the run as plain JSON; UserError if the folder holds another one.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder, self.identity, self._failed = folder, identity, False
        self._writing: tuple[int, Any] | None = None  # step and response of the save under way
        self._checkpointer = self._open()
        found: Any = self._checkpointer.root_metadata().custom_metadata or {}
        if distributed.agreed(found == identity):
            return
        self._checkpointer.close()
        if self._checkpointer.latest is not None:
            changed = sorted(k for k in {*identity, *found} if identity.get(k) != found.get(k))
            raise UserError(
                f"{folder}: holds checkpoints of another run (different: {', '.join(changed)}); "
                "choose another folder, or delete this one to start anew"
            )
        # Another run was stopped before its first checkpoint; Orbax would keep its identity.
        distributed.run_on_leader("checkpoints of another run deleted", lambda: shutil.rmtree(folder))
        self._checkpointer = self._open()

    def _open(self) -> ocp.training.Checkpointer:
        return ocp.training.Checkpointer(
            str(self.folder.absolute()),
            preservation_policy=ocp.training.preservation_policies.LatestN(1),  # pyright: ignore[reportArgumentType]
            custom_metadata=self.identity,
            cleanup_tmp_directories=True,
        )

    @property
    def latest(self) -> int | None:
        """The step of the latest checkpoint; None without one."""
        found = self._checkpointer.latest
        return None if found is None else found.step

    def save(self, state: TrainState) -> None:
        """Write the state under its step.

        Returns when the state is copied; it is written in the background. `wait`, `close` or the next save waits until
        it is on disk and raises the error of a failed write.
        """
        self.wait()
        step, arrays = int(state.step), _named(state)
        needed, free = sum(array.nbytes for array in arrays.values()), shutil.disk_usage(self.folder).free
        if distributed.agreed(free < needed):  # checked first: Orbax notices in threads that outlive the error
            raise UserError(
                f"{self.folder}: the checkpoint of step {step} takes {needed:,} bytes, and {free:,} are free.\n"
                "Free some space, then give the same command again."
            )
        with self._reported(step):
            self._writing = step, self._checkpointer.save_checkpointables_async(step, {"state": arrays})

    def wait(self) -> None:
        """Wait until the save under way is on disk."""
        if self._writing is not None:
            (step, response), self._writing = self._writing, None
            with self._reported(step):
                response.result()

    @contextlib.contextmanager
    def _reported(self, step: int) -> Iterator[None]:
        """A context that raises a failed save of this step as a UserError."""
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError is how TensorStore reports a full disk
            self._failed = True
            raise UserError(
                f"{self.folder}: the checkpoint of step {step} cannot be written ({_reason(error)}).\n"
                "Free some space or mend the folder, then give the same command again."
            ) from error

    def restore(self, like: TrainState) -> TrainState | None:
        """The latest state, with the shapes and shardings of `like`; None without a checkpoint."""
        latest = self._checkpointer.latest
        if latest is None:
            return None
        try:
            wanted = {"state": jax.tree.map(_abstract, _named(like))}
            loaded = self._checkpointer.load_checkpointables(latest.step, wanted)
        except Exception as error:  # Orbax and TensorStore have no common class for a damaged file
            raise UserError(
                f"{self.folder}: the checkpoint of step {latest.step} cannot be read ({_reason(error)}).\n"
                "Delete the folder to train anew."
            ) from error
        leaves = [loaded["state"][name] for name in _named(like)]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)

    def close(self) -> None:
        """Wait for the save under way and close the folder."""
        try:
            self.wait()
        finally:
            with contextlib.suppress(OSError, ValueError) if self._failed else contextlib.nullcontext():
                self._checkpointer.close()  # raises the error of a failed save once more
            if self._failed:
                for unfinished in self.folder.glob("*.orbax-checkpoint-tmp"):
                    shutil.rmtree(unfinished, ignore_errors=True)
