"""REINFORCE with a learned baseline (Williams 1992; Sutton 2018, section 13.4).

An actor-critic whose critic is a baseline and nothing else: actions are judged by the rewards that really followed them
(λ = 1), over rollouts long enough to hold whole episodes. Where one is cut, the baseline stands for what was not seen.
"""

from __future__ import annotations

from pydantic import Field

from rlzoo.algorithms.a2c import A2C, A2CConfig
from rlzoo.nn.schedules import Schedule, Scheduled


class ReinforceConfig(A2CConfig):
    """The hyperparameters of REINFORCE."""

    n_steps: int = Field(128, ge=1)
    """Steps of each environment in a rollout."""
    learning_rate: Scheduled = Schedule(3e-3, 3e-3)
    """The optimizer's step size; a schedule such as linear(1e-3, 0) is allowed."""
    gae_lambda: float = Field(1.0, ge=1.0, le=1.0)
    """λ of the generalized advantage: always 1 here, (G − b) ∇ log π (Sutton 2018, eq. 13.11)."""
    normalize_advantage: bool = True
    """Advantages of a minibatch shifted and scaled to zero mean and unit variance."""
    rmsprop: bool = False
    """Take RMSprop's steps; otherwise Adam's."""


class Reinforce(A2C):
    """REINFORCE with a baseline, for discrete, multi-discrete, binary and continuous actions."""

    name = "reinforce"
    Config = ReinforceConfig
