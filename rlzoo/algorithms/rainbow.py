"""Rainbow (Hessel 2018, arXiv 1710.02298): DQN with all of its switches on, and the settings of its table 1.

Two of them are DQN's instead, for environments shorter than Atari's: `learning_starts` (there 20,000 steps) and
`target_update_interval` (8,000). A row's priority is its cross-entropy, the loss itself; the paper's is less by the
target's entropy.
"""

from __future__ import annotations

from pydantic import Field

from rlzoo.algorithms.dqn import DQN, DQNConfig
from rlzoo.nn.schedules import Schedule, Scheduled, ScheduledShare


class RainbowConfig(DQNConfig):
    """The hyperparameters of Rainbow."""

    learning_rate: Scheduled = Schedule(6.25e-5, 6.25e-5)
    """Adam's step size; a schedule such as linear(1e-3, 0) is allowed."""
    adam_epsilon: float = Field(1.5e-4, gt=0.0)
    """What Adam adds to the root that it divides by (ε)."""
    exploration: ScheduledShare = Schedule(0.0, 0.0)
    """Probability of a random action (ε); the noisy layers explore."""
    dueling: bool = True
    """One stream for the state's value, one for what each action is above the mean."""
    noisy: bool = True
    """Explore by noise on the weights, whose size is learned; set exploration to 0 to leave out ε-greedy."""
    distributional: bool = True
    """Learn the probabilities of evenly spaced returns instead of their mean (C51)."""
    n_step: int = Field(3, ge=1)
    """Rewards summed before the target's value stands for the rest."""
    prioritized: bool = True
    """Draw transitions by their last TD error, and weigh them for it."""
    priority_exponent: float = Field(0.5, ge=0.0, le=1.0)
    """How much priorities count (α): 0 draws uniformly."""


class Rainbow(DQN):
    """DQN with dueling, noisy and distributional networks, n-step returns and priorities, for discrete actions."""

    name = "rainbow"
    Config = RainbowConfig
