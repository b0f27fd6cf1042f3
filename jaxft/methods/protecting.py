"""The knobs of the methods that keep changes out of protected directions."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Predicate

from jaxft.bounds import BelowOne, Fraction
from jaxft.methods.base import ALL_LINEARS, Method, Targets

Energy = Annotated[
    float | Literal["auto"],
    Predicate(lambda energy: energy == "auto" or 0 <= energy <= 1),
    'a fraction in (0, 1], "auto", or 0 to protect nothing',
]


@dataclass(frozen=True)
class Protecting(Method):
    """A method with protected bases of the input spaces that its targets read."""

    energy: Energy = 0.99  # captured energy of the protected basis; 0 protects nothing
    targets: Targets = ALL_LINEARS
    auto_capture: Fraction = 0.99  # energy "auto": held-out energy to capture ...
    auto_plasticity: BelowOne = 0.05  # ... while this share of the domain gradient's norm stays free
