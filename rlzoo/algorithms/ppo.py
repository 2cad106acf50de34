"""Proximal policy optimization (Schulman 2017, arXiv 1707.06347): the clipped surrogate, several epochs a rollout.

The details that matter (Huang 2022, "The 37 implementation details"): orthogonal weights with a last actor layer of
gain 0.01, separate actor and critic networks, advantages normalized in each minibatch, the gradient's norm clipped,
V(final observation) bootstrapped on truncation, log-probabilities of the action before it is clipped to the space.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from pydantic import Field

from rlzoo.backend import ops
from rlzoo.errors import UserError
from rlzoo.nn import Adam
from rlzoo.nn.returns import generalized_advantage
from rlzoo.nn.schedules import Schedule, Scheduled
from rlzoo.policies import ActorCritic
from rlzoo.training.on_policy import OnPolicyAgent, OnPolicyConfig

Array = Any


class PPOConfig(OnPolicyConfig):
    """The hyperparameters of PPO."""

    batch_size: int = Field(64, ge=2)
    """Steps in a minibatch; what does not fill the last one of an epoch is left out of that epoch."""
    n_epochs: int = Field(10, ge=1)
    """Passes over each rollout."""
    gae_lambda: float = Field(0.95, ge=0.0, le=1.0)
    """λ of the generalized advantage: 0 trusts the critic, 1 the rewards."""
    clip_range: Scheduled = Schedule(0.2, 0.2)
    """How far the probability ratio may leave 1 (ε of eq. 7)."""
    clip_range_value: float | None = Field(None, gt=0.0)
    """How far a value may leave its old one in the value loss; none does not clip."""
    normalize_advantage: bool = True
    """Advantages of a minibatch shifted and scaled to zero mean and unit variance."""
    entropy_coefficient: Scheduled = Schedule(0.0, 0.0)
    """Weight of the entropy bonus (c₂ of eq. 9)."""
    value_coefficient: float = Field(0.5, ge=0.0)
    """Weight of the value loss (c₁ of eq. 9)."""
    max_grad_norm: float = Field(0.5, gt=0.0)
    """Norm that the gradient is clipped to."""
    target_kl: float | None = Field(None, gt=0.0)
    """Stop a rollout's epochs once the approximate KL divergence exceeds 1.5 times this; none never stops."""
    log_std_init: float = 0.0
    """Initial log standard deviation of continuous actions."""


