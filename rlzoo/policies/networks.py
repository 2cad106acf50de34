"""Policies: a trunk, the networks on it and a head. Each acts by the same code in NumPy and on any engine.

`params` is the nested dict of one parameter vector; `seen` is what the trunk takes; `features` what it gives. Vector
encoders have no parameters, so "sharing" them costs nothing; images are shared between actor and critic, and so is
memory, unless the trunk has twins of it.
`sample` and `mode` give actions of the distribution's own kind, and what is remembered after them, if anything is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from rlzoo.backend import ops
from rlzoo.errors import UserError
from rlzoo.nn import Ensemble, Gaussian, Layer, Sequential, mlp
from rlzoo.policies import sde
from rlzoo.policies.heads import Head, allowed, discrete_head, squashed_head, stochastic_head
from rlzoo.policies.trunk import Features, Trunk

Array = Any
Params = dict[str, Any]


class Policy:
    """What every policy has: the features of its trunk."""

    trunk: Trunk
    head: Head
    sde_every: int | None = None  # steps that a draw of state-dependent exploration is kept for; None without it

    def features(self, params: Params, seen: Any, through_time: bool = False) -> Features:
        """The trunk's; with `through_time`, those of sequences whose gradients flow from step to step."""
        return self.trunk(params["encoder"], seen, through_time)


class StochasticPolicy(Policy):
    """What acting takes of a policy whose networks give a distribution: `parameters_of_action`."""

    actor: Layer

    def parameters_of_action(self, params: Params, features: Features) -> Any:
        """What the head's distribution takes: logits, or mean and log standard deviation."""
        raise NotImplementedError

    def noise(self, rng: np.random.Generator, batch: tuple[int, int]) -> Any:
        """For `batch = (T, N)`: what `sample` takes, with the leading axis T."""
        if self.sde_every is not None:
            return sde.noise(rng, batch, self.sde_size, self.sde_every)
        return self.head.distribution.noise(rng, batch)

    def sample(self, params: Params, seen: Any, noise: Any) -> tuple[Array, Any]:
        features = self.features(params, seen)
        if self.sde_every is not None:
            hidden, mean = self.hidden_and_mean(params, features)
            sample = sde.explored(mean, hidden, params["log_std"], noise)
            return self.head.distribution.mode((sample, None)), features.memory
        return self.head.distribution.sample(self.parameters_of_action(params, features), noise), features.memory

    def hidden_and_mean(self, params: Params, features: Features) -> tuple[Array, Array]:
        """What state-dependent exploration is a function of, z(s), and what it is around, μ(s)."""
        return sde.features_and_mean(self.actor, params["actor"], features.values)

    @property
    def sde_size(self) -> tuple[int, int]:
        """Features that the noise is a function of, and actions."""
        layers: Any = self.actor.layers  # type: ignore[attr-defined]
        return Sequential(layers[:-1]).output_shape((self.trunk.size,))[0], self.head.distribution.size

    def mode(self, params: Params, seen: Any) -> tuple[Array, Any]:
        features = self.features(params, seen)
        return self.head.distribution.mode(self.parameters_of_action(params, features)), features.memory


