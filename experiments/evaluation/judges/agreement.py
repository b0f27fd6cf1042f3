"""Agreement of a judge with labels given by reading: rate, Cohen's kappa, and the influence of length."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from experiments.evaluation.judges.base import Verdict
from experiments.evaluation.rules.text import words

RESAMPLES = 2000


@dataclass(frozen=True)
class Pair:
    """One reply with its label by reading, the judge's verdict, and `good`: True if the label by reading is good."""

    reply: str
    label: str
    good: bool
    verdict: Verdict


def measure(pairs: Sequence[Pair], *, seed: int = 0) -> dict[str, Any]:
    """Agreement of a judge with labels by reading, for a record; rates are fractions, unjudged replies are left out.

    agreement and kappa compare good with bad, label_agreement compares labels. length: mean number of words of replies
    that the judge finds good, minus that of replies labelled good (None if either kind has no replies), and
    kappa in each third of the replies by length. confusion: label -> the judge's label -> number of replies.
    """
    judged = [pair for pair in pairs if pair.verdict.good is not None]
    lengths = np.array([len(words(pair.reply)) for pair in judged], float)
    ours, theirs = (np.array(good, bool) for good in zip(*[(p.good, p.verdict.good) for p in judged], strict=True))
    thirds = np.array_split(np.argsort(lengths, kind="stable"), 3)
    table = _table(ours, theirs)
    return {
        "replies": len(pairs),
        "unjudged": len(pairs) - len(judged),
        "labelled_good": float(ours.mean()),
        "judged_good": float(theirs.mean()),
        "agreement": float((ours == theirs).mean()),
        "kappa": kappa(table),
        "kappa_interval": kappa_interval(table, seed=seed),
        "label_agreement": float(np.mean([pair.label == pair.verdict.label for pair in judged])),
        "length": {
            "difference": float(lengths[theirs].mean() - lengths[ours].mean()) if ours.any() and theirs.any() else None,
            "thirds": [
                {"longest": int(lengths[part[-1]]), "kappa": kappa(_table(ours[part], theirs[part]))}
                for part in thirds
                if part.size
            ],
        },
        "confusion": _confusion(judged),
    }


def kappa(table: Int[np.ndarray, "2 2"]) -> float | None:
    """Cohen's kappa of counts [labelled, judged]: agreement beyond chance; 1 is complete, 0 is chance.

    None if both sides give the same label to all replies: then chance explains all agreement. Source: Cohen 1960.
    """
    found = float(_kappas(table[None])[0])
    return None if np.isnan(found) else found


def kappa_interval(table: Int[np.ndarray, "2 2"], *, seed: int, level: float = 0.95) -> list[float] | None:
    """Bootstrap percentile interval of kappa over replies; None if no resample has a kappa.

    Resampling replies with replacement is equivalent to drawing the four counts from a multinomial distribution.
    """
    total = int(table.sum())
    drawn = np.random.default_rng(seed).multinomial(total, table.ravel() / total, RESAMPLES).reshape(-1, 2, 2)
    kappas = _kappas(drawn)
    defined = kappas[~np.isnan(kappas)]
    return np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]).tolist() if defined.size else None


def _kappas(tables: Int[np.ndarray, "n 2 2"]) -> Float[np.ndarray, " n"]:
    """Kappa of each table; NaN if agreement by chance is complete."""
    shares = tables / tables.sum(axis=(1, 2), keepdims=True)
    observed = np.trace(shares, axis1=1, axis2=2)
    chance = (shares.sum(axis=2) * shares.sum(axis=1)).sum(axis=1)
    beyond = 1 - chance
    return np.divide(observed - chance, beyond, out=np.full(len(tables), np.nan), where=beyond > 1e-12)


def _table(labelled: np.ndarray, judged: np.ndarray) -> Int[np.ndarray, "2 2"]:
    return np.array([[np.sum((labelled == a) & (judged == b)) for b in (False, True)] for a in (False, True)])


def _confusion(judged: Sequence[Pair]) -> dict[str, dict[str, int]]:
    counts = Counter((pair.label, pair.verdict.label) for pair in judged)
    return {
        label: {theirs: n for (ours, theirs), n in sorted(counts.items()) if ours == label}
        for label in sorted({pair.label for pair in judged})
    }
