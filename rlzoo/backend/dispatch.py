"""Whose arrays these are: the backend module that an op passes on to, found by the types of its arguments."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from rlzoo.backend import numpy as numpy_backend
from rlzoo.backend import tree

_HOMES = {  # package → backend
    "numpy": "numpy", "torch": "torch", "tensorflow": "tensorflow", "mindspore": "mindspore", "jax": "jax",
    "jaxlib": "jax",
}  # fmt: skip
_NUMPY_TYPES = (np.ndarray, float, int, bool, np.float32, np.float64, np.int32, np.int64, np.bool_)
_MIXED = ("torch", "tensorflow", "mindspore")  # whose own functions do not take NumPy's arrays beside theirs
_MODULES: dict[type, Any] = dict.fromkeys(_NUMPY_TYPES, numpy_backend)


class _Mixed:
    """A backend module whose ops are also given NumPy's arrays: they become the engine's."""

    def __init__(self, module: ModuleType):
        self._module = module

    def __getattr__(self, name: str) -> Any:
        op = getattr(self._module, name)

        def mixed(*arguments: Any) -> Any:
            leaves, structure = tree.flatten(arguments)
            if any(isinstance(leaf, np.ndarray) for leaf in leaves):
                like = next(leaf for leaf in leaves if _MODULES.get(type(leaf)) is self)
                leaves = [self._module.asarray_like(x, like) if isinstance(x, np.ndarray) else x for x in leaves]
                arguments = tree.unflatten(structure, leaves)
            return op(*arguments)

        setattr(self, name, mixed)
        return mixed


@cache
def _module(name: str) -> Any:
    module = import_module(f"rlzoo.backend.{name}")
    return _Mixed(module) if name in _MIXED else module


def _backend_of_type(kind: type) -> Any:
    for parent in kind.__mro__:
        home = parent.__module__
        name = "recorder" if home == "rlzoo.backend.recorder" else _HOMES.get(home.partition(".")[0])
        if name is not None:
            _MODULES[kind] = _module(name)
            return _MODULES[kind]
    raise TypeError(f"ops act on arrays of numpy, torch, tensorflow, mindspore or jax, not on {kind.__name__}")


def backend_of(*arrays: Any) -> Any:
    """The backend module whose arrays these are; NumPy arrays and Python numbers give way to any engine's."""
    for array in arrays:
        module = _MODULES.get(type(array)) or _backend_of_type(type(array))
        if module is not numpy_backend:
            return module
    return numpy_backend
