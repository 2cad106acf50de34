"""The rollout buffer, and that steps in which an environment was resetting teach nothing."""

from __future__ import annotations

import numpy as np
import pytest
from engines import require
from gymnasium.vector import AutoresetMode
from probes import TwoSteps, environment, untrained

from rlzoo.buffers import RolloutBuffer


def test_shapes_and_types():
    arrays = RolloutBuffer(4, 3, np.zeros((36, 36, 1), np.uint8), np.zeros(2, np.float32)).arrays()
    shapes = {name: (x.shape, x.dtype) for name, x in arrays.items()}
    image, number = ((4, 3, 36, 36, 1), np.uint8), ((4, 3), np.float32)
    assert shapes == {
        "observation": image, "next_observation": image, "action": ((4, 3, 2), np.float32), "reward": number,
        "terminated": number, "done": number, "valid": number,
    }  # fmt: skip


def test_arrays_are_what_is_written_next():
    buffer = RolloutBuffer(4, 3, np.zeros((), np.int32), np.zeros((), np.int32))
    arrays = buffer.arrays()
    buffer.reward[2, 1] = 5.0
    assert arrays["reward"][2, 1] == 5.0


def test_observations_may_be_trees():
    example = {"a": np.zeros(2, np.float32), "b": (np.zeros((), np.int32), np.zeros((3, 3, 1), np.uint8))}
    buffer = RolloutBuffer(3, 2, example, np.zeros((), np.int32))

    def seen(t):
        numbers = 10 * t + np.arange(2)
        return {"a": numbers[:, None] + [0.25, 0.5], "b": (numbers, np.full((2, 3, 3, 1), t))}

    for t in range(3):
        kept = buffer.see(t, seen(t))
        assert kept["a"].dtype == np.float32 and kept["b"][1].dtype == np.uint8  # as networks and updates take them
        np.testing.assert_array_equal(kept["a"], seen(t)["a"])
    buffer.close(seen(3), [(1, seen(7))])
    arrays, led_to = buffer.arrays(), [1, 7, 3]
    for name, times in (("observation", range(3)), ("next_observation", led_to)):
        np.testing.assert_array_equal(arrays[name]["a"], np.stack([seen(t)["a"] for t in times]))
        for part in range(2):
            np.testing.assert_array_equal(arrays[name]["b"][part], np.stack([seen(t)["b"][part] for t in times]))
    rows = buffer.transitions()
    np.testing.assert_array_equal(rows["next_observation"]["b"][0], [10, 11, 70, 71, 30, 31])


def collected(mode, algorithm="ppo"):
    """An agent and the rollout it collects in `TwoSteps`, whose episodes are two steps."""
    require("torch")  # which compiles soonest
    agent = untrained(algorithm, environment(TwoSteps, "discrete", mode), "torch")
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


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "reinforce", "trpo"])
def test_steps_that_are_not_valid_do_not_move_the_weights(algorithm):
    agent, rollout = collected(AutoresetMode.NEXT_STEP, algorithm)
    noise = agent.noise_of_update()

    def weights(rollout):
        state, _ = agent.compiled_update(agent.initial_state(agent.flat.copy()), rollout, noise, agent.scalars())
        return agent.engine.to_numpy(state["parameters"])

    def differ(one, other):
        """Whether actor and critic do."""
        parts = [slice(*agent.layout.range(part)) for part in ("actor", "critic")]
        return [bool((one[part] != other[part]).any()) for part in parts]

    invalid, first = rollout["valid"] == 0, weights(rollout)
    assert invalid.any() and differ(first, agent.flat) == [True, True]
    changed = {name: x.copy() for name, x in rollout.items()}
    changed["action"][invalid] = (changed["action"][invalid] + 1) % 3
    changed["reward"][invalid] += 7.0
    changed["observation"][invalid] *= -3.0
    changed["next_observation"][invalid] *= -3.0
    assert differ(weights(changed), first) == [False, False]
    changed["reward"][~invalid] += 7.0
    assert differ(weights(changed), first) == [True, True]
