"""When each part of an algorithm has its turn: schedules over a run, what explores, which steps move what."""

from __future__ import annotations

import numpy as np
import pytest
from loss_cases import replayed, replayed_case

from rlzoo import PPO
from rlzoo.algorithms import find
from rlzoo.backend import tree


def off_policy(algorithm, env, **settings):
    return find(algorithm)(env, backend="numpy", **{"hidden": (4,), **settings})


# ---- exploration -----------------------------------------------------------------------------------------------------
def test_epsilon_follows_its_schedule():
    agent = off_policy("dqn", "CartPole-v1", exploration="linear(1, 0)", steps=100)
    seen = np.zeros((2, 4), np.float32)
    greedy, _ = agent.mode(seen)
    noise = {"chance": np.stack([[0.4, 0.6], (1 - greedy) / 2 + 0.25], 1)}
    agent.steps = 50  # ε = 0.5
    np.testing.assert_array_equal(agent.sample(seen, noise)[0], [1 - greedy[0], greedy[1]])


def test_a_noisy_network_explores_by_its_noise():
    agent, rng = off_policy("rainbow", "CartPole-v1", hidden=(8, 8), seed=0), np.random.default_rng(0)
    seen = rng.standard_normal((64, 4)).astype(np.float32)
    noise = {"chance": np.ones((64, 2)), "network": tree.at(agent.policy.network_noise(rng, 1), 0)}
    features = agent.policy.features(agent.params, seen)
    expected = agent.policy.values(agent.policy.outputs(agent.params, features, noise["network"])).argmax(-1)
    assert np.any(expected != agent.mode(seen)[0])
    np.testing.assert_array_equal(agent.sample(seen, noise)[0], expected)


def test_actions_are_random_until_learning_starts():
    agent = off_policy("sac", "Pendulum-v1", n_envs=1, train_freq=16, learning_starts=20)
    agent._reset()
    asked, sample = [], agent.sample
    agent.sample = lambda *arguments: asked.append(agent.steps) or sample(*arguments)
    for _ in range(2):
        agent._collect()
    assert asked == list(range(20, 32))


# ---- priorities ------------------------------------------------------------------------------------------------------
def test_the_importance_exponent_grows_over_a_run():
    agent = off_policy("dqn", "CartPole-v1", prioritized=True, steps=1000, learning_starts=64, train_freq=64)
    agent._reset()
    agent._collect()
    for steps, beta in ((500, 0.7), (1000, 1.0)):
        agent.steps = steps
        agent._inputs(1, steps - 64)
        assert agent.replay.priorities.beta == pytest.approx(beta)


# ---- the steps of an update ------------------------------------------------------------------------------------------
def test_as_many_gradient_steps_as_steps_were_taken():
    settings = dict(n_envs=3, train_freq=4, gradient_steps=-1, batch_size=8, learning_starts=12)
    agent = off_policy("sac", "Pendulum-v1", **settings)
    agent._reset()
    given = []
    agent.compiled_update = lambda state, inputs, scalars: given.append(inputs) or (state, {"metrics": np.zeros(5)})
    agent.phase()
    assert given[0]["batch"]["reward"].shape == (12, 8) and given[0]["tau"].shape == (12,)


def test_each_epoch_has_an_order_of_its_own():
    agent = PPO("CartPole-v1", backend="numpy", n_envs=1, n_steps=16, batch_size=16, n_epochs=3)
    epochs = agent.minibatches()
    np.testing.assert_array_equal(np.sort(epochs, 1), [np.arange(16)] * 3)
    assert len({epoch.tobytes() for epoch in epochs}) == 3


def test_the_actor_of_td3_moves_at_every_second_step():
    agent, state, data, _ = replayed_case("td3")
    end, moves = agent.actor_end, []
    for _ in range(4):
        before = state["parameters"]
        state, _ = agent.gradient_step(state, data | {"tau": 0.05}, {"learning_rate": 1e-3})
        changed = before != state["parameters"]
        moves.append((bool(changed[:end].any()), bool(changed[end:].any())))
    assert moves == [(False, True), (True, True)] * 2


@pytest.mark.parametrize("last", [0.0, 1.0])
def test_the_target_of_dqn_takes_over_what_the_last_step_left(last):
    agent, state, *_ = replayed_case("dqn")
    inputs = replayed(agent, np.random.default_rng(2), (3, 8)) | {"tau": np.array([0.0, 0.0, last])}
    after, _ = agent.update(state, inputs, {"learning_rate": 1e-2})
    np.testing.assert_allclose(after["target"], after["parameters"] if last else state["target"], rtol=1e-6)
    assert np.abs(after["parameters"] - state["target"]).max() > 0.01


@pytest.mark.parametrize("steps, before, tau", [(9, 5, 0.0), (10, 9, 1.0), (19, 10, 0.0), (24, 16, 1.0)])
def test_the_target_of_dqn_has_its_turn_when_an_interval_is_over(steps, before, tau):
    agent = off_policy("dqn", "CartPole-v1", target_update_interval=10)
    agent.steps = steps
    np.testing.assert_array_equal(agent._taus(3, before), [0.0, 0.0, tau])
