"""With the chat template and without it, in training, reference and evaluation alike.

    jaxft sweep configs/ablations/template.py

Expected: the base answers only in its own template; without it there is less to lose and less to keep. So it was:
results in experiments/results/README.md.
"""

from experiments.config import Sweep
from experiments.config_loader import load_experiment, only

sweep = Sweep(
    name="template",
    experiment=only(load_experiment("../quickstart.py", beside=__file__), "lora", "projection"),
    grid={"model.template": ("tokenizer", "plain")},
)
