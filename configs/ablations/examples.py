"""The number of domain examples, at the same number of steps.

    jaxft sweep configs/ablations/examples.py

Expected: proficiency needs about a thousand examples; forgetting hardly depends on them. A thousand are not enough, and
limit LoRA and projection alike; results in experiments/results/README.md.
"""

from experiments.config import Source, Sweep
from experiments.config_loader import load_experiment, only

sweep = Sweep(
    name="examples",
    experiment=only(load_experiment("../quickstart.py", beside=__file__), "lora", "projection"),
    grid={"domain": tuple((Source("hotel", limit=count),) for count in (100, 1000, 9600))},
)
