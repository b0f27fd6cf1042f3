"""The provider of the endpoints' tests."""

from tests.experiments.endpoints.conftest import quick, server

__all__ = ["quick", "server"]
