"""Spaces as plain data, observations of every kind, and agents asked to act where they cannot."""

from __future__ import annotations

import json
import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rlzoo import DQN, PPO, SAC
from rlzoo.errors import UserError
from rlzoo.policies.encoders import ImageEncoder, encoder_for
from rlzoo.policies.heads import squashed_head, stochastic_head
from rlzoo.policies.spaces import example, from_plain, is_image, is_numbers, parts_of, rows, to_plain

EVERY_KIND = [
    spaces.Box(-1.0, 2.0, (3,)),
    spaces.Box(-np.inf, np.inf, (2, 2)),
    spaces.Box(0.0, np.inf, (2,), np.float64),
    spaces.Box(np.float32([-1.0, -np.inf, 0.1]), np.float32([1.0, 5.0, np.inf])),
    spaces.Box(np.float32(-3.4028235e38), np.float32(3.4028235e38), (1,)),  # CartPole's, finite and huge
    spaces.Box(0, 255, (36, 36, 3), np.uint8),
    spaces.Box(-5, 5, (2,), np.int64),
    spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (2,), np.int64),
    spaces.Box(np.uint64([0, 2**60 + 1]), np.uint64([2**64 - 1, 2**64 - 1]), dtype=np.uint64),
    spaces.Box(0, 1, (3,), np.bool_),
    spaces.Discrete(4),
    spaces.Discrete(4, start=-2),
    spaces.MultiDiscrete([2, 3, 4]),
    spaces.MultiDiscrete([2, 3], start=[-1, 5]),
    spaces.MultiBinary(3),
    spaces.MultiBinary([2, 3]),
    spaces.Dict({"z": spaces.Box(-1.0, 2.0, (3,)), "a": spaces.Discrete(2, start=1)}),
    spaces.Tuple((spaces.Dict({"inner": spaces.Tuple((spaces.MultiBinary(2),))}), spaces.MultiDiscrete([2, 3]))),
]


@pytest.mark.parametrize("space", EVERY_KIND, ids=str)
def test_round_trip_through_json(space):
    again = from_plain(json.loads(json.dumps(to_plain(space), allow_nan=False)))
    assert again == space and again.dtype == space.dtype


@pytest.mark.parametrize("high, dtype", [(2**31 - 1, np.int32), (2**31, np.float32)])
def test_integers_are_stored_as_what_holds_them(high, dtype):
    assert example(spaces.Box(0, high, (2,), np.int64)).dtype == dtype
    assert example(spaces.Discrete(3)).dtype == np.int32 and example(spaces.Box(0, 9, (2,), np.uint8)).dtype == np.uint8


@pytest.mark.parametrize("head", [stochastic_head, lambda space: squashed_head(space, "sac")])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_continuous_actions_are_of_the_spaces_type_and_within_it(head, dtype):
    space = spaces.Box(-0.3, 0.7, (2,), dtype)
    actions = head(space).to_env(np.float32([[-5.0, 0.123456789], [5.0, -1.0]]))
    assert all(action in space for action in actions)


def test_squashed_actions_stay_within_bounds_that_rounding_would_leave():
    rng = np.random.default_rng(0)
    for low, width in zip(rng.standard_normal((500, 2)), rng.exponential(size=(500, 2)), strict=True):
        space = spaces.Box(low.astype(np.float32), (low + width).astype(np.float32))
        to_env = squashed_head(space, "sac").to_env
        assert all(space.contains(action) for action in to_env(np.float32([[-1, 1], [1, -1]])))


def test_squashed_actions_between_huge_bounds_are_numbers():
    to_env = squashed_head(spaces.Box(np.float32([-3e38]), np.float32([3e38])), "sac").to_env
    np.testing.assert_array_equal(to_env(np.float32([[-1], [0], [1]])), np.float32([[-3e38], [0], [3e38]]))


def test_a_picture_without_channels_is_refused_and_a_board_is_numbers():
    with pytest.raises(UserError, match=r"\(84, 84\).*grayscale_newaxis=True"):
        encoder_for(spaces.Box(0, 255, (84, 84), np.uint8))
    assert encoder_for(spaces.Box(0, 12, (8, 8), np.uint8)).output_shape((8, 8)) == (64,)


@pytest.mark.parametrize("shape, high", [
    ((7, 7, 3), 255), ((35, 35, 1), 255), ((3, 32, 32), 255), ((40, 40, 2), 1), ((40, 40, 2), 254),
])  # fmt: skip
def test_three_axes_of_bytes_are_numbers_where_they_are_small_or_not_of_all_bytes(shape, high):
    """As they are, neither divided by 255 nor refused; and they can be normalized."""
    space = spaces.Box(0, high, shape, np.uint8)
    rows = np.random.default_rng(0).integers(0, high, (2, *shape), np.uint8, endpoint=True)
    assert not is_image(space) and is_numbers(space)
    np.testing.assert_array_equal(encoder_for(space)({}, rows), rows.reshape(2, -1).astype(np.float32))


