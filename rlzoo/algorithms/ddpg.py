"""Deep deterministic policy gradients (Lillicrap 2016, arXiv 1509.02971): TD3 without what TD3 added.

One critic, an actor and targets that move at every step, no noise on the target's action; exploration by an
Ornstein–Uhlenbeck process. So the target is y = r + γ (1 − terminated) Q(s′, π(s′)), of the target networks, and the
loss (Q(s, a) − y)² − Q(s, π(s)), its last term a function of the actor alone (Lillicrap 2016, algorithm 1).
"""

from __future__ import annotations

from pydantic import Field

from rlzoo.algorithms.td3 import TD3, TD3Config
from rlzoo.nn.schedules import Schedule, Scheduled


class DDPGConfig(TD3Config):
    """The hyperparameters of DDPG."""

    n_critics: int = Field(1, ge=1)
    """Critics; the smallest of their targets counts."""
    policy_delay: int = Field(1, ge=1)
    """Gradient steps of the critics to one of the actor and the targets."""
    target_noise: float = Field(0.0, ge=0.0)
    """Deviation of the noise on the target's action, where actions span −1 to 1."""
    exploration_noise: str = "ornstein_uhlenbeck"
    """Noise on the actions taken: gaussian, or ornstein_uhlenbeck, which lingers."""
    exploration_deviation: Scheduled = Schedule(0.2, 0.2)
    """Deviation σ of each step's noise, where actions span −1 to 1; the Ornstein–Uhlenbeck process reaches 1.8 σ."""


class DDPG(TD3):
    """Deep deterministic policy gradients, for continuous actions."""

    name = "ddpg"
    Config = DDPGConfig
