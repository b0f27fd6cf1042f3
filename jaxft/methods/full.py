"""Full fine-tuning: every parameter is trained."""

from jaxft.methods.base import Method


class Full(Method):
    """The defaults of Method are full fine-tuning."""
