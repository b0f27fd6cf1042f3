"""What a benchmark measures: one small frozen dataclass, and the config files that hold one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from experiments.base_model import SHIPPED_BASE
from experiments.config_loader import load
from jaxft.errors import UserError
from jaxft.llama.checkpoint import read_config
from jaxft.llama.config import INPUT_SPACES, LlamaConfig
from jaxft.llama.generate import BUCKET
from jaxft.llama.model import REMAT_POLICIES
from jaxft.methods import Full, GradientProjection, Lora, Method

PARTS = ("train", "calibration", "generation", "import")
#: "unprojected" is the projection method with both projections switched off: what projecting itself costs.
METHODS = ("lora", "full", "unprojected", "projection")
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Benchmark:
    """One benchmark; every model has random weights. Lengths in tokens."""

    name: str
    model: LlamaConfig | Literal["base"]  # "base": the shape of the small model that ships
    dtype: str = "float32"  # of activations and frozen weights; trained weights are always float32
    remat: str = "nothing"  # a key of REMAT_POLICIES; the rival checkpoints every block where "full"
    batch_rows: int = 16
    row_length: int = 128  # the last sixteenth of every row is padding, which counts for nothing
    rank: int = 64  # protected directions of every input space
    gradients: float = 1.0  # share of them that gradients are kept out of; updates are of all
    lora_rank: int = 8
    prompts: int = 64
    prompt_length: int = 32
    new_tokens: int = 128
    methods: tuple[str, ...] = METHODS  # those that need most memory last, so that each one's peak can be seen
    others: Mapping[str, Method] = field(default_factory=dict)  # trained too, each beside full fine-tuning
    parts: tuple[str, ...] = PARTS
    rounds: int = 5
    steps: int = 4  # optimizer steps, and passes over the calibration text, a round
    overhead_bar: float | None = None  # most that projection may add to a full step; None where no bar applies

    @property
    def config(self) -> LlamaConfig:
        """The model's shape, with an end token that no model can choose: replies always have their full length."""
        shape = read_config(SHIPPED_BASE) if self.model == "base" else self.model
        return LlamaConfig(**{**vars(shape), "eos_token": shape.vocab_size})

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
        """Everything that the part "train" times."""
        return (*self.methods, *self.others)

    def method(self, name: str) -> Method:
        """The library's method for one of METHODS or of `others`."""
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


def check(settings: Benchmark) -> None:
    """UserError for the first setting that cannot be measured."""
    config = settings.config
    narrowest = min(width for width, _ in config.linear_shapes.values())
    _each_known("parts", settings.parts, PARTS)
    _each_known("methods", settings.methods, METHODS)
    for name in settings.others:
        if name in settings.methods:
            raise UserError(f"others: found {name!r}, which is one of methods; give it another name")
    _each_known("dtype", [settings.dtype], DTYPES)
    _each_known("remat", [settings.remat], REMAT_POLICIES)
    for name in ("batch_rows", "row_length", "rank", "lora_rank", "prompts", "new_tokens", "rounds", "steps"):
        if getattr(settings, name) < 1:
            raise UserError(f"{settings.name}: {name} is {getattr(settings, name)}; it must be at least 1")
    if not 0 <= settings.gradients <= 1:
        raise UserError(f"{settings.name}: gradients is {settings.gradients}; it must be a fraction in [0, 1]")
    if settings.rank > narrowest // 2:
        raise UserError(
            f"{settings.name}: rank {settings.rank} exceeds half the narrowest input ({narrowest // 2}); from there on "
            "the free directions are stored instead and the work shrinks again"
        )
    if settings.lora_rank > min(min(shape) for shape in config.linear_shapes.values()):
        raise UserError(f"{settings.name}: lora_rank {settings.lora_rank} exceeds the narrowest linear")
    if settings.prompt_length < 1 or settings.prompt_length % BUCKET:
        raise UserError(
            f"{settings.name}: prompt_length {settings.prompt_length} is no multiple of {BUCKET}, to which prompts are "
            "padded; padding is not what is measured"
        )
    longest = max(settings.row_length, settings.prompt_length + settings.new_tokens)
    if longest > config.max_positions:
        raise UserError(
            f"{settings.name}: {longest} tokens exceed the model's context of {config.max_positions} tokens; "
            "shorten row_length, prompt_length or new_tokens"
        )


def load_benchmark(path: str, overrides: Sequence[str] = ()) -> Benchmark:
    """The `benchmark` that the Python file at `path` defines, with overrides applied; UserError if it cannot be run."""
    found = load(path, "benchmark", Benchmark, overrides)
    check(found)
    return found


def _each_known(field: str, found: Iterable[str], known: Iterable[str]) -> None:
    for name in found:
        if name not in known:
            raise UserError(f"{field}: found {name!r}, expected {', '.join(known)}")
