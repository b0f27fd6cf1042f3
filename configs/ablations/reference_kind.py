"""The kind of reference text: facts, safe answers, stories, notes, or only text that the base itself writes.

    jaxft sweep configs/ablations/reference_kind.py

Expected: each kind keeps its own axis best; text that the base generates keeps most of both without any data. The first
is so; generated text keeps less than expected, as 800 samples of the base contain few of its facts. Results in
experiments/results/README.md.
"""

from experiments.config import Generated, Source, Sweep
from experiments.config_loader import load_experiment, only

sweep = Sweep(
    name="reference_kind",
    experiment=only(load_experiment("../quickstart.py", beside=__file__), "projection"),
    points=(
        *({"reference.sources": (Source(kind, limit=800),)} for kind in ("knowledge", "safety", "general", "reading")),
        {"reference.sources": (), "reference.generated": (Generated(count=800, max_new_tokens=48),)},
        {
            "reference.sources": (),
            "reference.generated": (
                Generated(count=800, max_new_tokens=48),
                Generated(count=400, max_new_tokens=40, prompts=(Source("safety", limit=400),)),
            ),
        },
    ),
)
