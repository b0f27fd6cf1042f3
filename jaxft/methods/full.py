"""Full fine-tuning: every parameter is trained."""

from dataclasses import dataclass

from jaxft.methods.base import Method


@dataclass(frozen=True)
class Full(Method):
    """The defaults of Method are full fine-tuning."""

    kind = "full"
