"""`jaxft calibrate`: moments of the reference text and protected bases, stored under a hash of all their inputs."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from experiments.base_model import Base
from experiments.config import Experiment, Reference
from experiments.data import generated
from experiments.data.sources import fingerprint, load_examples, source_name
from experiments.store.cache import cached, cached_path, digest
from jaxft import distributed
from jaxft.data.example import Example
from jaxft.data.packing import INPUTS, Rows
from jaxft.errors import UserError
from jaxft.llama import checkpoint
from jaxft.llama.capture import stream_moments
from jaxft.llama.config import INPUT_SPACES
from jaxft.llama.fisher import diagonal_fisher
from jaxft.llama.model import Llama
from jaxft.llama.sharding import parameter_spec
from jaxft.methods import Method, Protecting, Statistics
from jaxft.progress import tracked
from jaxft.sharding import on_mesh
from jaxft.subspace.basis import (
    Basis,
    automatic_rank,
    directions,
    load_bases,
    rank_for_energy,
    save_bases,
    stack,
)
from jaxft.subspace.low_rank_moment import LowRankMoment, factor, is_full, stack_factors
from jaxft.subspace.moments import LayerMoments, MomentFiles

log = logging.getLogger("jaxft")


@dataclass(frozen=True)
class ReferenceText:
    """The reference examples: `fit` for the moments, `heldout` to check them."""

    fit: list[Example]
    heldout: list[Example]
    parts: dict[str, list[Example]]  # all examples by source

    @classmethod
    def load(cls, reference: Reference, written: Sequence[list[Example]] = ()) -> ReferenceText:
        """Split the sources and the text that the base has `written`: every n-th example is held out, n = 1 / heldout,
        so that each source is on both sides. UserError if no example is left to fit."""
        parts = {source_name(source): load_examples([source]) for source in reference.sources}
        parts |= {f"generated[{index}]": examples for index, examples in enumerate(written)}
        examples = [example for part in parts.values() for example in part]
        every = max(round(1 / reference.heldout), 2)
        text = cls([e for i, e in enumerate(examples) if i % every], examples[::every], parts)
        if not text.fit:
            raise UserError(f"reference.sources: only {len(examples)} example(s); at least {every} are needed")
        return text


def to_batches(rows: Rows, size: int) -> list[dict[str, np.ndarray]]:
    """All rows in order as batches of `size` rows [size, length]; padding rows fill the last batch."""
    fill = -len(rows.tokens) % size
    whole = {name: np.pad(getattr(rows, name), ((0, fill), (0, 0))) for name in INPUTS}
    return [{name: a[i : i + size] for name, a in whole.items()} for i in range(0, len(whole["tokens"]), size)]


def two_sided(experiment: Experiment) -> bool:
    """True if some method reads the moments of output gradients."""
    return any("output_moments" in method.reads for method in experiment.trained.values())


class Calibration:
    """Moments and bases of the reference text under the base model, stored in `folder`; UserError without such text."""

    def __init__(self, experiment: Experiment, base: Base, folder: Path) -> None:
        if experiment.reference is None:
            raise UserError("reference: this config names no reference text, and this command needs it")
        self.base, self.reference = base, experiment.reference
        self.written = [
            generated.texts(base, settings, experiment.evaluation.batch_size, folder / "generated")
            for settings in self.reference.generated
        ]
        self.text = ReferenceText.load(self.reference, self.written)
        self.two_sided = two_sided(experiment)
        self.description = {
            "model": base.sha256,
            "tokenizer": base.tokenizer_sha256,
            "template": experiment.model.template,
            "compute_dtype": experiment.model.compute_dtype,
            "fit": fingerprint(self.text.fit),
            "heldout": fingerprint(self.text.heldout),
            "length": self.reference.length,
            "two_sided": self.two_sided,
            "seed": self.reference.seed,
            **({"temperature": self.reference.temperature} if self.two_sided else {}),
        }
        self.files = MomentFiles(cached_path(folder, self.description))

    def describe_text(self) -> list[dict[str, Any]]:
        """Number of examples, number of tokens and hash of every part of the reference text."""
        return [
            {
                "text": name,
                "examples": len(examples),
                "tokens": sum(len(self.base.encode(example).tokens) for example in examples),
                "sha256": fingerprint(examples),
            }
            for name, examples in self.text.parts.items()
        ]

    def batches(self, examples: list[Example]) -> list[dict[str, np.ndarray]]:
        return to_batches(self.base.pack(examples, self.reference.length, "split", True), self.reference.batch_rows)

    def heldout_batches(self, part: slice = slice(None)) -> list[dict[str, np.ndarray]]:
        return self.batches(self.text.heldout[part])

    def measure(self) -> None:
        """Measure the moments in one pass over the reference text, unless they are on disk already; UserError if those
        on disk are of another model or text."""
        folder = cached(self.files.folder.parent, self.description, self._write)
        found = {key: value for key, value in self.files.description.items() if key != "tokens"}
        if digest(found) != digest(self.description):
            raise UserError(f"{folder}: holds the moments of another model or text; delete it to measure anew")

    def _stream(self) -> tuple[Iterable[tuple[int, LayerMoments]], int]:
        """((layer index, moments) of every layer in any order, number of reference tokens)."""
        fit, heldout = self.batches(self.text.fit), self.heldout_batches()
        tokens = sum(int((batch["segments"] > 0).sum()) for batch in fit)
        log.info(f"moments: {tokens:,} reference tokens, {self.base.model.config.num_layers} layers")
        stream = stream_moments(
            self.base.model,
            fit,
            heldout,
            two_sided=self.two_sided,
            seed=self.reference.seed,
            temperature=self.reference.temperature,
        )
        return stream, tokens

    def _write(self, folder: Path) -> None:
        """Write the moments of all layers into a new folder. All processes call this and measure; the leader writes."""
        stream, tokens = self._stream()
        if not distributed.is_leader():
            for _ in stream:
                pass  # iterating measures this process's part of each layer
            return
        folder.mkdir()
        files = MomentFiles(folder)
        for index, layer in tracked(stream, "moments  layer", self.base.model.config.num_layers):
            files.write(index, layer)
        files.finish({**self.description, "tokens": tokens})

    def bases(self, energy: float) -> dict[str, Basis]:
        """Bases by input space that capture the share `energy` of the reference energy."""
        return self._cached({"energy": energy}, lambda _, __, values, ___: rank_for_energy(values, energy))

    def automatic_bases(self, method: Protecting, gradients: Mapping[str, np.ndarray]) -> dict[str, Basis]:
        """Bases with ranks from held-out capture and the share of the domain's `gradients` [L, d, n] left free."""
        rule = {
            "capture": method.auto_capture,
            "plasticity": method.auto_plasticity,
            "gradients": hashlib.sha256(b"".join(np.asarray(g).tobytes() for g in gradients.values())).hexdigest(),
        }

        def choose(space: str, layer: int, values: np.ndarray, vectors: np.ndarray) -> int:
            side = [gradients[name][layer] for name in INPUT_SPACES[space] if name in gradients]
            if not side:
                return rank_for_energy(values, method.auto_capture)
            heldout = self.files.read(layer).heldout[space]
            return automatic_rank(
                vectors, heldout, np.concatenate(side, axis=1), method.auto_capture, method.auto_plasticity
            )

        return self._cached(rule, choose)

    def statistics(self, method: Method, bases: dict[str, Basis]) -> Statistics:
        """The bases and the measurements on reference text that a method reads. Low-rank moments keep the `moment_rank`
        directions that follow the protected ones; see `is_full`."""

        def moments(group: str) -> dict[str, np.ndarray | LowRankMoment]:
            if f"{group[:-1]}_moments" not in method.reads:
                return {}
            self.measure()
            layers = [getattr(self.files.read(index), group) for index in range(len(self.files))]
            protected = {name: bases[name].ranks if name in bases else (0,) * len(layers) for name in layers[0]}
            return {
                name: stacked([layer[name] for layer in layers], method.moment_rank, protected[name])
                for name in layers[0]
            }

        fisher = self.fisher() if "fisher" in method.reads else None
        return Statistics(bases, moments("inputs"), moments("outputs"), fisher=fisher)

    def fisher(self) -> Llama:
        """The diagonal of the Fisher information, sharded like trained weights and stored next to the moments.
        UserError if the stored file has another shape than the model."""
        self.measure()
        model = self.base.model

        def make(folder: Path) -> None:
            batches = self.batches(self.text.fit)
            rows = sum(len(batch["segments"]) for batch in batches)
            done = tracked(batches, "fisher  row", rows, self.reference.batch_rows)
            checkpoint.save(diagonal_fisher(model, done, self.reference.seed), folder)

        folder = cached(self.files.folder, None, make, "fisher")
        if checkpoint.read_config(folder) != model.config:
            raise UserError(f"{folder}: its config.json is not that of the base; delete it to measure anew")

        def sharding(owner: str, name: str) -> NamedSharding:
            return NamedSharding(jax.sharding.get_mesh(), parameter_spec(model.compute.layout, owner, name, "trained"))

        return checkpoint.load(folder, dtype="float32", compute=model.compute, sharding=sharding if on_mesh() else None)

    def heldout_moments(self) -> dict[str, np.ndarray]:
        """Second moments [L, d, d] of the held-out reference tokens, by input space."""
        layers = [self.files.read(index) for index in range(len(self.files))]
        return {space: np.stack([layer.heldout[space] for layer in layers]) for space in INPUT_SPACES}

    def _cached(self, rule: Mapping[str, Any], choose: Any) -> dict[str, Basis]:
        """The bases with the ranks that `choose` gives, stored by a hash of `rule`; UserError for wrong shapes."""
        self.measure()
        make = lambda path: save_bases(self._compute(choose), path)  # noqa: E731
        path = cached(self.files.folder, rule, make, "bases_{}.safetensors")
        bases, config = load_bases(path), self.base.model.config  # all processes read the file that the leader wrote
        found = {space: (len(basis.vectors), basis.width, len(basis.ranks)) for space, basis in bases.items()}
        layers, shapes = config.num_layers, config.linear_shapes
        expected = {space: (layers, shapes[names[0]][0], layers) for space, names in INPUT_SPACES.items()}
        if found != expected:
            raise UserError(
                f"{path}: found (layers, width, ranks) {found}, expected {expected}; delete it to compute it anew"
            )
        return bases

    def _compute(self, choose: Any) -> dict[str, Basis]:
        protected: dict[str, list[np.ndarray]] = {space: [] for space in INPUT_SPACES}
        free: dict[str, list[np.ndarray]] = {space: [] for space in INPUT_SPACES}
        for index in range(len(self.files)):
            for space, moment in self.files.read(index).inputs.items():
                values, vectors = (np.asarray(a) for a in directions(jnp.asarray(moment)))
                rank = choose(space, index, values, vectors)
                protected[space].append(vectors[:, :rank])
                free[space].append(vectors[:, rank:])
        return {space: stack(protected[space], free[space]) for space in INPUT_SPACES}


def stacked(moments: Sequence[np.ndarray], rank: int, protected: Sequence[int]) -> np.ndarray | LowRankMoment:
    """Every layer's moment: [L, d, d], or if 0 < rank < d a `LowRankMoment` without the protected directions."""
    if is_full(rank, len(moments[0])):
        return np.stack(moments)
    factors = []
    for moment, skip in zip(moments, protected, strict=True):
        values, vectors = (np.asarray(a) for a in directions(jnp.asarray(moment)))
        factors.append(factor(moment, values, vectors, rank, skip))
    return stack_factors(factors)


def ranks(bases: Mapping[str, Basis]) -> Iterator[str]:
    """One line for each input space with the number of protected directions."""
    for space, basis in bases.items():
        share = np.mean(basis.ranks) / basis.width
        yield f"{space}: protected {min(basis.ranks)}..{max(basis.ranks)} of {basis.width} directions ({share:.0%})"
