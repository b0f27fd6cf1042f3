"""EleutherAI's lm-evaluation-harness on a model that jaxft runs: `python -m experiments.evaluation.lmeval --tasks ...`.

Needs the extra `lmeval`; PyTorch is not needed. All options are the harness's own (`lm_eval run --help`):

    python -m experiments.evaluation.lmeval --model_args pretrained=FOLDER --tasks arc_easy --batch_size 16

Results equal those of the harness's own backend `hf` on the same folder, by these conventions:

- Every text begins with one BOS, as in training. It is added to contexts and whole texts unless they begin with its
  name, as texts from a chat template do. `hf` adds BOS only if the tokenizer does, as Llama's; for other tokenizers,
  such as that of the shipped base, give `hf` the argument `add_bos_token=True`.
- In `loglikelihood_rolling`, BOS and the text are predicted from one more BOS: the sum includes log p of BOS after BOS.
- The tokenizer is exactly that of tokenizer.json. `hf` (transformers 5) rebuilds Llama tokenizers, which then read a
  space at the beginning of a text, and text right after the name of a special token, differently.
- An end token is never added. The name of a special token inside a text is read as that token.
"""

import sys
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

try:
    from lm_eval.__main__ import cli_evaluate
except ModuleNotFoundError as error:
    raise SystemExit("jaxft: lm-evaluation-harness is missing; it comes with `pip install -e '.[lmeval]'`") from error
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from experiments.base_model import Base
from experiments.config import Model
from experiments.evaluation.likelihood import continuation_scores
from jaxft import bounds
from jaxft.data.chat_template import source
from jaxft.data.tokenizer import bos_id, check_rows, eos_id
from jaxft.errors import UserError
from jaxft.llama.checkpoint import read_config
from jaxft.llama.generate import generate
from jaxft.llama.hf_tensors import FloatDtype
from jaxft.llama.sharding import check_divides
from jaxft.sharding import LAYOUTS, Preset, Sharding, make_mesh, use_mesh

#: Generation settings that mean greedy decoding; top_p and top_k then have no effect.
GREEDY = {"do_sample": False, "temperature": 0.0, "num_beams": 1}
BATCH_SIZE = 16


