"""Atari's games: the two ways to make their images agree to the bit, and returns are the game's own."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest
from engines import ALL

from rlzoo import DQN, PPO
from rlzoo.algorithms import ALGORITHMS, find
from rlzoo.envs import Stepper, atari, family_of, form_of, make, make_separate, spec_of
from rlzoo.envs.sync import LeanSyncVectorEnv
from rlzoo.errors import UserError
from rlzoo.training.resolve import resolve

MISSING = [name for name in ("ale_py", "cv2") if find_spec(name) is None]
needs_games = pytest.mark.skipif(bool(MISSING) and not ALL, reason=f"not installed: {', '.join(MISSING)}")
SURE = "repeat_action_probability=0.0"
SMALL = dict(n_envs=2, n_steps=8, batch_size=16, n_epochs=1, seed=3)


@needs_games
@pytest.mark.parametrize("game, steps", [("Breakout", 400), ("MsPacman", 620)])
def test_both_forms_are_the_same_game(monkeypatch, game, steps):
    """Images, rewards, ends, the last images of episodes, and returns, until several have ended."""
    monkeypatch.setattr(atari, "NO_OPS", 0)  # these, and repeated actions, are drawn from other numbers
    env, n = f"ALE/{game}-v5,{SURE}", 2
    native = make(env, n, vectorization="auto", preprocessing="atari", frame_stack=4)
    copies = make(env, n, vectorization="sync", preprocessing="atari", frame_stack=4)
    assert (form_of(native), form_of(copies)) == ("native", "sync") and isinstance(copies, LeanSyncVectorEnv)
    for name in ("single_observation_space", "single_action_space", "observation_space", "action_space"):
        assert getattr(native, name) == getattr(copies, name)
    assert native.single_observation_space == gym.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    ours, theirs = Stepper(native), Stepper(copies)
    np.testing.assert_array_equal(ours.reset(0), theirs.reset(0))
    rng, ended, rewards = np.random.default_rng(0), 0, set()
    for _ in range(steps):
        action = rng.integers(native.single_action_space.n, size=n)
        one, other = ours.step(action), theirs.step(action)
        for name in ("observation", "next_observation", "reward", "terminated", "truncated"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        rewards |= set(one.reward.tolist())
        if one.done is not None:
            ended += np.count_nonzero(one.done)
            for i in np.flatnonzero(one.done):
                assert ours.outcome.counted(i, -1.0, -1) == theirs.outcome.counted(i, -1.0, -1) != (-1.0, -1)
    assert ended >= 2 and rewards == {0.0, 1.0}


@needs_games
@pytest.mark.parametrize("vectorization", ["auto", "sync"])
def test_the_returns_reported_are_the_games_own(vectorization):
    """A pellet of Ms. Pac-Man is worth ten points: the agent learns from ones, the returns are told in points."""
    agent = PPO("ALE/MsPacman-v5", backend="numpy", n_envs=1, vectorization=vectorization)
    stepper = Stepper(agent.vector_env)
    stepper.reset(1)
    rng, signs, length = np.random.default_rng(1), 0.0, 0
    while True:
        step = stepper.step(rng.integers(9, size=1))
        assert step.reward[0] in (0.0, 1.0)
        signs, length = signs + step.reward[0], length + 1
        if step.done is not None:
            break
    points, counted = stepper.outcome.counted(0, signs, length)
    assert counted == length and points >= 10 * signs > 0 and points % 10 == 0


@needs_games
@pytest.mark.parametrize("vectorization", ["native", "sync"])
def test_a_game_does_not_wait_for_an_agent_that_never_presses_the_button(vectorization):
    """Five balls of Breakout, each lost at once: the last life has begun as the first has."""
    stepper = Stepper(make(f"ALE/Breakout-v5,{SURE}", vectorization=vectorization, preprocessing="atari"))
    stepper.reset(0)
    assert any(stepper.step(np.zeros(1, int)).terminated[0] for _ in range(200))


@needs_games
def test_seeds():
    """A seed gives the same game on however many threads, and game i of seed s is game 0 of seed s + i."""
    def play(n, seed):
        env = make("ALE/Pong-v5", n, vectorization="native", preprocessing="atari")
        seen = [env.reset(seed=seed)[0]]
        for t in range(40):
            seen.append(env.step(np.full(n, 2 + t % 2))[0])  # up and down, which may be repeated
        again = env.reset(seed=seed)[0]
        np.testing.assert_array_equal(again, seen[0])
        return np.stack(seen)

    three = play(3, 7)
    np.testing.assert_array_equal(three, play(3, 7))
    np.testing.assert_array_equal(three[:, 2], play(1, 9)[:, 0])
    assert not np.array_equal(three[:, 0], three[:, 1])
    assert three.shape == (41, 3, 84, 84, 1)
    np.testing.assert_array_equal(play(1, 2**31 + 4), play(1, 5))  # seeds of evaluations may be so large


@needs_games
@pytest.mark.parametrize("vectorization", ["native", "sync"])
def test_a_game_that_is_cut_off_is_truncated(vectorization):
    env = "ALE/Breakout-v5,max_num_frames_per_episode=120"
    stepper = Stepper(make(env, 2, vectorization=vectorization, preprocessing="atari"))
    stepper.reset(0)
    steps = [stepper.step(np.zeros(2, int)) for _ in range(31)]
    assert sum(step.truncated.sum() for step in steps) == 2
    assert not any(step.terminated.any() for step in steps)


@needs_games
def test_a_limit_counts_what_the_agent_does():
    """Steps, of four frames each, and not the ones of no operation before; it is truncation, and returns are told."""
    agent = PPO("ALE/MsPacman-v5,max_episode_steps=150", backend="numpy", n_envs=1)
    assert form_of(agent.vector_env) == "sync" and agent.vector_env.single_observation_space.shape == (84, 84, 4)
    stepper = Stepper(agent.vector_env)
    stepper.reset(0)
    steps = [stepper.step(np.array([1 + t // 10 % 4])) for t in range(150)]
    assert [bool(step.truncated[0]) for step in steps] == [False] * 149 + [True]
    signs = sum(step.reward[0] for step in steps)
    assert stepper.outcome.counted(0, signs, 0) == (10.0 * signs, 150) and signs > 0


@needs_games
@pytest.mark.parametrize("sent", [False, True])
def test_a_step_that_was_broken_off_is_forgotten(monkeypatch, sent):
    """Ctrl-C before the games were told of it, or while they play: seeds give what they always give."""
    games = make("ALE/Pong-v5", 2, vectorization="native", preprocessing="atari")
    stepper = Stepper(games)

    def played():
        seen = [stepper.reset(1)]
        return np.stack(seen + [stepper.step(np.full(2, 2)).observation for _ in range(5)])

    class Interrupted:
        def __init__(self, games):
            self.send, self.reset = games.send, games.reset

        def step(self, actions):
            if sent:
                self.send(actions)
            raise KeyboardInterrupt

    expected = played()
    for _ in range(3):
        games.games = Interrupted(games.games)
        with pytest.raises(KeyboardInterrupt):
            stepper.step(np.full(2, 2))
        np.testing.assert_array_equal(played(), expected)
        np.testing.assert_array_equal(played(), expected)


@needs_games
def test_memory_of_the_console_is_learned_as_numbers():
    agent = PPO("ALE/Pong-v5,obs_type=ram", backend="numpy")
    assert (agent.config.preprocessing, agent.config.hidden) == (None, (64, 64))
    assert agent.observation_space.shape == (128,)


@needs_games
def test_every_algorithm_for_discrete_actions_sees_games_so():
    seen = []
    for name in ALGORITHMS:
        kind = find(name)
        config = resolve(name, kind.Config, "ALE/Pong-v5", family_of("ALE/Pong-v5"), {}).config
        if config.preprocessing is None:
            with pytest.raises(UserError, match="acts in continuous spaces"):
                kind("ALE/Pong-v5", backend="numpy")
            continue
        seen.append(name)
        assert (config.preprocessing, config.frame_stack, config.hidden) == ("atari", 4, ())
    assert seen == ["ppo", "a2c", "reinforce", "trpo", "dqn", "rainbow", "qrdqn", "discrete_sac"]
    agent = PPO("ALE/Pong-v5", backend="numpy")
    assert agent.observation_space == gym.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    assert form_of(agent.vector_env) == "native"


@needs_games
def test_learning_is_repeatable_and_a_saved_agent_plays_on(tmp_path):
    """Two agents of one seed have the same weights to the bit; evaluation makes the images itself."""
    agents = [PPO("ALE/Breakout-v5", backend="jax", **SMALL).learn(64) for _ in range(2)]
    np.testing.assert_array_equal(*(agent.flat for agent in agents))
    agents[0].save(tmp_path / "agent")
    loaded = PPO.load(tmp_path / "agent", backend="numpy")
    assert loaded.config.preprocessing == "atari"
    shown = loaded.separate_environment()
    assert form_of(shown) == "sync" and shown.single_observation_space == agents[0].observation_space
    seen, _ = shown.reset(seed=0)
    np.testing.assert_array_equal(loaded.act(seen), agents[0].act(seen))


@needs_games
def test_replay_learns_from_games():
    agent = DQN("ALE/Pong-v5", backend="jax", seed=1, buffer_size=64, learning_starts=8, batch_size=4)
    before = agent.flat.copy()
    agent.learn(16)
    assert not np.array_equal(before, agent.flat) and np.isfinite(agent.flat).all()


def raw(**arguments):
    return gym.make("ALE/Pong-v5", **arguments)


@needs_games
def test_older_names_are_known_and_mistyped_ones_find_the_game():
    """In a process that has not heard of games: nothing but ale_py registers them."""
    program = """
