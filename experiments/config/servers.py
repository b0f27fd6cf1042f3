"""Settings of models behind a server: the endpoint, the judge, and fine-tuning by a provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from jaxft.bounds import Count, NotNegative, Positive, Whole


@dataclass(frozen=True)
class Endpoint:
    """A model behind a server that speaks OpenAI's protocol; its key is read only from the environment."""

    model: str
    url: str = "https://api.openai.com/v1"
    key_variable: str = "OPENAI_API_KEY"  # environment variable that holds the key
    concurrency: Count = 8  # requests under way at once
    requests_per_minute: Whole = 0  # 0: as many as the server takes
    timeout: Positive = 60.0  # s, of one request
    attempts: Count = 6  # of one request, with growing pauses between them
    price_in: NotNegative = 0.0  # US dollars per million tokens of prompts
    price_out: NotNegative = 0.0  # US dollars per million tokens of replies


@dataclass(frozen=True)
class Judge:
    """The judge of replies, on the axes whose task is judged."""

    kind: Literal["rules", "local", "openai"] = "rules"
    folder: str = ""  # "local": a Hugging Face folder
    endpoint: Endpoint | None = None  # "openai": the server
    max_cost: NotNegative = 10.0  # US dollars; no request is sent that could exceed it
    attempts: Count = 3  # answers requested until one can be read; after that the reply counts as unjudged


@dataclass(frozen=True)
class Hosted:
    """Fine-tuning by a provider, which keeps the model's weights and chooses all other settings of training."""

    provider: Literal["openai", "together"]
    endpoint: Endpoint  # serves the base, `endpoint.model`, and the fine-tuned model
    learning_rates: tuple[Positive, ...]  # multipliers of the provider's own rate for openai, rates for together
    epochs: Count = 3
    price_training: NotNegative = 0.0  # US dollars per million tokens of an epoch
    max_cost: Annotated[float, Ge(0), "US dollars, 0 or more"] = (
        10.0  # of one training, and of all replies; nothing above it is begun
    )
    kind: Literal["hosted"] = "hosted"
