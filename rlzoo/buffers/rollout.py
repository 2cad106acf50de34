"""The rollout: T steps of N environments, written in place, handed whole to the update."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from rlzoo.backend import tree

KEPT = ("observation", "next_observation", "action", "reward", "terminated", "truncated", "valid")


class RolloutBuffer:
    """Arrays `[T, N, ...]` that each rollout overwrites: `clear`, then every step's own, then `close`.

    An observation is a tree of arrays, like the example of one that is given here; mostly a single array.
    `next_observation` is the state each step really led to, also where the environment was reset after it; `valid` is
    0 where an environment spent the step resetting, so that nothing is learned from it.
    """

    def __init__(self, n_steps: int, n_envs: int, observation: Any, action: np.ndarray):
        size = (n_steps, n_envs)
        examples, self.structure = tree.flatten(observation)
        self._now: list[np.ndarray] = [np.zeros((*size, *x.shape), x.dtype) for x in examples]
        self._next: list[np.ndarray] = [np.zeros_like(column) for column in self._now]
        self.observation = tree.unflatten(self.structure, self._now)
        self.next_observation = tree.unflatten(self.structure, self._next)
        self.action: np.ndarray = np.zeros((*size, *action.shape), action.dtype)
        self.reward = np.zeros(size, np.float32)
        self.terminated = np.zeros(size, np.float32)
        self.truncated = np.zeros(size, np.float32)
        self.valid = np.ones(size, np.float32)

    def clear(self) -> None:
        """Begin a rollout in which no episode ends and every step counts, unless its row is written otherwise."""
        self.terminated.fill(0.0)
        self.truncated.fill(0.0)
        self.valid.fill(1.0)

    def see(self, t: int, observation: Any) -> Any:
        """Write what is seen at step t, `[N, ...]`; the same, in the types it is stored in."""
        for column, leaf in zip(self._now, tree.flatten(observation)[0], strict=True):
            column[t] = leaf
        return tree.unflatten(self.structure, [column[t] for column in self._now])

    def close(self, last: Any, ends: list[tuple[int, Any]]) -> None:
        """Fill `next_observation`: each step led to where the next begins, the final one to `last`, all but `ends`.

        These are steps `t` after which an environment was reset, and the observations `[N, ...]` they led to.
        """
        for now, after in zip(self._now, self._next, strict=True):
            after[:-1] = now[1:]
        for t, observation in [(-1, last), *ends]:
            if self.structure is tree.LEAF:
                self._next[0][t] = observation
                continue
            for column, leaf in zip(self._next, tree.flatten(observation)[0], strict=True):
                column[t] = leaf

    def arrays(self) -> dict[str, Any]:
        """What the update reads, most of it views, to be copied by the engine before the next rollout."""
        done = np.maximum(self.terminated, self.truncated)
        return {name: getattr(self, name) for name in KEPT if name != "truncated"} | {"done": done}

    def transitions(self) -> dict[str, Any]:
        """What the replay keeps, `[T · N, ...]`, the steps of one time side by side; views."""
        return self._rows

    @cached_property
    def _rows(self) -> dict[str, Any]:
        arrays = {name: getattr(self, name) for name in KEPT}
        return tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), arrays)
