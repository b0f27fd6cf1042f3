"""The certificate of one method for a terminal."""

import textwrap
from collections.abc import Iterator

from experiments.report import movement
from experiments.report.reading import LEAK_ENERGIES, divergence, leaks
from experiments.report.table import GUARANTEE, WIDTH
from experiments.store.record.certificate import Certificate


def text(certificate: Certificate) -> str:
    """Leak and change of the outputs, after training and after export, and for which inputs the guarantee holds."""
    return "\n".join(_lines(certificate))


def _lines(certificate: Certificate) -> Iterator[str]:
    for when, part in (("after training", certificate), ("after export", certificate.exported)):
        if part is None:
            continue
        captured = min(space.captured_heldout for space in part.spaces or ())
        yield (
            f"{when}: largest |dW Q|/|dW| {part.own_leak or 0:.2e}  least held-out energy captured {captured:.4f}  "
            f"KL {divergence(part)} nat/token, on domain text {divergence(part.domain)}  "
            f"largest logit change {part.logit_max_difference:.3g}  |dW|/|W| {part.relative_delta_norm:.3e}"
        )
        if part.unprojected:
            yield f"  trained without projection: {', '.join(part.unprojected)}"
    yield "Q: the directions that the method itself protects; the reference's, where it protects none"
    if certificate.movement and certificate.movement.linears:  # else nothing changed
        shares = (f"{energy:.0%} {leak}" for energy, leak in zip(LEAK_ENERGIES, leaks(certificate), strict=True))
        yield (
            "|dW Q|/|dW| where Q holds so much of the reference's energy, in brackets that of a change with no "
            f"preference: {', '.join(shares)}"
        )
    yield f"\n{textwrap.fill(GUARANTEE, WIDTH)}"
    if certificate.movement and certificate.movement.linears:
        yield f"\n{movement.text(certificate)}\n"
