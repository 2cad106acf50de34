"""Prioritized replay in an agent: the rows that an update was given are drawn by the error that it reports of them."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
from slow_loops import quantile_huber

from rlzoo import load
from rlzoo.algorithms import find
from rlzoo.backend import tree
from rlzoo.errors import UserError

CONTINUOUS, DISCRETE = ("ddpg", "td3", "sac", "tqc"), ("dqn", "qrdqn", "rainbow", "discrete_sac")
SMALL = {"qrdqn": dict(n_quantiles=4), "rainbow": dict(n_atoms=5), "tqc": dict(n_quantiles=4)}


def agent_of(name):
    env = "Pendulum-v1" if name in CONTINUOUS else "CartPole-v1"
    settings = dict(n_envs=2, hidden=(3,), train_freq=8, learning_starts=16, gradient_steps=2, batch_size=6,
                    buffer_size=64, prioritized=True, priority_exponent=0.7)  # fmt: skip
    return find(name)(env, backend="numpy", seed=3, **settings, **SMALL.get(name, {}))


def after_a_phase(agent):
    """What the update of one phase was given, the state of learning among it, and what it reported."""
    update, seen = agent.compiled_update, []

    def spy(state, inputs, scalars):
        given = tree.map(np.copy, state), inputs, scalars
        state, report = update(state, inputs, scalars)
        seen.append((*given, report))
        return state, report

    agent.compiled_update = spy
    agent._reset()
    agent.phase()
    (found,) = seen
    return found


def td_error(agent, state, batch, noise, scalars):
    """Of each row by the definition: Q₁(s, a) − y, or what a distribution of returns has for an error."""
    params, policy = agent.layout.split(state["parameters"]), agent.policy
    soft = agent.name in ("sac", "tqc", "discrete_sac")
    target = agent.targets(state, batch, noise, *([scalars] if soft else []))
    features, rows = policy.features(params, batch["observation"]), np.arange(len(batch["reward"]))
    if agent.name in CONTINUOUS:
        first = policy.values(params, features, batch["action"])[0]
        return first.mean(-1) - target.mean(-1) if agent.name == "tqc" else first - target
    if agent.name == "discrete_sac":
        return policy.values(params, features)[0][rows, batch["action"]] - target
    said = policy.outputs(params, features, noise.get("online"))[rows, batch["action"]]
    if agent.name == "rainbow":
        log_q = said - np.log(np.exp(said).sum(-1, keepdims=True))
        return -np.sum(target * log_q, -1)
    return np.array([quantile_huber(*pair) for pair in zip(said, target)]) if agent.name == "qrdqn" else said - target


@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_rows_that_were_drawn_take_the_priority_of_their_error(name):
    agent = agent_of(name)
    state, inputs, scalars, report = after_a_phase(agent)
    drawn, error = agent.replay.priorities.drawn, report["td_error"]
    assert drawn.shape == error.shape == (2, 6)
    np.testing.assert_array_equal(inputs["batch"]["observation"], agent.replay.data["observation"][drawn])
    first = [tree.map(lambda x: x[0], inputs[part]) for part in ("batch", "noise")]
    by_hand = td_error(agent, state, *first, scalars)
    assert np.abs(by_hand).min() > 1e-4 and np.ptp(np.abs(by_hand)) > 0.01, "they must differ here"
    np.testing.assert_allclose(np.abs(error[0]), np.abs(by_hand), rtol=1e-4, atol=1e-6)
    expected = np.ones(16)  # with which each row came in
    for row, size in zip(drawn.ravel().tolist(), np.abs(error).ravel().tolist()):  # the last of a row counts
        expected[row] = (size + 1e-6) ** 0.7
    assert (expected == 1.0).any()
    np.testing.assert_allclose(agent.replay.priorities.tree[np.arange(16)], expected, rtol=1e-6)


def test_priorities_stay_with_the_exponent_that_made_them(tmp_path):
    """Among those of another, what is new would have the largest of the old ones, which is out of all measure."""
    agent = agent_of("dqn")
    after_a_phase(agent)
    path = agent.save(tmp_path / "saved", replay=True)
    told = r"^priority_exponent = 0\.1 does not fit the replay, which is of priorities made with 0\.7: load"
    with pytest.raises(UserError, match=told):
        load(path, backend="torch", priority_exponent=0.1)
    assert len(load(path, backend="torch", priority_exponent=0.7, importance_exponent=1.0).replay) == 16
    for others in (dict(replay=False), dict(prioritized=False)):
        with pytest.warns(UserWarning) if "prioritized" in others else nullcontext():
            assert load(path, backend="torch", priority_exponent=0.1, **others).config.priority_exponent == 0.1
