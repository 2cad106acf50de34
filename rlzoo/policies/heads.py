"""From action spaces to distributions, and from the distribution's actions to the environment's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces

from rlzoo.backend import ops
from rlzoo.errors import UserError
from rlzoo.nn.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Gaussian,
    MultiCategorical,
    SquashedGaussian,
)

Array = Any
NEVER = -1e9  # the logit, or the value, of an action that is not allowed


@dataclass(frozen=True)
class Head:
    """A distribution over a space's actions.

    Learning and the buffers see the distribution's own actions, of `shape` and `dtype`; `to_env` makes them what the
    environment takes, and is the only place where they are clipped or scaled.
    """

    distribution: Distribution
    space: spaces.Space
    shape: tuple[int, ...]
    dtype: type

    @property
    def is_continuous(self) -> bool:
        return isinstance(self.distribution, Gaussian | SquashedGaussian)

    @cached_property
    def to_env(self) -> Callable[[np.ndarray], np.ndarray]:
        """The function that makes environment actions `[N, *space.shape]` of the distribution's `[N, *shape]`."""
        space: Any = self.space
        if hasattr(self.distribution, "to_env"):  # of one's own, perhaps made from one of the library's
            return self._own_actions
        start, shape, dtype = getattr(space, "start", None), (-1, *space.shape), space.dtype
        match self.distribution:
            case Categorical():
                return (lambda action: action + start) if start else (lambda action: action)
            case MultiCategorical():
                return lambda action: action.reshape(shape) + start
            case Bernoulli():
                return lambda action: action.reshape(shape)
            case Gaussian():
                bounds = _rows(space.low, space.high)

                def clipped(action: np.ndarray) -> np.ndarray:
                    low, high = bounds(len(action))
                    return np.minimum(np.maximum(action, low), high).reshape(shape).astype(dtype, copy=False)

                return clipped
            case SquashedGaussian():
                low, high = 0.5 * space.low, 0.5 * space.high  # halved first: the sum of huge bounds is infinite
                measures = _rows(low + high, high - low, space.low, space.high)

                def scaled(action: np.ndarray) -> np.ndarray:
                    centre, half, low, high = measures(len(action))
                    bounded = np.minimum(np.maximum(centre + action * half, low), high)  # which rounding may pass
                    return bounded.reshape(shape).astype(dtype, copy=False)

                return scaled
            case other:
                raise _lacks(other, "to_env", "(action, space), which makes actions [N, *shape] the environment's")

    def _own_actions(self, action: np.ndarray) -> np.ndarray:
        distribution: Any = self.distribution
        return distribution.to_env(action, self.space)

    def random(self, rng: np.random.Generator, batch: tuple[int, ...]) -> np.ndarray:
        """Uniform actions `[*batch, *shape]`, of the distribution's own kind."""
        own = getattr(self.distribution, "random", None)
        if own is not None:
            return own(rng, batch)
        match self.distribution:
            case Categorical(count):
                return rng.integers(count, size=batch, dtype=np.int32)
            case MultiCategorical(counts):
                return rng.integers(counts, size=(*batch, len(counts)), dtype=np.int32)
            case Bernoulli(count):
                return rng.integers(2, size=(*batch, count), dtype=np.int32)
            case SquashedGaussian(count):
                return rng.uniform(-1.0, 1.0, (*batch, count)).astype(np.float32)
            case Gaussian(count):
                return rng.standard_normal((*batch, count), np.float32)
            case other:
                raise _lacks(other, "random", "(rng, batch), which draws actions [*batch, *shape] to begin with")

    def random_among(self, noise: Any, mask: np.ndarray) -> np.ndarray:
        """Uniform actions among those that `mask` `[N, choices]` allows, by the noise of a sample."""
        return self.distribution.sample(allowed(np.zeros(mask.shape, np.float32), mask), noise)


def _lacks(distribution: Any, name: str, what: str) -> UserError:
    """What to say of a distribution that is none of the library's and does not say this for itself."""
    return UserError(f"{type(distribution).__name__} has no {name}: give it {name}{what}")


def allowed(logits: Array, mask: Array | None) -> Array:
    """The logits `[N, choices]`, so low where the mask is 0 that such a choice has probability zero, exactly."""
    return logits if mask is None else ops.where(ops.greater(mask, 0), logits, NEVER)


def _rows(*arrays: np.ndarray) -> Callable[[int], list[np.ndarray]]:
    """A function that gives these arrays as n equal rows: where NumPy has to broadcast, it takes thrice as long."""
    found: list[np.ndarray] = []

    def rows(n: int) -> list[np.ndarray]:
        if not found or len(found[0]) != n:
            found[:] = [np.tile(array.reshape(-1), (n, 1)) for array in arrays]
        return found

    return rows


def stochastic_head(space: spaces.Space) -> Head:
    """The head of a policy-gradient actor: for any of Discrete, MultiDiscrete, MultiBinary and float Box."""
    if isinstance(space, spaces.Discrete):
        return Head(Categorical(int(space.n)), space, (), np.int32)
    if isinstance(space, spaces.MultiDiscrete):
        counts = tuple(int(n) for n in space.nvec.ravel())
        return Head(MultiCategorical(counts), space, (len(counts),), np.int32)
    if isinstance(space, spaces.MultiBinary):
        count = int(np.prod(space.shape))
        return Head(Bernoulli(count), space, (count,), np.int32)
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        count = int(np.prod(space.shape))
        return Head(Gaussian(count), space, (count,), np.float32)
    raise UserError(f"no policy acts in {space} (it can act in Discrete, MultiDiscrete, MultiBinary and float Box)")


def squashed_head(space: spaces.Space, algorithm: str) -> Head:
    """The head of an actor that is bounded by a tanh; raises UserError unless the space is a bounded float Box."""
    if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        mend = "use ppo or dqn here" if isinstance(space, spaces.Discrete) else "use ppo here"
        mend = "use float actions in the environment" if isinstance(space, spaces.Box) else mend
        raise UserError(f"{algorithm} acts in continuous spaces (Box of floats), not in {space}: {mend}")
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        mend = "give the Box finite low and high, or use ppo"
        raise UserError(f"{algorithm} needs actions with finite bounds, not {space}: {mend}")
    count = int(np.prod(space.shape))
    return Head(SquashedGaussian(count), space, (count,), np.float32)


def discrete_head(space: spaces.Space, algorithm: str) -> Head:
    """The head of an agent that compares action values; raises UserError unless the space is Discrete."""
    if not isinstance(space, spaces.Discrete):
        mend = "use ppo or sac here" if isinstance(space, spaces.Box) else "use ppo here"
        raise UserError(f"{algorithm} chooses among discrete actions (Discrete), not in {space}: {mend}")
    return Head(Categorical(int(space.n)), space, (), np.int32)
