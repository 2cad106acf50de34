"""What each algorithm acts in and combines with, found by trying: its agent is made on tiny spaces, and acts once."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rlzoo.algorithms import find
from rlzoo.errors import UserError

ACTIONS = {
    "Discrete": spaces.Discrete(3), "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary(2), "Box": spaces.Box(-1.0, 1.0, (2,)),
}  # fmt: skip
VECTOR = spaces.Box(-1.0, 1.0, (3,))
NESTED = spaces.Dict({"place": VECTOR, "rest": spaces.Tuple([spaces.Discrete(3), spaces.Dict({"speed": VECTOR})])})
PICTURE = spaces.Dict({"camera": spaces.Box(0, 255, (36, 36, 1), np.uint8), "place": VECTOR})
GOALS = spaces.Dict(dict.fromkeys(("observation", "achieved_goal", "desired_goal"), VECTOR))


class Part(NamedTuple):
    """Something that combines with algorithms, and the settings that ask for it, all of which have to do."""

    text: str
    settings: tuple[dict[str, Any], ...] = ({},)
    observation: spaces.Space = VECTOR
    needs: dict[str, Any] = {}  # noqa: RUF012  # what else some algorithms want set for it
    details: tuple[str, ...] = ()  # other fields of it, which say nothing without it


PARTS = {
    "masks": Part(
        "Actions that are not allowed now have probability zero, in acting and in the loss. The mask comes from "
        '`info["action_mask"]` or the environment\'s method `action_masks()`.',
        ({"action_masks": True},),
    ),
    "recurrence": Part(
        "An LSTM or a GRU behind the encoder, learned through sequences of `sequence_length` steps.",
        ({"recurrent": "lstm"}, {"recurrent": "gru"}),
    ),
    "Dict, Tuple": Part("Nested observations, each part with an encoder of its own.", observation=NESTED),
    "images": Part(
        "Pixels, `[height, width, channels]` of uint8 from 0 to 255, both sides 36 or more, through convolutions; "
        "beside vectors too. Smaller grids are vectors.",
        observation=PICTURE,
    ),
    "hindsight": Part(
        "Replay with goals that were reached (Andrychowicz 2017), in environments that have `achieved_goal`, "
        "`desired_goal` and `compute_reward`. The strategy is `future`, `final` or `episode`.",
        ({"hindsight": "future"}, {"hindsight": "final"}, {"hindsight": "episode"}),
        GOALS,
    ),
    "n-step": Part("The target sums so many rewards before a value stands for the rest.", ({"n_step": 3},)),
    "prioritized": Part(
        "Transitions are drawn by their last TD error, and weighed for it (Schaul 2016).", ({"prioritized": True},)
    ),
    "gSDE": Part(
        "Exploration by noise that is a function of the state and lasts many steps (Raffin 2021).", ({"sde": True},),
        details=("sde_sample_freq", "log_std_init"),
    ),
    "CVaR": Part(
        "Actions are chosen for the mean of the worst share of returns, the conditional value at risk.",
        ({"risk": 0.25},),
        needs={"distributional": True},
    ),
    "normalization": Part(
        "Observations and rewards are scaled by running statistics.",
        ({"normalize_observation": True, "normalize_reward": True},),
    ),
    "frame stack": Part("The last observations are seen as one.", ({"frame_stack": 4},)),
    "overlap": Part("The next rollout is collected while the last is learned from.", ({"overlap": True},)),
}


class Tiny(gym.Env):
    """Any spaces, and an episode of nothing."""

    def __init__(self, observation: spaces.Space, action: spaces.Space):
        self.observation_space, self.action_space = observation, action

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def action_masks(self) -> np.ndarray:
        """The first choice of each action alone is allowed."""
        counts = getattr(self.action_space, "nvec", [getattr(self.action_space, "n", 1)])
        return np.concatenate([np.arange(count) == 0 for count in counts])


def refusal(algorithm: str, action: str, observation: spaces.Space, settings: dict[str, Any]) -> str | None:
    """Why an algorithm does not take these settings in these spaces; None where its agent is made, and acts."""
    env = Tiny(observation, ACTIONS[action])
    try:
        small = {"hidden": (4,)} | ({"recurrent_units": 4} if "recurrent" in settings else {})
        agent = find(algorithm)(env, backend="numpy", **small, **settings)
    except UserError as error:
        return str(error)
    seen, _ = agent.vector_env.reset(seed=0)
    taken = agent.player(1, None)(seen, np.ones(1, np.bool_))[0]
    assert env.action_space.contains(np.asarray(taken, env.action_space.dtype)), f"{algorithm} took {taken}"
    return None


@cache
def acts_in(algorithm: str) -> tuple[str, ...]:
    """The action spaces that an algorithm acts in."""
    return tuple(action for action in ACTIONS if refusal(algorithm, action, VECTOR, {}) is None)


@cache
def combines(algorithm: str, name: str) -> dict[str, dict[str, Any]]:
    """The action spaces in which an algorithm combines with a part, and the first settings that ask for it there."""
    part, found = PARTS[name], {}
    for action in acts_in(algorithm):
        for needs in ({}, part.needs) if part.needs else ({},):
            asked = [needs | settings for settings in part.settings]
            if all(refusal(algorithm, action, part.observation, settings) is None for settings in asked):
                found.setdefault(action, asked[0])
    return found
