"""Twin delayed deterministic policy gradients (Fujimoto 2018, arXiv 1802.09477), by algorithm 1.

Critics and actor take one gradient, so the actor climbs the critics as they were before their step, where algorithm 1
and Stable-Baselines3 step them first.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from pydantic import Field, field_validator

from rlzoo.backend import ops, tree
from rlzoo.nn import Adam
from rlzoo.nn.losses import batch_mean, smallest
from rlzoo.nn.optimizers import choose
from rlzoo.nn.schedules import Schedule, Scheduled
from rlzoo.policies import DeterministicActorCritics
from rlzoo.training.config import CriticConfig, one_of
from rlzoo.training.exploration import NOISES, Exploration
from rlzoo.training.off_policy import OffPolicyAgent, OffPolicyConfig

Array = Any


class TD3Config(OffPolicyConfig, CriticConfig):
    """The hyperparameters of TD3."""

    outside: ClassVar = OffPolicyConfig.outside | {"exploration_deviation"}
    only_with: ClassVar = {"target_noise_clip": "target_noise"}

    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers."""
    activation: str = "relu"
    """Function after each hidden layer: tanh, relu, sigmoid or softplus."""
    learning_rate: Scheduled = Schedule(1e-3, 1e-3)
    """Adam's step size; a schedule such as linear(1e-3, 0) is allowed."""
    n_critics: int = Field(2, ge=1)
    """Critics; the smallest of their targets counts."""
    policy_delay: int = Field(2, ge=1)
    """Gradient steps of the critics to one of the actor and, without a target_update_interval, of the targets."""
    target_noise: float = Field(0.2, ge=0.0)
    """Deviation of the noise on the target's action, where actions span −1 to 1."""
    target_noise_clip: float = Field(0.5, ge=0.0)
    """Largest size of that noise."""
    exploration_noise: str = "gaussian"
    """Noise on the actions taken: gaussian, or ornstein_uhlenbeck, which lingers."""
    exploration_deviation: Scheduled = Schedule(0.1, 0.1)
    """Deviation σ of each step's noise, where actions span −1 to 1; the Ornstein–Uhlenbeck process reaches 1.8 σ."""

    @field_validator("exploration_noise")
    @classmethod
    def _noise(cls, value: str) -> str:
        return one_of(value, NOISES)


class TD3(OffPolicyAgent):
    """Twin delayed DDPG, for continuous actions."""

    name = "td3"
    Config: ClassVar[type[TD3Config]] = TD3Config
    metrics = ("critic_loss", "actor_loss", "value")

    def build_policy(self, observation_space: gym.Space, action_space: gym.Space) -> DeterministicActorCritics:
        c = self.config
        return DeterministicActorCritics.of(
            self.trunk(observation_space), action_space, c.hidden, c.of_critics, c.activation, c.n_critics, self.name
        )

    def initial_state(self, flat: np.ndarray) -> dict[str, Any]:
        self.optimizer = Adam()
        _, self.actor_end = self.layout.range("actor")
        actor, critics = flat[: self.actor_end], flat[self.actor_end :]
        optimizers = {"actor_optimizer": self.optimizer.init(actor), "critic_optimizer": self.optimizer.init(critics)}
        return {"parameters": flat, "target": flat.copy(), **optimizers, "count": np.zeros((), np.float32)}

    def exploration(self) -> Exploration:
        return NOISES[self.config.exploration_noise]()

    def sample(self, seen: Any, noise: np.ndarray) -> tuple[np.ndarray, Any]:
        """The actor's action with exploration noise, within −1 and 1."""
        action, remembered = self.mode(seen)
        deviation = self.config.exploration_deviation(self.steps / self.total_steps)
        return np.clip(action + np.float32(deviation) * noise, -1.0, 1.0), remembered

    def noise_of_update(self, shape: tuple[int, int]) -> dict[str, np.ndarray]:
        """The Gaussian that smooths the target's action."""
        if self.config.target_noise == 0.0:
            return {}
        return {"target": self.policy.noise(self.rng, shape)}

    def gradient_step(self, state: dict[str, Any], inputs: Any, scalars: Any) -> tuple[dict[str, Any], Any]:
        """One step of the critics; at every `policy_delay`-th, of the actor too, and the targets move by τ."""
        batch, rate = inputs["batch"], scalars["learning_rate"]
        wanted = self.targets(state, batch, inputs["noise"])
        flat, end = state["parameters"], self.actor_end
        _, report, gradient = self.layout.value_and_grad(lambda params: self.loss(params, batch, wanted), flat)
        critics, critic_optimizer = self.optimizer.update(flat[end:], gradient[end:], state["critic_optimizer"], rate)
        actor, actor_optimizer = self.optimizer.update(flat[:end], gradient[:end], state["actor_optimizer"], rate)
        count, due = state["count"] + 1.0, None
        if self.config.policy_delay > 1:
            due = ops.greater(count, self.config.policy_delay - 0.5)
            actor, actor_optimizer = choose(due, (actor, actor_optimizer), (flat[:end], state["actor_optimizer"]))
            count = ops.where(due, 0.0 * count, count)
        parameters = ops.concat([actor, critics])
        target = ops.lerp(state["target"], parameters, inputs["tau"])
        if due is not None and self.config.target_update_interval == 0:
            target = ops.where(due, target, state["target"])
        return {
            "parameters": parameters, "target": target,
            "actor_optimizer": actor_optimizer, "critic_optimizer": critic_optimizer, "count": count,
        }, report  # fmt: skip

    def targets(self, state: dict[str, Any], batch: dict[str, Any], noise: dict[str, Array]) -> Array:
        """y = r + γ (1 − terminated) min_i Q_i(s′, a′ + clipped noise), all of the target networks.

        Fujimoto 2018, algorithm 1.
        """
        params, policy, clip = self.layout.split(state["target"]), self.policy, self.config.target_noise_clip
        features = policy.features(params, batch["next_observation"])
        action = policy.action(params, features)
        if "target" in noise:
            smooth = ops.clip(self.config.target_noise * noise["target"], -clip, clip)
            action = ops.clip(action + smooth, -1.0, 1.0)
        return batch["reward"] + batch["discount"] * smallest(policy.values(params, features, action))

    def loss(self, params: Any, batch: dict[str, Any], target: Array) -> tuple[Array, Any]:
        """Σ_i (Q_i(s, a) − y)², and −Q_1(s, π(s)), a function of the actor alone (Fujimoto 2018, algorithm 1)."""
        policy, weight = self.policy, batch.get("weight")
        features = policy.features(params, batch["observation"], through_time=True)
        values = policy.values(params, features, batch["action"])
        critic_loss = 0.0
        for value in values:
            critic_loss = critic_loss + batch_mean(ops.square(value - target), weight)
        fixed = params | {"critics": tree.map(ops.stop_gradient, params["critics"])}
        features = tree.map(ops.stop_gradient, features)
        wanted = policy.values(fixed, features, policy.action(params, features))[0]
        actor_loss = -batch_mean(wanted, batch.get("valid"))
        metrics = ops.stack([critic_loss, actor_loss, ops.mean(values[0])])
        return critic_loss + actor_loss, self.report(metrics, values[0] - target)