@dataclass(frozen=True)
class ActorCritic(StochasticPolicy):
    """A stochastic actor and a state-value critic; the Gaussian's log standard deviation does not see the state."""

    trunk: Trunk
    actor: Layer
    critic: Layer
    head: Head
    log_std: float
    sde_every: int | None = None

    @classmethod
    def of(cls, trunk: Trunk, action: spaces.Space, hidden: tuple[int, ...], critic_hidden: tuple[int, ...],
           activation: str, initializer: str = "orthogonal", log_std: float = 0.0,
           sde_every: int | None = None) -> ActorCritic:  # fmt: skip
        head = stochastic_head(action)
        if sde_every is not None and not head.is_continuous:
            raise UserError(f"state-dependent exploration is for continuous actions, not {action}: set sde = false")
        gain = 1.0 if initializer == "fan_in" else 0.01
        actor = mlp(hidden, head.distribution.size, activation, initializer, output_gain=gain)
        critic = mlp(critic_hidden, 1, activation, initializer)
        return cls(trunk, actor, critic, head, log_std, sde_every)

    def init(self, rng: np.random.Generator) -> Params:
        shape = (self.trunk.size,)
        params: Params = {"encoder": self.trunk.init(rng), "actor": self.actor.init(rng, shape)}
        self._check_size(params)
        if isinstance(self.head.distribution, Gaussian):
            size: Any = self.head.distribution.count if self.sde_every is None else self.sde_size
            params["log_std"] = np.full(size, self.log_std, np.float32)
        elif self.sde_every is not None:
            kind = type(self.head.distribution).__name__
            raise UserError(f"state-dependent exploration is of a Gaussian, not of a {kind}: set sde = false")
        return params | {"critic": self.critic.init(rng, shape)}

    def _check_size(self, params: Params) -> None:
        """Raises UserError for an actor that puts out another number than a distribution of one's own takes."""
        found = self.actor(params["actor"], np.zeros((1, self.trunk.size), np.float32)).shape[-1]
        size, kind = self.head.distribution.size, type(self.head.distribution).__name__
        if found != size:
            mend = f"replace the policy's actor with its head, by one such as mlp(hidden, {size}, activation)"
            raise UserError(f"the actor puts out {found} numbers, and {kind} takes {size}: {mend}")

    def parameters_of_action(self, params: Params, features: Features) -> Any:
        if self.sde_every is not None:
            hidden, mean = self.hidden_and_mean(params, features)
            return mean, sde.log_deviation(ops.stop_gradient(hidden), params["log_std"])
        outputs = self.actor(params["actor"], features.values)
        return (outputs, params["log_std"]) if "log_std" in params else allowed(outputs, features.mask)

    def value(self, params: Params, features: Features) -> Array:
        """V(s), `[N]`."""
        values = features.values if features.of_critic is None else features.of_critic
        return ops.squeeze(self.critic(params["critic"], values), -1)


@dataclass(frozen=True)
class SquashedActorCritics(StochasticPolicy):
    """A tanh-squashed Gaussian actor whose spread sees the state, and several Q(s, a) critics.

    With images or memory, the critics' loss trains the trunk and the actor reads its features (as DrQ does).
    """

    trunk: Trunk
    actor: Layer
    critics: Ensemble
    head: Head
    quantiles: int = 0  # what each critic says of the return: its mean, or so many quantiles of it
    log_std: float = 0.0
    sde_every: int | None = None

    @classmethod
    def of(cls, trunk: Trunk, action: spaces.Space, hidden: tuple[int, ...], critic_hidden: tuple[int, ...],
           activation: str, n_critics: int, algorithm: str, quantiles: int = 0, log_std: float = 0.0,
           sde_every: int | None = None) -> SquashedActorCritics:  # fmt: skip
        head = squashed_head(action, algorithm)
        outputs = head.distribution.size * (2 if sde_every is None else 1)
        critics = Ensemble(mlp(critic_hidden, quantiles or 1, activation, "fan_in"), n_critics)
        return cls(trunk, mlp(hidden, outputs, activation, "fan_in"), critics, head, quantiles, log_std, sde_every)

    def init(self, rng: np.random.Generator) -> Params:
        params = _actor_and_critics(self, rng, self.head.distribution.size)
        if self.sde_every is None:
            return params
        return {"log_std": np.full(self.sde_size, self.log_std, np.float32)} | params

    def parameters_of_action(self, params: Params, features: Features) -> tuple[Array, Array]:
        """Mean and log standard deviation before the tanh; the latter held in [−20, 2]."""
        if self.sde_every is not None:
            hidden, mean = self.hidden_and_mean(params, features)
            return mean, ops.clip(sde.log_deviation(hidden, params["log_std"]), -20.0, 2.0)
        n = self.head.distribution.size
        mean, log_std = ops.split(self.actor(params["actor"], features.values), [n, n], -1)
        return mean, ops.clip(log_std, -20.0, 2.0)

    def hidden_and_mean(self, params: Params, features: Features) -> tuple[Array, Array]:
        """The mean held in [−2, 2]: farther out the tanh is flat, and noise this small finds no way back."""
        hidden, mean = super().hidden_and_mean(params, features)
        return hidden, ops.clip(mean, -2.0, 2.0)

    def values(self, params: Params, features: Features, action: Array) -> tuple[Array, ...]:
        """Q_i(s, a) of each critic, `[N]` or `[N, quantiles]`."""
        outputs = self.critics(params["critics"], ops.concat([features.values, action], -1))
        return outputs if self.quantiles else _one_number(outputs)


