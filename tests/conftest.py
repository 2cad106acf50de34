"""The engines that tests run on. On a user's machine a missing engine is a skip; in CI nothing is skipped."""

from __future__ import annotations

import os
import signal
import tempfile

import pytest
from engines import require

from rlzoo.backend import ENGINES

if "PYTEST_XDIST_WORKER" not in os.environ:  # what is compiled is kept for one session; its workers have it from here
    KEPT = tempfile.TemporaryDirectory(prefix="rlzoo-compiled-")
    os.environ["RLZOO_CACHE"] = KEPT.name
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads that wait busily keep the other worker from its core
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session", params=ENGINES)
def engine(request):
    """The backend module of each engine in turn."""
    return require(request.param)


@pytest.fixture(scope="session", params=ENGINES)
def backend(request):
    """The name of each engine in turn."""
    require(request.param)
    return request.param


@pytest.fixture(scope="session")
def mindspore():
    """The backend module of MindSpore."""
    return require("mindspore")


@pytest.fixture(scope="session")
def eager(engine):
    """The same backend module, made ready for calls that are not compiled."""
    if engine.__name__.endswith("mindspore"):
        import mindspore

        mindspore.runtime.launch_blocking()  # many times faster where each call is one small op
    return engine


@pytest.fixture
def ctrl_c():
    """Ctrl-C as at a terminal: what is started in a shell's background ignores it, and so would tests of it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