@pytest.mark.parametrize("shape", [(36, 36, 1), (84, 84, 18), (36, 90, 36)])
def test_three_axes_of_all_bytes_are_an_image(shape):
    """Also of three colours and six frames, which are 18 channels."""
    space = spaces.Box(0, 255, shape, np.uint8)
    assert is_image(space) and not is_numbers(space) and encoder_for(space) == ImageEncoder()
    bounds = np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)
    bounds[0][0, 0, 0] = 1
    assert not is_image(spaces.Box(*bounds, dtype=np.uint8))


@pytest.mark.parametrize("shape", [(3, 84, 84), (35, 84, 3), (40, 84, 84)])
def test_images_that_are_too_flat_or_have_their_channels_first_are_refused(shape):
    told = f"{re.escape(str(shape))} do not fit: .* 36, and no more channels than that.* by frame_stack "
    with pytest.raises(UserError, match=told):
        encoder_for(spaces.Box(0, 255, shape, np.uint8))


@pytest.mark.parametrize("shape, told", [
    ((36, 40), "have no axis of channels: give them one of length 1"),
    ((4, 36, 40, 3), "axis of their own: leave FrameStackObservation out and set frame_stack"),
    ((36, 40, 4, 1), "axis of their own: leave FrameStackObservation out and set frame_stack"),
])  # fmt: skip
def test_images_of_two_or_four_axes_are_refused(shape, told):
    """And not taken as a vector of numbers up to 255; smaller ones and bytes of other bounds are, as with three."""
    with pytest.raises(UserError, match=f"images of shape {re.escape(str(shape))} .*{told}"):
        encoder_for(spaces.Box(0, 255, shape, np.uint8))
    small = tuple(min(side, 35) for side in shape)
    for space in (spaces.Box(0, 255, small, np.uint8), spaces.Box(0, 1, shape, np.uint8)):
        assert encoder_for(space).output_shape(space.shape) == (np.prod(space.shape),)


def test_stacked_frames_of_three_colours_are_seen():
    class Colours(gym.Env):
        observation_space, action_space = spaces.Box(0, 255, (36, 36, 3), np.uint8), spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            return np.full((36, 36, 3), 9, np.uint8), {}

    agent = PPO(Colours(), backend="numpy", frame_stack=6, hidden=(4,))
    assert agent.observation_space.shape == (36, 36, 18)
    assert agent.params["encoder"]["0"]["kernel"].shape[-2:] == (18, 32)


@pytest.mark.parametrize("space", [spaces.Text(3), spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Text(3)}),
                                   spaces.Tuple((spaces.Sequence(spaces.Discrete(2)),))])  # fmt: skip
def test_spaces_that_are_not_supported(space):
    with pytest.raises(UserError, match="not supported"):
        to_plain(space)
    with pytest.raises(UserError, match="arrays of a fixed shape"):
        encoder_for(space)


@pytest.mark.parametrize("space", [spaces.Dict({}), spaces.Tuple(())])
def test_a_space_of_nothing_has_no_network(space):
    with pytest.raises(UserError, match="it is empty"):
        encoder_for(space)


@pytest.mark.parametrize("space, given, expected", [
    (spaces.Discrete(3, start=5), [5, 7], [[1, 0, 0], [0, 0, 1]]),
    (spaces.MultiDiscrete([2, 3]), [[1, 0], [0, 2]], [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]),
    (spaces.MultiDiscrete([2, 3], start=[-1, 5]), [[0, 5], [-1, 7]], [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]),
    (spaces.MultiBinary(2), [[1, 0]], [[1, 0]]),
    (spaces.Box(-1.0, 1.0, (2, 1)), [[[0.5], [-0.5]]], [[0.5, -0.5]]),
])  # fmt: skip
def test_features_of_observations(space, given, expected):
    features = encoder_for(space)({}, np.array(given, space.dtype))
    np.testing.assert_array_equal(features, np.array(expected, np.float32))
    assert features.dtype == np.float32 and features.shape[1:] == encoder_for(space).output_shape(space.shape)


