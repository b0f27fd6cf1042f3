"""The settings of a benchmark in one frozen dataclass, and the loader of its config file."""

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Le

from experiments.config import Name
from experiments.config_loader import load
from jaxft.bounds import Count, join
from jaxft.errors import require
from jaxft.llama.checkpoint import read_config
from jaxft.llama.config import INPUT_SPACES, LlamaConfig
from jaxft.llama.generate import BUCKET
from jaxft.llama.locate import SHIPPED_BASE
from jaxft.llama.model import Remat
from jaxft.methods import Full, GradientProjection, Lora, Method
from jaxft.optim import Dtype

Part = Literal["train", "calibration", "generation", "import"]
#: "unprojected" is the projection method with both projections off; it shows what projecting costs.
MethodName = Literal["lora", "full", "unprojected", "projection"]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark; every model has random weights. Lengths in tokens."""

    name: Name
    model: LlamaConfig | Literal["base"]  # "base": the shape of the shipped base
    dtype: Dtype = "float32"  # of activations and frozen weights; trained weights are always float32
    remat: Remat = "nothing"  # with "full" the rival checkpoints every block
    batch_rows: Count = 16
    row_length: Count = 128  # the last sixteenth of every row is padding, which is not counted in tokens
    rank: Count = 64  # protected directions of every input space
    gradients: Annotated[float, Ge(0), Le(1), "a fraction in [0, 1]"] = (
        1.0  # share of these directions that gradients are kept out of; updates are kept out of all
    )
    lora_rank: Count = 8
    prompts: Count = 64
    prompt_length: Count = 32
    new_tokens: Count = 128
    methods: tuple[MethodName, ...] = typing.get_args(
        MethodName
    )  # the most memory last, so that each one's peak can be seen
    others: Mapping[str, Method] = field(default_factory=dict)  # trained too, each compared with full fine-tuning
    parts: tuple[Part, ...] = typing.get_args(Part)
    rounds: Count = 5
    steps: Count = 4  # optimizer steps, and passes over the calibration text, a round
    overhead_bar: float | None = None  # the most that projection may add to a full step; None: no bar

    @property
    def config(self) -> LlamaConfig:
        """The model's shape, with an end token outside the vocabulary, so that all replies have full length."""
        shape = read_config(SHIPPED_BASE) if self.model == "base" else self.model
        return LlamaConfig(**{**vars(shape), "end_tokens": (shape.vocab_size,)})

    @property
    def real_length(self) -> int:
        """Tokens of a row that are not padding."""
        return self.row_length - self.row_length // 16

    @property
    def tokens(self) -> int:
        """Tokens of a batch that are not padding."""
        return self.batch_rows * self.real_length

    @property
    def ranks(self) -> dict[str, int]:
        return dict.fromkeys(INPUT_SPACES, self.rank)

    @property
    def trained(self) -> tuple[str, ...]:
        """All methods that the part "train" times."""
        return (*self.methods, *self.others)

    def method(self, name: str) -> Method:
        """The library's method for one of `methods` or of `others`."""
        if name in self.others:
            return self.others[name]
        match name:
            case "full":
                return Full()
            case "lora":
                return Lora(rank=self.lora_rank, alpha=2.0 * self.lora_rank)
            case "projection":
                return GradientProjection(gradients=self.gradients)
            case _:
                return GradientProjection(gradients=0.0, updates=False)

    def check(self, key: str) -> None:
        config, prompt = self.config, self.prompt_length
        for name in self.others:
            require(name not in self.methods, join(key, "others"), name, "a name that is none of methods")
        half = min(width for width, _ in config.linear_shapes.values()) // 2
        expected = (
            f"at most {half}, half the narrowest input: above it the free directions are stored, and work shrinks"
        )
        require(self.rank <= half, join(key, "rank"), self.rank, expected)
        narrowest = min(min(shape) for shape in config.linear_shapes.values())
        require(self.lora_rank <= narrowest, join(key, "lora_rank"), self.lora_rank, f"at most {narrowest}")
        expected = f"a multiple of {BUCKET}, to which prompts are padded: padding is not what is measured"
        require(prompt % BUCKET == 0, join(key, "prompt_length"), prompt, expected)
        config.check_length(join(key, "row_length"), self.row_length)
        config.check_length(f"{join(key, 'prompt_length')} + new_tokens", prompt + self.new_tokens)


def load_benchmark(path: str, overrides: Sequence[str] = ()) -> Benchmark:
    """The `benchmark` that the Python file at `path` defines, with overrides applied; UserError if it cannot be run."""
    return load(path, "benchmark", Benchmark, overrides)
