"""What may be named or passed as an environment, and evaluation in one of its own."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from counting import Counting
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import rlzoo
from rlzoo import DQN, PPO
from rlzoo.envs import family_of, form_of, is_harmless, limit_of, make, make_separate, name_of, spec_of
from rlzoo.envs.names import arguments_of
from rlzoo.errors import UserError
from rlzoo.training.callbacks import Every
from rlzoo.training.evaluate import evaluate

SMALL = dict(backend="jax", n_steps=8, batch_size=8, hidden=(8,))
EAGER = SMALL | dict(backend="torch", eager=True)  # where nothing is compared, and compiling would take longest


def test_environments_are_made_as_agents_make_theirs():
    env = rlzoo.make("CartPole-v1", 2)
    assert env.num_envs == 2 and env.reset(seed=0)[0].shape == (2, 4)
    env.close()


@pytest.mark.parametrize("env, n_envs", [
    ("CartPole-v1", 3),
    ("gymnasium.envs.classic_control.cartpole:CartPole-v1", 3),
    (lambda: gym.make("CartPole-v1"), 1),
    (lambda: SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 2), 2),
    (lambda: gym.make_vec("CartPole-v1", 2, "sync"), 2),
    (lambda: gym.make_vec("CartPole-v1", 2, "vector_entry_point"), 2),
    (lambda: CartPoleVectorEnv(num_envs=2), 2),
])  # fmt: skip
def test_every_way_to_name_cartpole_learns(env, n_envs):
    env = env if isinstance(env, str) else env()
    given = {"n_envs": n_envs} if isinstance(env, str) else {}
    agent = PPO(env, **SMALL, **given).learn(8 * n_envs)
    assert agent.steps == 8 * n_envs and agent.vector_env.num_envs == n_envs
    assert agent.config.gamma == (0.99 if type(env) is CartPoleVectorEnv and env.spec is None else 0.98)
    evaluation = agent.evaluate(episodes=3)
    assert evaluation.episodes == 3 and evaluation.returns == tuple(float(n) for n in evaluation.lengths)


def test_a_user_environment_without_a_spec():
    env = Counting()
    assert env.spec is None and name_of(env) == "Counting" and family_of(env) is None
    agent = PPO(env, **SMALL).learn(8)
    assert env.seeds[0] is not None and len(env.seeds) == 1 + 8 // 3
    assert agent.evaluate(episodes=4).returns == (6.0,) * 4
    assert len(env.seeds) == 1 + 8 // 3, "evaluation plays in a copy"


def test_family_and_name():
    assert (name_of("CartPole-v1"), family_of("CartPole-v1")) == ("CartPole-v1", "classic_control")
    assert family_of("FrozenLake-v1") == "toy_text"


def test_an_id_that_is_a_vector_environment_alone():
    gym.register("rlzoo-tests/OnlyVector-v0", vector_entry_point=CartPoleVectorEnv)
    assert PPO("rlzoo-tests/OnlyVector-v0", **SMALL, n_envs=2).learn(16).steps == 16
    with pytest.raises(UserError, match="frame_stack is for copies"):
        PPO("rlzoo-tests/OnlyVector-v0", **SMALL, frame_stack=2)
    with pytest.raises(UserError, match="gives no action mask"):
        PPO("rlzoo-tests/OnlyVector-v0", **SMALL, action_masks=True).learn(8)


def test_copies_are_of_one_kind_and_reset_in_the_same_step():
    env = make("CartPole-v1", 3)
    assert env.num_envs == 3 and env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert make_separate("CartPole-v1", 2).num_envs == 2 and make_separate(env.envs[0], 2).num_envs == 1


@pytest.mark.parametrize("env, message", [
    ("CartPol-v1", "CartPol-v1.*CartPole-v1"),
    ("CartPole-v7", "CartPole-v7"),
    ("FetchReach-v4", "package:FetchReach-v4$"),
    ("Hopper-v3", "needs more: .* — or take Hopper-v5$"),
    ("no_such_module:Env-v0", "no_such_module"),
    (3, "not 3"),
])  # fmt: skip
def test_what_is_no_environment(env, message):
    with pytest.raises(UserError, match=message):
        make(env)


@pytest.mark.parametrize("missing", ["observation_space", "action_space"])
@pytest.mark.parametrize("value", [None, (-1.0, 1.0)])
def test_an_environment_without_a_space_is_refused(missing, value):
    env = Counting()
    setattr(env, missing, value)
    with pytest.raises(UserError, match=rf"Counting.*: its {missing} is .*, which is no space: set self\.{missing} "):
        make(env)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_each_environment_plays_a_fixed_share_of_the_episodes(mode):
    """Short episodes do not crowd out long ones, and the rewards of a reset step do not count."""
    env = SyncVectorEnv([lambda n=n: Counting(n) for n in (1, 5, 2)], autoreset_mode=mode)
    result = evaluate(lambda observation, first: np.zeros(3, int), env, 7, seed=0)
    assert result.lengths == (1, 1, 1, 5, 5, 2, 2)
    assert result.returns == (1.0, 1.0, 1.0, 15.0, 15.0, 3.0, 3.0)
    assert result.mean_return == pytest.approx(39 / 7)


@pytest.mark.parametrize("kind, settings", [
    (PPO, SMALL), (DQN, {"backend": "jax", "hidden": (8,), "learning_starts": 8, "gradient_steps": 2, "train_freq": 8}),
])  # fmt: skip
def test_evaluation_does_not_disturb_training(kind, settings):
    def weights(callbacks):
        return kind("CartPole-v1", n_envs=1, seed=3, **settings).learn(64, callbacks=callbacks).flat

    results = []
    every = Every(16, lambda agent: results.append(agent.evaluate(episodes=2, deterministic=len(results) % 2 == 0)))
    np.testing.assert_array_equal(weights([every]), weights([]))
    assert len(results) == 4


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1"])
def test_seeds_that_are_not_valid(seed):
    with pytest.raises(UserError, match=rf"seed = {seed!r} is not valid"):
        PPO("CartPole-v1", **SMALL).evaluate(1, seed=seed)


def test_evaluation_is_reproducible_and_follows_its_seed():
    agent = PPO("CartPole-v1", **SMALL, n_envs=1)
    assert agent.evaluate(12) == agent.evaluate(12)
    assert agent.evaluate(12, seed=1).returns != agent.evaluate(12, seed=2).returns
    assert agent.evaluate(12, seed=1, deterministic=False).returns != agent.evaluate(12, seed=1).returns


def test_arguments_follow_an_id():
    named = spec_of("CartPole-v1,sutton_barto_reward=true")
    assert named.id == "CartPole-v1" and named.kwargs["sutton_barto_reward"] is True
    assert "sutton_barto_reward" not in gym.spec("CartPole-v1").kwargs, "the registry's own is another"
    for n_envs in (1, 2, 8):  # copies, and the native form
        env = make("CartPole-v1,sutton_barto_reward=true", n_envs)
        env.reset(seed=0)
        assert env.step(env.action_space.sample())[1].max() == 0.0, "it pays −1 at the end and nothing before"
        env.close()
    found = arguments_of("Any-v0,a=1,b=-2.5,c=8x8,d=False,e=none")
    assert found == {"a": 1, "b": -2.5, "c": "8x8", "d": False, "e": None}


@pytest.mark.parametrize("vectorization", ["sync", "native", "auto"])
def test_a_limit_may_follow_an_id(vectorization):
    """Where it learns, in whatever form; where it is evaluated; and where a run is gone on with."""
    name = "MountainCar-v0,max_episode_steps=7" if vectorization == "sync" else "CartPole-v1,max_episode_steps=7"
    assert limit_of(name) == 7 and spec_of(name).kwargs == gym.spec(name.partition(",")[0]).kwargs
    agent = PPO(name, **EAGER, n_envs=8, vectorization=vectorization).learn(8 * 16)
    assert form_of(agent.vector_env) == ("sync" if vectorization == "sync" else "native")
    assert agent._limit == limit_of(agent.vector_env) == 7
    assert agent.environment_name == name and set(agent.episodes.lengths) == {7}
    assert agent.evaluate(3).lengths == (7,) * 3


def test_a_limit_is_kept_with_an_agent(tmp_path):
    PPO("CartPole-v1,max_episode_steps=7", **EAGER, n_envs=1).save(tmp_path / "it")
    agent = PPO.load(tmp_path / "it", backend="torch", eager=True)
    assert agent.environment_name == "CartPole-v1,max_episode_steps=7" and agent._limit == 7
    assert set(agent.learn(40).episodes.lengths) == set(agent.evaluate(3).lengths) == {7}


def test_an_id_without_a_limit():
    name = "MountainCar-v0,max_episode_steps=none"
    assert limit_of(name) == 0 and limit_of("MountainCar-v0,max_episode_steps=1e3") == 1000
    env = make(name, 1)
    env.reset(seed=0)
    assert not any(env.step(np.ones(1, int))[3][0] for _ in range(250)), "the registered limit is 200"
    with pytest.raises(UserError, match="vector form of CartPole-v1 is not without a limit: set vectorization = sync"):
        make("CartPole-v1,max_episode_steps=none", 8, vectorization="native")
    assert form_of(make("CartPole-v1,max_episode_steps=none", 8, vectorization="auto")) == "sync"


@pytest.mark.parametrize("value", ["0", "-5", "7.5", "many", "true"])
def test_a_limit_that_is_none(value):
    with pytest.raises(UserError, match=f"max_episode_steps={value}': max_episode_steps = .* at least 1, or none"):
        spec_of(f"CartPole-v1,max_episode_steps={value}")


@pytest.mark.parametrize("env, told", [
    ("CartPole-v1,sutton", "'sutton' is not NAME=VALUE"),
    ("CartPole-v1,=1", "'=1' is not NAME=VALUE"),
    ("CartPole-v1,max_episode_steps=5,max_episode_steps=7", "max_episode_steps is given twice; leave one out"),
    ("CartPole-v1,reward=1", "unexpected keyword argument 'reward'.*CartPole-v1,NAME=VALUE"),
    ("FrozenLake-v1,map_name=9x9", r"cannot be made \(KeyError: '9x9'\).*leave them out: FrozenLake-v1"),
    ("FrozenLake-v1,desc=x", r"cannot be made \(.*FrozenLake-v1"),
    ("../x:CartPole-v1", r"'\.\./x' is not the name of a module"),
    (".:CartPole-v1", r"'\.' is not the name of a module"),
])  # fmt: skip
def test_arguments_that_are_not_valid(env, told):
    with pytest.raises(UserError, match=told):
        make(env)


def test_what_is_still_to_be_called_is_no_environment():
    with pytest.raises(UserError, match=r"^env must be an id, .*, not <class '.*Counting'>: call it, if it makes one$"):
        make(Counting)
    with pytest.raises(UserError, match=r"^env must be an id, .*, not None$"):
        make(None)


def test_what_may_be_made_on_a_files_word():
    assert is_harmless("CartPole-v1") and is_harmless("FrozenLake-v1,is_slippery=false,n=3")
    assert not is_harmless("a_module:Env-v0") and not is_harmless("FrozenLake-v1,map_name=8x8")
