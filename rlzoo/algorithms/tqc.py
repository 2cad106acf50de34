"""Truncated quantile critics (Kuznetsov 2020, arXiv 2005.04269): SAC whose critics learn quantiles of the return.

The target mixes the quantiles of all critics, and leaves out the highest, where overestimation would come from.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from rlzoo.algorithms.sac import SAC, SACConfig
from rlzoo.backend import ops
from rlzoo.nn import QuantileReturn

Array = Any


class TQCConfig(SACConfig):
    """The hyperparameters of TQC."""

    n_critics: int = Field(2, ge=1)
    """Critics, whose quantiles are mixed."""
    n_quantiles: int = Field(25, ge=1)
    """Quantiles of the return that each critic learns."""
    dropped_quantiles: int = Field(2, ge=0)
    """Of the mixed quantiles, how many of the highest are left out of the target for each critic."""
    risk: float = Field(1.0, gt=0.0, le=1.0)
    """Act for the mean of the worst such share of returns (CVaR); 1 is the mean of all."""

    @model_validator(mode="after")
    def _some_are_left(self) -> TQCConfig:
        if self.dropped_quantiles >= self.n_quantiles:
            raise ValueError(f"dropped_quantiles = {self.dropped_quantiles} leaves none of {self.n_quantiles}")
        return self


class TQC(SAC):
    """Truncated quantile critics, for continuous actions."""

    name = "tqc"
    Config = TQCConfig

    @property
    def returns(self) -> QuantileReturn:
        """What a critic says of a return."""
        return QuantileReturn(self.config.n_quantiles, self.config.risk)

    def extras(self) -> dict[str, Any]:
        return super().extras() | {"quantiles": self.config.n_quantiles}

    def judged(self, values: tuple[Array, ...]) -> Array:
        """The lowest quantiles of the mixture, `[B, kept]` (Kuznetsov 2020, algorithm 1)."""
        mixed = ops.sort(ops.concat(values, -1))
        kept = self.config.n_critics * (self.config.n_quantiles - self.config.dropped_quantiles)
        return ops.split(mixed, [kept, mixed.shape[-1] - kept], -1)[0] if kept < mixed.shape[-1] else mixed

    def backup(self, batch: dict[str, Any], value: Array, cost: Array) -> Array:
        """r + γ (1 − terminated) (z − α log π) of each quantile z (Kuznetsov 2020, algorithm 1)."""
        reward, discount = ops.expand_dims(batch["reward"], -1), ops.expand_dims(batch["discount"], -1)
        return reward + discount * (value - ops.expand_dims(cost, -1))

    def error(self, value: Array, target: Array) -> Array:
        """The quantile Huber loss of one critic, averaged over its quantiles (Kuznetsov 2020, algorithm 1)."""
        return self.returns.error(value, target) * (1.0 / self.config.n_quantiles)

    def td_error(self, value: Array, target: Array) -> Array:
        """The difference of the means."""
        return ops.mean(value, -1) - ops.mean(target, -1)

    def wanted(self, values: tuple[Array, ...]) -> Array:
        """What the actor raises: the mean over critics of their mean (Kuznetsov 2020, algorithm 1), or worst share."""
        total: Any = 0.0
        for value in values:
            total = total + self.returns.value(value)
        return total * (1.0 / len(values))
