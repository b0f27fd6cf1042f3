"""Judges of replies: their protocol, and `build` for the judge of a config."""

from pathlib import Path

from experiments import config
from experiments.evaluation.judges.base import Judge, Question, Verdict
from jaxft.errors import UserError

__all__ = ["Judge", "Question", "Verdict", "build"]


def build(settings: config.Judge, folder: Path, turned: bool = False) -> Judge:
    """The judge of a config, which keeps its verdicts in `folder`; UserError if it lacks its folder or endpoint.

    turned: a language model sees labels, conversation and reference in the opposite order.
    """
    match settings.kind:
        case "rules":
            from experiments.evaluation.judges.rules import Rules

            return Rules()
        case "local":
            if not settings.folder:
                raise UserError('judge.folder: not set; a judge of kind "local" needs a Hugging Face folder')

            from experiments.base_model import model_folder

            try:
                model_folder(settings.folder)
            except UserError as error:
                raise UserError(f"judge.folder: {error}") from error

            from experiments.evaluation.judges.local import Local

            return Local(settings, folder, turned)
        case "openai":
            if settings.endpoint is None:
                raise UserError(
                    'judge.endpoint: not set; a judge of kind "openai" needs an Endpoint (experiments/config/)'
                )

            from experiments.endpoints.chat import Chat
            from experiments.evaluation.judges.hosted import Hosted

            return Hosted(Chat(settings.endpoint, folder, settings.max_cost), settings, folder, turned)
