"""Evaluation: whole episodes in an environment of its own, with a seed of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from rlzoo.envs import Stepper


@dataclass(frozen=True)
class Evaluation:
    """Undiscounted returns of whole episodes, and their lengths in steps."""

    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    seed: int

    @property
    def episodes(self) -> int:
        return len(self.returns)

    @property
    def mean_return(self) -> float:
        return float(np.mean(self.returns))

    @property
    def std_return(self) -> float:
        return float(np.std(self.returns))


def evaluate(act: Callable[[Any, np.ndarray | None], np.ndarray], env: VectorEnv, episodes: int,
             seed: int) -> Evaluation:  # fmt: skip
    """Play `episodes` whole episodes with `act(observation, first)`, environment actions for observations `[N, ...]`.

    `first` says where an episode begins, `[N]` bool; None where none does.

    Each sub-environment plays a share fixed beforehand, so short episodes are not counted more often than long ones.
    """
    stepper = Stepper(env)
    observation = stepper.reset(seed)
    n = stepper.n_envs
    share = np.array([episodes // n + (i < episodes % n) for i in range(n)])
    returns: list[list[float]] = [[] for _ in range(n)]
    lengths: list[list[int]] = [[] for _ in range(n)]
    running, length = np.zeros(n), np.zeros(n, int)
    first: np.ndarray | None = np.ones(n, np.bool_)
    while any(len(done) < quota for done, quota in zip(returns, share, strict=True)):
        step = stepper.step(act(observation, first))
        observation, first = step.observation, step.done
        if step.valid is not None:
            first = ~step.valid if first is None else first | ~step.valid
        running += step.reward if step.valid is None else np.where(step.valid, step.reward, 0.0)
        length += 1 if step.valid is None else step.valid
        if step.done is None:
            continue
        for i in np.flatnonzero(step.done):
            if len(returns[i]) < share[i]:
                returns[i].append(float(running[i]))
                lengths[i].append(int(length[i]))
            running[i], length[i] = 0.0, 0
    flat_returns = tuple(value for part in returns for value in part)
    return Evaluation(flat_returns, tuple(value for part in lengths for value in part), seed)
