"""Fine-tuning methods, one short file each: what trains, which adapters, which optax transform, which final edit."""

from dataclasses import replace

from jaxft import config
from jaxft.methods.base import Method
from jaxft.methods.corda import Corda
from jaxft.methods.dora import Dora
from jaxft.methods.full import Full
from jaxft.methods.gradient_projection import GradientProjection
from jaxft.methods.lora import Lora
from jaxft.methods.lora_null import LoraNull
from jaxft.methods.null_space_lora import NullSpaceLora
from jaxft.methods.safe_lora import SafeLora
from jaxft.methods.safe_merge import SafeMerge


def build(settings: config.Method) -> Method:
    """The method that a config entry asks for; entries that differ in learning rates alone give equal methods.

    Of `Auto` it is one trial of its search; they differ in numbers alone.
    """
    if isinstance(settings, config.Auto):
        settings = settings.at(1.0, 0.0)
    settings = replace(settings, learning_rates=())
    match settings:
        case config.Full():
            return Full()
        case config.Lora():
            return Lora(settings)
        case config.Dora():
            return Dora(settings)
        case config.LoraNull():
            return LoraNull(settings)
        case config.Corda():
            return Corda(settings)
        case config.SafeLora():
            return SafeLora(settings)
        case config.SafeMerge():
            return SafeMerge(settings)
        case config.NullSpaceLora():
            return NullSpaceLora(settings)
        case config.GradientProjection():
            return GradientProjection(settings)
