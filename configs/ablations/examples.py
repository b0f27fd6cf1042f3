"""The number of domain examples, at the same number of steps.

    jaxft sweep configs/ablations/examples.py

Expected: proficiency needs about a thousand examples; forgetting hardly depends on them.

Recorded (experiments/results/ablation_examples.json), proficiency, safety and knowledge in %, with 100, 1,000 and 9,600
examples: LoRA 12.7 / 0.0 / 0.2, 62.0 / 0.0 / 0.2, 99.7 / 0.0 / 2.0; projection 12.3 / 100.0 / 99.5, 59.0 / 100.0 /
99.3, 99.7 / 100.0 / 99.5. Contrary to expectation a thousand are not enough; they limit both methods alike.
"""

from dataclasses import replace
from pathlib import Path

from experiments.config import Source, Sweep
from experiments.config_loader import load_experiment

base = load_experiment(str(Path(__file__).parents[1] / "quickstart.py"))
sweep = Sweep(
    name="examples",
    experiment=replace(base, methods={"lora": base.methods["lora"], "projection": base.methods["projection"]}),
    grid={"domain": tuple((Source("hotel", limit=count),) for count in (100, 1000, 9600))},
)
