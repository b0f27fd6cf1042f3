"""Fine-tuning methods, one short file each: what trains, which adapters, which optax transform, which final edit."""

from dataclasses import replace

from jaxft import method_config
from jaxft.methods.base import Method
from jaxft.methods.corda import Corda
from jaxft.methods.dora import Dora
from jaxft.methods.ewc import EWC
from jaxft.methods.frozen_layers import FrozenLayers
from jaxft.methods.full import Full
from jaxft.methods.galore import Galore
from jaxft.methods.gradient_projection import GradientProjection
from jaxft.methods.grafted import Grafted
from jaxft.methods.interpolated import Interpolated
from jaxft.methods.kl import KL
from jaxft.methods.l2sp import L2SP
from jaxft.methods.lora import Lora
from jaxft.methods.lora_null import LoraNull
from jaxft.methods.null_space_lora import NullSpaceLora
from jaxft.methods.osf import Osf
from jaxft.methods.safe_lora import SafeLora
from jaxft.methods.safe_merge import SafeMerge


def build(settings: method_config.Method) -> Method:
    """The method that a config entry asks for; entries that differ in learning rates alone give equal methods.

    Of `Auto` it is one trial of its search; they differ in numbers alone.
    """
    if isinstance(settings, method_config.Auto):
        settings = settings.at(1.0, 0.0)
    settings = replace(settings, learning_rates=())
    match settings:
        case method_config.Full():
            return Full()
        case method_config.L2SP():
            return L2SP(settings)
        case method_config.EWC():
            return EWC(settings)
        case method_config.KL():
            return KL(settings)
        case method_config.Interpolated():
            return Interpolated(settings)
        case method_config.Grafted():
            return Grafted(settings)
        case method_config.FrozenLayers():
            return FrozenLayers(settings)
        case method_config.Galore():
            return Galore(settings)
        case method_config.Osf():
            return Osf(settings)
        case method_config.Lora():
            return Lora(settings)
        case method_config.Dora():
            return Dora(settings)
        case method_config.LoraNull():
            return LoraNull(settings)
        case method_config.Corda():
            return Corda(settings)
        case method_config.SafeLora():
            return SafeLora(settings)
        case method_config.SafeMerge():
            return SafeMerge(settings)
        case method_config.NullSpaceLora():
            return NullSpaceLora(settings)
        case method_config.GradientProjection():
            return GradientProjection(settings)
