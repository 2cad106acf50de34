"""Policies that compare the values of discrete actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from rlzoo.backend import ops, tree
from rlzoo.nn import Dueling, Layer, Sequential, mlp
from rlzoo.nn.return_distributions import ReturnDistribution
from rlzoo.policies.heads import Head, allowed, discrete_head
from rlzoo.policies.networks import Params, Policy
from rlzoo.policies.trunk import Features, Trunk

Array = Any


@dataclass(frozen=True)
class QNetwork(Policy):
    """Returns of discrete actions, as means or distributions.

    What exploring takes is "chance" `[N, 2]`, both within 0 and 1: a coin for ε-greedy, and which of the actions it is
    where the coin says chance; and "network", the noise of noisy layers.
    """

    trunk: Trunk
    network: Layer
    head: Head
    returns: ReturnDistribution

    @classmethod
    def of(cls, trunk: Trunk, action: spaces.Space, hidden: tuple[int, ...], activation: str, algorithm: str,
           returns: ReturnDistribution, dueling: bool = False, noisy: bool = False) -> QNetwork:  # fmt: skip
        head = discrete_head(action, algorithm)
        actions, size = head.distribution.size, int(np.prod(returns.shape))

        def network(hidden: tuple[int, ...], units: int | None) -> Sequential:
            return mlp(hidden, units, activation, "fan_in", noisy=noisy)

        if not dueling:
            return cls(trunk, network(hidden, actions * size), head, returns)
        streams = Dueling(network(hidden[-1:], size), network(hidden[-1:], actions * size), actions)
        return cls(trunk, Sequential((*network(hidden[:-1], None).layers, streams)), head, returns)

    def init(self, rng: np.random.Generator) -> Params:
        return {"encoder": self.trunk.init(rng), "network": self.network.init(rng, (self.trunk.size,))}

    # ---- noise -------------------------------------------------------------------------------------------------------
    def noise(self, rng: np.random.Generator, batch: tuple[int, int]) -> dict[str, Any]:
        """For `batch = (T, N)`: fields with the leading axis T."""
        return {"chance": rng.random((*batch, 2)), "network": self.network_noise(rng, batch[0])}

    def network_noise(self, rng: np.random.Generator, count: int) -> Any:
        """`count` draws of the noise of noisy layers, stacked; None where there are none."""
        draws = [self.network.noise(rng, (self.trunk.size,), 1) for _ in range(count)]
        if draws[0] is None:
            return None
        columns = zip(*(tree.flatten(draw)[0] for draw in draws), strict=True)
        return tree.unflatten(tree.flatten(draws[0])[1], [np.stack(column) for column in columns])

    # ---- values ------------------------------------------------------------------------------------------------------
    def outputs(self, params: Params, features: Features, noise: Any = None) -> Array:
        """What is said of the return of each action, `[N, actions, *returns.shape]`."""
        noisy = () if noise is None else (noise,)
        outputs = self.network(params["network"], features.values, *noisy)
        shape = self.returns.shape
        return ops.reshape(outputs, (outputs.shape[0], self.head.distribution.size, *shape)) if shape else outputs

    def values(self, outputs: Array, mask: Array | None = None) -> Array:
        """What to choose by, `[N, actions]`; far below all others where an action is not allowed."""
        return allowed(self.returns.value(outputs), mask)

    def of_action(self, outputs: Array, action: Array) -> Array:
        """What is said of one action a row, `[N, *returns.shape]`."""
        chosen = ops.one_hot(action, self.head.distribution.size)
        if self.returns.shape:
            return ops.sum(outputs * ops.expand_dims(chosen, -1), -2)
        return ops.sum(outputs * chosen, -1)

    # ---- acting ------------------------------------------------------------------------------------------------------
    def mode(self, params: Params, seen: Any) -> tuple[Array, Any]:
        return self._greedy(params, seen, None)

    def sample(self, params: Params, seen: Any, noise: Any) -> tuple[Array, Any]:
        """The greedy action of the noisy network."""
        return self._greedy(params, seen, noise["network"])

    def _greedy(self, params: Params, seen: Any, noise: Any) -> tuple[Array, Any]:
        features = self.features(params, seen)
        values = self.values(self.outputs(params, features, noise), features.mask)
        return ops.argmax(values), features.memory

    def by_chance(self, seen: Any, chance: np.ndarray) -> np.ndarray:
        """Actions by numbers within 0 and 1, uniform among those allowed."""
        mask = self.trunk.mask(seen)
        if mask is None:
            return (chance * self.head.distribution.size).astype(np.int32)
        reached = np.cumsum(mask > 0, -1)
        return np.argmax(reached > (chance * reached[:, -1])[:, None], -1).astype(np.int32)
