"""Whose arrays these are: the backend module that an op passes on to, found by the types of its arguments."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from rlzoo.backend import numpy as numpy_backend

_HOMES = {"torch": "torch", "tensorflow": "tensorflow", "mindspore": "mindspore", "jax": "jax", "jaxlib": "jax"}
_NUMPY_TYPES = (np.ndarray, float, int, bool, np.float32, np.float64, np.int32, np.int64, np.bool_)
_MODULES: dict[type, ModuleType] = dict.fromkeys(_NUMPY_TYPES, numpy_backend)


def _backend_of_type(kind: type) -> ModuleType:
    for parent in kind.__mro__:
        home = parent.__module__
        if home == "rlzoo.backend.recorder":
            name = "recorder"
        else:
            name = _HOMES.get(home.partition(".")[0], "numpy" if home.partition(".")[0] == "numpy" else "")
        if name:
            _MODULES[kind] = import_module(f"rlzoo.backend.{name}")
            return _MODULES[kind]
    raise TypeError(f"ops act on arrays of numpy, torch, tensorflow, mindspore or jax, not on {kind.__name__}")


def backend_of(*arrays: Any) -> ModuleType:
    """The backend module whose arrays these are; NumPy arrays and Python numbers give way to any engine's."""
    for array in arrays:
        module = _MODULES.get(type(array)) or _backend_of_type(type(array))
        if module is not numpy_backend:
            return module
    return numpy_backend
