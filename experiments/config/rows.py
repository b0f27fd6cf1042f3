"""Rows of a comparison that are no method with settings: a search for the settings, and a fine-tune made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt, MinLen

from jaxft.bounds import Count
from jaxft.data.source import Mix
from jaxft.errors import require
from jaxft.methods import GradientProjection
from jaxft.methods.base import ALL_LINEARS, Targets


@dataclass(frozen=True)
class Auto:
    """A search for the K-FAC strength and the learning rate of gradient projection within a budget of drift.

    Drift is KL(base || tuned) on held-out reference text divided by the base's entropy there: the relative rise of loss
    to expect on text of the base itself.
    """

    learning_rates: tuple[float, ...] = ()  # found, not set
    mix: Mix | None = None  # other text to train on too; None: the domain alone
    budget: Annotated[float, Gt(0), "a drift above 0, as 0.01 for 1 %"] = 0.01
    trials: Count = 16  # training runs of the search, at most
    targets: Targets = ALL_LINEARS
    kind: Literal["auto"] = "auto"

    def check(self, key: str) -> None:
        """UserError for a learning rate."""
        rates = self.learning_rates
        require(not rates, f"{key}.learning_rates", rates, "none: the rate is found")

    def at(self, strength: float, learning_rate: float) -> GradientProjection:
        """One trial of the search: 95 % of the energy is protected, and K-FAC EWC holds the rest.

        With 256 directions the moments are nearly whole matrices on narrow models and affordable at any width. On the
        shipped base, 64 directions drift nearly twice as far at the same proficiency. Gradients that are kept out of
        only the strongest tenth of the protected directions learn less, at a third more drift.
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
class Tuned:
    """A fine-tune of the base by any trainer, measured as if it had been trained here."""

    folder: Annotated[str, MinLen(1), "a Hugging Face folder or a peft adapter"]  # of the base's architecture
    kind: Literal["tuned"] = "tuned"

    learning_rates: ClassVar[tuple[float, ...]] = ()  # not known
