"""One seed, one curve: the first update of a real run gives the same metrics on every engine."""

from __future__ import annotations

import numpy as np
import pytest

from rlzoo.algorithms import ALGORITHMS, find
from rlzoo.backend import ENGINES

SMALL = dict(hidden=(16, 16))
ON = SMALL | dict(n_envs=8, n_steps=32)
OFF = SMALL | dict(n_envs=4, train_freq=8, learning_starts=64, gradient_steps=8, batch_size=32)
LSTM = dict(recurrent="lstm", recurrent_units=8, sequence_length=4)
RUNS = {  # name → algorithm, environment, settings, steps; some have what is published for the environment
    "ppo": ("ppo", "CartPole-v1", {}, 512),  # one rollout: 16 environments × 32 steps
    "ppo kl": ("ppo", "Pendulum-v1", ON | dict(objective="kl", batch_size=64), 256),
    "ppo recurrent": ("ppo", "CartPole-v1", ON | LSTM | dict(batch_size=64), 256),
    "a2c": ("a2c", "CartPole-v1", ON, 256),
    "reinforce": ("reinforce", "CartPole-v1", ON, 256),
    "trpo": ("trpo", "CartPole-v1", ON | dict(batch_size=64), 256),
    "dqn": ("dqn", "CartPole-v1", dict(learning_starts=256, gradient_steps=8), 256),
    "rainbow": ("rainbow", "CartPole-v1", OFF, 64),
    "qrdqn": ("qrdqn", "CartPole-v1", OFF | dict(n_quantiles=9), 64),
    "ddpg": ("ddpg", "Pendulum-v1", OFF, 64),
    "td3": ("td3", "Pendulum-v1", OFF, 64),
    "sac": ("sac", "Pendulum-v1", {}, 100),  # the first step that learns
    "discrete_sac": ("discrete_sac", "CartPole-v1", OFF, 64),
    "tqc": ("tqc", "Pendulum-v1", OFF | dict(n_quantiles=5), 64),
}
METRICS = {}


def first_update(name, backend):
    """The metrics of a run that ends after its first update."""
    if (name, backend) not in METRICS:
        algorithm, env, settings, steps = RUNS[name]
        agent = find(algorithm)(env, backend=backend, seed=7, **settings).learn(steps)
        METRICS[name, backend] = agent.last_metrics | {"steps": agent.steps}
    return METRICS[name, backend]


ELSEWHERE = ("ppo recurrent", "trpo", "rainbow")  # on every engine; of the others' updates see `test_loss_parity.py`
CASES = [(name, engine) for engine in ENGINES for name in (RUNS if engine == "jax" else ELSEWHERE)]


@pytest.mark.parametrize("name, backend", CASES, indirect=["backend"])
def test_metrics_of_the_first_update_agree(backend, name):
    metrics, expected = first_update(name, backend), first_update(name, "jax")
    assert metrics["steps"] == RUNS[name][3]
    assert len(metrics) >= 4 and all(np.isfinite(list(metrics.values())))
    for metric, value in expected.items():
        assert metrics[metric] == pytest.approx(value, rel=1e-4, abs=1e-4), metric


@pytest.mark.parametrize("name", ["a2c", "rainbow", "tqc"])
def test_on_mindspore_it_is_the_same_uncompiled(mindspore, name):
    """Where its own operators are called, which take no number of NumPy's."""
    algorithm, env, settings, steps = RUNS[name]
    metrics = find(algorithm)(env, backend="mindspore", eager=True, seed=7, **settings).learn(steps).last_metrics
    assert metrics == pytest.approx({k: v for k, v in first_update(name, "jax").items() if k != "steps"}, 1e-4, 1e-4)


def test_every_algorithm_is_among_the_runs():
    assert {algorithm for algorithm, *_ in RUNS.values()} == set(ALGORITHMS)
