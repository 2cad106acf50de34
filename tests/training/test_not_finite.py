"""What an environment gives that is not finite, or is no choice of its space, is refused by the environment's name,
before it is learned from."""

from __future__ import annotations

import numpy as np
import pytest
from counting import Counting
from environments import copies
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from rlzoo import DQN, PPO
from rlzoo.errors import UserError

ON = (PPO, dict(n_steps=8, batch_size=8))
OFF = (DQN, dict(learning_starts=4, batch_size=4, buffer_size=50))


class Odd(Counting):
    """Counts, and says something odd `at` a step of the third episode: its reward, or the second of its observation."""

    def __init__(self, what="reward", value=float("nan"), at=2):
        super().__init__(4)
        self.what, self.value, self.at = what, value, at

    @property
    def is_odd(self):
        return self.episode == 2 and self.t == self.at

    def observation(self):
        is_odd = self.what == "observation" and self.is_odd
        return np.array([self.episode, self.value if is_odd else self.t], np.float32)

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, self.value if self.what == "reward" and self.is_odd else reward, *rest


class InParts(Odd):
    """The same, beside a choice."""

    observation_space = spaces.Dict(choice=spaces.Discrete(2), numbers=Counting.observation_space)

    def observation(self):
        return {"choice": 1, "numbers": super().observation()}


def agent_in(env, kind_and_settings=ON, **more):
    kind, settings = kind_and_settings
    return kind(env, backend="torch", eager=True, hidden=(4,), steps=200, checkpoint_every=200, **settings | more)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("value, told", [(float("nan"), "nan"), (None, "nan"), (float("-inf"), "-inf")])
@pytest.mark.parametrize("kind_and_settings", [ON, OFF])
@pytest.mark.parametrize("more", [{}, dict(normalize_reward=True)])
def test_a_reward(kind_and_settings, value, told, more):
    agent = agent_in(Odd("reward", value), kind_and_settings, **more)
    with pytest.raises(UserError, match=f"^Odd rewards with {told}: .* finite numbers, and None is not one$"):
        agent.learn()
    assert np.isfinite(agent.flat).all() and agent.steps == 8


@pytest.mark.parametrize("at", [0, 2, 4])
@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("kind_and_settings, more", [
    (ON, {}), (OFF, {}), (ON, dict(normalize_observation=True)), (OFF, dict(recurrent="gru", sequence_length=2)),
])  # fmt: skip
def test_an_observation(kind_and_settings, more, mode, at):
    """The first of an episode, one within and its last."""
    made = iter([Counting(4), Odd("observation", at=at)])
    agent = agent_in(copies(lambda: next(made), 2, mode), kind_and_settings, **more)
    where = " in environment 1"
    if "normalize_observation" in more and not (at == 4 and mode is not AutoresetMode.NEXT_STEP):
        where = ""  # the moments have taken it in, and make NaN of all
    with pytest.raises(UserError, match=rf"^Odd observes nan at \[1\]{where}: "), np.errstate(invalid="ignore"):
        agent.learn()
    assert np.isfinite(agent.flat).all()


def test_the_first_observation_and_one_in_parts():
    class AtFirst(Odd):
        def reset(self, **options):
            observation, info = super().reset(**options)
            return observation * np.float32(np.inf), info

    with pytest.raises(UserError, match=r"^AtFirst observes nan at \[0\]: "), np.errstate(invalid="ignore"):
        agent_in(AtFirst()).learn()
    with pytest.raises(UserError, match=r"^InParts observes inf at \[1\] of 'numbers': "):
        agent_in(InParts("observation", np.inf)).learn()


def test_numbers_whose_sum_is_too_large_are_finite():
    class Far(Counting):
        def observation(self):
            return np.full(2, 3e38, np.float32)

        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation, 1e308, *rest

    agent = agent_in(Far())
    with np.errstate(over="ignore"):  # of eight rewards
        agent._reset()
        agent._collect()
    assert (agent.rollout.next_observation == np.float32(3e38)).all() and len(agent.episodes.returns) == 2


class Choosing(Counting):
    """Counts among choices that do not reach the last step, or not the first."""

    def __init__(self, space):
        super().__init__(4)
        self.observation_space = space

    def observation(self):
        return self.t if isinstance(self.observation_space, spaces.Discrete) else np.array([self.episode, self.t])


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("space, wrong, told", [
    (spaces.Discrete(4), 4, "0 to 3"), (spaces.Discrete(9, start=1), 0, "1 to 9"),
    (spaces.MultiDiscrete([99, 4]), 4, r"\[0 0\] to \[98  3\]"),
])  # fmt: skip
@pytest.mark.parametrize("kind_and_settings, more", [
    (ON, {}), (OFF, {}), (OFF, dict(recurrent="gru", sequence_length=2)),
])  # fmt: skip
def test_an_observation_that_is_no_choice(kind_and_settings, more, space, wrong, told, mode):
    """A network would see nothing of it: no number is 1."""
    agent = agent_in(copies(lambda: Choosing(space), 2, mode), kind_and_settings, **more)
    begun = agent.flat.copy()
    with pytest.raises(UserError, match=rf"^Choosing observes {wrong}, its observation_space says {told}: "):
        agent.learn()
    if wrong == 0:  # the first of all
        np.testing.assert_array_equal(agent.flat, begun)


@pytest.mark.parametrize("space", [spaces.Discrete(5), spaces.MultiDiscrete([99, 5])])
def test_the_first_and_the_last_choice(space):
    agent_in(Choosing(space)).learn()
