"""Frame stacking: the last observations side by side, of whatever makes the environment."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from counting import Counting
from gymnasium import spaces
from masked import Masked, mask_of

from rlzoo.envs import Stepper, make
from rlzoo.envs.make import make_separate
from rlzoo.errors import UserError


class Frames(gym.Env):
    """A 4 × 4 image of one channel, as bright as the number of the step."""

    observation_space = spaces.Box(0, 255, (4, 4, 1), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.image(), {}

    def step(self, action):
        self.t += 1
        return self.image(), 0.0, self.t == 5, False, {}

    def image(self):
        return np.full((4, 4, 1), 10 + self.t, np.uint8)


def test_the_newest_is_last_and_zeros_come_first():
    """The frames of an episode do not reach into the next, and the final observation is a stack of its own."""
    env = make(Counting(3), frame_stack=3)
    assert env.single_observation_space.shape == (6,)
    stepper = Stepper(env)
    seen = stepper.reset(0)
    np.testing.assert_array_equal(seen, [[0, 0, 0, 0, 0, 0]])
    step = stepper.step(np.zeros(1, int))
    np.testing.assert_array_equal(step.observation, [[0, 0, 0, 0, 0, 1]])
    step = stepper.step(np.zeros(1, int))
    step = stepper.step(np.zeros(1, int))
    np.testing.assert_array_equal(step.next_observation, [[0, 1, 0, 2, 0, 3]])
    np.testing.assert_array_equal(step.observation, [[0, 0, 0, 0, 1, 0]])  # of the second episode


def test_images_are_stacked_as_channels_and_stay_images():
    env = make(Frames(), frame_stack=4)
    assert env.single_observation_space == spaces.Box(0, 255, (4, 4, 4), np.uint8)
    seen, _ = env.reset(seed=0)
    for t in range(1, 4):
        seen = env.step(np.zeros(1, int))[0]
        expected = [0] * (3 - t) + [10 + k for k in range(t + 1)]
        assert seen.dtype == np.uint8 and seen[0, 2, 1].tolist() == expected


def test_bounds_hold_what_comes_before_the_first():
    class Far(Counting):
        observation_space = spaces.Box(np.float32([5.0, -9.0]), np.float32([7.0, -8.0]))

    space = make(Far(), frame_stack=2).single_observation_space
    assert space.low.tolist() == [0.0, -9.0, 0.0, -9.0] and space.high.tolist() == [7.0, 0.0, 7.0, 0.0]


@pytest.mark.parametrize("env, n_envs", [("CartPole-v1", 2), (gym.make("CartPole-v1"), 1)])
def test_the_environment_that_is_evaluated_in_is_seen_the_same_way(env, n_envs):
    ours, other = make(env, n_envs, frame_stack=2), make_separate(env, 3, frame_stack=2)
    assert ours.single_observation_space == other.single_observation_space
    assert other.num_envs == (3 if isinstance(env, str) else 1), "an object is copied once"
    assert ours.single_observation_space.shape == (8,)


def test_with_masks_the_observation_is_stacked_and_the_mask_is_not():
    env = make(Masked(3), frame_stack=2, action_masks=True)
    env.reset(seed=0)
    seen = env.step(np.array([np.argmax(mask_of(0, 0))]))[0]
    np.testing.assert_array_equal(seen["observation"], [[0, 0, 0, 1]])
    np.testing.assert_array_equal(seen["action_mask"], [mask_of(0, 1)])


def test_where_frames_cannot_be_stacked():
    class Numbered(Counting):
        observation_space = spaces.Discrete(3)

    with pytest.raises(UserError, match=r"frame_stack is for observations that are arrays.*Discrete"):
        make(Numbered(), frame_stack=2)
    with pytest.raises(UserError, match="stack the frames of CartPole-v1 yourself"):
        make(gym.make_vec("CartPole-v1", 2), frame_stack=2)
    with pytest.raises(UserError, match="set vectorization = sync, not native"):
        make("CartPole-v1", 8, vectorization="native", frame_stack=2)
