"""Tables of the searches by `Auto`: every trial, and the drift of the chosen one on text that no decision has seen."""

from experiments.report.columns import Grid
from experiments.report.reading import TARGET, Compared, number, score
from experiments.store.record import AxisDescription
from experiments.store.record.method import Search


def searches(record: Compared) -> list[tuple[str, Grid]]:
    """(sentence that says if the budget was kept, table of trials) of each method with a search."""
    found = {name: method.search for name, method in record.methods.items() if method.search}
    return [(_kept(name, search), _trials(record.axes[TARGET], search)) for name, search in found.items()]


def _kept(name: str, search: Search) -> str:
    kept = "kept" if search.kept else "not kept"
    return (
        f"{name}: a budget of {search.budget:.2%} was {kept}; the chosen one of {len(search.trials)} trials "
        f"drifts {search.realised_drift:.2%} on held-out text that no decision has seen."
    )


def _trials(axis: AxisDescription, search: Search) -> Grid:
    rows = (
        (
            number(trial.learning_rate),
            number(trial.kfac_strength),
            number(trial.drift, ".2%"),
            score(trial.proficiency, axis),
            "chosen" if trial.chosen else "",
        )
        for trial in search.trials
    )
    return Grid(("learning rate", "K-FAC strength", "drift", f"{TARGET} on validation data", ""), tuple(rows))
