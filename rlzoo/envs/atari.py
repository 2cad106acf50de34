"""Atari's games as they are usually learned: small grey images, and the signs of rewards (Mnih 2015).

Episodes are whole games, whatever lives are lost in them (Machado 2018, arXiv 1709.06009); the returns that are
reported are the game's own. Many games wait for the button to begin a life: there the first two actions of each life
are to press it, whatever the agent chose, or an agent that has not learned to would wait for half an hour.
"""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers import AtariPreprocessing, RecordEpisodeStatistics, TimeLimit, TransformReward

from rlzoo.envs.names import is_game
from rlzoo.errors import UserError, installing

NO_OPS, FRAMES, SIDE = 30, 4, 84
LARGEST = 2**31 - 1  # ALE counts seeds in int32
FIRE = 1  # the action that presses the button, where there is a choice beyond it
PRESSED = 2  # steps: where actions are repeated by chance, each of the four frames of one is such once in 256 lives
TAKEN = {"game", "repeat_action_probability", "full_action_space", "max_num_frames_per_episode"}  # by its vector form
RAW = {"frameskip": 1, "obs_type": "grayscale"}  # what a game is asked for: each frame, and no colours to be made grey


def raw(spec: EnvSpec, given: dict[str, Any]) -> EnvSpec:
    """The spec of a game that gives what `preprocessed` takes; `given` are the arguments that an id was followed by.

    It has no limit, which would count frames.

    Raises UserError for what is no game, and where other frames are asked for.
    """
    if not is_game(spec):
        raise UserError(f"preprocessing = atari is for ids that begin with ALE/, not for {spec.id}: set it to none")
    for name in RAW.keys() & given.keys():
        raise UserError(
            f"{spec.id},{name}={given[name]}: preprocessing = atari makes the frames itself: leave {name} out, or set "
            "preprocessing = none"
        )
    spec = copy.deepcopy(spec)
    spec.kwargs.update(RAW)
    spec.max_episode_steps = None
    return spec


def preprocessed(env: gym.Env, limit: int | None = None) -> gym.Env:
    """A game with uint8 images `[84, 84, 1]` and rewards −1, 0 and 1; `info["episode"]` has the game's own return.

    `limit` is the number of steps, of four frames each, after which it is truncated.

    An episode begins with 1 to 30 frames of no operation. Each action is repeated for four frames, and what is seen is
    the brighter of the last two at each pixel. Raises UserError for an environment that is no game or does not give all
    its frames, and where OpenCV is missing.
    """
    inner: Any = env.unwrapped
    seen, made_by_it = env.observation_space, getattr(inner, "observation_space", None)
    if not hasattr(inner, "ale") or seen != made_by_it or len(seen.shape or ()) < 2 or inner._frameskip != 1:
        raise UserError(
            f"preprocessing = atari is for a game with all its frames, as gym.make('ALE/Pong-v5', frameskip=1) makes "
            f"it, not for {env}: give the id, or set preprocessing = none (and frame_stack = 1, if it stacks frames)"
        )
    if not isinstance(env.action_space, Discrete):
        raise UserError(
            f"preprocessing = atari is for buttons (Discrete), not for the {env.action_space} of {env}: leave out "
            "continuous=true, or set preprocessing = none"
        )
    try:
        small = AtariPreprocessing(env, NO_OPS, FRAMES, SIDE, grayscale_newaxis=True)
    except gym.error.DependencyNotInstalled:
        raise UserError(f"preprocessing = atari needs OpenCV: {installing('atari')}") from None
    limited = small if limit is None else TimeLimit(small, limit)
    meanings = inner.get_action_meanings()
    begun = BegunLives(limited) if meanings[FIRE:FIRE + 1] == ["FIRE"] and len(meanings) > FIRE + 1 else limited
    return TransformReward(RecordEpisodeStatistics(begun), _sign)


def _sign(reward: Any) -> float:
    return float(np.sign(reward))


