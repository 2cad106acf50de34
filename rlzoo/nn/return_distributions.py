"""What a value network says of the return of an action: its mean, probabilities of fixed values, or its quantiles.

Outputs are `[N, actions, *shape]`. `value` makes them numbers to choose by, `[N, actions]`; with `risk` below 1 that is
the conditional value at risk, the mean of the worst such share of returns. `backup` makes the target of those at the
next state's action, `[N, *shape]`, and `error` the loss of each row, `[N]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rlzoo.backend import ops
from rlzoo.nn.losses import huber

Array = Any


@dataclass(frozen=True)
class ExpectedReturn:
    """The mean alone; the Huber loss of the TD error (Mnih 2015)."""

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    def value(self, outputs: Array) -> Array:
        return outputs

    def backup(self, outputs: Array, reward: Array, discount: Array) -> Array:
        return reward + discount * outputs

    def error(self, outputs: Array, target: Array) -> Array:
        return huber(outputs - target)


@dataclass(frozen=True)
class CategoricalReturn:
    """Logits of `count` values evenly spaced from `low` to `high` (C51; Bellemare 2017)."""

    count: int
    low: float
    high: float
    risk: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.count,)

    @property
    def support(self) -> np.ndarray:
        return np.linspace(self.low, self.high, self.count, dtype=np.float32)

    def value(self, outputs: Array) -> Array:
        weight = ops.softmax(outputs)
        if self.risk < 1.0:  # of each value, what of its probability lies within the worst share
            below = ops.matmul(weight, ops.asarray(np.triu(np.ones((self.count, self.count), np.float32), 1), outputs))
            weight = ops.maximum(ops.minimum(weight, self.risk - below), 0.0) * (1.0 / self.risk)
        return ops.sum(weight * ops.asarray(self.support, outputs), -1)

    def backup(self, outputs: Array, reward: Array, discount: Array) -> Array:
        """The probabilities of r + γ z, each shared out between the two values it lies between.

        Bellemare 2017, algorithm 1.
        """
        support = ops.asarray(self.support, outputs)
        moved = ops.clip(ops.expand_dims(reward, -1) + ops.expand_dims(discount, -1) * support, self.low, self.high)
        distance = ops.abs(ops.expand_dims(moved, -1) - support) * ((self.count - 1) / (self.high - self.low))
        share = ops.maximum(1.0 - distance, 0.0)  # `[N, from, to]`
        return ops.sum(ops.expand_dims(ops.softmax(outputs), -1) * share, -2)

    def error(self, outputs: Array, target: Array) -> Array:
        """−Σ_i p_i log q_i, the cross-entropy to the target's probabilities p (Bellemare 2017, algorithm 1)."""
        return -ops.sum(target * ops.log_softmax(outputs), -1)


@dataclass(frozen=True)
class QuantileReturn:
    """`count` quantiles, at the middle of as many equal shares of probability (QR-DQN; Dabney 2018)."""

    count: int
    risk: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.count,)

    @property
    def weights(self) -> np.ndarray:
        """How much each quantile counts for the mean of the worst `risk` of returns; they add up to 1."""
        edges = np.minimum(np.arange(self.count + 1) / self.count, self.risk)
        return (np.diff(edges) / self.risk).astype(np.float32)

    def value(self, outputs: Array) -> Array:
        if self.risk == 1.0:
            return ops.mean(outputs, -1)
        return ops.sum(outputs * ops.asarray(self.weights, outputs), -1)

    def backup(self, outputs: Array, reward: Array, discount: Array) -> Array:
        return ops.expand_dims(reward, -1) + ops.expand_dims(discount, -1) * outputs

    def error(self, outputs: Array, target: Array) -> Array:
        """The quantile Huber loss, Σ_i mean_j |τ_i − 1(δ_ij < 0)| huber(δ_ij), with δ_ij = y_j − θ_i.

        Dabney 2018, eq. 10. θ `[N, count]` are ours, y the target's; τ_i = (i − ½) / count, there with a hat. The
        gradient in θ, −mean_j of the slopes, is written out: what would be differentiated has a number for each pair of
        quantiles.
        """
        middle = (np.arange(self.count, dtype=np.float32) + 0.5) / self.count
        tau, fixed = ops.expand_dims(ops.asarray(middle, outputs), -1), ops.stop_gradient(outputs)
        difference = ops.expand_dims(target, -2) - ops.expand_dims(fixed, -1)  # `[N, ours, target's]`
        share = ops.abs(tau - ops.astype(ops.less(difference, 0.0), "float32"))
        slope = share * ops.clip(difference, -1.0, 1.0)  # the Huber loss's, times its share
        loss = ops.sum(ops.mean(share * huber(difference), -1), -1)
        return loss - ops.sum(ops.mean(slope, -1) * (outputs - fixed), -1)


ReturnDistribution = ExpectedReturn | CategoricalReturn | QuantileReturn
