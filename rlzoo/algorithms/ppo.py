"""Proximal policy optimization (Schulman 2017, arXiv 1707.06347): the clipped surrogate, several epochs a rollout.

The details that matter (Huang 2022, "The 37 implementation details"): orthogonal weights with a last actor layer of
gain 0.01, separate actor and critic networks, advantages normalized in each minibatch, the gradient's norm clipped,
log-probabilities of the action before it is clipped to the space. Unlike there, a truncated episode is bootstrapped
with V(final observation).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from rlzoo.backend import ops, tree
from rlzoo.nn import Adam
from rlzoo.nn.losses import valid_mean
from rlzoo.nn.optimizers import choose
from rlzoo.nn.schedules import Schedule, Scheduled, ScheduledAbove0
from rlzoo.training.actor_critic import ActorCriticAgent, MinibatchConfig
from rlzoo.training.config import one_of

Array = Any
OBJECTIVES = ("clip", "kl")
PENALTIES = 1e-6, 1e6  # of the objective kl, at the least and at the most


class PPOConfig(MinibatchConfig):
    """The hyperparameters of PPO."""

    only_with: ClassVar = {
        "clip_range": "objective = clip", "kl_target": "objective = kl", "kl_coefficient": "objective = kl",
    }  # fmt: skip

    objective: str = "clip"
    """The clipped surrogate (clip, eq. 7), or a penalty on the KL divergence that adapts to kl_target (kl, eq. 8)."""
    clip_range: Scheduled = Schedule(0.2, 0.2)
    """How far the probability ratio may leave 1 (ε of eq. 7)."""
    clip_range_value: ScheduledAbove0 | None = None
    """How far a value may leave its old one in the value loss; none does not clip; a schedule is allowed."""
    entropy_coefficient: Scheduled = Schedule(0.0, 0.0)
    """Weight of the entropy bonus (c₂ of eq. 9)."""
    value_coefficient: Scheduled = Schedule(0.5, 0.5)
    """Weight of the value loss (c₁ of eq. 9)."""
    max_grad_norm: float = Field(0.5, gt=0.0)
    """Norm that the gradient is clipped to."""
    target_kl: float | None = Field(None, gt=0.0)
    """Stop a rollout's epochs once the approximate KL divergence exceeds 1.5 times this; none never stops."""
    kl_target: float = Field(0.01, gt=0.0)
    """KL divergence of an update that the penalty is adapted to, where the objective is kl."""
    kl_coefficient: float = Field(1.0, gt=0.0)
    """The penalty's weight to begin with (β of eq. 8)."""

    @field_validator("objective")
    @classmethod
    def _objective(cls, value: str) -> str:
        return one_of(value, OBJECTIVES)


