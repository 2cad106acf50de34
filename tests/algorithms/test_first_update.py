"""One seed, one curve: the first update of a real run gives the same metrics on every engine."""

from __future__ import annotations

import numpy as np
import pytest

from rlzoo import DQN, PPO, SAC

RUNS = {
    "ppo": (lambda backend: PPO("CartPole-v1", backend=backend, seed=7), 256),  # one rollout: 8 environments × 32 steps
    "dqn": (lambda backend: DQN("CartPole-v1", backend=backend, seed=7, learning_starts=256, gradient_steps=8), 256),
    "sac": (lambda backend: SAC("Pendulum-v1", backend=backend, seed=7), 100),  # the first step that learns
}
METRICS = {}


def first_update(algorithm, backend):
    """The metrics of a run that ends after its first update."""
    if (algorithm, backend) not in METRICS:
        make, steps = RUNS[algorithm]
        agent = make(backend).learn(steps)
        METRICS[algorithm, backend] = agent.last_metrics | {"steps": agent.steps}
    return METRICS[algorithm, backend]


@pytest.mark.parametrize("algorithm", RUNS)
def test_metrics_of_the_first_update_agree(backend, algorithm):
    metrics, expected = first_update(algorithm, backend), first_update(algorithm, "jax")
    assert metrics["steps"] == RUNS[algorithm][1]
    assert len(metrics) >= 4 and all(np.isfinite(list(metrics.values())))
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-4, abs=1e-4), name
