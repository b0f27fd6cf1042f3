"""Every setting of a run, with its bounds, in frozen dataclasses; one Experiment holds the whole run.

Those of the methods are in `jaxft/methods/`. Units: lengths in tokens, learning rates per step, fractions in [0, 1],
losses in nat per token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import MinLen, Predicate

from experiments.config.rows import Auto, Tuned
from experiments.config.servers import Endpoint, Hosted, Judge
from jaxft.bounds import Between, Count, Fraction, NotNegative, Positive, Seed, Whole, join
from jaxft.data.source import Mix, Source
from jaxft.data.template import Template
from jaxft.errors import UserError, require
from jaxft.llama.attention import Attention
from jaxft.llama.config import LlamaConfig, Shape
from jaxft.llama.hf_tensors import FloatDtype
from jaxft.llama.model import Remat
from jaxft.methods import Method
from jaxft.sharding import Sharding
from jaxft.training.config import Training

__all__ = [  # what configs import, whichever file it is in
    "Auto",
    "Axis",
    "Endpoint",
    "Evaluation",
    "Experiment",
    "Generated",
    "Hosted",
    "Judge",
    "Mix",
    "Model",
    "Pretrain",
    "Reference",
    "Sequence",
    "Sharding",
    "Source",
    "Stage",
    "Sweep",
    "Training",
    "Tuned",
    "Watch",
]

#: Folders of an output that belong to no method, stage or axis.
RESERVED = ("calibration", "judge", "dry_run")


def _names_a_folder(name: str) -> bool:
    return bool(re.fullmatch(r"\w([\w .,%+=()-]{0,62}[\w%+=)-])?", name)) and ".." not in name and name not in RESERVED


#: Name of an experiment, a method, an axis, ...; also of folders and of columns of tables.
Name = Annotated[
    str,
    Predicate(_names_a_folder),
    f"a name that can be a folder's (at most 64 letters, digits, spaces, _-+.,%=()) other than {', '.join(RESERVED)}",
]
Seeds = Annotated[
    tuple[Seed, ...], Predicate(lambda s: len(set(s)) == len(s) > 0), "one or more different whole numbers"
]
Sources = Annotated[tuple[Source, ...], MinLen(1), "at least one Source to learn from"]


@dataclass(frozen=True)
class Model:
    """The base model and how its forward pass runs."""

    folder: str = "base"  # Hugging Face folder; "base" is the shipped base
    shape: Literal[""] | Shape = ""  # of a folder that is not here yet, for `jaxft plan`
    template: Template = "tokenizer"  # chat template: "tokenizer" is the one that the tokenizer carries
    chat_template: str = ""  # name of that one if the tokenizer carries several; "": the one named default
    param_dtype: FloatDtype = "float32"  # of the stored base weights; of trained ones: training.weights_dtype
    export_dtype: Literal["base"] | FloatDtype = "base"  # of exported weights; "base": as in the files of the base
    compute_dtype: FloatDtype = "float32"  # of activations
    attention: Attention = "auto"  # "auto": the best for the device; "splash": only on TPU
    remat: Remat = "nothing"  # recomputed in the backward pass: nothing, all except products, or all
    scan: bool = True  # scan over stacked layers, or unroll them
    sharding: Sharding = Sharding()


@dataclass(frozen=True)
class Generated:
    """Text that the base itself writes, for use as reference text if no other may be used."""

    count: Count  # texts; with prompts: replies to as many of them, evenly spaced
    max_new_tokens: Count
    prompts: tuple[Source, ...] = ()  # replied to in the chat template; empty: texts that follow the BOS token
    temperature: NotNegative = 1.0  # 0: the most likely reply
    seed: Seed = 0

    def check(self, key: str) -> None:
        expected = "a number above 0: without prompts all texts would be the same"
        require(self.temperature > 0 or bool(self.prompts), join(key, "temperature"), self.temperature, expected)


@dataclass(frozen=True)
class Reference:
    """The reference text, whose behaviour should stay; evaluation prompts never enter it."""

    sources: tuple[Source, ...] = ()
    generated: tuple[Generated, ...] = ()  # sampled once, from the base
    heldout: Between = 0.2  # fraction kept out of the moments, to measure capture and drift on
    length: Count = 128  # row length
    batch_rows: Count = 32
    seed: Seed = 0  # of the labels sampled from the base for output moments
    temperature: Positive = 1.0  # T of softmax(logits / T), which these labels follow; above 1, sure answers count more
    certificate_energy: Fraction = 0.99  # of the basis in which the leak of methods without a basis is measured

    def check(self, key: str) -> None:
        require(bool(self.sources or self.generated), key, (), "at least one Source or Generated")

    def check_model(self, key: str, model: LlamaConfig) -> None:
        """UserError for rows or generated texts that are longer than the model's context."""
        model.check_length(join(key, "length"), self.length)
        room = model.max_positions - 1
        expected = f"at most {room} tokens, what the context of the model leaves after the first"
        for index, tokens in enumerate(one.max_new_tokens for one in self.generated):
            require(tokens <= room, join(key, f"generated[{index}].max_new_tokens"), tokens, expected)


