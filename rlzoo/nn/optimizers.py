"""Optimizers of a flat vector: pairs of pure functions, `init` and `update`.

`init(flat)` gives the state, a dict of arrays; `update(flat, gradient, state, learning_rate)` gives the next flat
vector and state. The learning rate is an array, so that a schedule is never frozen by tracing. Where `max_grad_norm`
is set, the gradient is first scaled to that norm at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rlzoo.backend import ops, tree

Array = Any
State = dict[str, Array]


def global_norm(x: Array) -> Array:
    """The Euclidean norm of a flat vector."""
    return ops.sqrt(ops.sum(x * x))


def clip_by_norm(gradient: Array, max_norm: float) -> Array:
    """The gradient scaled down so that its norm is at most `max_norm`."""
    return gradient * ops.minimum(max_norm / (global_norm(gradient) + 1e-6), 1.0)


def choose(condition: Array, new: Any, old: Any) -> Any:
    """The tree `new` where the condition, one bool, holds, else `old`: a step that is taken or not."""
    leaves, structure = tree.flatten(new)
    pairs = zip(leaves, tree.flatten(old)[0], strict=True)
    return tree.unflatten(structure, [ops.where(condition, x, y) for x, y in pairs])


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """What all optimizers share."""

    max_grad_norm: float | None = None
    weight_decay: float = 0.0

    def init(self, flat: np.ndarray) -> State:
        """The state before the first step from a vector `[P]`: NumPy arrays, of its type."""
        raise NotImplementedError

    def update(self, flat: Array, gradient: Array, state: State, learning_rate: Array) -> tuple[Array, State]:
        """The next vector and state; `flat` and `gradient` are `[P]`, the learning rate is one number."""
        if self.max_grad_norm is not None:
            gradient = clip_by_norm(gradient, self.max_grad_norm)
        return self.step(flat, gradient, state, learning_rate)

    def step(self, flat: Array, gradient: Array, state: State, learning_rate: Array) -> tuple[Array, State]:
        """`update` with the gradient as it is."""
        step, state = self.direction(gradient, state)
        if self.weight_decay:
            step = step + self.weight_decay * flat  # decoupled (Loshchilov 2019)
        return flat - learning_rate * step, state

    def direction(self, gradient: Array, state: State) -> tuple[Array, State]:
        """What the learning rate is multiplied with."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """Stochastic gradient descent with optional momentum."""

    momentum: float = 0.0

    def init(self, flat: np.ndarray) -> State:
        return {"momentum": np.zeros_like(flat)} if self.momentum else {}

    def direction(self, gradient: Array, state: State) -> tuple[Array, State]:
        if not self.momentum:
            return gradient, state
        moved = self.momentum * state["momentum"] + gradient
        return moved, {"momentum": moved}


@dataclass(frozen=True, kw_only=True)
class RMSprop(Optimizer):
    """Gradient over the root of its running mean square (Hinton 2012), from zero on, and epsilon outside the root.

    As in PyTorch, whose form the published settings of A2C are for; the A3C paper's has epsilon inside the root.
    """

    decay: float = 0.99
    epsilon: float = 1e-5

    def init(self, flat: np.ndarray) -> State:
        return {"second": np.zeros_like(flat)}

    def direction(self, gradient: Array, state: State) -> tuple[Array, State]:
        second = self.decay * state["second"] + (1.0 - self.decay) * gradient * gradient
        return gradient / (ops.sqrt(second) + self.epsilon), {"second": second}


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """Adam (Kingma 2015, algorithm 1); with `weight_decay`, AdamW."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def init(self, flat: np.ndarray) -> State:
        return {"first": np.zeros_like(flat), "second": np.zeros_like(flat), "count": np.zeros((), flat.dtype)}

    def step(self, flat: Array, gradient: Array, state: State, learning_rate: Array) -> tuple[Array, State]:
        count = state["count"] + 1.0
        settings = self.beta1, self.beta2, self.epsilon, self.weight_decay
        flat, first, second = ops.adam(
            flat, gradient, state["first"], state["second"], count, learning_rate, *settings
        )
        return flat, {"first": first, "second": second, "count": count}


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov 2019)."""

    weight_decay: float = 0.01
