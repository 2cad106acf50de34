"""The on-policy loop: a rollout of every environment, then one compiled update."""

from __future__ import annotations

from functools import cached_property
from typing import Any

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
        noise = self.policy.noise(self.rng, (self.config.n_steps, self.config.n_envs))
        self.collector.fill(
            self.rollout, lambda t, seen: self.sample(seen, noise[t]), self.policy.head.to_env, self.profile.seconds
        )
