"""JSON files of a Hugging Face model folder."""

import json
from pathlib import Path
from typing import Any

from jaxft.errors import UserError


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; UserError names the file if it is missing or holds no JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. A Hugging Face model folder has one; check the path.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}). Download or write the file again.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: holds a JSON {type(value).__name__}, expected an object.")
    return value
