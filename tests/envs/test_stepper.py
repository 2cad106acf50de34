"""One way to step: every autoreset mode tells the same transitions."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from counting import Counting
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlzoo import PPO
from rlzoo.backend import tree
from rlzoo.envs import Stepper, make
from rlzoo.envs.sync import LeanSyncVectorEnv
from rlzoo.errors import UserError


def transitions(mode, lengths=(2, 3), steps=12):
    """For each environment the list of its valid transitions: from, to, reward, terminated, truncated."""
    env = SyncVectorEnv([lambda n=n: Counting(n) for n in lengths], autoreset_mode=mode)
    stepper, seen = Stepper(env), [[] for _ in lengths]
    observation = stepper.reset(0)
    for _ in range(steps):
        before = observation.copy()
        step = stepper.step(np.zeros(len(lengths), int))
        observation = step.observation
        for i in range(len(lengths)) if step.valid is None else np.flatnonzero(step.valid):
            row = before[i], step.next_observation[i], step.reward[i], step.terminated[i], step.truncated[i]
            seen[i].append([np.asarray(x).tolist() for x in row])
    return seen


def expected(length, count):
    rows = []
    for episode in range(count):
        for t in range(length):
            last, cut = t + 1 == length, episode % 2 == 1
            rows.append([[episode, t], [episode, t + 1], t + 1.0, last and not cut, last and cut])
    return rows[:count]


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_transitions(mode):
    for length, seen in zip((2, 3), transitions(mode)):
        assert len(seen) >= 8
        assert seen == expected(length, len(seen))


@pytest.mark.parametrize("kind", [lambda x: x.astype(np.float32), lambda x: x.astype(np.int64), list])
@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_truths_may_be_numbers(mode, kind):
    class Numbers(gym.vector.VectorWrapper):
        def step(self, actions):
            observation, reward, terminated, truncated, info = self.env.step(actions)
            return observation, reward, kind(terminated), kind(truncated), info

    stepper = Stepper(Numbers(SyncVectorEnv([lambda: Counting(2), Counting], autoreset_mode=mode)))
    stepper.reset(0)
    stepper.step(np.zeros(2, int))
    two, three = (stepper.step(np.zeros(2, int)) for _ in range(2))
    assert two.terminated.tolist() == two.done.tolist() == [True, False] and not two.truncated.any()
    assert three.terminated.tolist() == [False, True] and three.done.dtype == three.truncated.dtype == np.bool_
    assert (three.valid is None) == (mode is AutoresetMode.SAME_STEP)


@pytest.mark.parametrize("place, change, told", [
    (0, lambda x: x[:, :1], r"observes an array of shape \(3, 1\), expected \(3, 2\)"),
    (0, lambda x: x[0], r"observes an array of shape \(2,\), expected \(3, 2\)"),
    (1, lambda x: x[:, None], r"rewards with an array of shape \(3, 1\), expected \(3,\)"),
    (1, lambda x: x[0], r"rewards with an array of shape \(\), expected \(3,\)"),
    (2, lambda x: x[:, None], r"ends episodes by an array of shape \(3, 1\)"),
    (3, lambda x: False, r"cuts them by an array of shape \(\)"),
])  # fmt: skip
def test_what_is_not_one_for_each_environment_is_refused_and_not_repeated(place, change, told):
    class Wrong(gym.vector.VectorWrapper):
        def step(self, actions):
            stepped = list(self.env.step(actions))
            stepped[place] = change(stepped[place])
            return stepped

    stepper = Stepper(Wrong(SyncVectorEnv([Counting] * 3)))
    stepper.reset(0)
    with pytest.raises(UserError, match=told):
        stepper.step(np.zeros(3, int))


def test_a_part_that_is_missing_is_named():
    class Wrong(gym.vector.VectorWrapper):
        single_observation_space = gym.spaces.Dict(price=gym.spaces.Box(-9.0, 9.0, (2,)))

        def reset(self, **options):
            observation, info = self.env.reset(**options)
            return {"prices": observation}, info

    with pytest.raises(UserError, match="observes no part 'price', which its space has: correct either"):
        Stepper(Wrong(SyncVectorEnv([Counting] * 3))).reset(0)


def test_only_next_step_spends_steps_on_resets():
    counts = {mode: [len(rows) for rows in transitions(mode)] for mode in AutoresetMode}
    assert counts == {
        AutoresetMode.SAME_STEP: [12, 12], AutoresetMode.DISABLED: [12, 12], AutoresetMode.NEXT_STEP: [8, 9],
    }  # fmt: skip


def test_a_reset_forgets_what_was_resetting():
    stepper = Stepper(SyncVectorEnv([Counting], autoreset_mode=AutoresetMode.NEXT_STEP))
    stepper.reset(0)
    for _ in range(3):
        step = stepper.step(np.zeros(1, int))
    assert step.terminated[0]
    stepper.reset(0)
    assert stepper.step(np.zeros(1, int)).valid is None


def test_cartpole_vector_env_is_next_step():
    env = CartPoleVectorEnv(num_envs=2, max_episode_steps=4)
    stepper = Stepper(make(env))
    assert stepper.mode is AutoresetMode.NEXT_STEP
    stepper.reset(0)
    steps = [stepper.step(np.array([0, 1])) for _ in range(6)]
    assert [bool(step.truncated[0]) for step in steps] == [False, False, False, True, False, False]
    assert [step.valid is None for step in steps] == [True, True, True, True, False, True]
    assert not steps[4].valid.any()


class Forgetful(gym.vector.VectorEnv):
    """Says SAME_STEP and keeps the final observation to itself."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012
    num_envs, single_observation_space = 1, spaces.Box(-1.0, 1.0, (2,))

    def step(self, actions):
        return np.zeros((1, 2)), np.zeros(1), np.zeros(1, bool), np.ones(1, bool), {}


