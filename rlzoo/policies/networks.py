"""Policies: an encoder, the networks on it and a head. Each acts by the same code in NumPy and on any engine.

`params` is the nested dict of one parameter vector; `features` are an encoder's `[N, F]`. Vector encoders have no
parameters, so "sharing" them costs nothing; the image encoder is shared between actor and critic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from rlzoo.backend import ops
from rlzoo.nn import Ensemble, Gaussian, Layer, mlp
from rlzoo.policies.encoders import encoder_for
from rlzoo.policies.heads import Head, discrete_head, squashed_head, stochastic_head

Array = Any
Params = dict[str, Any]


class StochasticPolicy:
    """What acting takes of a policy whose networks give a distribution: `features` and `parameters_of_action`."""

    head: Head

    def features(self, params: Params, observation: Array) -> Array:
        raise NotImplementedError

    def parameters_of_action(self, params: Params, features: Array) -> Any:
        raise NotImplementedError

    def noise(self, rng: np.random.Generator, batch: tuple[int, ...]) -> np.ndarray:
        return self.head.distribution.noise(rng, batch)

    def sample(self, params: Params, observation: Array, noise: Array) -> Array:
        outputs = self.parameters_of_action(params, self.features(params, observation))
        return self.head.distribution.sample(outputs, noise)

    def mode(self, params: Params, observation: Array) -> Array:
        return self.head.distribution.mode(self.parameters_of_action(params, self.features(params, observation)))


@dataclass(frozen=True)
class ActorCritic(StochasticPolicy):
    """A stochastic actor and a state-value critic; the Gaussian's log standard deviation does not see the state."""

    encoder: Layer
    actor: Layer
    critic: Layer
    head: Head
    space: spaces.Space
    log_std: float

    @classmethod
    def of(cls, observation: spaces.Space, action: spaces.Space, hidden: tuple[int, ...], activation: str,
           initializer: str = "orthogonal", log_std: float = 0.0) -> ActorCritic:  # fmt: skip
        head = stochastic_head(action)
        actor = mlp(hidden, head.distribution.size, activation, initializer, output_gain=0.01)
        return cls(encoder_for(observation), actor, mlp(hidden, 1, activation, initializer), head, observation, log_std)

    def init(self, rng: np.random.Generator) -> Params:
        shape = self.encoder.output_shape(self.space.shape or ())
        params: Params = {"encoder": self.encoder.init(rng, self.space.shape or ())}
        params["actor"] = self.actor.init(rng, shape)
        if isinstance(self.head.distribution, Gaussian):
            params["log_std"] = np.full(self.head.distribution.count, self.log_std, np.float32)
        return params | {"critic": self.critic.init(rng, shape)}

    def features(self, params: Params, observation: Array) -> Array:
        return self.encoder(params["encoder"], observation)

    def parameters_of_action(self, params: Params, features: Array) -> Any:
        """What the distribution takes: logits, or mean and log standard deviation."""
        outputs = self.actor(params["actor"], features)
        return (outputs, params["log_std"]) if "log_std" in params else outputs

    def value(self, params: Params, features: Array) -> Array:
        """V(s), `[N]`."""
        return ops.squeeze(self.critic(params["critic"], features), -1)


@dataclass(frozen=True)
class QNetwork:
    """Action values of a discrete space. What exploring by ε-greedy takes is `[N, 2]`, both within 0 and 1: a coin, and
    which of the actions it is where the coin says chance."""

    encoder: Layer
    network: Layer
    head: Head
    space: spaces.Space

    @classmethod
    def of(cls, observation: spaces.Space, action: spaces.Space, hidden: tuple[int, ...], activation: str,
           algorithm: str) -> QNetwork:  # fmt: skip
        head = discrete_head(action, algorithm)
        network = mlp(hidden, head.distribution.size, activation, "fan_in")
        return cls(encoder_for(observation), network, head, observation)

    def init(self, rng: np.random.Generator) -> Params:
        shape = self.encoder.output_shape(self.space.shape or ())
        return {"encoder": self.encoder.init(rng, self.space.shape or ()), "network": self.network.init(rng, shape)}

    def noise(self, rng: np.random.Generator, batch: tuple[int, ...]) -> np.ndarray:
        return rng.random((*batch, 2))

    def values(self, params: Params, observation: Array) -> Array:
        """Q(s, ·), `[N, actions]`."""
        return self.network(params["network"], self.encoder(params["encoder"], observation))

    def mode(self, params: Params, observation: Array) -> Array:
        return ops.argmax(self.values(params, observation))


@dataclass(frozen=True)
class SquashedActorCritics(StochasticPolicy):
    """A tanh-squashed Gaussian actor whose spread sees the state, and several Q(s, a) critics.

    With images, the critics' loss trains the encoder and the actor reads its features (as DrQ does).
    """

    encoder: Layer
    actor: Layer
    critics: Ensemble
    head: Head
    space: spaces.Space

    @classmethod
    def of(cls, observation: spaces.Space, action: spaces.Space, hidden: tuple[int, ...], activation: str,
           n_critics: int, algorithm: str) -> SquashedActorCritics:  # fmt: skip
        head = squashed_head(action, algorithm)
        actor = mlp(hidden, 2 * head.distribution.size, activation, "fan_in")
        critics = Ensemble(mlp(hidden, 1, activation, "fan_in"), n_critics)
        return cls(encoder_for(observation), actor, critics, head, observation)

    def init(self, rng: np.random.Generator) -> Params:
        (size,) = self.encoder.output_shape(self.space.shape or ())
        return {
            "actor": self.actor.init(rng, (size,)),
            "encoder": self.encoder.init(rng, self.space.shape or ()),
            "critics": self.critics.init(rng, (size + self.head.distribution.size,)),
        }

    def features(self, params: Params, observation: Array) -> Array:
        return self.encoder(params["encoder"], observation)

    def parameters_of_action(self, params: Params, features: Array) -> tuple[Array, Array]:
        """Mean and log standard deviation before the tanh; the latter held in [−20, 2]."""
        n = self.head.distribution.size
        mean, log_std = ops.split(self.actor(params["actor"], features), [n, n], -1)
        return mean, ops.clip(log_std, -20.0, 2.0)

    def values(self, params: Params, features: Array, action: Array) -> tuple[Array, ...]:
        """Q_i(s, a) of each critic, `[N]`."""
        return tuple(
            ops.squeeze(value, -1) for value in self.critics(params["critics"], ops.concat([features, action], -1))
        )
