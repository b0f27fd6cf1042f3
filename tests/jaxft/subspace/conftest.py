"""How hypothesis runs here: the machines are shared, so no time limits, and the same cases every time."""

from hypothesis import settings

settings.register_profile("jaxft-subspace", deadline=None, derandomize=True, database=None, max_examples=25)
settings.load_profile("jaxft-subspace")
