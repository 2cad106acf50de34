"""Advantage actor-critic (Mnih 2016, arXiv 1602.01783), its workers stepped side by side: a gradient step a rollout."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rlzoo.backend import ops
from rlzoo.nn import Adam, RMSprop
from rlzoo.nn.losses import valid_mean
from rlzoo.nn.schedules import Schedule, Scheduled
from rlzoo.training.actor_critic import ActorCriticAgent, ActorCriticConfig

Array = Any


class A2CConfig(ActorCriticConfig):
    """The hyperparameters of A2C."""

    n_envs: int = Field(8, ge=1)
    """Environments stepped side by side."""
    n_steps: int = Field(5, ge=1)
    """Steps of each environment in a rollout."""
    learning_rate: Scheduled = Schedule(7e-4, 7e-4)
    """The optimizer's step size; a schedule such as linear(1e-3, 0) is allowed."""
    gae_lambda: float = Field(1.0, ge=0.0, le=1.0)
    """λ of the generalized advantage: 0 trusts the critic, 1 the rewards, which is the paper's n-step return."""
    normalize_advantage: bool = False
    """Advantages of a minibatch shifted and scaled to zero mean and unit variance."""
    entropy_coefficient: Scheduled = Schedule(0.0, 0.0)
    """Weight of the entropy bonus (β of section 4)."""
    value_coefficient: Scheduled = Schedule(0.5, 0.5)
    """Weight of the value loss."""
    max_grad_norm: float = Field(0.5, gt=0.0)
    """Norm that the gradient is clipped to."""
    rmsprop: bool = True
    """Take RMSprop's steps, in PyTorch's form; otherwise Adam's."""


class A2C(ActorCriticAgent):
    """Advantage actor-critic, for discrete, multi-discrete, binary and continuous actions."""

    name = "a2c"
    Config: ClassVar[type[A2CConfig]] = A2CConfig
    metrics = ("policy_loss", "value_loss", "entropy", "explained_variance")

    def initial_state(self, flat: np.ndarray) -> dict[str, Any]:
        kind: Any = RMSprop if self.config.rmsprop else Adam
        self.optimizer = kind(max_grad_norm=self.config.max_grad_norm, epsilon=1e-5)
        return {"parameters": flat, "optimizer": self.optimizer.init(flat)}

    def update(self, state: dict[str, Any], rollout: dict[str, Any], noise: None, scalars: Any) -> Any:
        """One gradient step on the whole rollout, of images too: about 1.5 MB for each frame of 84 × 84 × 4."""
        batch, explained_variance = self.advantages(state["parameters"], rollout)
        batch = self.in_sequences(batch)
        _, metrics, gradient = self.layout.value_and_grad(
            lambda params: self.loss(params, batch, scalars), state["parameters"]
        )
        parameters, optimizer = self.optimizer.update(
            state["parameters"], gradient, state["optimizer"], scalars["learning_rate"]
        )
        metrics = ops.concat([metrics, ops.reshape(explained_variance, (1,))])
        return {"parameters": parameters, "optimizer": optimizer}, metrics

    def loss(self, params: Any, batch: dict[str, Any], scalars: Any) -> tuple[Array, Array]:
        """−A log π(a | s) + c (V(s) − G)² − β H (Mnih 2016, algorithm S3 and section 4), averaged.

        G = A + V(s) as it was before the step, and H is the entropy.
        """
        policy, weight = self.policy, batch.get("weight")
        features = policy.features(params, batch["observation"], through_time=True)
        outputs = policy.parameters_of_action(params, features)
        log_prob = policy.head.distribution.log_prob(outputs, batch["action"])
        policy_loss = -valid_mean(self.normalized(batch["advantage"], weight) * log_prob, weight)
        value_loss = valid_mean(ops.square(policy.value(params, features) - batch["return"]), weight)
        entropy = valid_mean(policy.head.distribution.entropy(outputs), weight)
        loss = policy_loss + scalars["value_coefficient"] * value_loss - scalars["entropy_coefficient"] * entropy
        return loss, ops.stack([policy_loss, value_loss, entropy])
