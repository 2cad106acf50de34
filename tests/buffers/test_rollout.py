"""The rollout buffer, and that steps in which an environment was resetting teach nothing."""

from __future__ import annotations

import numpy as np
from gymnasium.vector import AutoresetMode
from probes import TwoSteps, environment, untrained

from rlzoo.buffers import RolloutBuffer


def test_shapes_and_types():
    arrays = RolloutBuffer(4, 3, ((36, 36, 1), np.uint8), ((2,), np.float32)).arrays()
    shapes = {name: (x.shape, x.dtype) for name, x in arrays.items()}
    image, number = ((4, 3, 36, 36, 1), np.uint8), ((4, 3), np.float32)
    assert shapes == {
        "observation": image, "next_observation": image, "action": ((4, 3, 2), np.float32), "reward": number,
        "terminated": number, "done": number, "valid": number,
    }  # fmt: skip


def test_arrays_are_what_is_written_next():
    buffer = RolloutBuffer(4, 3, ((), np.int32), ((), np.int32))
    arrays = buffer.arrays()
    buffer.reward[2, 1] = 5.0
    assert arrays["reward"][2, 1] == 5.0


def collected(mode):
    """An agent and the rollout it collects in `TwoSteps`, whose episodes are two steps."""
    agent = untrained("ppo", environment(TwoSteps, "discrete", mode), "jax")
    agent.collector.reset(0)
    agent._collect()
    return agent, {name: x.copy() for name, x in agent.rollout.arrays().items()}


def test_rollout_of_two_step_episodes():
    _, rollout = collected(AutoresetMode.SAME_STEP)
    np.testing.assert_array_equal(rollout["observation"][:, 0, 1], [0, 1] * 4)
    np.testing.assert_array_equal(rollout["next_observation"][:, 0, 1], np.ones(8))  # SECOND, also where it ended
    np.testing.assert_array_equal(rollout["reward"][:, 0], [0, 1] * 4)
    np.testing.assert_array_equal(rollout["terminated"][:, 0], [0, 1] * 4)
    np.testing.assert_array_equal(rollout["done"][:, 0], [0, 1] * 4)
    assert rollout["valid"].all()


def test_a_reset_that_takes_a_step_is_not_valid():
    _, rollout = collected(AutoresetMode.NEXT_STEP)
    np.testing.assert_array_equal(rollout["valid"][:, 0], [1, 1, 0, 1, 1, 0, 1, 1])
    np.testing.assert_array_equal(rollout["terminated"][:, 0], [0, 1, 0, 0, 1, 0, 0, 1])


def test_steps_that_are_not_valid_do_not_move_the_weights():
    agent, rollout = collected(AutoresetMode.NEXT_STEP)
    minibatches = agent.noise_of_update()

    def weights(rollout):
        state = {"parameters": agent.flat.copy(), "optimizer": agent.optimizer.init(agent.flat)}
        state, _ = agent.compiled_update(state, rollout, minibatches, agent.scalars())
        return agent.engine.to_numpy(state["parameters"])

    invalid, first = rollout["valid"] == 0, weights(rollout)
    changed = {name: x.copy() for name, x in rollout.items()}
    changed["action"][invalid] = (changed["action"][invalid] + 1) % 3
    changed["reward"][invalid] += 7.0
    changed["observation"][invalid] *= -3.0
    changed["next_observation"][invalid] *= -3.0
    np.testing.assert_array_equal(weights(changed), first)
    changed["reward"][~invalid] += 7.0
    assert not np.array_equal(weights(changed), first)