class BegunLives(gym.Wrapper):
    """A game in which the first actions of each life are to press the button."""

    def reset(self, **options: Any) -> Any:
        observation, info = self.env.reset(**options)
        self.lives, self.left = info["lives"], PRESSED
        return observation, info

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(FIRE if self.left > 0 else action)
        self.left = PRESSED if info["lives"] < self.lives else self.left - 1
        self.lives = info["lives"]
        return observation, reward, terminated, truncated, info


class AtariGames(VectorEnv):
    """`num_envs` copies of a game in ALE's own vector environment: what `preprocessed` and `stacked` make, in C++.

    The images are the same to the bit, and the last `frames` of them stand side by side; what is drawn by chance, no
    operations and repeated actions, is drawn from other numbers. Raises UserError for a spec that it cannot make.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012
    form = "native"

    def __init__(self, spec: EnvSpec, num_envs: int, frames: int = 1):
        if not has_vector_form(spec):
            raise UserError(f"{spec.id} with {spec.kwargs} has no vector form: set vectorization = sync")
        self.spec, self.num_envs, self.frames = spec, num_envs, frames
        self.arguments = {name: value for name, value in spec.kwargs.items() if name in TAKEN}
        self.games = self._made()
        self.is_stepping = False  # also after a step that was broken off
        self.given_up: list[Any] = []  # games that were in the midst of one
        self.single_observation_space = Box(0, 255, (SIDE, SIDE, frames), np.uint8)
        self.single_action_space = self.games.single_action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        actions = self.games.ale.get_action_set()
        self.fires = len(actions) > FIRE + 1 and actions[FIRE].name == "FIRE"
        self.returns, self.lengths = np.zeros(num_envs), np.zeros(num_envs, np.int64)
        self.lives, self.left = np.zeros(num_envs, int), np.zeros(num_envs, int)  # and steps that the button is pressed

    def _made(self) -> Any:
        from ale_py.vector_env import AtariVectorEnv

        return AtariVectorEnv(
            num_envs=self.num_envs, autoreset_mode=AutoresetMode.SAME_STEP, img_height=SIDE, img_width=SIDE,
            frameskip=FRAMES, stack_num=self.frames, noop_max=NO_OPS, reward_clipping=False, use_fire_reset=False,
            **self.arguments,
        )  # fmt: skip

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        """Start an episode in every game, that of game i drawn by `seed + i`; without a seed the draws go on.

        Also where the last step was broken off, by Ctrl-C say: what it left under way cannot be told, so the games are
        made anew.
        """
        if self.is_stepping:
            self.given_up.append(self.games)  # kept, for to end them would wait for what nobody takes from them
            self.games, self.is_stepping = self._made(), False
        images, told = self.games.reset(seed=None if seed is None else int(seed) % LARGEST)
        self.returns[:], self.lengths[:], self.left[:], self.lives = 0.0, 0, PRESSED, told["lives"]
        return _channels_last(images), {}

    def step(self, actions: Any) -> Any:
        chosen = np.where(self.left > 0, FIRE, actions) if self.fires else np.asarray(actions)
        self.is_stepping = True
        images, rewards, terminated, truncated, told = self.games.step(chosen)
        self.is_stepping = False
        self.returns += rewards
        self.lengths += 1
        info: dict[str, Any] = {}
        done = terminated | truncated
        self.left = np.where(done | (told["lives"] < self.lives), PRESSED, self.left - 1)
        self.lives = told["lives"]
        if np.count_nonzero(done):
            episode = {"r": self.returns.copy(), "l": self.lengths.copy()}
            info = {"final_obs": _channels_last(told["final_obs"]), "_final_obs": done,
                    "final_info": {"episode": episode, "_episode": done}}  # fmt: skip
            self.returns[done], self.lengths[done] = 0.0, 0
        return _channels_last(images), np.sign(rewards).astype(np.float64), terminated, truncated, info


def has_vector_form(spec: EnvSpec) -> bool:
    """Whether `AtariGames` makes a game of this spec."""
    return not spec.additional_wrappers and spec.kwargs.keys() <= TAKEN | RAW.keys()


def _channels_last(images: np.ndarray) -> np.ndarray:
    """`[N, frames, side, side]` to an array of its own `[N, side, side, frames]`."""
    return np.ascontiguousarray(np.moveaxis(images, 1, -1))
