"""The interfaces, on one page, in the order data flows: environment → policy → buffer → compiled update → policy.

    agent = PPO("CartPole-v1")
    while agent.steps < total:
        buffer ← transitions of policy.sample(params, observation, noise)      NumPy, in the environment
        state, metrics = update(state, buffer.arrays(), noise, scalars)         one compiled call on the engine
        params ← layout.split(to_numpy(state["parameters"]))                    one flat vector back

The concrete parts are in `training/agent.py`, `policies/networks.py`, `buffers/` and `backend/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Array = Any  # an array of any engine
Tree = Any  # nested dicts, tuples and lists of arrays


class Backend(Protocol):
    """A module of `rlzoo/backend/`: the ops of `ops.py`, and these verbs."""

    def value_and_grad(self, function: Callable[[list[Array]], tuple[Array, Tree]], arrays: list[Array]) -> Any:
        """Value, auxiliary tree and gradients of a scalar function of arrays."""

    def fold(
        self, step: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]], carry: Tree, inputs: Tree, constants: Tree
    ) -> Any:
        """A pure step over the leading axis of `inputs`: last carry, stacked outputs."""

    def compile(self, function: Callable[..., Tree], device: str, donate: bool) -> Callable[..., Tree]:
        """A pure function of trees of arrays, compiled once for each new shape."""

    def asarray(self, x: Any, device: str) -> Array:
        """A NumPy array on the engine."""

    def to_numpy(self, x: Array) -> np.ndarray:
        """An array of the engine, copied to NumPy."""

    def device(self, name: str) -> str | None:
        """"cpu" or "cuda" for what was asked (or "auto"); None where the engine sees no such device."""


class Policy(Protocol):
    """Networks and a head, as pure functions of named parameters: the same code in NumPy and on any engine."""

    def init(self, rng: np.random.Generator) -> dict[str, Tree]:
        """Initial parameters."""

    def sample(self, params: Tree, observation: Array, noise: Array) -> Array:
        """Exploring actions `[N, *action]` for observations `[N, *observation]`, from noise handed in."""

    def mode(self, params: Tree, observation: Array) -> Array:
        """The deterministic actions."""


class Buffer(Protocol):
    """Where experience is kept, in preallocated NumPy arrays."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Its contents: what the update reads, or what a checkpoint holds."""


class Agent(Protocol):
    """What everyone uses: learn, act, evaluate, save. `rlzoo.load` is the other half of `save`."""

    steps: int  # environment steps taken, over all environments

    def learn(self, steps: int | None = None) -> Agent:
        """Train for that many more environment steps."""

    def act(self, observation: np.ndarray, deterministic: bool = True) -> np.ndarray:
        """The action for one observation, or for a batch of them; NumPy in, NumPy out."""

    def evaluate(self, episodes: int = 20) -> Any:
        """Play whole episodes in an environment of its own."""

    def save(self, path: str | Path) -> Path:
        """Write a checkpoint that any engine loads."""