@pytest.mark.parametrize("space, action, expected", [
    (spaces.Discrete(3, start=5), [0, 2], [5, 7]),
    (spaces.MultiDiscrete([[2, 3], [4, 5]]), [[1, 2, 3, 4]], [[[1, 2], [3, 4]]]),
    (spaces.MultiDiscrete([2, 3], start=[-1, 5]), [[1, 2]], [[0, 7]]),
    (spaces.MultiBinary([2, 2]), [[1, 0, 0, 1]], [[[1, 0], [0, 1]]]),
    (spaces.Box(np.float32([-1, -2]), np.float32([1, 2])), [[3.0, -1.5], [-3.0, 9.0]], [[1.0, -1.5], [-1.0, 2.0]]),
])  # fmt: skip
def test_actions_the_environment_gets(space, action, expected):
    env_action = stochastic_head(space).to_env(np.array(action))
    np.testing.assert_array_equal(env_action, expected)
    assert all(one.astype(space.dtype) in space for one in env_action)


def test_squashed_actions_are_scaled_to_the_bounds():
    head = squashed_head(spaces.Box(np.float32([-1, 0]), np.float32([1, 10])), "sac")
    np.testing.assert_allclose(head.to_env(np.float32([[-1, -1], [0, 0], [1, 0.5]])), [[-1, 0], [0, 5], [1, 7.5]])


