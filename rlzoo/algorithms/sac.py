"""Soft actor-critic (Haarnoja 2018, arXiv 1812.05905): twin critics, a squashed Gaussian, automatic temperature.

The three losses are independent of each other's parameters (`stop_gradient`), so one gradient of their sum is all
three gradients, and one Adam step moves actor, critics and temperature together: the actor climbs the critics as they
were before their step, where the paper's algorithm 1 and Stable-Baselines3 step them first.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from pydantic import Field

from rlzoo.backend import ops, tree
from rlzoo.nn import Adam, Layout
from rlzoo.nn.losses import batch_mean, smallest
from rlzoo.nn.schedules import Scheduled
from rlzoo.policies import SquashedActorCritics
from rlzoo.training.config import CriticConfig, Kept
from rlzoo.training.off_policy import OffPolicyAgent, OffPolicyConfig

Array = Any


class SACConfig(OffPolicyConfig, CriticConfig):
    """The hyperparameters of SAC."""

    at_first: ClassVar = frozenset({"initial_entropy_coefficient", "log_std_init"})
    only_with: ClassVar = {
        "sde_sample_freq": "sde", "log_std_init": "sde", "target_entropy": "entropy_coefficient = none",
        "initial_entropy_coefficient": "entropy_coefficient = none",
    }  # fmt: skip

    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers."""
    activation: str = "relu"
    """Function after each hidden layer: tanh, relu, sigmoid or softplus."""
    n_critics: int = Field(2, ge=1)
    """Critics; the smallest of their targets counts."""
    entropy_coefficient: Scheduled | None = None
    """Temperature α held fixed, or by a schedule; none learns it."""
    initial_entropy_coefficient: float = Field(1.0, gt=0.0)
    """Temperature α to begin with, where it is learned."""
    sde: bool = False
    """Explore by noise that depends on the state (gSDE)."""
    sde_sample_freq: Kept = -1
    """Steps that such noise is kept for, at most `train_freq`; −1 keeps it for all of these."""
    log_std_init: float = -3.0
    """Initial log standard deviation of state-dependent exploration."""
    target_entropy: float | None = None
    """Entropy, in nats, that the learned temperature aims at; none is minus the number of action dimensions."""


