"""What environments say of their ended episodes reaches the metrics and evaluation, in every autoreset mode."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
from counting import Counting
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TransformReward
from gymnasium.wrappers.vector import RecordEpisodeStatistics as RecordOfAll

from rlzoo import PPO, UserError
from rlzoo.envs import Stepper, make
from rlzoo.envs.outcomes import outcome_of, told_of_one
from rlzoo.envs.pool import EnvPoolVectorEnv

LENGTHS = (2, 3)


class Telling(Counting):
    """Succeeds in every third episode, counted from the first; what it says at other times is not of an ended one."""

    def reset(self, *, seed=None, options=None):
        observation, _ = super().reset(seed=seed, options=options)
        return observation, {"is_success": True}

    def step(self, action):
        observation, reward, terminated, truncated, _ = super().step(action)
        over = terminated or truncated
        return observation, reward, terminated, truncated, {"is_success": self.episode % 3 == 0 if over else True}


def tenfold(env):
    """Rewards of ten times what RecordEpisodeStatistics, below, counts."""
    return TransformReward(RecordEpisodeStatistics(env), lambda reward: 10.0 * reward)


class Silent(Telling):
    """At the last step and at resets it says nothing of success."""

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed, options=options)[0], {}

    def step(self, action):
        *told, _ = super().step(action)
        return *told, {}


def copies(one=Telling, around=lambda env: env, kind=SyncVectorEnv, mode=AutoresetMode.SAME_STEP, lengths=LENGTHS):
    return kind([lambda n=n: around(one(n)) for n in lengths], autoreset_mode=mode)


def ended(env, steps):
    """What each ended episode of each environment was: its success, its return, its length."""
    stepper, found = Stepper(env), [[] for _ in range(env.num_envs)]
    stepper.reset(0)
    for _ in range(steps):
        step = stepper.step(np.zeros(env.num_envs, int))
        for i in () if step.done is None else np.flatnonzero(step.done):
            outcome = stepper.outcome
            found[i].append((outcome.succeeded(i), *outcome.counted(i, -1.0, -1)))
    env.close()
    return found


@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_success_and_what_a_wrapper_counted_are_those_of_the_ended_episode(kind, mode):
    """Returns 1 + 2 and 1 + 2 + 3, though rewards are ten times these; success in the first and fourth episode."""
    for i, episodes in enumerate(ended(copies(around=tenfold, kind=kind, mode=mode), 13)):
        length = LENGTHS[i]
        assert len(episodes) >= 3
        expected = [(float(k % 3 == 0), length * (length + 1) / 2, length) for k in range(len(episodes))]
        assert episodes == expected


@pytest.mark.parametrize("infos", [True, False])
def test_copies_of_ours_tell_it_with_their_infos_and_without(infos):
    env = make(tenfold(Telling(2)), infos=infos)
    assert ended(env, 9)[0] == [(1.0, 3.0, 2), (0.0, 3.0, 2), (0.0, 3.0, 2), (1.0, 3.0, 2)]


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])  # else Gymnasium's miscounts
def test_a_wrapper_around_all_of_them_counts_too(mode):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = RecordOfAll(copies(Silent, mode=mode))
    for i, episodes in enumerate(ended(env, 13)):
        length = LENGTHS[i]
        first = (None, length * (length + 1) / 2, length)
        assert episodes[0] == first and len(episodes) >= 3
        if mode is not AutoresetMode.SAME_STEP or gym.__version__ >= "1.4":  # before, it did not count a first step
            assert episodes == [first] * len(episodes)


def test_an_environment_says_nothing_for_another():
    """One of two is silent: what the other said is not taken for its own, whichever ended."""
    env = SyncVectorEnv([lambda: tenfold(Telling(2)), lambda: Silent(2)], autoreset_mode=AutoresetMode.SAME_STEP)
    talks, silent = ended(env, 4)
    assert talks == [(1.0, 3.0, 2), (0.0, 3.0, 2)] and silent == [(None, -1.0, -1)] * 2


def test_what_is_no_success_and_no_count_is_not_taken_for_one():
    for info in ({"is_success": None}, {"is_success": "yes"}, {"is_success": [1, 0]}, {"episode": 3}, {"episode": {}},
                 {"episode": {"r": 1.0}}, {"episode": {"r": None, "l": 2}}, None):  # fmt: skip
        assert told_of_one(info) == {}
    said = {"is_success": np.True_, "episode": {"r": np.float32(2.5), "l": np.array(4), "t": 0.1}, "more": object()}
    assert told_of_one(said) == {"final_info": {"is_success": 1.0, "episode": {"r": 2.5, "l": 4.0}}}
    wrong = outcome_of({"is_success": np.array([None, object()]), "episode": np.arange(2)}, 2, False)
    assert wrong.succeeded(0) is None and wrong.counted(0, 1.5, 3) == (1.5, 3)
    assert outcome_of({"is_success": np.ones(2)}, 2, same_step=True) is None  # of the episodes that begin


class Pool:
    """As EnvPool steps: three steps an episode, and success in the second of two environments."""

    def __init__(self):
        self.elapsed = np.zeros(2, int)

    def reset(self, which=None):
        self.elapsed[slice(None) if which is None else which] = 0
        return np.zeros((2 if which is None else len(which), 4), np.float32), {}

    def step(self, actions):
        self.elapsed += 1
        told = {"elapsed_step": self.elapsed.copy(), "is_success": np.array([0.0, 1.0])}
        return np.zeros((2, 4), np.float32), np.ones(2), self.elapsed == 3, np.zeros(2, bool), told


def test_envpool_tells_what_its_infos_have():
    env = EnvPoolVectorEnv.__new__(EnvPoolVectorEnv)
    env.num_envs, env.limit, env.pool, env._make_pool = 2, 100, Pool(), lambda seeds: Pool()
    one = gym.make("CartPole-v1")
    env.single_observation_space, env.single_action_space = one.observation_space, one.action_space
    assert ended(env, 7) == [[(0.0, -1.0, -1)] * 2, [(1.0, -1.0, -1)] * 2]


# ---- where it is reported --------------------------------------------------------------------------------------------
SMALL = dict(backend="jax", n_steps=12, batch_size=24, hidden=(4,))


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_run_reports_the_share_of_success_and_the_counted_returns(mode):
    episodes = PPO(copies(around=tenfold, mode=mode), **SMALL).learn(48).episodes
    assert set(zip(episodes.returns, episodes.lengths)) == {(3.0, 2), (6.0, 3)}
    assert len(episodes.successes) == len(episodes.returns) == episodes.finished >= 12
    assert 0.2 < np.mean(episodes.successes) < 0.5 and set(episodes.successes) == {0.0, 1.0}
    assert episodes.record()["success_rate"] == pytest.approx(np.mean(episodes.successes))
    assert episodes.record()["episode_return"] == pytest.approx(np.mean(episodes.returns))


def test_success_survives_a_checkpoint(tmp_path):
    agent = PPO(copies(), **SMALL).learn(48)
    loaded = PPO.load(agent.save(tmp_path / "saved"), env=copies(), backend="numpy")
    assert list(loaded.episodes.successes) == list(agent.episodes.successes) != []


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_an_evaluation_has_the_share_of_success(mode):
    agent = PPO(copies(around=tenfold), **SMALL)
    result = agent.evaluate(8, env=copies(around=tenfold, mode=mode))
    assert (sorted(result.returns), sorted(result.lengths)) == ([3.0] * 4 + [6.0] * 4, [2] * 4 + [3] * 4)
    assert result.success_rate == 0.5  # of four episodes in each, the first and the fourth
    assert str(result) == "mean return 4.5 ± 1.5 over 8 episodes, 50% successful"
    silent = agent.evaluate(8, env=copies(Silent, mode=mode))
    assert silent.success_rate is None and str(silent) == "mean return 4.5 ± 1.5 over 8 episodes"


def test_an_episode_that_is_cut_off_has_not_succeeded_or_failed():
    agent = PPO(copies(), **SMALL)
    with pytest.warns(UserWarning, match="cut off at 4"):
        result = agent.evaluate(6, env=copies(lengths=(3, 9)), longest=4)
    assert result.cut == 1 and result.returns == (6.0, 6.0, 6.0, 10.0)
    assert result.success_rate == pytest.approx(1 / 3)


def test_metrics_may_not_be_called_as_columns_of_success():
    class Named(PPO):
        metrics = ("success_rate", *PPO.metrics[1:])

    with pytest.raises(UserError, match="column of every run"):
        Named("CartPole-v1", backend="numpy")
