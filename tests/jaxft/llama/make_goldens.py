"""Writes goldens/: what transformers computes for small random Llamas, so that its parity is tested without torch.

    python -m tests.jaxft.llama.make_goldens        (needs torch and transformers; takes seconds)

The weights come from `small.tensors` and a seed, so the goldens hold tokens, logits and greedy replies alone.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

from tests.jaxft.llama.small import CONFIGS, tensors, write_folder

GOLDENS = Path(__file__).parent / "goldens" / "transformers.safetensors"
SEED, ROWS, LENGTH, REPLY = 7, 2, 40, 12


def main() -> None:
    """Recompute every variant and overwrite the file."""
    values: dict[str, np.ndarray] = {}
    for variant, config in CONFIGS.items():
        prompts = np.random.RandomState(SEED).randint(3, config["vocab_size"], (ROWS, LENGTH))
        with tempfile.TemporaryDirectory() as folder:
            write_folder(Path(folder), config, tensors(config, seed=SEED))
            model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        with torch.no_grad():
            logits = model(torch.tensor(prompts)).logits.numpy()
            tokens = torch.tensor(prompts)
            for _ in range(REPLY):
                last = model(tokens).logits[:, -1]
                first, second = last.topk(2).values.T
                assert (first - second).min() > 1e-3, f"{variant}: a tie; choose another seed"
                tokens = torch.cat([tokens, last.argmax(-1, keepdim=True)], dim=1)
        values[f"{variant}.prompts"] = prompts.astype(np.int32)
        values[f"{variant}.logits"] = logits.astype(np.float32)
        values[f"{variant}.replies"] = tokens[:, LENGTH:].numpy().astype(np.int32)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "seed": str(SEED)}
    save_file(values, GOLDENS, versions)


if __name__ == "__main__":
    main()
