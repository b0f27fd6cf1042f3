"""`jaxft generate`: continue a text with any Hugging Face folder."""

from __future__ import annotations

import math

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
    if not 0 <= temperature < math.inf:
        raise UserError(f"--temperature: found {temperature}, expected 0 or more")
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise UserError("--prompt: found bytes that are not UTF-8, expected text in UTF-8; convert it") from None
    folder = model_folder(model)
    llama, tokenizer = load(folder), load_tokenizer(folder)
    if chat and tokenizer.chat_template is None:
        hint = "leave the option out, or add chat_template to its tokenizer_config.json"
        raise UserError(f"--chat: {folder} has no chat template; {hint}")
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