def test_a_missing_final_observation_is_an_error():
    with pytest.raises(ValueError, match="final_obs"):
        Stepper(Forgetful()).step(np.zeros(1, int))


class Shuffled(gym.vector.VectorEnv):
    """Names the parts of its observations in another order than its space; ends every second step."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012
    num_envs = 1
    single_observation_space = spaces.Dict({
        "a": spaces.Discrete(9), "b": spaces.Dict({"c": spaces.Discrete(9), "d": spaces.Discrete(9)}),
    })  # fmt: skip

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self.observation(0), {}

    def observation(self, t, batch=lambda x: np.array([x])):
        return {"b": {"d": batch(30 + t), "c": batch(20 + t)}, "a": batch(10 + t)}

    def step(self, actions):
        self.t += 1
        done, final = np.array([self.t == 2]), np.array([self.observation(self.t, int)], object)
        if done[0]:
            self.t = 0
        info = {"final_obs": final, "_final_obs": done} if done[0] else {}
        return self.observation(self.t), np.zeros(1), done, np.zeros(1, bool), info


class Overwriting(Counting):
    """Counting, which gives every observation in one and the same array."""

    def __init__(self, length=3):
        super().__init__(length)
        self.buffer = np.zeros(2, np.float32)

    def observation(self):
        self.buffer[:] = super().observation()
        return self.buffer


class Parts(gym.ObservationWrapper):
    """The observation as a part of a dict, which is one and the same each step."""

    def __init__(self, env):
        super().__init__(env)
        self.observation_space, self.shared = spaces.Dict({"place": env.observation_space}), {}

    def observation(self, observation):
        self.shared["place"] = observation
        return self.shared


@pytest.mark.parametrize("env", [
    lambda: LeanSyncVectorEnv([Overwriting]),
    lambda: LeanSyncVectorEnv([lambda: Parts(Overwriting())]),
    lambda: SyncVectorEnv([Counting], copy=False, autoreset_mode=AutoresetMode.NEXT_STEP),
])  # fmt: skip
def test_where_an_episode_led_is_not_written_over(env):
    stepper, led_to = Stepper(env()), []
    stepper.reset(0)
    for _ in range(9):
        step = stepper.step(np.zeros(1, int))
        if step.done is not None:
            led_to += tree.flatten(step.next_observation)[0]
    assert [place.tolist() for place in led_to[:2]] == [[[0.0, 3.0]], [[1.0, 3.0]]]


def test_an_environments_own_mode_counts_more_than_what_its_kind_shares():
    """Gymnasium before 1.4 writes the mode of the last one made into what all of a class share."""
    env = SyncVectorEnv([Counting], autoreset_mode=AutoresetMode.SAME_STEP)
    env.metadata = {**env.metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}
    assert Stepper(env).mode is AutoresetMode.SAME_STEP
    assert Stepper(CartPoleVectorEnv(2)).mode is AutoresetMode.NEXT_STEP


def test_parts_come_in_the_order_of_the_space():
    """So that what keeps them in columns, as buffers do, keeps each where it belongs."""
    stepper, leaves = Stepper(Shuffled()), []
    leaves.append(stepper.reset())
    for _ in range(2):
        step = stepper.step(np.zeros(1, int))
        leaves += [step.next_observation, step.observation]
    assert [[int(x[0]) for x in tree.flatten(leaf)[0]] for leaf in leaves] == [
        [10, 20, 30], [11, 21, 31], [11, 21, 31], [12, 22, 32], [10, 20, 30],
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_flags_of_other_types_are_taken_for_what_they_mean(mode, dtype):
    class Flags(SyncVectorEnv):
        def step(self, actions):
            observation, reward, terminated, truncated, info = super().step(actions)
            return observation, reward, terminated.astype(dtype), truncated.astype(dtype), info

    bools, others = (
        PPO(kind([lambda n=n: Counting(n) for n in (2, 3, 5)], autoreset_mode=mode), backend="jax", n_steps=12,
            batch_size=36, hidden=(4,), normalize_reward=True).learn(72) for kind in (SyncVectorEnv, Flags)
    )  # fmt: skip
    assert bools.episodes.lengths == others.episodes.lengths and set(others.episodes.lengths) == {2, 3, 5}
    assert others.rollout.valid.dtype == np.float32 and set(np.unique(others.rollout.valid)) <= {0.0, 1.0}
    np.testing.assert_array_equal(bools.flat, others.flat)