class PPO(OnPolicyAgent):
    """Proximal policy optimization, for discrete, multi-discrete, binary and continuous actions."""

    name = "ppo"
    Config = PPOConfig
    metrics = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "explained_variance")

    def build_policy(self, observation_space: gym.Space, action_space: gym.Space) -> ActorCritic:
        c, available = self.config, self.config.n_steps * self.config.n_envs
        if c.batch_size > available:
            raise UserError(
                f"batch_size = {c.batch_size} is more than a rollout holds: n_steps × n_envs = {c.n_steps} × "
                f"{c.n_envs} = {available}; lower batch_size or raise n_steps"
            )
        return ActorCritic.of(observation_space, action_space, c.hidden, c.activation, log_std=c.log_std_init)

    def initial_state(self, flat: np.ndarray) -> dict[str, Any]:
        self.optimizer = Adam(max_grad_norm=self.config.max_grad_norm, epsilon=1e-5)
        return {"parameters": flat, "optimizer": self.optimizer.init(flat)}

    def noise_of_update(self) -> np.ndarray:
        """The minibatches: a fresh permutation of the rollout's steps for each epoch, `[epochs · minibatches, B]`."""
        size, batch = self.config.n_steps * self.config.n_envs, self.config.batch_size
        epochs = [self.rng.permutation(size)[: size // batch * batch] for _ in range(self.config.n_epochs)]
        return np.stack(epochs).reshape(-1, batch).astype(np.int32)

    def update(self, state: dict[str, Any], rollout: dict[str, Array], minibatches: Array, scalars: Any,
               behaviour: Array | None = None) -> Any:  # fmt: skip
        """Advantages once, then a gradient step for each minibatch.

        `behaviour` are the parameters that collected the rollout, where those are not the state's.
        """
        batch, explained_variance = self.advantages(state["parameters"], rollout, behaviour)
        carry = {"state": state, "going": 0.0 * scalars["learning_rate"] + 1.0}
        constants = {"batch": batch, "scalars": scalars}
        carry, metrics = ops.fold(self.minibatch_step, carry, minibatches, constants)
        return carry["state"], ops.concat([ops.mean(metrics, 0), ops.reshape(explained_variance, (1,))])

    def advantages(self, parameters: Array, rollout: dict[str, Array],
                   behaviour: Array | None = None) -> tuple[dict[str, Array], Array]:  # fmt: skip
        """Old values and log-probabilities, advantages and returns of every step, flattened to `[T · N, ...]`.

        The ratio is to the policy that acted, so log-probabilities are those of `behaviour`; values are always fresh.
        """
        size = self.config.n_steps * self.config.n_envs
        flat = {name: ops.reshape(x, (size, *x.shape[2:])) for name, x in rollout.items()}
        params, policy = self.layout.split(parameters), self.policy
        features = policy.features(params, flat["observation"])
        value = policy.value(params, features)
        next_value = policy.value(params, policy.features(params, flat["next_observation"]))
        if behaviour is not None:
            params = self.layout.split(behaviour)
            features = policy.features(params, flat["observation"])
        log_prob = policy.head.distribution.log_prob(policy.parameters_of_action(params, features), flat["action"])
        over_time = rollout["reward"].shape
        advantage = generalized_advantage(
            rollout["reward"], ops.reshape(value, over_time), ops.reshape(next_value, over_time),
            rollout["terminated"], rollout["done"], self.config.gamma, self.config.gae_lambda,
        )  # fmt: skip
        advantage = ops.reshape(advantage, (size,))
        returns = advantage + value
        weight = None if self.collector.stepper.every_step_counts else flat["valid"]
        residual = _variance(advantage, weight) / (_variance(returns, weight) + 1e-8)
        batch = {
            "observation": flat["observation"], "action": flat["action"], "log_prob": log_prob,
            "value": value, "advantage": advantage, "return": returns,
        } | ({} if weight is None else {"weight": weight})  # fmt: skip
        return batch, 1.0 - residual

    def minibatch_step(self, carry: Any, indices: Array, constants: Any) -> tuple[Any, Array]:
        """One gradient step on the steps at `indices`; none any more once the KL divergence has gone too far."""
        state, scalars = carry["state"], constants["scalars"]
        batch = {name: ops.take(x, indices) for name, x in constants["batch"].items()}
        _, metrics, gradient = self.layout.value_and_grad(
            lambda params: self.loss(params, batch, scalars), state["parameters"]
        )
        parameters, optimizer = self.optimizer.update(
            state["parameters"], gradient, state["optimizer"], scalars["learning_rate"]
        )
        new, going = {"parameters": parameters, "optimizer": optimizer}, carry["going"]
        if self.config.target_kl is not None:
            within = ops.less(metrics[3], 1.5 * self.config.target_kl)
            going = ops.where(within, going, 0.0 * going)
            new = _choose(ops.greater(going, 0.5), new, state)
        return {"state": new, "going": going}, metrics

    def loss(self, params: Any, batch: dict[str, Array], scalars: Any) -> tuple[Array, Array]:
        """−L of eq. 9: the clipped surrogate (eq. 7), the value loss and the entropy bonus."""
        c, policy, weight, clip = self.config, self.policy, batch.get("weight"), scalars["clip_range"]
        features = policy.features(params, batch["observation"])
        outputs = policy.parameters_of_action(params, features)
        log_ratio = policy.head.distribution.log_prob(outputs, batch["action"]) - batch["log_prob"]
        ratio = ops.exp(log_ratio)

        advantage = batch["advantage"]
        if c.normalize_advantage:
            centred = advantage - _mean(advantage, weight)
            advantage = centred / (ops.sqrt(_mean(ops.square(centred), weight)) + 1e-8)
        surrogate = ops.minimum(ratio * advantage, ops.clip(ratio, 1.0 - clip, 1.0 + clip) * advantage)
        policy_loss = -_mean(surrogate, weight)

        value = policy.value(params, features)
        error = ops.square(value - batch["return"])
        if c.clip_range_value is not None:
            change = ops.clip(value - batch["value"], -c.clip_range_value, c.clip_range_value)
            error = ops.maximum(error, ops.square(batch["value"] + change - batch["return"]))
        value_loss = _mean(error, weight)

        entropy = _mean(policy.head.distribution.entropy(outputs), weight)
        loss = policy_loss + c.value_coefficient * value_loss - scalars["entropy_coefficient"] * entropy

        approx_kl = _mean(ratio - 1.0 - log_ratio, weight)  # k₃ of Schulman's note on approximating the KL divergence
        clipped = ops.astype(ops.greater(ops.abs(ratio - 1.0), clip), "float32")
        return loss, ops.stack([policy_loss, value_loss, entropy, approx_kl, _mean(clipped, weight)])


def _mean(x: Array, weight: Array | None) -> Array:
    """The mean over steps that count: those where no environment was resetting; without a weight, all."""
    if weight is None:
        return ops.mean(x)
    return ops.sum(x * weight) / ops.maximum(ops.sum(weight), 1.0)


def _variance(x: Array, weight: Array | None) -> Array:
    return _mean(ops.square(x - _mean(x, weight)), weight)


def _choose(condition: Array, new: Any, old: Any) -> Any:
    """`new` where the condition holds, else `old`, for dicts of arrays."""
    if isinstance(new, dict):
        return {name: _choose(condition, new[name], old[name]) for name in new}
    return ops.where(condition, new, old)
