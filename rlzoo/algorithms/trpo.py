"""Trust region policy optimization (Schulman 2015, arXiv 1502.05477).

The natural direction by conjugate gradients on products with the Fisher matrix, which are second derivatives of the KL
divergence; its length by the trust region; then a line search. The critic is fitted to the returns by Adam. Values,
direction, search and critic are one compiled call.

Direction and search take the whole rollout at once, for a product with the Fisher matrix is of all of it. Of images
that costs memory: about 2 MB for each frame of 84 × 84 × 4, so `n_steps` × `n_envs` is to be small there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, model_validator

from rlzoo.backend import ops, tree
from rlzoo.nn import Adam
from rlzoo.nn.losses import valid_mean
from rlzoo.nn.schedules import Schedule, Scheduled, ScheduledAbove0
from rlzoo.training.actor_critic import ActorCriticAgent, ActorCriticConfig, within_a_rollout

Array = Any


class TRPOConfig(ActorCriticConfig):
    """The hyperparameters of TRPO."""

    learning_rate: Scheduled = Schedule(1e-3, 1e-3)
    """Adam's step size for the critic; a schedule such as linear(1e-3, 0) is allowed."""
    target_kl: ScheduledAbove0 = Schedule(0.01, 0.01)
    """The trust region: the KL divergence that an update may reach (δ of eq. 14); a schedule is allowed."""
    cg_steps: int = Field(15, ge=1)
    """Conjugate gradient steps towards the natural direction."""
    cg_damping: float = Field(0.1, ge=0.0)
    """Multiple of the identity that is added to the Fisher matrix."""
    line_search_steps: int = Field(10, ge=1)
    """Lengths tried, each shorter than the last; if none will do, the policy stays."""
    line_search_shrink: float = Field(0.8, gt=0.0, lt=1.0)
    """What a length is multiplied with for the next."""
    n_critic_epochs: int = Field(10, ge=1)
    """Passes over each rollout that fit the critic."""
    batch_size: int = Field(128, ge=2)
    """Steps in a minibatch of the critic."""

    @model_validator(mode="after")
    def _batches(self) -> TRPOConfig:
        within_a_rollout(self)
        return self


