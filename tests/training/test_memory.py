"""What a recurrent agent remembers while it acts, and that it forgets where episodes end."""

from __future__ import annotations

import numpy as np
import pytest
from counting import Counting
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlzoo import PPO
from rlzoo.backend import tree
from rlzoo.errors import UserError
from rlzoo.training.collect import Memory

N = 2


def agent_of(mode=AutoresetMode.SAME_STEP, recurrent="lstm", lengths=(2, 3)):
    env = SyncVectorEnv([lambda n=n: Counting(n) for n in lengths], autoreset_mode=mode)
    return PPO(env, backend="numpy", hidden=(4,), recurrent=recurrent, recurrent_units=3, sequence_length=4,
               n_steps=12, batch_size=24)  # fmt: skip


def test_it_forgets_what_is_done_and_nothing_else():
    memory = Memory(agent_of().policy.trunk, 3)
    assert memory.first.tolist() == [1, 1, 1]
    memory.after(tree.map(lambda x: np.ones_like(x), memory.state))
    assert memory.first.tolist() == [0, 0, 0]
    memory.reset(np.array([False, True, False]))
    assert memory.first.tolist() == [0, 1, 0]
    for state in tree.flatten(memory.state)[0]:
        np.testing.assert_array_equal(state, np.float32([[1, 1, 1], [0, 0, 0], [1, 1, 1]]))
        assert state.dtype == np.float32
    memory.reset()
    assert memory.first.tolist() == [1, 1, 1] and not any(state.any() for state in tree.flatten(memory.state)[0])


def test_two_memories_share_nothing():
    trunk = agent_of().policy.trunk
    one, other = Memory(trunk, N), Memory(trunk, N)
    for state in tree.flatten(one.state)[0]:
        state += 1.0
    assert not any(state.any() for state in tree.flatten(other.state)[0])


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("recurrent", ["lstm", "gru"])
def test_a_rollout_keeps_what_was_remembered_before_each_step(mode, recurrent):
    """By stepping the cell again from zero at each first step; and a first step follows each end, and each reset."""
    agent = agent_of(mode, recurrent)
    agent.collector.reset(0)
    agent._collect()
    seen, trunk, params = agent.rollout.observation, agent.policy.trunk, agent.params["encoder"]
    done = (agent.rollout.terminated + agent.rollout.truncated) > 0
    counted = agent.rollout.valid > 0
    for i in range(N):
        memory, first = trunk.cell.initial_state(1), True
        for t in range(12):
            if first:
                memory = trunk.cell.initial_state(1)
            kept = tree.map(lambda x, t=t, i=i: x[t, i : i + 1], seen)
            assert kept["first"][0] == first
            for one, again in zip(tree.flatten(kept["memory"])[0], tree.flatten(memory)[0], strict=True):
                np.testing.assert_allclose(one, again, rtol=1e-5, atol=1e-7)
            memory = trunk(params, {**kept, "memory": memory}).memory
            first = bool(done[t, i]) or not counted[t, i]
    assert done.sum() >= 6 and seen["first"].sum() >= 6


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_the_next_observation_goes_with_what_is_remembered_after_the_step(mode):
    """Also at the end of an episode, where the state after the last step is what a truncated value is taken from."""
    agent = agent_of(mode)
    agent.collector.reset(0)
    agent._collect()
    seen, led_to, trunk = agent.rollout.observation, agent.rollout.next_observation, agent.policy.trunk
    for t in range(12):
        after = trunk(agent.params["encoder"], tree.at(seen, t)).memory
        counted = agent.rollout.valid[t] > 0
        kept = tree.at(led_to, t)
        for one, again in zip(tree.flatten(kept["memory"])[0], tree.flatten(after)[0], strict=True):
            np.testing.assert_allclose(one[counted], again[counted], rtol=1e-5, atol=1e-7)
        assert not kept["first"][counted].any()
        np.testing.assert_array_equal(kept["observation"][counted, 1], seen["observation"][t, counted, 1] + 1)


def test_acting_carries_the_memory_and_evaluation_resets_it():
    agent = agent_of()
    trunk, memory, state = agent.policy.trunk, agent.memory(N), agent.policy.trunk.cell.initial_state(N)
    for t in range(3):
        x = np.float32([[0, t], [1, t]])
        assert agent.act(x, memory=memory).shape == (N,)
        state = trunk(agent.params["encoder"], {"observation": x, "memory": state, "first": None}).memory
        for one, again in zip(tree.flatten(memory.state)[0], tree.flatten(state)[0], strict=True):
            np.testing.assert_allclose(one, again, rtol=1e-6)
    play = agent.player(N, None)
    for first in (np.array([True, True]), None, np.array([False, True])):
        play(np.float32([[0, 1], [1, 1]]), first)
    assert agent.evaluate(6) == agent.evaluate(6)


def test_a_memory_that_is_missing_or_too_much_is_said_to_be():
    recurrent, plain = agent_of(), PPO("CartPole-v1", backend="numpy")
    with pytest.raises(UserError, match=r"recurrent = lstm: pass memory=agent.memory\(n\)"):
        recurrent.act(np.zeros(2))
    with pytest.raises(UserError, match="recurrent = none: leave memory out"):
        plain.act(np.zeros(4), memory=recurrent.memory())
    with pytest.raises(UserError, match="has no memory"):
        plain.memory()
    with pytest.raises(UserError, match=r"memory of 3 episodes for 2 observations: use agent.memory\(2\)"):
        recurrent.act(np.zeros((2, 2)), memory=recurrent.memory(3))