@register_model("jaxft")
class JaxftLM(TemplateLM):
    """The harness's interface to a model in a Hugging Face folder.

    pretrained: the folder, or "base" for the shipped base. batch_size: rows of a batch. param_dtype, compute_dtype:
    dtypes of stored weights and of activations. sharding: a preset of jaxft/sharding.py, over all devices of one
    process. device, max_batch_size: arguments that the harness passes to every model; unused, JAX chooses the device.
    """

    def __init__(
        self,
        pretrained: str = "base",
        batch_size: int | str = BATCH_SIZE,
        param_dtype: FloatDtype = "float32",
        compute_dtype: FloatDtype = "float32",
        sharding: Preset = "single",
        device: str | None = None,
        max_batch_size: int | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        for key in unknown:
            raise UserError(f"--model_args: unknown {key!r}; known: pretrained, param_dtype, compute_dtype, sharding")
        if not str(batch_size).isdigit() or int(batch_size) < 1:
            raise UserError(f"--batch_size: found {batch_size!r}, expected a number of rows, at least 1")
        settings = Model(pretrained, param_dtype=param_dtype, compute_dtype=compute_dtype, sharding=Sharding(sharding))
        bounds.check(settings, "--model_args")
        self.base, self.mesh, self.batch_size = Base(settings), make_mesh(settings.sharding), int(batch_size)
        if self.mesh is not None:
            config, rows = read_config(self.base.folder), {"--batch_size": self.batch_size}
            check_divides(self.mesh, LAYOUTS[sharding], config, rows)
        with use_mesh(self.mesh):
            self.model, self.tokenizer = self.base.model, self.base.tokenizer

    @property
    def max_length(self) -> int:
        return self.model.config.max_positions

    @property
    def eot_token_id(self) -> int:
        return eos_id(self.tokenizer)

    @property
    def prefix_token_id(self) -> int:
        bos = bos_id(self.tokenizer)
        return eos_id(self.tokenizer) if bos is None else bos

    @property
    def tokenizer_name(self) -> str:
        return str(self.base.folder).replace("/", "__")

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation in the tokenizer's chat template; its last turn stays open without add_generation_prompt."""
        try:
            text = self.tokenizer.apply_chat_template(
                chat_history,
                chat_template=source(self.tokenizer),
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        except (TemplateError, ValueError) as error:
            raise UserError(f"--apply_chat_template: the tokenizer in {self.base.folder} refuses: {error}") from error
        return str(text)

    def get_model_info(self) -> dict[str, Any]:
        """Facts about the model for the harness's results."""
        return {"model_num_parameters": self.model.config.parameter_count, "model_sha": self.base.sha256}

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """The tokens of a text, after BOS if add_special_tokens (None: if the text does not begin with BOS's name)."""
        if add_special_tokens is None:
            add_special_tokens = not string.startswith(str(self.tokenizer.bos_token))
        bos = bos_id(self.tokenizer)
        begin = [bos] if add_special_tokens and bos is not None else []
        tokens = begin + self.tokenizer.encode(string, add_special_tokens=False)
        check_rows(tokens, self.tokenizer, self.model.config)
        return tokens

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        pairs = [(context, continuation) for _, context, continuation in requests]
        with use_mesh(self.mesh):
            scored = continuation_scores(self.model, None, pairs, batch_size=self.batch_size)
        return list(zip(scored.sums.tolist(), scored.greedy.tolist(), strict=True))

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """log p of whole texts in nat, each read in windows of the model's context length."""
        windows, owners = [], []
        for index, request in enumerate(requests):
            tokens = self.tok_encode(request.args[0])
            for window in get_rolling_token_windows(tokens, self.prefix_token_id, self.max_length, context_len=1):
                windows.append((("", ""), *make_disjoint_window(window)))
                owners.append(index)
        sums = [0.0] * len(requests)
        for index, (log_p, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            sums[index] += log_p
        return sums

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Greedy continuations, each cut before its first stop string.

        Generation ends at the end token or after max_gen_toks tokens, then the text is cut. A context that leaves no
        room for max_gen_toks loses its first tokens. UserError for requests that are not greedy.
        """
        stops, by_length = [], {}
        for index, request in enumerate(requests):
            until, length = self._generation(request.args[1])
            stops.append(until)
            by_length.setdefault(length, []).append(index)
        replies = [""] * len(requests)
        for length, indices in by_length.items():
            prompts = [self.tok_encode(requests[i].args[0])[length - self.max_length :] for i in indices]
            with use_mesh(self.mesh):
                tokens = generate(self.model, prompts, max_new_tokens=length, batch_size=self.batch_size)
            for i, text in zip(indices, self.tokenizer.batch_decode(tokens, skip_special_tokens=True), strict=True):
                replies[i] = postprocess_generated_text(text, stops[i], think_end_token=None)
        return replies

    def _generation(self, settings: dict[str, Any]) -> tuple[list[str], int]:
        """(stop strings, maximum number of tokens) of a request; by default 256 tokens, as in `hf`."""
        wanted: dict[str, Any] = dict(normalize_gen_kwargs(settings, default_max_gen_toks=256))
        until = handle_stop_sequences(wanted.pop("until"), eos=str(self.tokenizer.eos_token))
        length = int(wanted.pop("max_gen_toks"))
        for key, value in wanted.items():
            if key not in ("top_p", "top_k") and (key not in GREEDY or value != GREEDY[key]):
                raise UserError(
                    f"generation_kwargs: found {key}={value!r}; jaxft's adapter decodes greedily.\n"
                    "Override it with --gen_kwargs, as do_sample=False, or use the backend hf on an exported folder."
                )
        if not 0 < length < self.max_length:
            expected = f"1 to {self.max_length - 1}, less than the model's context; set it with --gen_kwargs"
            raise UserError(f"max_gen_toks: found {length}, expected {expected}")
        return until, length


def main(words: Sequence[str]) -> int:
    """Run the harness's command line on `words`; return 0, or 1 after a UserError."""
    before = sys.argv
    sys.argv = ["lm_eval", "run", "--model", "jaxft", "--batch_size", str(BATCH_SIZE), *words]
    try:
        cli_evaluate()
    except UserError as error:
        print(f"jaxft: {error}", file=sys.stderr)
        return 1
    finally:
        sys.argv = before
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
