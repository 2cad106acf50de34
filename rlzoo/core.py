"""The interfaces, on one page, in the order data flows: environment → policy → buffer → compiled update → policy.

    agent = PPO("CartPole-v1")
    while agent.steps < total:
        action, memory = policy.sample(params, seen, noise)                     NumPy, in the environment
        buffer ← what was seen, the action, and what came of it
        state, metrics = update(state, buffer.arrays(), noise, scalars)         one compiled call on the engine
        params ← layout.split(to_numpy(state["parameters"]))                    one flat vector back

What is `seen` at a step is a tree of arrays `[N, ...]`: mostly the environment's observation alone; with action masks
`{"action_mask", "observation"}`; with memory `{"observation", "memory", "first"}` around that.

The concrete parts are in `training/agent.py`, `policies/networks.py`, `policies/trunk.py`, `buffers/` and
`backend/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    def view(self, x: Array) -> np.ndarray:
        """An array of the engine as NumPy sees it, mostly in the same memory: to be read before the next call."""

    def device(self, name: str) -> str | None:
        """"cpu" or "cuda" for what was asked (or "auto"); None where the engine sees no such device."""


class Policy(Protocol):
    """Networks and a head, as pure functions of named parameters: the same code in NumPy and on any engine."""

    def init(self, rng: np.random.Generator) -> dict[str, Tree]:
        """Initial parameters."""

    def noise(self, rng: np.random.Generator, batch: tuple[int, int]) -> Tree:
        """What `sample` takes, for T steps of N environments: `[T, N, ...]`, or `[T, ...]` where all share it."""

    def features(self, params: Tree, seen: Tree, through_time: bool = False) -> Any:
        """What networks are given: values `[N, F]`, mask, memory after the step; in a loss, `through_time`."""

    def sample(self, params: Tree, seen: Tree, noise: Tree) -> tuple[Array, Tree]:
        """Exploring actions `[N, *action]`, from noise handed in; and what is remembered after them, if anything is."""

    def mode(self, params: Tree, seen: Tree) -> tuple[Array, Tree]:
        """The deterministic actions, and what is remembered after them."""


class Buffer(Protocol):
    """Where experience is kept, in preallocated NumPy arrays."""

    def arrays(self) -> dict[str, Tree]:
        """Its contents: what the update reads, or what a checkpoint holds."""

    # A rollout is read whole. A replay is drawn from: `sample(rng, (K, B))` gives "observation", "next_observation",
    # "action", "reward" (the n-step return without its bootstrap), "discount" (γ^m, 0 where it terminated), and a
    # "weight" where rows do not count alike.


class Agent(Protocol):
    """What everyone uses: learn, act, evaluate, save. `rlzoo.load` is the other half of `save`."""

    steps: int  # environment steps taken, over all environments

    def learn(self, steps: int | None = None, *, callbacks: Sequence[Any] = (), progress: bool = False) -> Agent:
        """Train for that many more environment steps."""

    def act(
        self, observation: Any, deterministic: bool = True, *, memory: Any = None, action_mask: Any = None
    ) -> np.ndarray:
        """The action for one observation, or for a batch of them; NumPy in, NumPy out."""

    def evaluate(
        self, episodes: int = 20, *, seed: int | None = None, deterministic: bool = True, env: Any = None,
        longest: int | None = None,
    ) -> Any:  # fmt: skip
        """Play whole episodes in an environment of its own."""

    def save(self, path: str | Path, replay: bool = False) -> Path:
        """Write a checkpoint that any engine loads."""
