"""Action distributions. The noise that a sample needs is drawn in NumPy and handed in.

A distribution is a static specification; what the network puts out (`[N, size]`, plus a log standard deviation for the
Gaussians) is passed to its methods. Actions are `[N, *action]`; log-probabilities, entropies and `kl(old, new)`, the
divergence of a new distribution from the old, are `[N]`, in nats. `Categorical` says of each method what it is for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlzoo.backend import ops

Array = Any
HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Categorical:
    """One of `count` choices, from logits `[N, count]`. Actions are `[N]` int32."""

    count: int

    @property
    def size(self) -> int:
        """How many numbers the network puts out for an action."""
        return self.count

    def noise(self, rng: np.random.Generator, batch: tuple[int, ...]) -> np.ndarray:
        """What `sample` takes, `[*batch, size]`: here Gumbels."""
        return rng.gumbel(size=(*batch, self.count)).astype(np.float32)

    def sample(self, logits: Array, noise: Array) -> Array:
        """An action drawn, which the noise `[N, size]` alone decides: here by the Gumbel-max trick."""
        return ops.argmax(logits + noise)

    def mode(self, logits: Array) -> Array:
        """The most probable action."""
        return ops.argmax(logits)

    def log_prob(self, logits: Array, action: Array) -> Array:
        """log π(a), of a density where actions are continuous."""
        return ops.sum(ops.log_softmax(logits) * ops.one_hot(action, self.count), -1)

    def entropy(self, logits: Array) -> Array:
        """−E[log π(a)]."""
        log_probs = ops.log_softmax(logits)
        return -ops.sum(ops.exp(log_probs) * log_probs, -1)

    def kl(self, old: Array, new: Array) -> Array:
        """KL(old ‖ new) = E[log π_old(a) − log π_new(a)] with a from the old."""
        log_probs, change = ops.log_softmax(old), old - new  # log_softmax has no second derivative on every engine
        normalizers = ops.logsumexp(new) - ops.logsumexp(old)
        return ops.sum(ops.exp(log_probs) * change, -1) + normalizers


@dataclass(frozen=True)
class MultiCategorical:
    """Several independent choices, from their logits side by side. Actions are `[N, len(counts)]` int32."""

    counts: tuple[int, ...]

    @property
    def size(self) -> int:
        return sum(self.counts)

    def _parts(self, logits: Array) -> list[tuple[Categorical, Array]]:
        return [(Categorical(n), part) for n, part in zip(self.counts, ops.split(logits, self.counts, -1), strict=True)]

    def noise(self, rng: np.random.Generator, batch: tuple[int, ...]) -> np.ndarray:
        return rng.gumbel(size=(*batch, self.size)).astype(np.float32)

    def sample(self, logits: Array, noise: Array) -> Array:
        return self.mode(logits + noise)

    def mode(self, logits: Array) -> Array:
        return ops.stack([choice.mode(part) for choice, part in self._parts(logits)], -1)

    def log_prob(self, logits: Array, action: Array) -> Array:
        columns = ops.split(action, [1] * len(self.counts), -1)
        pairs = zip(self._parts(logits), columns, strict=True)
        return _total([choice.log_prob(part, ops.squeeze(column, -1)) for (choice, part), column in pairs])

    def entropy(self, logits: Array) -> Array:
        return _total([choice.entropy(part) for choice, part in self._parts(logits)])

    def kl(self, old: Array, new: Array) -> Array:
        pairs = zip(self._parts(old), self._parts(new), strict=True)
        return _total([choice.kl(part, other) for (choice, part), (_, other) in pairs])


@dataclass(frozen=True)
class Bernoulli:
    """`count` independent yes-or-no choices, from logits `[N, count]`. Actions are `[N, count]` int32 of 0 and 1."""

    count: int

    @property
    def size(self) -> int:
        return self.count

    def noise(self, rng: np.random.Generator, batch: tuple[int, ...]) -> np.ndarray:
        return rng.logistic(size=(*batch, self.count)).astype(np.float32)

    def sample(self, logits: Array, noise: Array) -> Array:
        return self.mode(logits + noise)

    def mode(self, logits: Array) -> Array:
        return ops.astype(ops.greater(logits, 0.0), "int32")

    def log_prob(self, logits: Array, action: Array) -> Array:
        chosen = ops.astype(action, "float32")
        return -ops.sum(ops.softplus(-logits) * chosen + ops.softplus(logits) * (1.0 - chosen), -1)

    def entropy(self, logits: Array) -> Array:
        return ops.sum(ops.softplus(logits) - logits * ops.sigmoid(logits), -1)

    def kl(self, old: Array, new: Array) -> Array:
        return ops.sum(ops.sigmoid(old) * (old - new) + ops.softplus(new) - ops.softplus(old), -1)


@dataclass(frozen=True)
class Gaussian:
    """Independent normals of `count` dimensions, from `(mean, log_std)`, each `[N, count]` (or broadcast to it)."""

    count: int

    @property
    def size(self) -> int:
        return self.count

    def noise(self, rng: np.random.Generator, batch: tuple[int, ...]) -> np.ndarray:
        return rng.standard_normal((*batch, self.count), np.float32)

    def sample(self, parameters: tuple[Array, Array], noise: Array) -> Array:
        mean, log_std = parameters
        return mean + ops.exp(log_std) * noise

    def mode(self, parameters: tuple[Array, Array]) -> Array:
        return parameters[0]

    def log_prob(self, parameters: tuple[Array, Array], action: Array) -> Array:
        mean, log_std = parameters
        z = (action - mean) * ops.exp(-log_std)
        return -ops.sum(0.5 * z * z + log_std + HALF_LOG_2PI, -1)

    def entropy(self, parameters: tuple[Array, Array]) -> Array:
        mean, log_std = parameters
        return ops.sum(log_std + 0.0 * mean + (0.5 + HALF_LOG_2PI), -1)

    def kl(self, old: tuple[Array, Array], new: tuple[Array, Array]) -> Array:
        (mean, log_std), (new_mean, new_log_std) = old, new
        z = (mean - new_mean) * ops.exp(-new_log_std)
        change = log_std - new_log_std
        return ops.sum(0.5 * (ops.exp(2.0 * change) + z * z - 1.0) - change, -1)


@dataclass(frozen=True)
class SquashedGaussian:
    """The tanh of a Gaussian: actions within (−1, 1) (Haarnoja 2018, appendix C).

    Log-probabilities are taken with the value before the tanh, never by inverting it, so they stay finite.
    """

    count: int

    @property
    def size(self) -> int:
        return self.count

    def noise(self, rng: np.random.Generator, batch: tuple[int, ...]) -> np.ndarray:
        return rng.standard_normal((*batch, self.count), np.float32)

    def sample(self, parameters: tuple[Array, Array], noise: Array) -> Array:
        return ops.tanh(Gaussian(self.count).sample(parameters, noise))

    def mode(self, parameters: tuple[Array, Array]) -> Array:
        return ops.tanh(parameters[0])

    def sample_and_log_prob(self, parameters: tuple[Array, Array], noise: Array) -> tuple[Array, Array]:
        """A sample `[N, count]` that carries gradients to the parameters, and its log-probability `[N]`."""
        _, log_std = parameters
        u = Gaussian(self.count).sample(parameters, noise)
        log_prob = -ops.sum(0.5 * noise * noise + log_std + HALF_LOG_2PI, -1)
        return ops.tanh(u), log_prob - ops.sum(log_det_tanh(u), -1)

    def log_prob_before_tanh(self, parameters: tuple[Array, Array], u: Array) -> Array:
        """The log-probability `[N]` of the action tanh(u)."""
        return Gaussian(self.count).log_prob(parameters, u) - ops.sum(log_det_tanh(u), -1)


def log_det_tanh(u: Array) -> Array:
    """log(1 − tanh²(u)), elementwise, exact for large |u|: 2 (log 2 − u − softplus(−2u))."""
    return 2.0 * (math.log(2.0) - u - ops.softplus(-2.0 * u))


def _total(parts: list[Array]) -> Array:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


Distribution = Categorical | MultiCategorical | Bernoulli | Gaussian | SquashedGaussian