from rlzoo.envs import make, spec_of
env = make("PongNoFrameskip-v4", 2, vectorization="auto", preprocessing="atari", frame_stack=4)
print(env, env.arguments["repeat_action_probability"])
try:
    spec_of("Pong-v5")
except Exception as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "AtariGames(PongNoFrameskip-v4, num_envs=2) 0.0\n" in told and "did you mean 'ALE/Pong-v5'?" in told


WRONG = {
    "another skip": (lambda: PPO("ALE/Pong-v5,frameskip=2"), "frameskip=2: preprocessing = atari makes the frames"),
    "colours": (lambda: PPO("ALE/Pong-v5,obs_type=rgb"), "obs_type=rgb.*leave obs_type out, or set preproc"),
    "a game's name": (lambda: PPO("ALE/Pongg-v5"), "did you mean 'ALE/Pong-v5'"),
    "no game": (lambda: PPO("CartPole-v1", preprocessing="atari"), "begin with ALE/, not for CartPole-v1"),
    "no game, made": (lambda: PPO(gym.make("CartPole-v1"), preprocessing="atari"), "a game with all its frames"),
    "skipped frames": (lambda: PPO(raw()), "a game with all its frames.*set preprocessing = none"),
    "seen already": (
        lambda: PPO(gym.wrappers.AtariPreprocessing(raw(frameskip=1))), "a game with all its frames.*frame_stack = 1",
    ),
    "a joystick": (
        lambda: PPO("ALE/Pong-v5,continuous=true"), "buttons .Discrete., not for .*leave out continuous=true",
    ),
    "copies of one's own": (lambda: PPO(gym.make_vec("ALE/Pong-v5", 8)), "wrap ALE/Pong-v5 yourself, and set preproc"),
    "a name": (lambda: PPO("ALE/Pong-v5", preprocessing="atary"), "preprocessing = 'atary'.*did you mean 'atari'"),
    "EnvPool": (lambda: PPO("ALE/Pong-v5", vectorization="envpool"), "need copies: set vectorization = sync"),
    "a form of all": (
        lambda: make("ALE/Pong-v5,mode=1", vectorization="native", preprocessing="atari"), "set vectorization = sync",
    ),
}  # fmt: skip


@needs_games
@pytest.mark.parametrize("name", WRONG)
def test_mistakes(name):
    spec_of("ALE/Pong-v5")  # which registers them
    mistake, told = WRONG[name]
    with pytest.raises(UserError, match=told):
        mistake()


@needs_games
def test_what_has_no_vector_form_is_copied():
    assert form_of(make("ALE/Breakout-v5,mode=4", 2, vectorization="auto", preprocessing="atari")) == "sync"
    own = make(gym.make("ALE/Pong-v5", frameskip=1), preprocessing="atari", frame_stack=2)
    assert own.single_observation_space.shape == (84, 84, 2)
    assert make_separate("ALE/Pong-v5", 2, "rgb_array", preprocessing="atari").num_envs == 2


@pytest.mark.parametrize("name, told", [
    ("ale_py", "ALE/Pong-v5' needs ale_py"), pytest.param("cv2", "needs OpenCV", marks=needs_games),
])  # fmt: skip
def test_what_is_missing_is_named(monkeypatch, name, told):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=f"{told}.*pip install '.\\[atari\\]'"):
        make("ALE/Pong-v5", preprocessing="atari")
