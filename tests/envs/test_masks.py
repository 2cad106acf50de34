"""Action masks stand beside observations, whatever gives them and however environments are reset."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from masked import ByMethod, Masked, Pairs, SeparatePairs, Short, Silent, Terse, mask_of

from rlzoo.envs import Stepper, make
from rlzoo.envs.masks import checked, leaves_a_choice
from rlzoo.errors import UserError


def allowed_action(mask, rng):
    return int(rng.choice(np.flatnonzero(mask)))


def assert_masks(env, steps=25):
    """Every mask that is seen is that of the observation beside it; where an episode terminated, it may be all ones."""
    stepper, rng = Stepper(env), np.random.default_rng(0)
    seen, ended = stepper.reset(0), 0
    assert env.single_observation_space["action_mask"] == spaces.MultiBinary(3)
    for _ in range(steps):
        masks, observations = seen["action_mask"], seen["observation"]
        for i, (mask, observation) in enumerate(zip(masks, observations)):
            if stepper.resetting is None or not stepper.resetting[i]:  # else what is chosen here is ignored
                np.testing.assert_array_equal(mask, mask_of(*observation))
        actions = np.array([allowed_action(mask_of(*observation), rng) for observation in observations])
        step = stepper.step(actions)
        led_to = step.next_observation
        for i, observation in enumerate(led_to["observation"]):
            if step.valid is not None and not step.valid[i]:
                continue
            possible = [mask_of(*observation).tolist()] + [[1, 1, 1]] * (step.done is not None and bool(step.done[i]))
            assert led_to["action_mask"][i].tolist() in possible
            ended += step.done is not None and bool(step.done[i])
        assert led_to["action_mask"].dtype == np.int8
        seen = step.observation
    assert ended >= 3 * env.num_envs


@pytest.mark.parametrize("kind", [Masked, Terse, ByMethod])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_of_a_vector_environment(kind, mode):
    """Its copies end at different times, so that some are reset while others go on."""
    env = SyncVectorEnv([lambda n=n: kind(n) for n in (2, 3, 3)], autoreset_mode=mode)
    assert_masks(make(env, action_masks=True))


@pytest.mark.parametrize("kind", [Masked, Terse, ByMethod])
def test_of_an_environment_object(kind):
    assert_masks(make(kind(3), action_masks=True))


@pytest.mark.parametrize("infos", [False, True])
def test_of_an_id(infos):
    assert_masks(make("rlzoo-tests/Masked-v0", 2, infos=infos, action_masks=True))


def test_a_vector_environment_in_a_wrapper_is_asked_too():
    env = SyncVectorEnv([ByMethod] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    assert_masks(make(gym.wrappers.vector.RecordEpisodeStatistics(env), action_masks=True))


@pytest.mark.parametrize("kind, warns", [(ByMethod, True), (Masked, False)])
def test_a_truncated_observation_whose_mask_nobody_can_tell_any_more_is_warned_of(kind, warns, recwarn):
    env = make(SyncVectorEnv([lambda: gym.wrappers.TimeLimit(kind(9), 2)], autoreset_mode=AutoresetMode.SAME_STEP),
               action_masks=True)  # fmt: skip
    seen, _ = env.reset(seed=0)
    for _ in range(2):
        seen, *_ = env.step(seen["action_mask"].argmax(-1))
    told = [str(one.message) for one in recwarn if "all actions count as allowed" in str(one.message)]
    assert bool(told) == warns
    assert all("no action mask for the last observation of a truncated episode" in one for one in told)


class Whole(VectorEnv):
    """A vector environment of its own, not of copies, that says all masks at once."""

    num_envs, metadata = 2, {"autoreset_mode": AutoresetMode.NEXT_STEP}
    single_observation_space, single_action_space = spaces.Box(0.0, 9.0, (1,)), spaces.Discrete(3)
    observation_space, action_space = spaces.Box(0.0, 9.0, (2, 1)), spaces.MultiDiscrete([3, 3])

    def reset(self, *, seed=None, options=None):
        return np.zeros((2, 1), np.float32), {}

    def step(self, actions):
        return np.zeros((2, 1), np.float32), np.zeros(2), np.ones(2, bool), np.zeros(2, bool), {}

    def action_masks(self):
        return np.array([[1, 0, 0], [0, 1, 1]], bool)


def test_a_method_of_the_vector_environment_itself():
    env = make(Whole(), action_masks=True)
    assert env.reset()[0]["action_mask"].tolist() == [[1, 0, 0], [0, 1, 1]]
    assert env.step(np.zeros(2))[0]["action_mask"].tolist() == [[1, 0, 0], [0, 1, 1]]


@pytest.mark.parametrize("kind", [Pairs, SeparatePairs])
@pytest.mark.parametrize("vector", [False, True])
def test_masks_of_several_actions_stand_one_after_another(kind, vector):
    env = make(SyncVectorEnv([kind]) if vector else kind(), action_masks=True)
    assert env.single_observation_space["action_mask"] == spaces.MultiBinary(5)
    seen, _ = env.reset(seed=0)
    assert seen["action_mask"][0].tolist() == [*mask_of(0, 0, 2), *mask_of(0, 0, 3)]
    action = np.array([[np.argmax(mask_of(0, 0, 2)), np.argmax(mask_of(0, 0, 3))]])
    seen = env.step(action)[0]
    assert seen["action_mask"][0].tolist() == [*mask_of(0, 1, 2), *mask_of(1, 0, 3)]


@pytest.mark.parametrize("vector", [False, True])
def test_a_mask_of_the_wrong_length(vector):
    env = make(SyncVectorEnv([Short]) if vector else Short(), action_masks=True)
    with pytest.raises(UserError, match="mask of 2 choices does not fit the action space, which has 3"):
        env.reset(seed=0)


@pytest.mark.parametrize("vector", [False, True])
def test_an_environment_without_masks(vector):
    env = make(SyncVectorEnv([Silent]) if vector else Silent(), action_masks=True)
    with pytest.raises(UserError, match=r"gives no action mask: .*info\['action_mask'\].*method action_masks\(\)"):
        env.reset(seed=0)


class Forgets(Masked):
    """Gives its last mask before the second step."""

    def told(self, terminated=False):
        return {} if self.t == 2 else super().told()


@pytest.mark.parametrize("vector", [False, True])
def test_a_mask_that_is_missing_in_the_middle_of_an_episode(vector):
    env = make(SyncVectorEnv([lambda: Forgets(9)] * 2) if vector else Forgets(9), action_masks=True)
    env.reset(seed=0)

    def step(t):
        return env.step(np.full(env.num_envs, np.argmax(mask_of(0, t))))

    step(0)
    with pytest.raises(UserError, match="gives no action mask"):
        step(1)


def test_spaces_whose_actions_cannot_be_masked():
    class Continuous(Masked):
        action_space = spaces.Box(-1.0, 1.0, (2,))

    with pytest.raises(UserError, match=r"for Discrete and MultiDiscrete, not for Box.*action_masks = false"):
        make(Continuous(), action_masks=True)


@pytest.mark.parametrize("form", ["native", "envpool"])
def test_forms_that_are_not_copies_are_refused(form):
    with pytest.raises(UserError, match=f"set vectorization = sync, not {form}"):
        make("CartPole-v1", 2, vectorization=form, action_masks=True)


def test_an_action_that_is_allowed_no_choice_may_take_any():
    """The others, of which the mask says something, keep to it."""
    assert checked([1, 0, 0, 0, 0], (2, 3)).tolist() == [1, 0, 1, 1, 1]
    assert checked([0, 0, 0, 1, 0], (2, 3)).tolist() == [1, 1, 0, 1, 0]
    assert checked([0, 0, 0, 0, 0], (2, 3)).tolist() == [1] * 5
    assert checked([0, 1, 0, 0, 1], (2, 3)).tolist() == [0, 1, 0, 0, 1]
    masks = np.array([[1, 0, 0, 0, 0], [0, 1, 0, 0, 1]])
    assert leaves_a_choice(masks, (2, 3)).tolist() == [[True, False], [True, True]]


def test_whatever_is_above_0_allows():
    """Probabilities and counts too, of which int8 would make 0."""
    assert checked([0.5, 0.0, 256.0, -1.0], (4,)).tolist() == [1, 0, 1, 0]
    assert checked(np.array([True, False]), (2,)).tolist() == [1, 0]
