"""The number of domain examples, at the same number of steps.

    jaxft sweep configs/ablations/examples.py

Expected: proficiency needs about a thousand examples; forgetting hardly depends on them.

Recorded (experiments/results/ablation_examples.json), proficiency, safety and knowledge in %, with 100, 1,000 and 9,600
examples: LoRA 12.7 / 0.0 / 0.2, 62.0 / 0.0 / 0.2, 99.7 / 0.0 / 2.0; projection 12.3 / 100.0 / 99.5, 59.0 / 100.0 /
99.3, 99.7 / 100.0 / 99.5. Contrary to expectation a thousand are not enough; they limit both methods alike.
"""

from experiments.config import Source, Sweep
from experiments.config_loader import load_experiment, only

sweep = Sweep(
    name="examples",
    experiment=only(load_experiment("../quickstart.py", beside=__file__), "lora", "projection"),
    grid={"domain": tuple((Source("hotel", limit=count),) for count in (100, 1000, 9600))},
)
