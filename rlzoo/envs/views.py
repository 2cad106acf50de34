"""What environments are seen through: preprocessing, stacked frames, masks beside the observations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from rlzoo.envs import atari
from rlzoo.envs.masks import MaskedActions, MaskedActionsVector
from rlzoo.envs.mistakes import check_reset, check_spaces
from rlzoo.envs.names import name_of
from rlzoo.envs.stack import stacked
from rlzoo.errors import UserError


@dataclass(frozen=True)
class Views:
    """How an environment is seen: as it is, unless told otherwise."""

    preprocessing: str | None = None  # "atari" (`envs.atari`)
    frame_stack: int = 1  # observations seen as one (`envs.stack`)
    action_masks: bool = False  # whether they stand beside the observations (`envs.masks`)
    limit: int | None = None  # steps after which what is preprocessed is truncated

    def __bool__(self) -> bool:
        return self != Views()

    def of(self, env: gym.Env) -> gym.Env:
        """An environment seen so. Raises UserError for one that cannot be."""
        check_reset(env)
        check_spaces(env)
        if self.preprocessing is not None:
            env = atari.preprocessed(env, self.limit)
        if self.frame_stack > 1:
            env = stacked(env, self.frame_stack)
        return MaskedActions(env) if self.action_masks else env

    def of_vector(self, env: VectorEnv) -> VectorEnv:
        """A vector environment seen so. Raises UserError for what only copies can be seen through."""
        if self.preprocessing is not None:
            mend = f"wrap {name_of(env)} yourself, and set preprocessing = none"
            raise UserError(f"preprocessing is for copies, made here: {mend}")
        if self.frame_stack > 1:
            mend = f"stack the frames of {name_of(env)} yourself, and set frame_stack = 1"
            raise UserError(f"frame_stack is for copies, made here: {mend}")
        return MaskedActionsVector(env) if self.action_masks else env

    def asked_of(self, spec: EnvSpec, given: dict[str, Any]) -> tuple[EnvSpec, Views]:
        """The spec of what is to be seen so, `given` the arguments of an id, and the views with that spec's limit."""
        if self.preprocessing is None:
            return spec, self
        return atari.raw(spec, given), replace(self, limit=spec.max_episode_steps)
