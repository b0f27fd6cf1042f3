"""The amount of reference text: 32 to 2,048 examples, a quarter of each source.

    jaxft sweep configs/ablations/reference_amount.py

Expected: safety and knowledge are kept from a few hundred examples on. 32 keep most; results in
experiments/results/README.md.
"""

from dataclasses import replace
from pathlib import Path

from experiments.config import Source, Sweep
from experiments.config_loader import load_experiment

base = load_experiment(str(Path(__file__).parents[1] / "quickstart.py"))
KINDS = ("knowledge", "safety", "general", "reading")
sweep = Sweep(
    name="reference_amount",
    experiment=replace(base, methods={"projection": base.methods["projection"]}),
    grid={
        "reference.sources": tuple(
            tuple(Source(kind, limit=count // len(KINDS)) for kind in KINDS) for count in (32, 128, 512, 2048)
        )
    },
)
