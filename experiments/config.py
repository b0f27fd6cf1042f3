"""Every knob of a run, in frozen dataclasses; one Experiment holds the whole run.

Those of the methods are in `jaxft/methods/`. Units: lengths in tokens, learning rates per step, fractions in [0, 1],
losses in nat per token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

from jaxft.bounds import Count, Positive
from jaxft.data.source import Mix, Source
from jaxft.errors import require
from jaxft.methods import GradientProjection, Method
from jaxft.methods.base import LINEARS, Linears
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
    "Watch",
]


@dataclass(frozen=True)
class Model:
    """The base model and how its forward pass runs."""

    folder: str = "base"  # Hugging Face folder; "base" is the small model that ships with jaxft
    shape: str = ""  # of a folder that is not here yet, for `jaxft plan`: "llama2_7b", "llama2_13b" or "llama2_70b"
    template: str = "tokenizer"  # chat template: "tokenizer" (the one it carries), "llama2" or "plain"
    param_dtype: str = "float32"  # of the stored base weights; of trained ones: training.weights_dtype
    compute_dtype: str = "float32"  # of activations
    attention: str = "auto"  # "auto" (what suits the device), "reference" or, on TPU, "splash"
    remat: str = "nothing"  # "nothing", "dots" or "full"
    scan: bool = True  # scan over stacked layers, or unroll them
    sharding: Sharding = Sharding()


@dataclass(frozen=True)
class Generated:
    """Text that the base itself writes: what stands for its old behaviour where no other text may be used."""

    count: int  # texts, or replies to so many of the prompts, evenly spaced over them
    max_new_tokens: int
    prompts: tuple[Source, ...] = ()  # replies to these, in the chat template; none: what follows its beginning of text
    temperature: float = 1.0  # 0: the most likely reply
    seed: int = 0


@dataclass(frozen=True)
class Reference:
    """The text whose behaviour is to stay; evaluation prompts never enter it."""

    sources: tuple[Source, ...] = ()
    generated: tuple[Generated, ...] = ()  # sampled once, from the base
    heldout: float = 0.2  # fraction kept out of the moments, to measure capture and drift on
    length: int = 128  # row length
    batch_rows: int = 32
    seed: int = 0  # of the labels sampled from the base for output moments
    temperature: float = 1.0  # T of softmax(logits / T), which these come from; above 1, sure answers count more
    certificate_energy: float = 0.99  # of the basis that leaks of methods without one of their own are measured in


@dataclass(frozen=True)
class Endpoint:
    """A model behind a server that speaks OpenAI's protocol; its key is read from the environment alone."""

    model: str
    url: str = "https://api.openai.com/v1"
    key_variable: str = "OPENAI_API_KEY"  # environment variable that holds the key
    concurrency: int = 8  # requests under way at once
    requests_per_minute: int = 0  # 0: as many as the server takes
    timeout: float = 60.0  # s, of one request
    attempts: int = 6  # of one request, with growing pauses between them
    price_in: float = 0.0  # US dollars per million tokens of prompts
    price_out: float = 0.0  # US dollars per million tokens of replies


@dataclass(frozen=True)
class Judge:
    """Who decides whether a reply is good, on the axes whose task is judged."""

    kind: Literal["rules", "local", "openai"] = "rules"
    folder: str = ""  # "local": a Hugging Face folder
    endpoint: Endpoint | None = None  # "openai": the server
    max_cost: float = 10.0  # US dollars; no request is sent that could exceed it
    attempts: int = 3  # answers asked for until one can be read; then the reply counts as unjudged


@dataclass(frozen=True)
class Axis:
    """One measured behaviour."""

    # Accuracy of generated replies by the rules of a corpus ("hotel", "knowledge", "safety"), by a judge
    # ("judged_proficiency", "judged_safety", "judged_knowledge") or as one of the right answers ("exact"); likeness to
    # these ("f1", "rouge_l"); accuracy of the likeliest of several options ("choice"); nat/token ("likelihood").
    task: str
    source: Source
    validation: Source  # what learning rates are chosen on

    @classmethod
    def embedded(cls, name: str) -> Axis:
        """Replies on the test split of an embedded corpus; learning rates are chosen on its validation split."""
        return cls(task=name, source=Source(name, "test"), validation=Source(name, "validation"))


@dataclass(frozen=True)
class Watch:
    """Evaluation while training, and which weights it leaves.

    Best is the evaluated step with the highest proficiency among those whose every other axis lost at most `budget`;
    where none is within the budget, the one that lost least; of equals the earlier.
    """

    every: int  # steps; the last one is always evaluated
    examples: int  # validation examples of each axis, evenly spaced
    keep: Literal["last", "best"] = "last"  # whose weights training leaves
    budget: float = 0.01  # loss that counts as none, as a fraction of the base's score on the same examples
    stop_after: int = 0  # evaluations in a row without a better step after which training stops; 0: never


