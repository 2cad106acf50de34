"""Which actions an environment allows, put beside its observation: `{"action_mask", "observation"}`.

A mask is one number a choice, 1 where the action is allowed: `n` for Discrete(n); for MultiDiscrete those of each
action one after another. It comes from `info["action_mask"]`, or else from the environment's method `action_masks()`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from rlzoo.errors import UserError, warn

KEY, METHOD = "action_mask", "action_masks"
_UNKNOWN = (
    "{} gives no action mask for the last observation of a truncated episode, so all actions count as allowed there: "
    "put the mask into info['action_mask'], or use AutoresetMode.NEXT_STEP"
)


def choices(space: spaces.Space) -> tuple[int, ...]:
    """How many choices each action has, of which a mask says each; raises UserError where actions cannot be masked."""
    if isinstance(space, spaces.Discrete):
        return (int(space.n),)
    if isinstance(space, spaces.MultiDiscrete):
        return tuple(int(n) for n in space.nvec.ravel())
    raise UserError(f"action masks are for Discrete and MultiDiscrete, not for {space}: set action_masks = false")


def with_masks(observation: spaces.Space, action: spaces.Space) -> spaces.Dict:
    """The space of these observations with masks of these actions beside them."""
    return spaces.Dict({KEY: spaces.MultiBinary(sum(choices(action))), "observation": observation})


class MaskedActions(gym.Wrapper):
    """An environment whose observation carries the mask of the next action."""

    def __init__(self, env: gym.Env):
        super().__init__(env)
        self.observation_space = with_masks(env.observation_space, env.action_space)
        self.choices = choices(env.action_space)

    def reset(self, **options: Any) -> Any:
        observation, info = self.env.reset(**options)
        return self._seen(observation, info), info

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._seen(observation, info, bool(terminated)), reward, terminated, truncated, info

    def _seen(self, observation: Any, info: dict[str, Any], terminated: bool = False) -> dict[str, Any]:
        mask = info.get(KEY)
        if mask is None and self.env.has_wrapper_attr(METHOD):
            mask = self.env.get_wrapper_attr(METHOD)()
        if mask is None and not terminated:
            raise UserError(_missing(self.env))
        return {KEY: checked(mask, self.choices), "observation": observation}


class MaskedActionsVector(VectorWrapper):
    """A vector environment whose observations carry masks, from its infos or its environments' method."""

    def __init__(self, env: VectorEnv):
        super().__init__(env)
        self.single_observation_space = with_masks(env.single_observation_space, env.single_action_space)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self.choices = choices(env.single_action_space)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        begun = (options or {}).get("reset_mask")  # the others go on, and may be silent
        observation, info = self.env.reset(seed=seed, options=options)
        if begun is None:
            return self._seen(observation, info), info
        before, seen = self.masks, self._seen(observation, info, ~begun)
        seen[KEY][~begun] = before[~begun]
        return seen, info

    def step(self, actions: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(actions)
        final = info.get("final_obs")
        if final is not None:
            of_final = info.get("final_info", {}).get(KEY)
            wrapped = np.empty(self.num_envs, object)
            for i in np.flatnonzero(terminated | truncated):
                mask = None if of_final is None else of_final[i]
                if mask is None and truncated[i]:
                    warn(_UNKNOWN.format(self.env))
                wrapped[i] = {KEY: checked(mask, self.choices), "observation": final[i]}
            info = info | {"final_obs": wrapped}
        over = False if final is not None else terminated  # with a final observation, these are of new episodes
        return self._seen(observation, info, over), reward, terminated, truncated, info

    def _seen(self, observation: Any, info: dict[str, Any], silent: Any = False) -> dict[str, Any]:
        """With masks beside it; environments that are `silent`, `[N]` bool, need give none."""
        masks, given = info.get(KEY), info.get(f"_{KEY}")
        if masks is None:
            masks, given = self._by_method(), None
        given = np.full(self.num_envs, masks is not None) if given is None else given
        if not np.all(given | silent):
            raise UserError(_missing(self.env))
        rows = [checked(masks[i] if given[i] else None, self.choices) for i in range(self.num_envs)]
        self.masks = np.stack(rows)
        return {KEY: self.masks.copy(), "observation": observation}

    def _by_method(self) -> Any:
        """Masks by the vector environment's own method, or by that of each of its environments; None without."""
        for env in (self.env, self.env.unwrapped):
            if hasattr(env, METHOD):
                return getattr(env, METHOD)()
        try:
            return self.env.unwrapped.call(METHOD)  # type: ignore[attr-defined]
        except AttributeError:
            return None


def checked(mask: Any, choices: tuple[int, ...]) -> np.ndarray:
    """A mask as `lifted` has it; all ones where none is given."""
    if mask is None:
        return np.ones(sum(choices), np.int8)
    array = np.ravel(joined(mask, choices))
    if len(array) != sum(choices):
        raise UserError(
            f"an action mask of {len(array)} choices does not fit the action space, which has {sum(choices)}"
        )
    return lifted(array, choices)


def joined(mask: Any, choices: tuple[int, ...]) -> np.ndarray:
    """One array of a mask, or of a batch of them, that may be given as an array for each of several actions.

    Raises UserError for what makes no array.
    """
    try:
        if isinstance(mask, tuple | list) and len(mask) == len(choices) > 1:
            parts = [np.asarray(part) for part in mask]
            if all(part.shape[-1:] == (n,) for part, n in zip(parts, choices, strict=True)):
                return np.concatenate(parts, -1)
        return np.asarray(mask)
    except ValueError:  # rows of several lengths
        told = " + ".join(map(str, choices))
        raise UserError(f"action mask {mask!r} is not valid: expected 1 or 0 for each of {told} choices") from None


def lifted(mask: np.ndarray, choices: tuple[int, ...]) -> np.ndarray:
    """Masks `[..., sum(choices)]` as int8 of 1 and 0; ones for each action that is allowed no choice."""
    left = leaves_a_choice(mask, choices)
    return ((mask > 0) if left.all() else (mask > 0) | np.repeat(~left, choices, -1)).astype(np.int8)


def leaves_a_choice(mask: np.ndarray, choices: tuple[int, ...]) -> np.ndarray:
    """Whether masks `[..., sum(choices)]` allow each action something, `[..., actions]`."""
    return np.logical_or.reduceat(mask > 0, _starts(choices), -1)


@cache
def _starts(choices: tuple[int, ...]) -> np.ndarray:
    return np.cumsum((0, *choices[:-1]))


def _missing(env: Any) -> str:
    return (
        f"{env} gives no action mask: put one into info['{KEY}'], at reset and at each step, or give the environment "
        f"a method {METHOD}(); without masks, set action_masks = false"
    )
