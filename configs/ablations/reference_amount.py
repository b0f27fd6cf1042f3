"""The amount of reference text: 32 to 2,048 examples, a quarter of each source.

    jaxft sweep configs/ablations/reference_amount.py

Expected: safety and knowledge are kept from a few hundred examples on.

Recorded (experiments/results/ablation_reference_amount.json), safety and knowledge in %: 99.3 and 93.1 with 32
examples, 98.7 and 96.8 with 128, 99.7 and 96.6 with 512, 99.7 and 97.5 with 2,048; the quickstart's 5,256 keep 100.0
and 99.5. Proficiency 98.3 to 99.7 %.
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
