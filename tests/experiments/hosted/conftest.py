"""The scripted provider of the endpoints' tests, which also takes fine-tuning jobs."""

from tests.experiments.endpoints.conftest import quick, server

__all__ = ["quick", "server"]