@dataclass(frozen=True)
class DeterministicActorCritics(Policy):
    """An actor that says the action, within −1 and 1, and several Q(s, a) critics; what exploring takes is normals.

    With images or memory, the critics' loss trains the trunk and the actor reads its features.
    """

    trunk: Trunk
    actor: Layer
    critics: Ensemble
    head: Head

    @classmethod
    def of(cls, trunk: Trunk, action: spaces.Space, hidden: tuple[int, ...], critic_hidden: tuple[int, ...],
           activation: str, n_critics: int, algorithm: str) -> DeterministicActorCritics:  # fmt: skip
        head = squashed_head(action, algorithm)
        actor = mlp(hidden, head.distribution.size, activation, "fan_in")
        critic = mlp(critic_hidden, 1, activation, "fan_in")
        return cls(trunk, actor, Ensemble(critic, n_critics), head)

    def init(self, rng: np.random.Generator) -> Params:
        return _actor_and_critics(self, rng, self.head.distribution.size)

    def noise(self, rng: np.random.Generator, batch: tuple[int, ...]) -> np.ndarray:
        return self.head.distribution.noise(rng, batch)

    def action(self, params: Params, features: Features) -> Array:
        """π(s), `[N, actions]`."""
        return ops.tanh(self.actor(params["actor"], features.values))

    def values(self, params: Params, features: Features, action: Array) -> tuple[Array, ...]:
        """Q_i(s, a) of each critic, `[N]`."""
        return _one_number(self.critics(params["critics"], ops.concat([features.values, action], -1)))

    def mode(self, params: Params, seen: Any) -> tuple[Array, Any]:
        features = self.features(params, seen)
        return self.action(params, features), features.memory


@dataclass(frozen=True)
class DiscreteActorCritics(StochasticPolicy):
    """An actor that says the probability of each action, and several critics that say its value."""

    trunk: Trunk
    actor: Layer
    critics: Ensemble
    head: Head

    @classmethod
    def of(cls, trunk: Trunk, action: spaces.Space, hidden: tuple[int, ...], critic_hidden: tuple[int, ...],
           activation: str, n_critics: int, algorithm: str) -> DiscreteActorCritics:  # fmt: skip
        head = discrete_head(action, algorithm)
        actor, critic = (
            mlp(widths, head.distribution.size, activation, "fan_in")
            for widths in (hidden, critic_hidden)
        )
        return cls(trunk, actor, Ensemble(critic, n_critics), head)

    def init(self, rng: np.random.Generator) -> Params:
        return _actor_and_critics(self, rng, 0)

    def parameters_of_action(self, params: Params, features: Features) -> Array:
        """Logits, `[N, actions]`."""
        return allowed(self.actor(params["actor"], features.values), features.mask)

    def values(self, params: Params, features: Features) -> tuple[Array, ...]:
        """Q_i(s, ·) of each critic, `[N, actions]`."""
        return self.critics(params["critics"], features.values)


def _one_number(outputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """`[N, 1]` of each critic as `[N]`."""
    return tuple(ops.squeeze(value, -1) for value in outputs)


def _actor_and_critics(policy: Any, rng: np.random.Generator, action_size: int) -> Params:
    size = policy.trunk.size
    return {
        "actor": policy.actor.init(rng, (size,)),
        "encoder": policy.trunk.init(rng),
        "critics": policy.critics.init(rng, (size + action_size,)),
    }
