"""Quantile regression DQN (Dabney 2018, arXiv 1710.10044): the return of each action as quantiles, by algorithm 1.

Everything but what the network says of a return is DQN's: its switches are here too, save C51's own.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from rlzoo.algorithms.dqn import DQN, DQNConfig
from rlzoo.nn import QuantileReturn


class QRDQNConfig(DQNConfig):
    """The hyperparameters of QR-DQN."""

    only_with: ClassVar = dict.fromkeys(("n_atoms", "v_min", "v_max"), "")  # C51's

    n_quantiles: int = Field(200, ge=1)
    """Quantiles of the return of each action."""
    double: bool = False
    """Choose the next action by the online network, judge it by the target's."""
    max_grad_norm: float | None = Field(None, gt=0.0)
    """Norm that the gradient is clipped to; none leaves it as it is."""
    adam_epsilon: float = Field(0.01 / 32, gt=0.0)
    """What Adam adds to the root that it divides by (ε); the paper's is 0.01 / batch_size, at its 32."""

    def returns(self) -> QuantileReturn:
        """What the network says of a return."""
        if self.distributional:
            raise ValueError("distributional = true is C51's: qrdqn learns quantiles; use dqn for C51")
        return QuantileReturn(self.n_quantiles, self.risk)


class QRDQN(DQN):
    """Quantile regression DQN, for discrete actions; with `risk` below 1, risk-averse ones."""

    name = "qrdqn"
    Config = QRDQNConfig
