"""The engines that tests run on. On a user's machine a missing engine is a skip; in CI nothing is skipped."""

from __future__ import annotations

import os
from importlib import import_module

import pytest

from rlzoo.backend import ENGINES


def load(name):
    """The backend module of an engine; skips the test where the engine is not installed."""
    try:
        return import_module(f"rlzoo.backend.{name}")
    except ImportError as error:
        if os.environ.get("CI") or os.environ.get("RLZOO_ALL_ENGINES"):
            raise
        pytest.skip(f"{name} is not installed: {error}")


@pytest.fixture(scope="session", params=ENGINES)
def engine(request):
    """The backend module of each engine in turn."""
    return load(request.param)


@pytest.fixture(scope="session", params=ENGINES)
def backend(request):
    """The name of each engine in turn."""
    load(request.param)
    return request.param


@pytest.fixture(scope="session")
def mindspore():
    """The backend module of MindSpore."""
    return load("mindspore")


@pytest.fixture(scope="session")
def eager(engine):
    """The same backend module, made ready for calls that are not compiled."""
    if engine.__name__.endswith("mindspore"):
        import mindspore

        mindspore.runtime.launch_blocking()  # many times faster where each call is one small op
    return engine
