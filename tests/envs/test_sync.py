"""The lean vector environment tells what Gymnasium's own tells, step for step."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from counting import Counting
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlzoo.envs.sync import LeanSyncVectorEnv
from rlzoo.errors import UserError


class Talkative(gym.Env):
    """Random episodes of one to six steps that end either way or both at once, with infos of every kind."""

    def __init__(self, observation, action):
        self.observation_space, self.action_space = observation, action

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.left = int(self.np_random.integers(1, 7))
        return self.observation_space.sample(), {"begun": True, "length": self.left}

    def step(self, action):
        self.left -= 1
        end = int(self.np_random.integers(1, 4)) if self.left == 0 else 0  # terminated, truncated or both
        info = {
            "speed": 0.5 * self.left, "count": self.left, "parts": {"sum": float(np.sum(action))},
            "where": np.full(2, self.left, np.float32), "word": "x" * self.left, "exact": np.float32(self.left / 3),
        }  # fmt: skip
        if self.left % 2:
            info["sometimes"] = True
        return self.observation_space.sample(), self.np_random.standard_normal(), bool(end & 1), bool(end & 2), info


def box():
    return spaces.Box(-1.0, 1.0, (3,))


KINDS = {
    "box": lambda: Talkative(spaces.Box(-np.inf, np.inf, (2,)), spaces.Discrete(3)),
    "float64": lambda: Talkative(spaces.Box(-1.0, 1.0, (2, 2), np.float64), box()),
    "pixels": lambda: Talkative(spaces.Box(0, 255, (4, 4, 1), np.uint8), spaces.MultiDiscrete([2, 3])),
    "discrete": lambda: Talkative(spaces.Discrete(5, start=-1), spaces.MultiBinary(2)),
    "multi-discrete": lambda: Talkative(spaces.MultiDiscrete([3, 4]), box()),
    "binary": lambda: Talkative(spaces.MultiBinary(4), spaces.Discrete(2, start=3)),
    "dict": lambda: Talkative(spaces.Dict(a=box(), b=spaces.Discrete(2)), spaces.Discrete(2)),
    "tuple of actions": lambda: Talkative(box(), spaces.Tuple((spaces.Discrete(2), spaces.Discrete(3)))),
    "counting": Counting,
    "CartPole": lambda: gym.make("CartPole-v1", max_episode_steps=12),
    "Pendulum": lambda: gym.make("Pendulum-v1", max_episode_steps=7),
}


def assert_same(found, expected, where=""):
    """The same tree: types, shapes and values."""
    assert type(found) is type(expected), where
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        for name in expected:
            assert_same(found[name], expected[name], f"{where}/{name}")
    elif isinstance(expected, tuple | list):
        assert len(found) == len(expected), where
        for i, (one, other) in enumerate(zip(found, expected)):
            assert_same(one, other, f"{where}/{i}")
    elif isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), where
        if expected.dtype == object:
            assert_same(found.tolist(), expected.tolist(), where)
        else:
            np.testing.assert_array_equal(found, expected, err_msg=where)
    else:
        assert found == expected, where


@pytest.mark.parametrize("infos", [True, False])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_it_tells_what_gymnasium_tells(kind, n, infos):
    theirs = SyncVectorEnv([KINDS[kind]] * n, autoreset_mode=AutoresetMode.SAME_STEP)
    ours = LeanSyncVectorEnv([KINDS[kind]] * n, infos)
    assert isinstance(ours, SyncVectorEnv) and ours.metadata == theirs.metadata
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    theirs.action_space.seed(1)
    told = ended = 0
    for seed in (7, None):
        assert_same(ours.reset(seed=seed and [seed] * n), theirs.reset(seed=seed and [seed] * n))
        for t in range(40):
            action = theirs.action_space.sample()
            (*found, info), (*expected, their_info) = ours.step(action), theirs.step(action)
            assert_same(found, expected, f"step {t}")
            told, ended = told + bool(info), ended + ("final_obs" in their_info)
            if not infos:
                names = ("final_obs", "_final_obs")
                their_info = {name: their_info[name] for name in names if name in their_info}
            assert_same(info, their_info, f"info of step {t}")
    assert ended >= 5 and (infos or told == ended)


def test_a_part_is_reset_alone():
    made = [kind([lambda n=n: Counting(n) for n in (4, 9)]) for kind in (SyncVectorEnv, LeanSyncVectorEnv)]
    for env in made:
        env.reset(seed=0)
        for _ in range(3):
            env.step(np.zeros(2, int))
    results = [env.reset(options={"reset_mask": np.array([False, True])}) for env in made]
    assert_same(*results)
    np.testing.assert_array_equal(results[0][0], [[0, 3], [1, 0]])


def test_what_was_returned_is_not_written_over():
    env = LeanSyncVectorEnv([lambda: Counting(2)] * 2)
    env.reset(seed=0)
    steps = [env.step(np.zeros(2, int)) for _ in range(4)]
    np.testing.assert_array_equal([step[0][0] for step in steps], [[0, 1], [1, 0], [1, 1], [2, 0]])
    np.testing.assert_array_equal([step[1][1] for step in steps], [1, 2, 1, 2])
    np.testing.assert_array_equal([step[2][0] for step in steps], [False, True, False, False])
    np.testing.assert_array_equal([step[3][0] for step in steps], [False, False, False, True])
    np.testing.assert_array_equal(steps[1][4]["final_obs"][0], [0, 2])


def test_as_many_actions_as_environments():
    env = LeanSyncVectorEnv([Counting] * 2)
    env.reset(seed=0)
    with pytest.raises(ValueError):
        env.step(np.zeros(3, int))


def test_an_observation_of_another_shape_is_refused_and_not_repeated():
    class Scalar(Counting):
        def step(self, action):
            observation, *rest = super().step(action)
            return observation[:1], *rest

    env = LeanSyncVectorEnv([Scalar])
    env.reset(seed=0)
    with pytest.raises(UserError, match=r"observes \(1,\), its observation_space says \(2,\)"):
        env.step(np.zeros(1, int))


def test_an_observation_that_changes_its_shape_is_refused_whenever_it_does():
    class Shrinking(Counting):
        def observation(self):
            return super().observation()[: 1 if self.t == 2 else 2]

    env = LeanSyncVectorEnv([Counting, Shrinking])
    env.reset(seed=0)
    env.step(np.zeros(2, int))
    with pytest.raises(UserError, match=r"Shrinking.* observes \(1,\), its observation_space says \(2,\)"):
        env.step(np.zeros(2, int))


class Kinds(gym.Env):
    """Observes this at its beginning, and that at each step."""

    action_space = spaces.Discrete(2)

    def __init__(self, space, first, later):
        self.observation_space, self.first, self.later = space, first, later

    def reset(self, *, seed=None, options=None):
        return self.first, {}

    def step(self, action):
        return self.later, 1.0, False, False, {}


WHOLE = spaces.Box(0, 9, (2,), np.int64)
PARTS, OF_PARTS = spaces.Dict(a=spaces.Box(-1.0, 1.0, (2,)), b=spaces.Discrete(2)), {"a": np.zeros(2), "b": 1}


@pytest.mark.parametrize("space, right, wrong, told", [
    (WHOLE, np.array([1, 2]), np.array([1, 2, 3]), r"observes \(3,\), its observation_space says \(2,\): "),
    (WHOLE, np.array([1, 2]), None, r"observes \(\), its observation_space says \(2,\): "),
    (PARTS, OF_PARTS, {"a": np.zeros(1), "b": 1}, r"observes \(1,\), its observation_space says \(2,"),
    (PARTS, OF_PARTS, {"a": np.zeros(2)}, r"observes \{'a': array.*, its observation_space says Dict"),
    (PARTS, OF_PARTS, np.zeros(3), r"observes array.*, its observation_space says Dict"),
])  # fmt: skip
def test_observations_of_another_form_are_refused_at_reset_as_at_a_step(space, right, wrong, told):
    for first, later in ((wrong, right), (right, wrong)):
        env = LeanSyncVectorEnv([lambda first=first, later=later: Kinds(space, first, later)])
        with pytest.raises(UserError, match=rf"Kinds.* {told}"):
            env.reset(seed=0)
            env.step(np.zeros(1, int))


class Older(Kinds):
    """Returns as many things as it is told."""

    def __init__(self, n_reset=2, n_step=5):
        super().__init__(WHOLE, np.array([1, 2]), np.array([1, 2]))
        self.n_reset, self.n_step = n_reset, n_step

    def reset(self, **options):
        return super().reset(**options)[: self.n_reset] if self.n_reset > 1 else self.first

    def step(self, action):
        return super().step(action)[: self.n_step]


@pytest.mark.parametrize("made, told", [
    ({"n_reset": 1}, r"Older.* gives array\(\[1, 2\]\) for a reset: return an observation and a dict"),
    ({"n_step": 4}, r"Older.* gives 4 values for a step, .*: return observation, reward, terminated, truncated, info"),
])  # fmt: skip
def test_what_versions_of_gym_before_gymnasium_returned_is_refused(made, told):
    env = LeanSyncVectorEnv([lambda: Older(**made)])
    with pytest.raises(UserError, match=told):
        env.reset(seed=0)
        env.step(np.zeros(1, int))


def test_what_goes_wrong_within_a_reset_is_told_as_it_is():
    class Failing(Counting):
        def reset(self, **options):
            raise ValueError("market closed")

    with pytest.raises(ValueError, match=r"^market closed$"):
        LeanSyncVectorEnv([Failing]).reset(seed=0)


@pytest.mark.parametrize("space, whole, broken", [
    (WHOLE, np.array([1, 2]), np.array([1.5, 2.5])), (WHOLE, [1, 2], [1.5, 2.5]), (spaces.Discrete(3), 1, 1.5),
    (spaces.Box(0, 255, (2,), np.uint8), np.uint8([1, 2]), np.array([-1, 2])),
    (spaces.Dict(a=spaces.Tuple((WHOLE,))), {"a": (np.array([1, 2]),)}, {"a": (np.array([1.5, 2.5]),)}),
])  # fmt: skip
def test_observations_of_another_kind_of_number_are_refused_and_not_cut_off(space, whole, broken):
    for first, later in ((broken, whole), (whole, broken)):
        env = LeanSyncVectorEnv([lambda first=first, later=later: Kinds(space, first, later)])
        with pytest.raises(UserError, match=r"Kinds.* observes \w+64, its observation_space says u?int\d+: "):
            env.reset(seed=0)
            env.step(np.zeros(1, int))


@pytest.mark.parametrize("space, observation", [
    (spaces.Box(0.0, 9.0, (2,)), np.array([1, 2])), (spaces.Box(0.0, 9.0, (2,)), np.array([1.0, 2.0])),
    (spaces.Box(-9, 9, (2,), np.int8), np.array([1, 2])), (WHOLE, np.array([True, True])),
])  # fmt: skip
def test_numbers_of_the_same_kind_are_taken(space, observation):
    env = LeanSyncVectorEnv([lambda: Kinds(space, observation, observation)])
    for seen in (env.reset(seed=0)[0], env.step(np.zeros(1, int))[0]):
        np.testing.assert_array_equal(seen[0], observation)
        assert seen.dtype == space.dtype


@pytest.mark.parametrize("reward", [np.ones(1), np.ones(3), "much", [1.0]])
def test_a_reward_that_is_no_number_is_refused(reward):
    class Paying(Counting):
        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation, reward, *rest

    env = LeanSyncVectorEnv([Paying])
    env.reset(seed=0)
    with pytest.raises(UserError, match=r"Paying.* rewards with .*: a reward is a number"):
        env.step(np.zeros(1, int))


def test_what_is_told_of_a_step_is_not_put_together_where_nobody_reads_it():
    """Arrays of many lengths, and NaN beside a whole number, fit no common array."""

    class Telling(Counting):
        def step(self, action):
            *rest, _ = super().step(action)
            told = {"trades": np.ones(self.length), "sharpe": float("nan") if self.length == 3 else 0}
            return *rest, told

    env = LeanSyncVectorEnv([lambda n=n: Telling(n) for n in (3, 6)], infos=False)
    env.reset(seed=0)
    ended = [env.step(np.zeros(2, int))[-1] for _ in range(6)]
    assert list(ended[5]) == ["final_obs", "_final_obs"] and ended[0] == {}
