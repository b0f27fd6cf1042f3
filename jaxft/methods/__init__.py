"""Fine-tuning methods, one frozen dataclass per file; README.md in this folder lists them and says how to add one."""

from jaxft.methods.base import Method, Statistics
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
from jaxft.methods.neurons import Neurons
from jaxft.methods.null_space_lora import NullSpaceLora
from jaxft.methods.osf import Osf
from jaxft.methods.protecting import Protecting
from jaxft.methods.safe_lora import SafeLora
from jaxft.methods.safe_merge import SafeMerge

__all__ = [
    "EWC",
    "KL",
    "L2SP",
    "Corda",
    "Dora",
    "FrozenLayers",
    "Full",
    "Galore",
    "GradientProjection",
    "Grafted",
    "Interpolated",
    "Lora",
    "LoraNull",
    "Method",
    "Neurons",
    "NullSpaceLora",
    "Osf",
    "Protecting",
    "SafeLora",
    "SafeMerge",
    "Statistics",
]
