"""Deep Q-learning (Mnih 2015) with the double estimator by default (van Hasselt 2016), the Huber loss and ε-greedy."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from pydantic import Field

from rlzoo.backend import ops
from rlzoo.nn import Adam
from rlzoo.nn.schedules import Schedule, Scheduled
from rlzoo.policies import QNetwork
from rlzoo.training.off_policy import OffPolicyAgent, OffPolicyConfig

Array = Any


class DQNConfig(OffPolicyConfig):
    """The hyperparameters of DQN."""

    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers."""
    activation: str = "relu"
    """Function after each hidden layer: tanh, relu, sigmoid or softplus."""
    learning_rate: Scheduled = Schedule(1e-4, 1e-4)
    """Adam's step size; a schedule such as linear(1e-3, 0) is allowed."""
    batch_size: int = Field(32, ge=1)
    """Transitions a gradient step."""
    train_freq: int = Field(4, ge=1)
    """Steps of each environment between updates."""
    tau: float = Field(1.0, gt=0.0, le=1.0)
    """Share of the online parameters that a target update mixes in; 1 copies them."""
    target_update_interval: int = Field(10_000, ge=0)
    """Environment steps between target updates; 0 updates the target after every gradient step."""
    exploration: Scheduled = Schedule(1.0, 0.05, 0.1, "linear")
    """Probability of a random action (ε)."""
    double: bool = True
    """Choose the next action by the online network, judge it by the target's."""
    max_grad_norm: float = Field(10.0, gt=0.0)
    """Norm that the gradient is clipped to."""


class DQN(OffPolicyAgent):
    """Deep Q-learning, for discrete actions."""

    name = "dqn"
    Config = DQNConfig
    metrics = ("loss", "value", "td_error")

    def build_policy(self, observation_space: gym.Space, action_space: gym.Space) -> QNetwork:
        return QNetwork.of(observation_space, action_space, self.config.hidden, self.config.activation, self.name)

    def initial_state(self, flat: np.ndarray) -> dict[str, Any]:
        self.optimizer = Adam(max_grad_norm=self.config.max_grad_norm)
        return {"parameters": flat, "target": flat.copy(), "optimizer": self.optimizer.init(flat)}

    def sample(self, observation: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """ε-greedy actions."""
        epsilon = self.config.exploration(self.steps / self.total_steps)
        chance = (noise[:, 1] * self.policy.head.distribution.count).astype(np.int32)
        return np.where(noise[:, 0] < epsilon, chance, self.mode(observation))

    def update(self, state: dict[str, Any], inputs: Any, scalars: Any) -> Any:
        """K gradient steps; where the target moves at intervals, it stands still for them and moves at their end."""
        moves_every_step = self.config.target_update_interval == 0
        if not moves_every_step:  # what it says of all K batches is one large product
            values = self.target_values(state, inputs["batch"]["next_observation"])
            inputs = inputs | {"batch": inputs["batch"] | {"target_values": values}}
        state, metrics = ops.fold(self.gradient_step, state, inputs, scalars)
        if not moves_every_step:
            state = state | {"target": self.moved_target(state, inputs["tau"][-1])}
        return state, ops.mean(metrics, 0)

    def gradient_step(self, state: dict[str, Any], inputs: Any, scalars: Any) -> tuple[dict[str, Any], Array]:
        """One step of the online network, then the target moves by τ where it moves at every step."""
        target = self.targets(state, inputs["batch"])
        _, metrics, gradient = self.layout.value_and_grad(
            lambda params: self.loss(params, inputs["batch"], target), state["parameters"]
        )
        parameters, optimizer = self.optimizer.update(
            state["parameters"], gradient, state["optimizer"], scalars["learning_rate"]
        )
        state = state | {"parameters": parameters, "optimizer": optimizer}
        if self.config.target_update_interval == 0:
            state = state | {"target": self.moved_target(state, inputs["tau"])}
        return state, metrics

    def moved_target(self, state: dict[str, Any], tau: Array) -> Array:
        """θ⁻ + τ (θ − θ⁻)."""
        return ops.lerp(state["target"], state["parameters"], tau)

    def target_values(self, state: dict[str, Any], observation: Array) -> Array:
        """Q_target(s, ·), `[..., actions]`, for observations with one batch axis or more."""
        batch = observation.shape[: observation.ndim - len(self.observation_space.shape or ())]
        rows = ops.reshape(observation, (-1, *observation.shape[len(batch) :]))
        values = self.policy.values(self.layout.split(state["target"]), rows)
        return ops.reshape(values, (*batch, values.shape[-1]))

    def targets(self, state: dict[str, Any], batch: dict[str, Array]) -> Array:
        """y = r + γ (1 − terminated) Q_target(s′, a′), with a′ the online network's choice (van Hasselt, eq. 4)."""
        observation = batch["next_observation"]
        values = batch["target_values"] if "target_values" in batch else self.target_values(state, observation)
        chooser = values
        if self.config.double:
            chooser = self.policy.values(self.layout.split(state["parameters"]), observation)
        next_value = ops.sum(values * ops.one_hot(ops.argmax(chooser), values.shape[-1]), -1)
        return batch["reward"] + self.config.gamma * (1.0 - batch["terminated"]) * next_value

    def loss(self, params: Any, batch: dict[str, Array], target: Array) -> tuple[Array, Array]:
        """The Huber loss of the TD error."""
        values = self.policy.values(params, batch["observation"])
        value = ops.sum(values * ops.one_hot(batch["action"], values.shape[-1]), -1)
        error = ops.abs(value - target)
        loss = ops.mean(ops.where(ops.less(error, 1.0), 0.5 * ops.square(error), error - 0.5))
        return loss, ops.stack([loss, ops.mean(value), ops.mean(error)])
