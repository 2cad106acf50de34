"""The on-policy loop: a rollout of every environment, then one compiled update."""

from __future__ import annotations

import time
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import Field

from rlzoo.buffers import RolloutBuffer
from rlzoo.training.agent import Agent
from rlzoo.training.config import Config


class OnPolicyConfig(Config):
    """What every on-policy algorithm has."""

    n_steps: int = Field(2048, ge=1)
    """Steps of each environment in a rollout."""


class OnPolicyAgent(Agent):
    """Collects `n_steps` of every environment with the current policy, then calls `update(state, rollout, …)`."""

    def noise_of_update(self) -> Any:
        """What the update takes besides the rollout and the scalars: noise as data (minibatch permutations, say)."""
        return None

    @cached_property
    def rollout(self) -> RolloutBuffer:
        head, shape = self.policy.head, self.observation_space.shape or ()
        return RolloutBuffer(
            self.config.n_steps, self.config.n_envs, (shape, self.observation_dtype), (head.shape, head.dtype)
        )

    def phase(self) -> Any:
        scalars = self.scalars()
        self._collect()
        with self.profile("update"):
            self.state, metrics = self.compiled_update(
                self.state, self.rollout.arrays(), self.noise_of_update(), scalars
            )
            self.steps += self.config.n_steps * self.config.n_envs
            self._sync()
        return metrics

    def _collect(self) -> None:
        buffer, collector, clock = self.rollout, self.collector, time.perf_counter
        seconds, to_env = self.profile.seconds, self.policy.head.to_env
        noise = self.policy.noise(self.rng, (self.config.n_steps, self.config.n_envs))
        observation = collector.prepared(collector.raw)
        for t in range(self.config.n_steps):
            begun = clock()
            action = self.sample(observation, noise[t])
            buffer.observation[t] = observation
            buffer.action[t] = action
            env_action = to_env(action)
            acted = clock()
            step = collector.step(env_action)
            stepped = clock()
            observation = collector.prepared(step.observation)
            same = step.next_observation is step.observation
            buffer.next_observation[t] = observation if same else collector.prepared(step.next_observation)
            buffer.reward[t] = step.reward
            buffer.terminated[t] = step.terminated
            np.logical_or(step.terminated, step.truncated, out=buffer.done[t], casting="unsafe")
            buffer.valid[t] = step.valid
            seconds["env"] += stepped - acted
            seconds["act"] += acted - begun + clock() - stepped
