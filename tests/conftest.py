"""One pytest run has one backend, chosen by KERAS_BACKEND; `make test` runs all three."""

import atexit
import os
import shutil
import tempfile

# Before Keras is imported. Tiny models gain nothing from threads, and two test
# processes whose threads wait for each other lose much.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
# They run for milliseconds, and XLA would optimize them for seconds.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false",
)
# What one process of this run has compiled on JAX, the others read.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jax-compiled-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], True)
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "agg")

import keras
import numpy as np
import pytest

BACKEND = os.environ["KERAS_BACKEND"]
# It is there in a second, and compiles nothing.
FASTEST = "torch"


def pytest_report_header():
    return f"keras {keras.__version__} on {keras.backend.backend()}"


def pytest_addoption(parser):
    parser.addoption(
        "--slow-once",
        action="store_true",
        help="run tests marked `slow` on one backend or none, as `make test` does",
    )
    parser.addoption(
        "--all-here",
        action="store_true",
        help="run tests marked `one_backend` on this one, whatever it is",
    )


def pytest_collection_modifyitems(config, items):
    slow_once = config.getoption("--slow-once")
    all_here = config.getoption("--all-here")

    def runs_here(item):
        slow = item.get_closest_marker("slow") if slow_once else None
        marker = None if all_here else item.get_closest_marker("one_backend")
        marker = marker or slow
        wanted = marker is None or marker.kwargs.get("on", FASTEST) == BACKEND
        return wanted and (slow is None or slow.kwargs.get("on", FASTEST) is not None)

    config.hook.pytest_deselected(items=[i for i in items if not runs_here(i)])
    items[:] = filter(runs_here, items)


@pytest.fixture(autouse=True)
def seeded():
    """The same initial weights, dropout and data for every test, in any order."""
    # keras.utils.set_random_seed imports TensorFlow under every backend: slow.
    import random

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (Keras shuffles with it)
    keras.backend.clear_session(free_memory=False)  # a collection takes longer than a test
    assert keras.backend.backend() == BACKEND


@pytest.fixture
def rng():
    return np.random.default_rng(0)
