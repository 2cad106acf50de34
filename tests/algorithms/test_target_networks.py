"""Target networks move the share τ of the way to the online ones, and which of the two is which."""

from __future__ import annotations

import numpy as np
import pytest
from loss_cases import BATCH, DISCRETE, SETTINGS, Spaces, replayed, replayed_case, scalars_of, starting_state

from rlzoo import DQN


def step(agent, state, data, tau=0.25):
    """One gradient step: the parameters that the target follows, the target before and the target after."""
    after, _ = agent.gradient_step(state, data | {"tau": tau}, scalars_of(agent) | {"learning_rate": 1e-2})
    online = after["parameters"]
    if agent.name in ("sac", "tqc", "discrete_sac"):  # whose target has no actor
        first, last = agent.layout.range("encoder", "critics")
        online = online[first:last]
    return after, online, state["target"], after["target"]


def assert_a_quarter_of_the_way(online, before, after):
    assert np.abs(online - before).max() > 0.1, "they must differ here"
    np.testing.assert_allclose(after, 0.75 * before + 0.25 * online, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["sac", "tqc", "discrete_sac", "ddpg"])
def test_the_target_goes_the_share_tau_of_the_way(name):
    agent, state, data, _ = replayed_case(name, BATCH)
    _, *moved = step(agent, state, data)
    assert_a_quarter_of_the_way(*moved)


def test_the_target_of_td3_goes_it_when_the_actor_moves():
    agent, state, data, _ = replayed_case("td3", BATCH)
    state, _, before, after = step(agent, state, data)
    np.testing.assert_array_equal(after, before)
    _, *moved = step(agent, state, data)
    assert_a_quarter_of_the_way(*moved)


def test_the_target_of_dqn_goes_it_at_every_step_without_an_interval():
    agent = DQN(Spaces(DISCRETE), **SETTINGS, target_update_interval=0)
    rng = np.random.default_rng(1)
    state, data = starting_state(agent, rng), replayed(agent, rng, (BATCH,))
    _, *moved = step(agent, state, data)
    assert_a_quarter_of_the_way(*moved)
