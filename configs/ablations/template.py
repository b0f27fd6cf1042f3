"""With the chat template and without it, in training, reference and evaluation alike.

    jaxft sweep configs/ablations/template.py

Expected: the base answers only in its own template; without it there is less to lose and less to keep.

Recorded (experiments/results/ablation_template.json), safety and knowledge in %: with the template the base has 100.0
and 99.5, projection keeps 100.0 and 99.5, LoRA 0.0 and 2.0; without it the base has 20.0 and 28.2, projection keeps
19.3 and 29.7, LoRA 0.0 and 0.2. Proficiency 98.7 to 99.7 %.
"""

from experiments.config import Sweep
from experiments.config_loader import load_experiment, only

sweep = Sweep(
    name="template",
    experiment=only(load_experiment("../quickstart.py", beside=__file__), "lora", "projection"),
    grid={"model.template": ("tokenizer", "plain")},
)
