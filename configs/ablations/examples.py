"""How many examples of the domain, at the same number of steps.

    jaxft sweep configs/ablations/examples.py

Expected: proficiency needs about a thousand examples; forgetting hardly depends on them.
"""

from dataclasses import replace
from pathlib import Path

from experiments.settings import load_experiment
from jaxft.config import Source, Sweep

base = load_experiment(str(Path(__file__).parents[1] / "quickstart.py"))
sweep = Sweep(
    name="examples",
    experiment=replace(base, methods={"lora": base.methods["lora"], "projection": base.methods["projection"]}),
    grid={"domain": tuple((Source("hotel", limit=count),) for count in (100, 1000, 9600))},
)
