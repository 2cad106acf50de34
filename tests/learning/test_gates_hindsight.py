"""Hindsight: bits are flipped to a goal that is hit by chance once in thousands of episodes, and reached with it.

The seeds were fixed before any run; what is tuned is tuned on seeds 0 to 9.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from environments import BitFlipping, copies
from seeds import cases

from rlzoo import DQN

SETTINGS: dict[str, Any] = dict(
    hidden=(256,), batch_size=128, train_freq=4, gradient_steps=2, learning_starts=1000, buffer_size=200_000,
    gamma=0.98, learning_rate=1e-3, target_update_interval=0, tau=0.05, exploration="linear(0.5, 0.02, 0.5)",
)  # fmt: skip
GATES: dict[str, tuple[int, dict[str, Any]]] = {  # bits, and what is changed
    "future": (15, dict(hindsight="future")),
    "future-n_step-prioritized": (15, dict(hindsight="future", n_step=2, prioritized=True, steps=60_000)),
    "final": (10, dict(hindsight="final")),
    "episode": (10, dict(hindsight="episode")),
}


def success(bits: int, backend: str, seed: int, **changes: Any) -> float:
    """The share of 100 episodes in which the trained agent reaches the goal; it has as many steps as bits."""
    settings = dict(steps=40_000) | SETTINGS | changes
    agent = DQN(copies(lambda: BitFlipping(bits), 8), backend=backend, seed=seed, **settings).learn()
    return float(np.mean(np.array(agent.evaluate(100).returns) > -bits))


@pytest.mark.parametrize("gate, backend, seed", list(cases(GATES, ("future",))), indirect=["backend"])
def test_goals_are_reached(gate, backend, seed):
    bits, changes = GATES[gate]
    reached = success(bits, backend, seed, **changes)
    print(f"gate {gate} {backend} {seed}: {reached:.2f}")
    assert reached >= 0.9


@pytest.mark.parametrize("bits, backend, seed", list(cases((15, 10), (15,))), indirect=["backend"])
def test_without_hindsight_they_are_not(bits, backend, seed):
    assert success(bits, backend, seed) <= 0.1