class PPO(ActorCriticAgent):
    """Proximal policy optimization, for discrete, multi-discrete, binary and continuous actions."""

    name = "ppo"
    Config = PPOConfig
    metrics = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "explained_variance")

    @property
    def penalizes(self) -> bool:
        """Whether the objective is the penalized one."""
        return self.config.objective == "kl"

    @property
    def keeps_outputs(self) -> bool:
        """The penalty is a divergence from the old distributions."""
        return self.penalizes

    def initial_state(self, flat: np.ndarray) -> dict[str, Any]:
        self.optimizer = Adam(max_grad_norm=self.config.max_grad_norm, epsilon=1e-5)
        penalty = {"penalty": np.full((), self.config.kl_coefficient, np.float32)} if self.penalizes else {}
        return {"parameters": flat, "optimizer": self.optimizer.init(flat)} | penalty

    def noise_of_update(self) -> np.ndarray:
        """The minibatches: the rollout's steps in a fresh order for each epoch, `[epochs · minibatches, B]`."""
        return self.minibatches()

    def update(self, state: dict[str, Any], rollout: dict[str, Array], minibatches: Array, scalars: Any,
               behaviour: Array | None = None) -> Any:  # fmt: skip
        """Advantages once, then a gradient step for each minibatch.

        `behaviour` are the parameters that collected the rollout, where those are not the state's.
        """
        batch, explained_variance = self.advantages(state["parameters"], rollout, behaviour)
        penalty = {"penalty": state["penalty"]} if self.penalizes else {}
        learned = {name: state[name] for name in ("parameters", "optimizer")}
        carry = {"state": learned, "going": 0.0 * scalars["learning_rate"] + 1.0}
        constants = {"batch": batch, "scalars": scalars | penalty}
        carry, metrics = ops.fold(self.minibatch_step, carry, minibatches, constants)
        metrics = ops.concat([ops.mean(metrics, 0), ops.reshape(explained_variance, (1,))])
        if self.penalizes:
            penalty = {"penalty": self.adapted(state["penalty"], self.drift(carry["state"]["parameters"], batch))}
        return carry["state"] | penalty, metrics

    def drift(self, parameters: Array, batch: dict[str, Any]) -> Array:
        """The mean KL divergence, over a rollout, from the policy that collected it."""
        if self.parts == 1:
            return self.divergence(self.layout.split(parameters), self.in_sequences(batch))
        kl = self.in_parts(lambda rows, flat: self.divergences(self.layout.split(flat), rows), batch, parameters)
        return valid_mean(kl, batch.get("weight"))

    def adapted(self, penalty: Array, divergence: Array) -> Array:
        """β halved where d < d_targ / 1.5, doubled where d > 1.5 d_targ (Schulman 2017, section 4), within bounds."""
        target = self.config.kl_target
        penalty = ops.where(ops.less(divergence, target / 1.5), 0.5 * penalty, penalty)
        return ops.clip(ops.where(ops.greater(divergence, 1.5 * target), 2.0 * penalty, penalty), *PENALTIES)

    def minibatch_step(self, carry: Any, indices: Array, constants: Any) -> tuple[Any, Array]:
        """One gradient step on the steps at `indices`; none any more once the KL divergence has gone too far."""
        state, scalars = carry["state"], constants["scalars"]
        batch = tree.map(lambda x: ops.take(x, indices), constants["batch"])
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
            new = choose(ops.greater(going, 0.5), new, state)
        return {"state": new, "going": going}, metrics

    def loss(self, params: Any, batch: dict[str, Array], scalars: Any) -> tuple[Array, Array]:
        """−surrogate + c₁ (V(s) − G)² − c₂ H (Schulman 2017, eq. 9), averaged; G = A + V_old(s), H is the entropy.

        The surrogate is min(ρ A, clip(ρ, 1 − ε, 1 + ε) A) (eq. 7), or ρ A − β KL(π_old, π) (eq. 8), with
        ρ = π(a | s) / π_old(a | s).
        """
        c, policy, weight, clip = self.config, self.policy, batch.get("weight"), scalars["clip_range"]
        features = policy.features(params, batch["observation"], through_time=True)
        outputs = policy.parameters_of_action(params, features)
        log_ratio = policy.head.distribution.log_prob(outputs, batch["action"]) - batch["log_prob"]
        ratio = ops.exp(log_ratio)

        advantage = self.normalized(batch["advantage"], weight)
        surrogate = ratio * advantage
        if self.penalizes:
            kl = policy.head.distribution.kl(batch["outputs"], outputs)
            surrogate = surrogate - scalars["penalty"] * kl
        else:
            surrogate = ops.minimum(surrogate, ops.clip(ratio, 1.0 - clip, 1.0 + clip) * advantage)
        policy_loss = -valid_mean(surrogate, weight)

        value = policy.value(params, features)
        error = ops.square(value - batch["return"])
        if c.clip_range_value is not None:
            reach = scalars["clip_range_value"]
            change = ops.clip(value - batch["value"], -reach, reach)
            error = ops.maximum(error, ops.square(batch["value"] + change - batch["return"]))
        value_loss = valid_mean(error, weight)

        entropy = valid_mean(policy.head.distribution.entropy(outputs), weight)
        loss = policy_loss + scalars["value_coefficient"] * value_loss - scalars["entropy_coefficient"] * entropy

        # k₃ of Schulman's note on approximating the KL divergence.
        approx_kl = valid_mean(ratio - 1.0 - log_ratio, weight)
        clipped = ops.astype(ops.greater(ops.abs(ratio - 1.0), clip), "float32")
        return loss, ops.stack([policy_loss, value_loss, entropy, approx_kl, valid_mean(clipped, weight)])
