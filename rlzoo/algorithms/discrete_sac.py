"""Soft actor-critic for discrete actions (Christodoulou 2019, arXiv 1910.07207): expectations over all of them."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from pydantic import Field, model_validator

from rlzoo.algorithms.sac import SAC, SACConfig
from rlzoo.backend import ops, tree
from rlzoo.nn.losses import batch_mean, smallest
from rlzoo.policies import DiscreteActorCritics

Array = Any


class DiscreteSACConfig(SACConfig):
    """The hyperparameters of discrete SAC."""

    only_with: ClassVar = {
        "sde_sample_freq": "", "log_std_init": "",  # of continuous actions
        "target_entropy_share": "entropy_coefficient = none, target_entropy = none",
    }  # fmt: skip

    target_entropy: float | None = None
    """Entropy, in nats, that the learned temperature aims at; none is a share of the uniform policy's."""
    target_entropy_share: float = Field(0.5, gt=0.0, le=1.0)
    """Share of the largest entropy that the temperature aims at without a target_entropy; the paper's is 0.98."""

    @model_validator(mode="after")
    def _no_sde(self) -> DiscreteSACConfig:
        if self.sde:
            raise ValueError("state-dependent exploration is for continuous actions: set sde = false")
        return self


class DiscreteSAC(SAC):
    """Soft actor-critic, for discrete actions."""

    name = "discrete_sac"
    Config = DiscreteSACConfig

    def build_policy(self, observation_space: gym.Space, action_space: gym.Space) -> Any:
        c = self.config
        return DiscreteActorCritics.of(
            self.trunk(observation_space), action_space, c.hidden, c.of_critics, c.activation, c.n_critics, self.name
        )

    def noise_of_update(self, shape: tuple[int, int]) -> dict[str, np.ndarray]:
        """None: nothing is sampled in an update."""
        return {}

    def targets(self, state: dict[str, Any], batch: dict[str, Any], noise: Any, scalars: Any) -> Array:
        """y = r + γ (1 − terminated) π(s′)ᵀ (min_i Q_i(s′) − α log π(s′)) (Christodoulou 2019, eq. 10)."""
        params, policy = self.layout.split(state["parameters"]), self.policy
        target, seen = self.target_layout.split(state["target"]), batch["next_observation"]
        log_prob = ops.log_softmax(policy.parameters_of_action(params, policy.features(params, seen)))
        values = smallest(policy.values(target, policy.features(target, seen)))
        soft = ops.exp(log_prob) * (values - self.temperature(params, scalars) * log_prob)
        return batch["reward"] + batch["discount"] * ops.sum(soft, -1)

    def loss(self, params: Any, batch: dict[str, Any], target: Array, noise: Any, scalars: Any) -> tuple[Array, Any]:
        """Σ_i ½ (Q_i(s, a) − y)² + π(s)ᵀ (α log π(s) − min_i Q_i(s)), and the temperature's loss.

        Christodoulou 2019, eq. 12 for the actor and eq. 11 for the temperature.
        """
        policy, weight, valid = self.policy, batch.get("weight"), batch.get("valid")
        features = policy.features(params, batch["observation"], through_time=True)
        chosen = ops.one_hot(batch["action"], policy.head.distribution.size)
        outputs = policy.values(params, features)
        values = tuple(ops.sum(output * chosen, -1) for output in outputs)
        critic_loss = 0.0
        for value in values:
            critic_loss = critic_loss + 0.5 * batch_mean(ops.square(value - target), weight)

        features = tree.map(ops.stop_gradient, features)
        log_prob = ops.log_softmax(policy.parameters_of_action(params, features))
        prob, alpha = ops.exp(log_prob), ops.stop_gradient(self.temperature(params, scalars))
        wanted = prob * (alpha * log_prob - ops.stop_gradient(smallest(outputs)))
        actor_loss = batch_mean(ops.sum(wanted, -1), valid)
        row_entropy = -ops.stop_gradient(ops.sum(prob * log_prob, -1))
        entropy = batch_mean(row_entropy, valid)
        temperature_loss = self.temperature_loss(params, entropy, self.aim(features, valid))
        metrics = ops.stack([critic_loss, actor_loss, entropy, alpha, ops.mean(values[0])])
        return critic_loss + actor_loss + temperature_loss, self.report(metrics, values[0] - target)

    def aim(self, features: Any, valid: Array | None = None) -> Array:
        """The entropy aimed at: a share of that of the uniform policy over what is allowed, averaged."""
        c = self.config
        if c.target_entropy is not None:
            return c.target_entropy
        if features.mask is None:
            return c.target_entropy_share * math.log(self.policy.head.distribution.size)
        allowed = ops.sum(ops.astype(ops.greater(features.mask, 0), "float32"), -1)
        return c.target_entropy_share * batch_mean(ops.log(ops.maximum(allowed, 1.0)), valid)
