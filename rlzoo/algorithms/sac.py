"""Soft actor-critic (Haarnoja 2018, arXiv 1812.05905): twin critics, a squashed Gaussian, automatic temperature.

The three losses are independent of each other's parameters (`stop_gradient`), so one gradient of their sum is all
three gradients, and one Adam step moves actor, critics and temperature together.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
from pydantic import Field

from rlzoo.backend import ops, tree
from rlzoo.nn import Adam, Layout
from rlzoo.policies import SquashedActorCritics
from rlzoo.training.off_policy import OffPolicyAgent, OffPolicyConfig

Array = Any


class SACConfig(OffPolicyConfig):
    """The hyperparameters of SAC."""

    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers."""
    activation: str = "relu"
    """Function after each hidden layer: tanh, relu, sigmoid or softplus."""
    n_critics: int = Field(2, ge=1)
    """Critics; the smallest of their targets counts."""
    entropy_coefficient: float | None = Field(None, gt=0.0)
    """Temperature α held fixed; none learns it."""
    initial_entropy_coefficient: float = Field(1.0, gt=0.0)
    """Temperature α to begin with, where it is learned."""
    target_entropy: float | None = None
    """Entropy, in nats, that the learned temperature aims at; none is minus the number of action dimensions."""


class SAC(OffPolicyAgent):
    """Soft actor-critic, for continuous actions."""

    name = "sac"
    Config = SACConfig
    metrics = ("critic_loss", "actor_loss", "entropy", "temperature", "value")

    def build_policy(self, observation_space: gym.Space, action_space: gym.Space) -> SquashedActorCritics:
        c = self.config
        return SquashedActorCritics.of(
            observation_space, action_space, c.hidden, c.activation, c.n_critics, self.name
        )

    def initial_params(self, rng: np.random.Generator) -> dict[str, Any]:
        temperature = np.full(1, math.log(self.config.initial_entropy_coefficient), np.float32)
        return self.policy.init(rng) | {"log_temperature": temperature}

    def initial_state(self, flat: np.ndarray) -> dict[str, Any]:
        self.optimizer = Adam()
        self.target_start, self.target_end = self.layout.range("encoder", "critics")
        names = ("encoder", "critics")
        self.target_layout = Layout({name: self.layout.split(flat)[name] for name in names})
        target = flat[self.target_start : self.target_end].copy()
        return {"parameters": flat, "target": target, "optimizer": self.optimizer.init(flat)}

    def noise_of_update(self, shape: tuple[int, int]) -> dict[str, np.ndarray]:
        """The Gaussians of both sampled actions."""
        return {name: self.policy.noise(self.rng, shape) for name in ("action", "next_action")}

    def update(self, state: dict[str, Any], inputs: Any, scalars: Any) -> Any:
        """K gradient steps."""
        state, metrics = ops.fold(self.gradient_step, state, inputs, scalars)
        return state, ops.mean(metrics, 0)

    def gradient_step(self, state: dict[str, Any], inputs: Any, scalars: Any) -> tuple[dict[str, Any], Array]:
        """One step of actor, critics and temperature, then the target moves by τ."""
        batch, noise = inputs["batch"], inputs["noise"]
        target = self.targets(state, batch, noise["next_action"])
        _, metrics, gradient = self.layout.value_and_grad(
            lambda params: self.loss(params, batch, target, noise["action"]), state["parameters"]
        )
        parameters, optimizer = self.optimizer.update(
            state["parameters"], gradient, state["optimizer"], scalars["learning_rate"]
        )
        online = parameters[self.target_start : self.target_end]
        moved = ops.lerp(state["target"], online, inputs["tau"])
        return {"parameters": parameters, "target": moved, "optimizer": optimizer}, metrics

    def temperature(self, params: Any) -> Array:
        """α, one number."""
        if self.config.entropy_coefficient is not None:
            return 0.0 * ops.sum(params["log_temperature"]) + self.config.entropy_coefficient
        return ops.exp(ops.sum(params["log_temperature"]))

    def targets(self, state: dict[str, Any], batch: dict[str, Array], noise: Array) -> Array:
        """y = r + γ (1 − terminated) (min_i Q_i(s′, a′) − α log π(a′ | s′)), a′ from the policy (eq. 3 and 5)."""
        params, policy = self.layout.split(state["parameters"]), self.policy
        target = self.target_layout.split(state["target"])
        observation = batch["next_observation"]
        outputs = policy.parameters_of_action(params, policy.features(params, observation))
        action, log_prob = policy.head.distribution.sample_and_log_prob(outputs, noise)
        value = _smallest(policy.values(target, policy.features(target, observation), action))
        soft_value = value - self.temperature(params) * log_prob
        return batch["reward"] + self.config.gamma * (1.0 - batch["terminated"]) * soft_value

    def loss(self, params: Any, batch: dict[str, Array], target: Array, noise: Array) -> tuple[Array, Array]:
        """J_Q (eq. 5) + J_π (eq. 9) + J(α) (eq. 18), each a function of its own parameters."""
        policy = self.policy
        features = policy.features(params, batch["observation"])
        values = policy.values(params, features, batch["action"])
        critic_loss = 0.0
        for value in values:
            critic_loss = critic_loss + 0.5 * ops.mean(ops.square(value - target))

        fixed = params | {"critics": tree.map(ops.stop_gradient, params["critics"])}
        features = ops.stop_gradient(features)
        outputs = policy.parameters_of_action(params, features)
        action, log_prob = policy.head.distribution.sample_and_log_prob(outputs, noise)
        alpha = ops.stop_gradient(self.temperature(params))
        value = _smallest(policy.values(fixed, features, action))
        actor_loss = ops.mean(alpha * log_prob - value)

        aim = self.config.target_entropy
        aim = -float(policy.head.distribution.size) if aim is None else aim
        entropy = -ops.mean(ops.stop_gradient(log_prob))
        temperature_loss = 0.0
        if self.config.entropy_coefficient is None:
            temperature_loss = ops.sum(params["log_temperature"]) * (entropy - aim)
        loss = critic_loss + actor_loss + temperature_loss
        return loss, ops.stack([critic_loss, actor_loss, entropy, alpha, ops.mean(values[0])])


def _smallest(values: tuple[Array, ...]) -> Array:
    smallest = values[0]
    for value in values[1:]:
        smallest = ops.minimum(smallest, value)
    return smallest
