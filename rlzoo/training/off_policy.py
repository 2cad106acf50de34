"""The off-policy loop: a few steps of every environment into the replay, then K gradient steps in one compiled call."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from rlzoo.buffers import ReplayBuffer, RolloutBuffer
from rlzoo.training.agent import Agent
from rlzoo.training.config import Config


class OffPolicyConfig(Config):
    """What every off-policy algorithm has."""

    buffer_size: int = Field(1_000_000, ge=1)
    """Transitions that the replay buffer holds."""
    learning_starts: int = Field(100, ge=0)
    """Environment steps before the first update, taken with random actions."""
    train_freq: int = Field(1, ge=1)
    """Steps of each environment between updates."""
    gradient_steps: int = Field(1, ge=-1)
    """Gradient steps an update; −1 makes as many as environment steps were taken since the last."""
    batch_size: int = Field(256, ge=1)
    """Transitions a gradient step."""
    tau: float = Field(0.005, gt=0.0, le=1.0)
    """Share of the online parameters that a target update mixes in; 1 copies them."""
    target_update_interval: int = Field(0, ge=0)
    """Environment steps between target updates; 0 updates the target after every gradient step."""

    @model_validator(mode="after")
    def _gradient_steps(self) -> OffPolicyConfig:
        if self.gradient_steps == 0:
            raise ValueError("gradient_steps = 0 learns nothing: give at least 1, or −1")
        return self


class OffPolicyAgent(Agent):
    """Collects `train_freq` steps of every environment, then calls `update(state, inputs, scalars)`.

    `inputs` has a leading axis of K gradient steps: "batch" the transitions, "tau" the share of each target update,
    "noise" what `noise_of_update` draws.
    """

    def noise_of_update(self, shape: tuple[int, int]) -> dict[str, np.ndarray]:
        """Noise as data for `shape = (K, batch_size)` transitions."""
        return {}

    @cached_property
    def replay(self) -> ReplayBuffer:
        return ReplayBuffer(self.config.buffer_size, *self._kept)

    @cached_property
    def rollout(self) -> RolloutBuffer:
        return RolloutBuffer(self.config.train_freq, self.config.n_envs, *self._kept)

    @property
    def _kept(self) -> Any:
        """Shape and type of an observation and of an action, as they are stored."""
        head = self.policy.head
        return (self.observation_space.shape or (), self.observation_dtype), (head.shape, head.dtype)

    def phase(self) -> Any:
        before = self.steps
        self._collect()
        if self.steps < max(self.config.learning_starts, 1) or len(self.replay) == 0:
            return None
        with self.profile("update"):
            k = self.config.gradient_steps
            inputs = self._inputs(self.steps - before if k < 0 else k, before)
            self.state, metrics = self.compiled_update(self.state, inputs, self.scalars())
            self._sync()
        return metrics

    def _inputs(self, k: int, before: int) -> dict[str, Any]:
        shape = (k, self.config.batch_size)
        batch = self.replay.sample(self.rng, shape)
        del batch["truncated"]  # only a termination stops a bootstrap
        normalize = self.normalizers.get("observation")
        if normalize is not None:
            batch |= {name: normalize(batch[name]) for name in ("observation", "next_observation")}
        return {"batch": batch, "tau": self._taus(k, before), "noise": self.noise_of_update(shape)}

    def _taus(self, k: int, before: int) -> np.ndarray:
        """How much of the online parameters the target takes over at the end of each of the K gradient steps."""
        interval = self.config.target_update_interval
        if interval == 0:
            return np.full(k, self.config.tau, np.float32)
        taus = np.zeros(k, np.float32)
        taus[-1] = self.config.tau if self.steps // interval > before // interval else 0.0
        return taus

    def _collect(self) -> None:
        """Into the replay: random actions until `learning_starts`, then the policy's."""
        n_steps, n_envs, head = self.config.train_freq, self.config.n_envs, self.policy.head
        n_random = min(max(-(-(self.config.learning_starts - self.steps) // n_envs), 0), n_steps)
        random = head.random(self.rng, (n_random, n_envs)) if n_random else ()
        noise = self.policy.noise(self.rng, (n_steps - n_random, n_envs)) if n_random < n_steps else ()

        def choose(t: int, seen: np.ndarray) -> np.ndarray:
            action = random[t] if t < n_random else self.sample(seen, noise[t - n_random])
            self.steps += n_envs
            return action

        self.collector.fill(self.rollout, choose, head.to_env, self.profile.seconds, raw=True)
        self.replay.add(self.rollout.transitions())

    def arrays(self, replay: bool = False) -> dict[str, Any]:
        return super().arrays() | ({"replay": self.replay.arrays()} if replay else {})

    def restore(self, manifest: dict[str, Any], arrays: dict[str, Any]) -> None:
        super().restore(manifest, arrays)
        if "replay" in arrays:
            self.replay.restore(arrays["replay"])
