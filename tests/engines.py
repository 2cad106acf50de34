"""Which engines the tests run on: those installed on a user's machine; in CI all, and a missing one fails."""

from __future__ import annotations

import os
from importlib import import_module

import pytest

from rlzoo.backend import ENGINES, is_installed

ALL = bool(os.environ.get("CI") or os.environ.get("RLZOO_ALL_ENGINES"))
INSTALLED = [name for name in ENGINES if ALL or is_installed(name)]


def require(name):
    """The backend module of an engine; skips the test where the engine is not installed, unless all must be."""
    try:
        return import_module(f"rlzoo.backend.{name}")
    except ImportError as error:
        if ALL:
            raise
        pytest.skip(f"{name} is not installed: {error}", allow_module_level=True)
