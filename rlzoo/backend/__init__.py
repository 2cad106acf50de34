"""The engines: one module each, with the same ops (`ops`) and verbs.

`Engine` is one of them, chosen for an agent: its name, its device, and the verbs `compile`, `asarray`, `view` and
`to_numpy`. The framework is imported when the engine is first used.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any
from weakref import WeakMethod

import numpy as np

from rlzoo.backend import tree
from rlzoo.errors import UserError, installing, nearest

ENGINES = ("jax", "torch", "tensorflow", "mindspore")  # in the order `auto` tries them
DEVICES = ("auto", "cpu", "cuda")
THREADS_SINCE = {"jax": "device", "mindspore": "device", "tensorflow": "compile"}  # what starts them; torch forks well
_started: dict[str, int] = {}  # engine → the process that has its threads: one forked from it would wait for them


def is_installed(name: str) -> bool:
    """Whether the framework of this engine can be imported; imports nothing."""
    return name == "numpy" or find_spec(name) is not None


def choose(name: str | None = None) -> str:
    """The engine's name from what was asked for: a name, or `auto`, or None for the environment variable RLZOO_BACKEND.

    Raises UserError for an unknown name, a missing framework, or `auto` with none installed.
    """
    name = name or os.environ.get("RLZOO_BACKEND") or "auto"
    if name == "auto":
        for candidate in ENGINES:
            if is_installed(candidate):
                return candidate
        others = "(or torch, tensorflow, mindspore); to act alone, backend numpy needs none"
        raise UserError(f"no engine is installed: {installing('jax')} {others}")
    if name not in (*ENGINES, "numpy"):
        valid = f"auto, {', '.join(ENGINES)}; numpy, which cannot learn"
        raise UserError(f"unknown backend {name!r}{nearest(name, ENGINES)} (valid: {valid})")
    if not is_installed(name):
        raise UserError(f"backend {name!r} is not installed: {installing(name)}")
    return name


class Engine:
    """One engine on one device. With `eager`, `compile` leaves functions as they are: slower, and easy to debug."""

    def __init__(self, name: str | None = None, device: str = "auto", eager: bool = False):
        self.name, self.eager, self._asked_device = choose(name), eager, device
        if device not in DEVICES:
            raise UserError(f"unknown device {device!r}{nearest(device, DEVICES)} (valid: {', '.join(DEVICES)})")

    @property
    def learns(self) -> bool:
        """Whether it compiles updates; NumPy only acts."""
        return self.name in ENGINES

    @cached_property
    def module(self) -> ModuleType:
        return import_module(f"rlzoo.backend.{self.name}")

    def check_process(self) -> None:
        """Raises UserError in a process that was forked from one in which the engine ran: it would wait for ever."""
        if _started.get(self.name, os.getpid()) != os.getpid():
            mend = "start worker processes with multiprocessing.get_context('spawn')"
            raise UserError(f"{self.name} cannot run in a process that was forked after {self.name} had run: {mend}")

    def _note(self, verb: str) -> None:
        if THREADS_SINCE.get(self.name) == verb:
            _started.setdefault(self.name, os.getpid())

    @cached_property
    def device(self) -> str:
        """The device in words, "cpu" or "cuda"; raises UserError if this engine sees no such device."""
        self._note("device")
        found = self.module.device(self._asked_device)
        if found is None:
            raise UserError(f"{self.name} sees no {self._asked_device!r} device here: use --device cpu")
        return found

    def compile(self, function: Callable[..., Any], donate: bool = False) -> Callable[..., Any]:
        """`function` of trees of arrays (NumPy's or this engine's), compiled for each new shape.

        With `donate`, the arrays of its first argument belong to the call and must not be used afterwards. Of a method,
        the object is not kept: an agent holds what is compiled of it, and is to be freed with all that it has. Raises
        UserError in a process that was forked after the engine ran, unless it is torch.
        """
        self.check_process()
        self._note("compile")
        function, device = _weakly(function) if inspect.ismethod(function) else function, self.device
        if not self.eager:
            return self.module.compile(function, device, donate)

        def run(*arguments: Any) -> Any:
            return function(*tree.map(self.asarray, arguments))

        return run

    @staticmethod
    def threads(compiled: Callable[..., Any]) -> int:
        """How many threads a compiled function last ran with: all the process may have, unless its engine chooses."""
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return getattr(compiled, "threads", available)

    def asarray(self, x: Any) -> Any:
        """An array, NumPy's or this engine's, as this engine's on its device; it may share the memory."""
        return self.module.asarray(x, self.device)

    def view(self, x: Any) -> np.ndarray:
        """An array, NumPy's or this engine's, mostly in the memory that it has: to be read before the next call."""
        return x if isinstance(x, np.ndarray) else self.module.view(x)

    def to_numpy(self, arrays: Any) -> Any:
        """The same tree with NumPy arrays, copied."""
        return tree.map(lambda x: np.array(self.view(x)), arrays)


def _weakly(method: Any) -> Callable[..., Any]:
    found = WeakMethod(method)

    def call(*arguments: Any) -> Any:
        return found()(*arguments)  # type: ignore[misc]

    call.__name__ = method.__name__  # which engines call their programs by
    return call
