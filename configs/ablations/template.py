"""With the chat template and without it, in training, reference and evaluation alike.

    jaxft sweep configs/ablations/template.py

Expected: the base answers in its own template alone; without it there is less to lose and less to keep.
"""

from dataclasses import replace
from pathlib import Path

from experiments.settings import load_experiment
from jaxft.config import Sweep

base = load_experiment(str(Path(__file__).parents[1] / "quickstart.py"))
sweep = Sweep(
    name="template",
    experiment=replace(base, methods={"lora": base.methods["lora"], "projection": base.methods["projection"]}),
    grid={"model.template": ("tokenizer", "plain")},
)
