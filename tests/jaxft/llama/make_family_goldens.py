"""Writes goldens/families.safetensors: what transformers computes for the models of `small_families`.

    python -m tests.jaxft.llama.make_family_goldens        (needs torch and transformers; takes seconds)

It holds logits at a few positions, a greedy reply, and in the header each config.json as transformers 5 saves it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

from tests.jaxft.llama.small_families import CONFIGS, KEPT, REPLY, texts, write_family

GOLDENS = Path(__file__).parent / "goldens" / "families.safetensors"


def main() -> None:
    """Recompute every family and overwrite the file."""
    values: dict[str, np.ndarray] = {}
    header = {"torch": torch.__version__, "transformers": transformers.__version__}
    for name in CONFIGS:
        with tempfile.TemporaryDirectory() as folder:
            write_family(Path(folder), name)
            model, found = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
            )
            assert not any(found.values()), (name, found)
            model.eval().config.save_pretrained(folder)
            header[name] = (Path(folder) / "config.json").read_text()
        with torch.no_grad():
            tokens = torch.tensor(texts()[0], dtype=torch.long)[None]
            values[f"{name}.logits"] = model(tokens).logits[0, list(KEPT)].numpy()
            for _ in range(REPLY):
                last = model(tokens).logits[:, -1]
                first, second = last.topk(2).values.T
                assert (first - second).min() > 1e-3, f"{name}: a tie; choose another seed"
                tokens = torch.cat([tokens, last.argmax(-1, keepdim=True)], dim=1)
        values[f"{name}.reply"] = tokens[0, -REPLY:].numpy().astype(np.int32)
    save_file(values, GOLDENS, header)


if __name__ == "__main__":
    main()
