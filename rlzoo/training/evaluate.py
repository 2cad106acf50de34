"""Evaluation: whole episodes in an environment of its own, with a seed of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from rlzoo.envs import Stepper, firsts

APART = 2**31  # what tells the seeds of evaluation and of `act` from those of learning
CHOOSING = APART + 1  # the same for evaluation while an agent learns, by which it may be chosen
LONGEST = 27_000  # steps of an episode in an environment without a limit: half an hour of an Atari game


@dataclass(frozen=True)
class Evaluation:
    """Undiscounted returns of whole episodes, and their lengths in steps.

    Both are those of `info["episode"]` where the environment has it, which wrappers that change rewards do not touch.
    """

    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    seed: int
    cut: int = 0  # of the episodes, those that would not end and were counted as far as they went
    success_rate: float | None = None  # the mean of `info["is_success"]` where episodes ended; None where none has it

    @property
    def episodes(self) -> int:
        return len(self.returns)

    @property
    def mean_return(self) -> float:
        return float(np.mean(self.returns))

    @property
    def std_return(self) -> float:
        return float(np.std(self.returns))

    def __str__(self) -> str:
        mean = f"mean return {self.mean_return:.1f} ± {self.std_return:.1f} over {self.episodes} episodes"
        cut = f", {self.cut} of them cut off after {max(self.lengths):,} steps" if self.cut else ""
        return mean + cut + ("" if self.success_rate is None else f", {self.success_rate:.0%} successful")


def seed_of_evaluation(seed: int, apart: int = APART) -> int:
    """What the environments of an evaluation are seeded by, for an agent of this seed."""
    return int(np.random.SeedSequence([seed, apart]).generate_state(1)[0] >> 1)


def noise_beside(seed: int) -> np.random.Generator:
    """What stochastic actions draw on in environments seeded by `seed`: a stream of its own.

    Gymnasium's first environment draws on `default_rng(seed)`, and its noise is not to be the policy's.
    """
    return np.random.default_rng([seed, APART, 2])


def evaluate(act: Callable[[Any, np.ndarray | None], np.ndarray], env: VectorEnv, episodes: int,
             seed: int, longest: int = LONGEST) -> Evaluation:  # fmt: skip
    """Play `episodes` whole episodes with `act(observation, first)`, environment actions for observations `[N, ...]`.

    `first` says where an episode begins, `[N]` bool; None where none does.

    Each sub-environment plays a share fixed beforehand, so short episodes are not counted more often than long ones.
    An episode of `longest` steps is cut off, and no more are played in that sub-environment.
    """
    stepper = Stepper(env)
    observation = stepper.reset(seed)
    n, cut = stepper.n_envs, 0
    share = np.array([episodes // n + (i < episodes % n) for i in range(n)])
    returns: list[list[float]] = [[] for _ in range(n)]
    lengths: list[list[int]] = [[] for _ in range(n)]
    successes: list[float] = []
    running, length = np.zeros(n), np.zeros(n, int)
    first: np.ndarray | None = np.ones(n, np.bool_)
    while any(len(done) < quota for done, quota in zip(returns, share, strict=True)):
        step = stepper.step(act(observation, first))
        observation, first = step.observation, firsts(step.done, step.valid)
        running += step.reward if step.valid is None else np.where(step.valid, step.reward, 0.0)
        length += 1 if step.valid is None else step.valid
        done = step.done
        if done is None:
            if length.max() < longest:
                continue
            done = np.zeros(n, np.bool_)
        for i in np.flatnonzero(done | (length >= longest)).tolist():
            if len(returns[i]) < share[i]:
                counted, outcome = (float(running[i]), int(length[i])), stepper.outcome
                if done[i] and outcome is not None:
                    counted, success = outcome.counted(i, *counted), outcome.succeeded(i)
                    successes += [] if success is None else [success]
                returns[i].append(counted[0])
                lengths[i].append(counted[1])
                if not done[i]:
                    share[i], cut = len(returns[i]), cut + 1
            running[i], length[i] = 0.0, 0
    flat_returns = tuple(value for part in returns for value in part)
    flat_lengths = tuple(value for part in lengths for value in part)
    return Evaluation(flat_returns, flat_lengths, seed, cut, float(np.mean(successes)) if successes else None)
