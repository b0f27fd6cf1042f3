"""The amount of reference text: 32 to 2,048 examples, a quarter of each source.

    jaxft sweep configs/ablations/reference_amount.py

Expected: safety and knowledge are kept from a few hundred examples on. 32 keep most; results in
experiments/results/README.md.
"""

from experiments.config import Source, Sweep
from experiments.config_loader import load_experiment, only

KINDS = ("knowledge", "safety", "general", "reading")
sweep = Sweep(
    name="reference_amount",
    experiment=only(load_experiment("../quickstart.py", beside=__file__), "projection"),
    grid={
        "reference.sources": tuple(
            tuple(Source(kind, limit=count // len(KINDS)) for kind in KINDS) for count in (32, 128, 512, 2048)
        )
    },
)