class SAC(OffPolicyAgent):
    """Soft actor-critic, for continuous actions."""

    name = "sac"
    Config: ClassVar[type[SACConfig]] = SACConfig
    metrics = ("critic_loss", "actor_loss", "entropy", "temperature", "value")

    def build_policy(self, observation_space: gym.Space, action_space: gym.Space) -> Any:
        c = self.config
        return SquashedActorCritics.of(
            self.trunk(observation_space), action_space, c.hidden, c.of_critics, c.activation, c.n_critics, self.name,
            **self.extras(),
        )  # fmt: skip

    def extras(self) -> dict[str, Any]:
        """What else the networks are made with."""
        c = self.config
        every = c.sde_sample_freq if c.sde_sample_freq > 0 else c.train_freq
        return {"log_std": c.log_std_init, "sde_every": every} if c.sde else {}

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
        draw = self.policy.head.distribution.noise
        return {name: draw(self.rng, shape) for name in ("action", "next_action")}

    def gradient_step(self, state: dict[str, Any], inputs: Any, scalars: Any) -> tuple[dict[str, Any], Any]:
        """One step of actor, critics and temperature, then the target moves by τ."""
        batch, noise = inputs["batch"], inputs["noise"]
        target = self.targets(state, batch, noise, scalars)
        _, report, gradient = self.layout.value_and_grad(
            lambda params: self.loss(params, batch, target, noise, scalars), state["parameters"]
        )
        parameters, optimizer = self.optimizer.update(
            state["parameters"], gradient, state["optimizer"], scalars["learning_rate"]
        )
        online = parameters[self.target_start : self.target_end]
        moved = ops.lerp(state["target"], online, inputs["tau"])
        return {"parameters": parameters, "target": moved, "optimizer": optimizer}, report

    def temperature(self, params: Any, scalars: Any) -> Array:
        """α, one number."""
        if self.config.entropy_coefficient is not None:
            return 0.0 * ops.sum(params["log_temperature"]) + scalars["entropy_coefficient"]
        return ops.exp(ops.sum(params["log_temperature"]))

    def targets(self, state: dict[str, Any], batch: dict[str, Any], noise: dict[str, Array], scalars: Any) -> Array:
        """y = r + γ (1 − terminated) (q − α log π(a′ | s′)), with a′ from the policy (Haarnoja 2018, eq. 3 and 5).

        `judged` makes q of the target's critics: in SAC it is min_i Q_i(s′, a′).
        """
        params, policy = self.layout.split(state["parameters"]), self.policy
        target = self.target_layout.split(state["target"])
        seen = batch["next_observation"]
        outputs = policy.parameters_of_action(params, policy.features(params, seen))
        action, log_prob = policy.head.distribution.sample_and_log_prob(outputs, noise["next_action"])
        value = self.judged(policy.values(target, policy.features(target, seen), action))
        return self.backup(batch, value, self.temperature(params, scalars) * log_prob)

    def loss(self, params: Any, batch: dict[str, Any], target: Array, noise: dict[str, Array],
             scalars: Any) -> tuple[Array, Any]:  # fmt: skip
        """J_Q + J_π + J(α), each a function of its own parameters.

        J_Q is the sum over critics of `error`, SAC's ½ (Q_i(s, a) − y)²; J_π = α log π(a | s) − q with a from the
        policy, where q is what is `wanted`, SAC's min_i Q_i(s, a) (Haarnoja 2018, eq. 5 and 9).
        """
        policy, weight, valid = self.policy, batch.get("weight"), batch.get("valid")
        features = policy.features(params, batch["observation"], through_time=True)
        values = policy.values(params, features, batch["action"])
        critic_loss = 0.0
        for value in values:
            critic_loss = critic_loss + batch_mean(self.error(value, target), weight)

        fixed = params | {"critics": tree.map(ops.stop_gradient, params["critics"])}
        features = tree.map(ops.stop_gradient, features)
        outputs = policy.parameters_of_action(params, features)
        action, log_prob = policy.head.distribution.sample_and_log_prob(outputs, noise["action"])
        alpha = ops.stop_gradient(self.temperature(params, scalars))
        actor_loss = batch_mean(alpha * log_prob - self.wanted(policy.values(fixed, features, action)), valid)

        aim = self.config.target_entropy
        aim = -float(policy.head.distribution.size) if aim is None else aim
        entropy = -batch_mean(ops.stop_gradient(log_prob), valid)
        loss = critic_loss + actor_loss + self.temperature_loss(params, entropy, aim)
        metrics = ops.stack([critic_loss, actor_loss, entropy, alpha, ops.mean(values[0])])
        return loss, self.report(metrics, self.td_error(values[0], target))

    def temperature_loss(self, params: Any, entropy: Array, aim: Array) -> Array:
        """log α (H − H_target), H the policy's entropy; nothing where α is held fixed.

        Haarnoja 2018, eq. 18, with the gradient in log α.
        """
        if self.config.entropy_coefficient is not None:
            return 0.0
        return ops.sum(params["log_temperature"]) * (entropy - aim)

    # ---- what the critics say, which is where TQC differs ------------------------------------------------------------
    def judged(self, values: tuple[Array, ...]) -> Array:
        """What the target takes of the critics' values at the next action."""
        return smallest(values)

    def backup(self, batch: dict[str, Any], value: Array, cost: Array) -> Array:
        """r + γ (1 − terminated) (value − cost), where the cost is α log π."""
        return batch["reward"] + batch["discount"] * (value - cost)

    def error(self, value: Array, target: Array) -> Array:
        """The loss of one critic, row by row."""
        return 0.5 * ops.square(value - target)

    def td_error(self, value: Array, target: Array) -> Array:
        """By how much a critic was wrong, row by row."""
        return value - target

    def wanted(self, values: tuple[Array, ...]) -> Array:
        """What the actor raises."""
        return smallest(values)