class Numbered(gym.Env):
    """States −1, 0, 1; the action that pays is the state's."""

    observation_space = spaces.Discrete(3, start=-1)
    action_space = spaces.Discrete(3, start=-1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = int(self.np_random.integers(-1, 2))
        return self.state, {}

    def step(self, action):
        assert action in self.action_space
        return self.state, float(action == self.state), True, False, {}


@pytest.mark.parametrize("kind, settings", [
    (PPO, dict(n_steps=64, batch_size=32, learning_rate=1e-2)),
    (DQN, dict(learning_rate=1e-2, learning_starts=64, train_freq=32, gradient_steps=16, target_update_interval=32)),
])  # fmt: skip
def test_discrete_observations_and_actions_that_start_below_zero(kind, settings):
    agent = kind(Numbered(), backend="jax", hidden=(16,), **settings).learn(1024)
    np.testing.assert_array_equal(agent.act(np.array([-1, 0, 1])), [-1, 0, 1])
    assert agent.act(0) == 0


class With(gym.Env):
    """Only spaces."""

    def __init__(self, observation, action):
        self.observation_space, self.action_space = observation, action


VECTOR = spaces.Box(-1.0, 1.0, (2,))


@pytest.mark.parametrize("kind, observation, action, message", [
    (DQN, VECTOR, VECTOR, "dqn chooses among discrete actions.*Box.*ppo or sac"),
    (DQN, VECTOR, spaces.MultiBinary(2), "dqn.*MultiBinary"),
    (SAC, VECTOR, spaces.Discrete(2), "sac acts in continuous spaces.*Discrete.*ppo or dqn"),
    (SAC, VECTOR, spaces.Box(-np.inf, np.inf, (1,)), "with finite bounds, .*: give the Box finite low and high"),
    (PPO, VECTOR, spaces.Box(0, 3, (2,), np.int64), "no policy acts in Box"),
    (PPO, spaces.Text(3), spaces.Discrete(2), "no network reads.*Text"),
    (PPO, spaces.Box(0, 255, (3, 84, 84), np.uint8), spaces.Discrete(2), r"\(3, 84, 84\).*transpose"),
])  # fmt: skip
def test_an_agent_that_cannot_act_says_so(kind, observation, action, message):
    with pytest.raises(UserError, match=message):
        kind(With(observation, action), backend="numpy")


def test_observations_of_the_wrong_shape():
    with pytest.raises(UserError, match=r"shape \(3,\).*expected \(2,\) or \(N, \*\(2,\)\)"):
        PPO(With(VECTOR, spaces.Discrete(2)), backend="numpy").act(np.zeros(3))
    with pytest.raises(UserError, match=r"observation .* is not valid"):
        PPO(With(VECTOR, spaces.Discrete(2)), backend="numpy").act([[0.0, 0.0], [1.0]])


@pytest.mark.parametrize("space, seen", [(VECTOR, np.zeros(2)), (spaces.Discrete(4), 3)])
def test_what_a_reset_gives_is_more_than_an_observation(space, seen):
    agent = PPO(With(space, spaces.Discrete(2)), backend="numpy")
    with pytest.raises(UserError, match=r"not valid: env\.reset\(\) gives it beside infos, observation, _ = env\.res"):
        agent.act((seen, {}))


@pytest.mark.parametrize("space, given, told", [
    (spaces.Dict({"a": VECTOR}), {"b": np.zeros(2)}, "observation is not valid: it has no 'a', expected one of Dict"),
    (spaces.Dict({"a": VECTOR}), np.zeros(2), "observation is not valid: it has no 'a', expected one of Dict"),
    (spaces.Dict(a=spaces.Dict(b=VECTOR), c=VECTOR), {"a": {"b": [1, 2]}}, "observation is not valid: it has no 'c', "),
    (spaces.Tuple((VECTOR, VECTOR)), (np.zeros(2),), "observation is not valid: it has no '1', expected one of Tuple"),
    (spaces.Dict(a=VECTOR, c=spaces.Dict(b=VECTOR)), {"a": [1, 2], "c": {"b": 3}}, "observation 'c/b' of shape () is "),
    (spaces.Dict(a=VECTOR, c=VECTOR), {"a": np.ones((9, 2)), "c": [1, 2]}, "its parts are batches, but for 'c'"),
])  # fmt: skip
def test_observations_of_the_wrong_form(space, given, told):
    with pytest.raises(UserError, match=re.escape(told)):
        PPO(With(space, spaces.Discrete(2)), backend="numpy").act(given)


def part_of(space):
    """What an error says of the last part of a Dict or Tuple."""
    return {spaces.Dict: "'a' ", spaces.Tuple: "'1' "}.get(type(space), "")


@pytest.mark.parametrize("space, given, told", [
    (spaces.Box(-1.0, 1.0, (2,)), [np.nan, 0.0], r"nan at \[0\], expected finite numbers"),
    (spaces.Box(-1.0, 1.0, (2,)), [[0.0, 0.0], [0.0, -np.inf]], r"-inf at \[1, 1\], expected finite"),
    (spaces.Box(-1.0, 1.0, (2,)), np.array([None, 0.5]), r"None at \[0\], expected finite"),
    (spaces.Box(-1.0, 1.0, (2,)), ["a", "b"], r"'a'\)?, expected numbers"),
    (spaces.Box(-9, 9, (2,), np.int64), [0.5, 1.0], "0.5, expected whole numbers, int64"),
    (spaces.Dict(a=spaces.Discrete(3)), {"a": 1.5}, "1.5, expected whole numbers, int64"),
    (spaces.Box(0, 255, (2,), np.uint8), [300, 0], "300, expected uint8"),
    (spaces.Box(0, 255, (2,), np.uint8), [[0.0, 9.0], [255.0, -1.0]], "-1.0, expected uint8"),
    (spaces.Discrete(3), 3, r"3, expected one of Discrete\(3\)"),
    (spaces.Discrete(3, start=5), [5, 7, 4], r"4, expected one of Discrete\(3, start=5\)"),
    (spaces.Tuple((VECTOR, spaces.MultiDiscrete([2, 9]))), (np.zeros(2), [2.0, 8.0]), r"2.0, expected one of Multi"),
])  # fmt: skip
def test_observations_that_are_no_numbers_of_the_space(space, given, told):
    with pytest.raises(UserError, match=rf"^observation {part_of(space)}is not valid: it has .*{told}"):
        rows(space, given)


@pytest.mark.parametrize("given", [np.array([1, 2], object), [1.0, 2.0], [1, 2], [True, False]])
def test_whole_numbers_may_be_written_as_others(given):
    found, one = rows(spaces.Box(-9, 9, (2,), np.int64), given)
    assert one and found.tolist() == [list(given)]


def test_keys_that_a_checkpoint_would_change_are_refused():
    with pytest.raises(UserError, match=r"are not all text: write '0' for 0$"):
        parts_of(spaces.Dict({0: spaces.Discrete(2)}))
    inner = spaces.Dict(b=spaces.Discrete(2))
    with pytest.raises(UserError, match=r"^the keys 'a' and 'a/b' stand side by side in .*: rename one$"):
        parts_of(spaces.Dict({"a/b": spaces.Discrete(3), "a": inner}))
    assert list(parts_of(spaces.Dict({"a/b": spaces.Discrete(3), "a/": inner, "b": inner}))) == ["a/", "a/b", "b"]


@pytest.mark.parametrize("space, given", [
    (VECTOR, [None, None]), (VECTOR, ["1", "2"]), (VECTOR, np.zeros(2, complex)), (spaces.Discrete(3), None),
    (spaces.Tuple((VECTOR, spaces.Discrete(3))), (np.zeros(2), "a")),
])  # fmt: skip
def test_observations_that_are_no_numbers(space, given):
    """NumPy makes NaN of None, a number of text, and half of a complex number; or it raises an error of its own."""
    told = rf"^observation {part_of(space)}is not valid: it has .*, expected (finite )?numbers"
    with pytest.raises(UserError, match=told):
        PPO(With(space, spaces.Discrete(2)), backend="numpy").act(given)