class TRPO(ActorCriticAgent):
    """Trust region policy optimization, for discrete, multi-discrete, binary and continuous actions."""

    name = "trpo"
    Config = TRPOConfig
    metrics = ("policy_loss", "kl", "step", "entropy", "value_loss", "explained_variance")
    twins = False  # the critic is fitted apart, on what the policy remembers

    @property
    def keeps_outputs(self) -> bool:
        """The trust region is a divergence from the old distributions."""
        return True

    def initial_state(self, flat: np.ndarray) -> dict[str, Any]:
        self.optimizer = Adam()
        return {"parameters": flat, "optimizer": self.optimizer.init(flat)}

    def noise_of_update(self) -> np.ndarray:
        """The critic's minibatches: a fresh order of the rollout's steps an epoch, `[epochs · minibatches, B]`."""
        size, batch = self.config.n_steps * self.config.n_envs, self.config.batch_size
        epochs = [self.rng.permutation(size)[: size // batch * batch] for _ in range(self.config.n_critic_epochs)]
        return np.stack(epochs).reshape(-1, batch).astype(np.int32)

    def update(self, state: dict[str, Any], rollout: dict[str, Any], minibatches: Array, scalars: Any) -> Any:
        """One iteration (Schulman 2015, section 6): advantages, a natural step by line search, the critic's epochs."""
        flat = state["parameters"]
        rows, explained_variance = self.advantages(flat, rollout)
        batch = self.in_sequences(rows)
        batch = batch | {"advantage": self.normalized(batch["advantage"], batch.get("weight"))}
        loss, entropy, gradient = self.layout.value_and_grad(lambda params: self.surrogate(params, batch), flat)
        direction = self.conjugate_gradient(flat, -gradient, batch)
        curvature = ops.sum(direction * self.fisher_product(flat, direction, batch))
        length = ops.sqrt(2.0 * scalars["target_kl"] / ops.maximum(curvature, 1e-8))  # appendix C
        flat, share, kl, reached = self.line_search(flat, length * direction, loss, batch, scalars)

        carry = {"parameters": flat, "optimizer": state["optimizer"]}
        constants = {"batch": rows, "scalars": scalars}
        carry, value_loss = ops.fold(self.critic_step, carry, minibatches, constants)
        return carry, ops.stack([reached, kl, share, entropy, ops.mean(value_loss), explained_variance])

    # ---- the policy --------------------------------------------------------------------------------------------------
    def surrogate(self, params: Any, batch: dict[str, Any]) -> tuple[Array, Array]:
        """−E[π(a | s) / π_old(a | s) A] (Schulman 2015, eq. 14), and the entropy."""
        distribution, outputs, weight = self.policy.head.distribution, self.outputs(params, batch), batch.get("weight")
        ratio = ops.exp(distribution.log_prob(outputs, batch["action"]) - batch["log_prob"])
        return -valid_mean(ratio * batch["advantage"], weight), valid_mean(distribution.entropy(outputs), weight)

    def fisher_product(self, flat: Array, vector: Array, batch: dict[str, Any]) -> Array:
        """(F + damping I) v, F the Hessian of the KL divergence at the old policy (Schulman 2015, appendix C)."""
        product = self.layout.hessian_product(lambda params: self.divergence(params, batch), flat, vector)
        return product + self.config.cg_damping * vector

    def conjugate_gradient(self, flat: Array, b: Array, batch: dict[str, Any]) -> Array:
        """x with (F + damping I) x = b, nearly. Where it is found before the last step, x stays."""

        def step(carry: Any, _: Array, constants: Any) -> tuple[Any, None]:
            x, residual, p, square = carry["x"], carry["residual"], carry["p"], carry["square"]
            product = self.fisher_product(constants["flat"], p, constants["batch"])
            going = ops.astype(ops.greater(square, 1e-10), "float32")
            alpha = going * square / (ops.sum(p * product) + 1e-20)
            residual = residual - alpha * product
            after = ops.sum(residual * residual)
            beta = going * after / (square + 1e-20)
            return {"x": x + alpha * p, "residual": residual, "p": residual + beta * p, "square": after}, None

        carry = {"x": ops.zeros_like(b), "residual": b, "p": b, "square": ops.sum(b * b)}
        times = self._powers(1.0, self.config.cg_steps, b)
        carry, _ = ops.fold(step, carry, times, {"flat": flat, "batch": batch})
        return carry["x"]

    def line_search(
        self, flat: Array, full: Array, loss: Array, batch: dict[str, Any], scalars: Any
    ) -> tuple[Array, ...]:
        """The longest step of those tried that improves the surrogate within the trust region; none, if none does.

        Parameters, the share of the full step, the KL divergence and the surrogate there.
        """

        def attempt(carry: Any, share: Array, constants: Any) -> tuple[Any, None]:
            candidate = constants["flat"] + share * constants["full"]
            params = self.layout.split(candidate)
            reached, _ = self.surrogate(params, constants["batch"])
            kl = self.divergence(params, constants["batch"])
            good = (
                ops.astype(ops.less(reached, constants["loss"]), "float32")
                * ops.astype(ops.less(kl, constants["scalars"]["target_kl"]), "float32")
                * ops.astype(ops.equal(carry["share"], 0.0), "float32")
            )
            new = {"flat": candidate, "share": share, "kl": kl, "reached": reached}
            return {name: ops.where(ops.greater(good, 0.5), new[name], carry[name]) for name in carry}, None

        shares = self._powers(self.config.line_search_shrink, self.config.line_search_steps, full)
        carry = {"flat": flat, "share": 0.0 * loss, "kl": 0.0 * loss, "reached": loss}
        constants = {"flat": flat, "full": full, "loss": loss, "batch": batch, "scalars": scalars}
        carry, _ = ops.fold(attempt, carry, shares, constants)
        return carry["flat"], carry["share"], carry["kl"], carry["reached"]

    @staticmethod
    def _powers(factor: float, n: int, like: Array) -> Array:
        """factor⁰, factor¹, …, factorⁿ⁻¹."""
        return ops.asarray(np.float32(factor) ** np.arange(n, dtype=np.float32), like)

    # ---- the critic --------------------------------------------------------------------------------------------------
    def critic_step(self, state: dict[str, Any], indices: Array, constants: Any) -> tuple[dict[str, Any], Array]:
        """One gradient step of the critic alone: the trunk belongs to the policy, and to its trust region."""
        batch = tree.map(lambda x: ops.take(x, indices), constants["batch"])

        def loss(params: Any) -> tuple[Array, None]:
            features = tree.map(ops.stop_gradient, self.policy.features(params, batch["observation"]))
            error = ops.square(self.policy.value(params, features) - batch["return"])
            return valid_mean(error, batch.get("weight")), None

        value, _, gradient = self.layout.value_and_grad(loss, state["parameters"])
        parameters, optimizer = self.optimizer.update(
            state["parameters"], gradient, state["optimizer"], constants["scalars"]["learning_rate"]
        )
        return {"parameters": parameters, "optimizer": optimizer}, value
