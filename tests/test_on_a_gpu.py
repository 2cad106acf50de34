"""Where a GPU is at hand: every engine that sees it learns on it what it learns on the CPU, twice the same.

Without one these are skipped; what is ours of the path is tested on the CPU, by `backend/test_torch_graphs.py` and
`backend/test_jax_packing.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
from algorithms.test_first_update import RUNS
from engines import require
from tiny_agents import Pictures

import rlzoo
from rlzoo.algorithms import find

IMAGES = dict(n_steps=32, batch_size=16, n_epochs=2)


@pytest.fixture(scope="module", params=("jax", "torch", "tensorflow"))
def engine(request):
    """The name of each engine that sees a GPU."""
    if require(request.param).device("cuda") is None:
        pytest.skip(f"{request.param} sees no GPU here")
    return request.param


def learned(name, engine, device):
    algorithm, env, settings, steps = RUNS[name]
    agent = find(algorithm)(env, backend=engine, device=device, seed=7, **settings).learn(steps)
    assert agent.engine.device == device
    return agent


@pytest.mark.parametrize("name", RUNS)
def test_the_first_update_is_that_of_the_cpu(engine, name):
    metrics, expected = (learned(name, engine, device).last_metrics for device in ("cuda", "cpu"))
    assert len(metrics) >= 3
    for metric, value in expected.items():
        assert metrics[metric] == pytest.approx(value, rel=1e-3, abs=1e-3), metric


@pytest.mark.parametrize("name", ["ppo", "sac", "rainbow"])
def test_one_seed_one_curve(engine, name):
    one, other = (learned(name, engine, "cuda").flat for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_an_image_policy_learns_and_acts_on_it(engine, tmp_path):
    agent = find("ppo")(Pictures(), backend=engine, device="cuda", seed=0, **IMAGES)
    before = agent.flat.copy()
    agent.learn(64)
    assert agent._acts_on_engine and np.abs(agent.flat - before).max() > 1e-4
    pixels = np.random.default_rng(0).integers(0, 256, (8, 36, 36, 1), np.uint8)
    loaded = rlzoo.load(agent.save(tmp_path / "agent"), backend=engine, device="cpu")
    np.testing.assert_array_equal(agent.act(pixels), loaded.act(pixels))


def test_auto_takes_it(engine):
    assert find("ppo")("CartPole-v1", backend=engine).engine.device == "cuda"
