"""`jaxft generate`: continue a text with any Hugging Face folder."""

from __future__ import annotations

from experiments.base_model import model_folder
from jaxft.data.example import Example, Message
from jaxft.data.template import encode_prompt
from jaxft.data.tokenizer import bos_id, check_rows, load_tokenizer
from jaxft.errors import UserError
from jaxft.llama.checkpoint import load
from jaxft.llama.generate import generate


def continue_text(
    model: str, prompt: str, *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0, chat: bool = False
) -> str:
    """The prompt with its continuation; with `chat`, only the reply to the prompt as a user's message."""
    if max_new_tokens < 1:
        raise UserError(f"--max-new-tokens: found {max_new_tokens}, expected at least 1")
    if temperature < 0:
        raise UserError(f"--temperature: found {temperature}, expected 0 or more")
    folder = model_folder(model)
    llama, tokenizer = load(folder), load_tokenizer(folder)
    if chat:
        tokens = encode_prompt(Example((Message("user", prompt),), ""), tokenizer, "tokenizer", llama.config)
    else:
        bos = bos_id(tokenizer)
        tokens = [*([] if bos is None else [bos]), *tokenizer.encode(prompt, add_special_tokens=False)]
        check_rows(tokens, tokenizer, llama.config)
        if not tokens:
            raise UserError("--prompt: found no text, and this tokenizer has no BOS token to begin a text with")
    reply = generate(llama, [tokens], max_new_tokens=max_new_tokens, batch_size=1, temperature=temperature, seed=seed)[
        0
    ]
    whole = reply if chat else tokens + reply
    return str(tokenizer.decode(whole, skip_special_tokens=True)).strip()
