"""Every test process simulates 8 devices; what asks for no mesh runs on the first one, as on a machine with one.

All processes of a session share their compiled programs: much of a test's time is compilation, and many compile alike.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import jax
import pytest

from experiments.store.log import show_progress

os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the Hugging Face Hub

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # set by the first process, inherited by all others
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxft_compiled_")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_num_cpu_devices", 8)
show_progress()


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with public data and real tokenizers; it is no part of the repository."""
    folder = os.environ.get("JAXFT_TEST_DATA")
    if not folder:
        pytest.skip("JAXFT_TEST_DATA is not set: no real data to read")
    return Path(folder)