@dataclass(frozen=True)
class Evaluation:
    """What is measured before and after; `proficiency` is the axis that fine-tuning should improve."""

    axes: Mapping[str, Axis]
    target: float  # validation proficiency to reach; the cheapest learning rate that reaches it is chosen
    max_new_tokens: int = 40
    batch_size: int = 64
    row_length: int = 128  # of likelihood tasks
    watch: Watch | None = None  # while training; None: not at all
    matched: tuple[float, ...] = ()  # test proficiencies to compare methods at; empty: the best that LoRA reaches


@dataclass(frozen=True)
class Auto:
    """A search over gradient projections: their strength and learning rate are found for a budget of drift.

    Drift is KL(base || tuned) on held-out reference text over the base's entropy there: the relative rise of loss to
    expect on text of the base itself.
    """

    learning_rates: tuple[float, ...] = ()  # found, not set
    mix: Mix | None = None  # other text among what is trained on; None: the domain alone
    budget: Annotated[float, Gt(0), "a drift above 0, as 0.01 for 1 %"] = 0.01
    trials: Count = 16  # training runs of the search, at most
    targets: Linears = LINEARS
    kind: Literal["auto"] = "auto"

    def check(self, key: str) -> None:
        """UserError for a learning rate."""
        rates = self.learning_rates
        require(not rates, f"{key}.learning_rates", rates, "none: the rate is found")

    def at(self, strength: float, learning_rate: float) -> GradientProjection:
        """One trial of the search: ranks follow from 95 % of the energy, and the decay holds the rest.

        256 directions of each moment are nearly whole matrices on narrow models, and bearable at any width. On the base
        that ships, 64 of them drift nearly twice as far at the same proficiency, and gradients that are kept out of the
        strongest tenth of the protected directions alone learn less at a third more drift.
        """
        return GradientProjection(
            (learning_rate,),
            self.mix,
            energy=0.95,
            targets=self.targets,
            kfac_strength=strength,
            kfac_outputs=True,
            kfac_rank=256,
        )


@dataclass(frozen=True)
class Hosted:
    """Fine-tuning by a provider, of a model whose weights it keeps; how it trains beyond these settings is its own."""

    provider: Literal["openai", "together"]
    endpoint: Endpoint  # serves the base, `endpoint.model`, and what comes out
    learning_rates: tuple[Positive, ...]  # multipliers of the provider's own rate for openai, rates for together
    epochs: Count = 3
    price_training: float = 0.0  # US dollars per million tokens of an epoch
    max_cost: Annotated[float, Ge(0), "US dollars, 0 or more"] = (
        10.0  # of a training, and of all replies; more is not begun
    )
    kind: Literal["hosted"] = "hosted"


@dataclass(frozen=True)
class Pretrain:
    """Shape of a base model trained from nothing, and where it goes."""

    output: str
    vocab_size: int = 2048
    hidden_size: int = 128
    intermediate_size: int = 352
    num_layers: int = 4
    num_heads: int = 4
    num_kv_heads: int = 2
    max_positions: int = 512
    learning_rate: float = 3e-3
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Experiment:
    """The whole run: one base, one domain, several methods, measured on the same axes."""

    name: str
    domain: tuple[Source, ...]
    evaluation: Evaluation
    model: Model = Model()
    reference: Reference | None = None
    training: Training = Training()
    methods: Mapping[str, Method | Auto | Hosted] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    pretrain: Pretrain | None = None
    judge: Judge = Judge()

    @property
    def trained(self) -> dict[str, Method]:
        """The methods that train here, of `Auto` one trial of its search: trials differ in numbers alone."""
        found = {name: one.at(1.0, 1e-3) if isinstance(one, Auto) else one for name, one in self.methods.items()}
        return {name: one for name, one in found.items() if isinstance(one, Method)}


@dataclass(frozen=True)
class Sweep:
    """One experiment under many changes; at every point each method is compared by itself.

    A change is a dotted key of the experiment, as on the command line, and a value. Points are all combinations of the
    grid's values, then those listed; without any, the experiment as it is.
    """

    name: str
    experiment: Experiment
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    points: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Stage:
    """One more domain, learnt by the model that the domains before it left."""

    name: str  # of its axis, and of the stage
    domain: tuple[Source, ...]
    axis: Axis


@dataclass(frozen=True)
class Sequence:
    """Several domains, one after the other: the experiment's own, then those of the stages."""

    name: str
    experiment: Experiment
    first: str  # name of the experiment's own domain as a stage; its axis is the experiment's proficiency
    stages: tuple[Stage, ...]
