"""What on-policy actor-critics share: the values, advantages and returns of a rollout."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from pydantic import Field, field_validator, model_validator

from rlzoo.backend import ops, tree
from rlzoo.nn.layers import INITIALIZERS
from rlzoo.nn.losses import valid_mean
from rlzoo.nn.returns import generalized_advantage
from rlzoo.policies import ActorCritic
from rlzoo.policies.spaces import has_image
from rlzoo.training.config import CriticConfig, Kept, one_of
from rlzoo.training.on_policy import OnPolicyAgent, OnPolicyConfig

Array = Any
FRAMES = 512  # images that a rollout's values are computed of at a time: some 250 MB of patches at 84 × 84 × 4


class ActorCriticConfig(OnPolicyConfig, CriticConfig):
    """What every on-policy actor-critic has."""

    at_first: ClassVar = frozenset({"initializer", "log_std_init"})
    only_with: ClassVar = {"sde_sample_freq": "sde"}

    gae_lambda: float = Field(0.95, ge=0.0, le=1.0)
    """λ of the generalized advantage: 0 trusts the critic, 1 the rewards."""
    normalize_advantage: bool = True
    """Advantages of a minibatch shifted and scaled to zero mean and unit variance."""
    initializer: str = "orthogonal"
    """Weights of actor and critic: orthogonal, xavier or he, with actions near zero, or fan_in as PyTorch has it."""
    log_std_init: float = 0.0
    """Initial log standard deviation of continuous actions."""
    sde: bool = False
    """Explore continuous actions by noise that depends on the state (gSDE)."""
    sde_sample_freq: Kept = -1
    """Steps that such noise is kept for, at most a rollout; −1 keeps it for all of one."""

    @field_validator("initializer")
    @classmethod
    def _initializer(cls, value: str) -> str:
        return one_of(value, INITIALIZERS)


class MinibatchConfig(ActorCriticConfig):
    """What those have that learn from a rollout in several epochs of minibatches."""

    sequenced: ClassVar[tuple[str, ...]] = ("n_steps", "batch_size")

    batch_size: int = Field(64, ge=2)
    """Steps in a minibatch; what does not fill the last one of an epoch is left out of that epoch."""
    n_epochs: int = Field(10, ge=1)
    """Passes over each rollout."""

    @model_validator(mode="after")
    def _batches(self) -> MinibatchConfig:
        within_a_rollout(self)
        return self


def within_a_rollout(config: Any) -> None:
    """Raises ValueError where a minibatch is larger than a rollout."""
    if config.batch_size > config.n_steps * config.n_envs:
        raise ValueError(
            f"batch_size = {config.batch_size} is more than a rollout holds: n_steps × n_envs = {config.n_steps} × "
            f"{config.n_envs} = {config.n_steps * config.n_envs}; lower batch_size or raise n_steps"
        )


class ActorCriticAgent(OnPolicyAgent):
    """An on-policy agent whose policy is an `ActorCritic`."""

    twins: ClassVar[bool] = True

    @property
    def keeps_outputs(self) -> bool:
        """Whether the update wants the distributions that acted, for divergences from them."""
        return False

    def build_policy(self, observation_space: gym.Space, action_space: gym.Space) -> ActorCritic:
        c, trunk = self.config, self.trunk(observation_space)
        every = (c.sde_sample_freq if c.sde_sample_freq > 0 else c.n_steps) if c.sde else None
        return ActorCritic.of(
            trunk, action_space, c.hidden, c.of_critics, c.activation, c.initializer, c.log_std_init, every
        )

    def advantages(self, parameters: Array, rollout: dict[str, Any],
                   behaviour: Array | None = None) -> tuple[dict[str, Any], Array]:  # fmt: skip
        """Old log-probabilities and values, advantages and returns of every step, `[T · N, ...]`; explained variance.

        Log-probabilities, and with `keeps_outputs` the "outputs" they were made of, are those of the policy that acted:
        of `behaviour`, where that is not `parameters`. Values are always fresh. Where a step may be spent on a reset,
        there is a "weight", 0 at such a step.
        """
        size = self.config.n_steps * self.config.n_envs
        flat = tree.map(lambda x: ops.reshape(x, (size, *x.shape[2:])), rollout)
        rows = {name: flat[name] for name in ("observation", "next_observation", "action")}
        vectors = {"parameters": parameters} | ({} if behaviour is None else {"behaviour": behaviour})
        judged = self.in_parts(self.judged, rows, vectors)
        value, over_time = judged["value"], rollout["reward"].shape
        advantage = generalized_advantage(
            rollout["reward"], ops.reshape(value, over_time), ops.reshape(judged["next_value"], over_time),
            rollout["terminated"], rollout["done"], self.config.gamma, self.config.gae_lambda,
        )  # fmt: skip
        advantage = ops.reshape(advantage, (size,))
        returns = advantage + value
        weight = None if self.collector.stepper.every_step_counts else flat["valid"]
        residual = variance(advantage, weight) / (variance(returns, weight) + 1e-8)
        batch = {
            "observation": flat["observation"], "action": flat["action"], "log_prob": judged["log_prob"],
            "value": value, "advantage": advantage, "return": returns,
        }  # fmt: skip
        if weight is not None:
            batch["weight"] = weight
        if self.keeps_outputs:
            batch["outputs"] = judged["outputs"]
        return batch, 1.0 - residual

    def judged(self, rows: dict[str, Any], vectors: dict[str, Array]) -> dict[str, Any]:
        """The values of steps and of where they led; the log-probability, by who acted, of what was done there."""
        params, policy = self.layout.split(vectors["parameters"]), self.policy
        features = policy.features(params, rows["observation"])
        value = policy.value(params, features)
        next_value = policy.value(params, policy.features(params, rows["next_observation"]))
        if "behaviour" in vectors:
            params = self.layout.split(vectors["behaviour"])
            features = policy.features(params, rows["observation"])
        outputs = policy.parameters_of_action(params, features)
        log_prob = policy.head.distribution.log_prob(outputs, rows["action"])
        found = {"value": value, "next_value": next_value, "log_prob": log_prob}
        if self.keeps_outputs:  # a log standard deviation that is no row's own becomes one of each
            is_gaussian = isinstance(outputs, tuple)
            found["outputs"] = (outputs[0], outputs[1] + 0.0 * outputs[0]) if is_gaussian else outputs
        return found

    @cached_property
    def parts(self) -> int:
        """In how many parts networks are given a rollout, where no gradient is taken: one, but of images."""
        length, count = self.sequences.shape
        return min(-(-length * count // FRAMES), count) if has_image(self.observation_space) else 1

    def in_parts(self, function: Callable[[Any, Any], Any], rows: Any, constants: Any) -> Any:
        """`function(rows, constants)`, which gives a row for each of `[T · N, ...]`; of images, part by part.

        What convolutions make of a whole rollout would take gigabytes. Each part is of whole sequences, their steps
        time by time.
        """
        if self.parts == 1:
            return function(rows, constants)
        length, count = self.sequences.shape
        chosen = np.minimum(np.arange(self.parts * -(-count // self.parts)), count - 1)  # the last one fills the rest
        indices = np.moveaxis(self.sequences[:, chosen.reshape(self.parts, -1)], 0, 1).reshape(self.parts, -1)
        place = np.zeros(length * count, np.int32)  # of each row among the results
        place[indices.reshape(-1)] = np.arange(indices.size)

        def step(carry: Any, indices: Array, given: Any) -> tuple[Any, Any]:
            return carry, function(tree.map(lambda x: ops.take(x, indices), given["rows"]), given["constants"])

        like = tree.flatten(constants)[0][0]
        given = {"rows": rows, "constants": constants}
        _, found = ops.fold(step, (), ops.asarray(indices.astype(np.int32), like), given)
        place = ops.asarray(place, like)
        return tree.map(lambda x: ops.take(ops.reshape(x, (indices.size, *x.shape[2:])), place), found)

    def outputs(self, params: Any, batch: dict[str, Any]) -> Any:
        """The policy's distribution at every step of a batch in sequences, which it remembers anew."""
        features = self.policy.features(params, batch["observation"], through_time=True)
        return self.policy.parameters_of_action(params, features)

    def divergences(self, params: Any, batch: dict[str, Any]) -> Array:
        """Each step's KL divergence from the policy that collected a batch in sequences; with `keeps_outputs`."""
        return self.policy.head.distribution.kl(batch["outputs"], self.outputs(params, batch))

    def divergence(self, params: Any, batch: dict[str, Any]) -> Array:
        """The mean of `divergences`."""
        return valid_mean(self.divergences(params, batch), batch.get("weight"))

    def in_sequences(self, batch: Any) -> Any:
        """Arrays `[T · N, ...]` with the steps of sequences where a recurrent policy wants them; else as they are."""
        if self.config.length == 1:
            return batch
        rows = self.sequences.reshape(-1)
        return tree.map(lambda x: ops.take(x, ops.asarray(rows, x)), batch)

    def minibatches(self) -> np.ndarray:
        """The rollout's steps in a fresh order for each epoch, `[epochs · minibatches, B]`; of a `MinibatchConfig`.

        With memory it is sequences that are shuffled, and each minibatch has their steps time by time.
        """
        length, size = self.sequences.shape
        batch = self.config.batch_size // length
        epochs = [self.rng.permutation(size)[: size // batch * batch] for _ in range(self.config.n_epochs)]
        chosen = self.sequences[:, np.stack(epochs).reshape(-1, batch)]
        return np.moveaxis(chosen, 0, 1).reshape(-1, length * batch)

    def normalized(self, advantage: Array, weight: Array | None) -> Array:
        """Zero mean and unit variance, if the config wants it."""
        if not self.config.normalize_advantage:
            return advantage
        centred = advantage - valid_mean(advantage, weight)
        return centred / (ops.sqrt(valid_mean(ops.square(centred), weight)) + 1e-8)


def variance(x: Array, weight: Array | None) -> Array:
    """The variance over steps that count."""
    return valid_mean(ops.square(x - valid_mean(x, weight)), weight)