@dataclass(frozen=True)
class Axis:
    """One measured behaviour."""

    # Accuracy of generated replies by the rules of a corpus ("hotel", "knowledge", "safety"), by a judge
    # ("judged_proficiency", "judged_safety", "judged_knowledge") or as one of the right answers ("exact"); overlap with
    # these ("f1", "rouge_l"); accuracy of the likeliest of several options ("choice"); nat/token ("likelihood").
    task: str
    source: Source
    validation: Source  # learning rates are chosen on it

    @classmethod
    def embedded(cls, name: str) -> Axis:
        """Replies on the test split of an embedded corpus; learning rates are chosen on its validation split."""
        return cls(task=name, source=Source(name, "test"), validation=Source(name, "validation"))


@dataclass(frozen=True)
class Watch:
    """Evaluation while training, and the choice of the weights that training leaves.

    The best step is the one with the highest proficiency among those whose every other axis lost at most `budget`. If
    no step is within the budget, it is the one that lost least. Among equal steps it is the earliest.
    """

    every: Count  # steps; the last one is always evaluated
    examples: Count  # validation examples of each axis, evenly spaced
    keep: Literal["last", "best"] = "last"  # whose weights training leaves
    budget: NotNegative = 0.01  # loss that is accepted, as a fraction of the base's score on the same examples
    stop_after: Whole = 0  # training stops after this number of evaluations without a better step; 0: never


@dataclass(frozen=True)
class Evaluation:
    """The axes that are measured before and after; fine-tuning should improve the axis "proficiency"."""

    axes: Mapping[Name, Axis]
    target: float  # validation proficiency to reach; the cheapest learning rate that reaches it is chosen
    max_new_tokens: Count = 40
    batch_size: Count = 64
    row_length: Count = 128  # of likelihood tasks
    watch: Watch | None = None  # while training; None: not at all
    matched: tuple[float, ...] = ()  # test proficiencies to compare methods at; empty: the best that LoRA reaches


@dataclass(frozen=True)
class Pretrain:
    """Shape of a base model trained from nothing, and its output folder."""

    output: str
    vocab_size: Count = 2048
    hidden_size: Count = 128
    intermediate_size: Count = 352
    num_layers: Count = 4
    num_heads: Count = 4
    num_kv_heads: Count = 2
    max_positions: Count = 512
    learning_rate: Positive = 3e-3
    weight_decay: NotNegative = 0.01

    def check(self, key: str) -> None:
        heads, kv_heads, fits = self.num_heads, self.num_kv_heads, self.hidden_size % (2 * self.num_heads) == 0
        require(fits, join(key, "hidden_size"), self.hidden_size, f"a multiple of 2 * num_heads, {2 * heads}")
        require(heads % kv_heads == 0, join(key, "num_heads"), heads, f"a multiple of num_kv_heads, {kv_heads}")


@dataclass(frozen=True)
class Experiment:
    """The whole run: one base, one domain, several methods, measured on the same axes."""

    name: Name
    domain: tuple[Source, ...]  # may be empty if nothing is trained
    evaluation: Evaluation
    model: Model = Model()
    reference: Reference | None = None
    training: Training = Training()
    methods: Mapping[Name, Method | Auto | Hosted | Tuned] = field(default_factory=dict)
    seeds: Seeds = (0,)
    pretrain: Pretrain | None = None
    judge: Judge = Judge()

    def check(self, key: str) -> None:
        if self.learns:
            require(bool(self.domain), join(key, "domain"), (), "at least one Source to learn from")
            if "proficiency" not in (axes := self.evaluation.axes):
                where = join(key, "evaluation.axes")
                raise UserError(f"{where}: no axis named 'proficiency' among {', '.join(axes) or 'none'}")
        for name, method in self.methods.items():
            rates = method.learning_rates
            folders = {f"{rate:g}" for rate in rates}  # a run's folder has the rate to six digits
            usable = isinstance(method, (Auto, Tuned)) or bool(rates) and len(folders) == len(rates)
            require(usable, join(key, f"methods.{name}.learning_rates"), rates, "one or more different numbers")

    @property
    def learns(self) -> bool:
        """True unless all methods were trained elsewhere."""
        return not self.methods or any(not isinstance(method, Tuned) for method in self.methods.values())

    @property
    def trained(self) -> dict[str, Method]:
        """The methods that train here; for `Auto`, one trial of its search, as trials differ only in numbers."""
        found = {name: one.at(1.0, 1e-3) if isinstance(one, Auto) else one for name, one in self.methods.items()}
        return {name: one for name, one in found.items() if isinstance(one, Method)}


@dataclass(frozen=True)
class Sweep:
    """One experiment under many changes; each method at each point is one unit.

    A change is a dotted key of the experiment, as on the command line, and a value. Points are all combinations of the
    grid's values, then those listed; without any, the experiment without changes.
    """

    name: Name
    experiment: Experiment
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    points: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Stage:
    """One more domain, learnt by the model that the stage before it left."""

    name: Name  # of its axis, and of the stage
    domain: Sources
    axis: Axis


@dataclass(frozen=True)
class Sequence:
    """Several domains, one after the other: the experiment's own, then those of the stages."""

    name: Name
    experiment: Experiment
    first: Name  # name of the experiment's own domain as a stage; its axis is the experiment's proficiency
    stages: Annotated[tuple[Stage, ...], MinLen(1), "at least one more domain"]

    def check(self, key: str) -> None:
        taken = list(self.experiment.evaluation.axes)
        for name in (self.first, *(stage.name for stage in self.stages)):
            require(name not in taken, join(key, "stages"), name, "a name that no other stage and no axis has")
            taken.append(name)
