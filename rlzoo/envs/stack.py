"""The last observations of an environment as one: what moves is seen to move."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import FrameStackObservation, TransformObservation

from rlzoo.errors import UserError


def stacked(env: gym.Env, frames: int) -> gym.Env:
    """`env` with its last `frames` observations side by side on the last axis, the newest last; at first, zeros.

    Raises UserError for observations other than a Box.
    """
    space = env.observation_space
    if not isinstance(space, spaces.Box) or not space.shape:
        raise UserError(f"frame_stack is for observations that are arrays (Box), not for {space}: set frame_stack = 1")
    low, high = (np.concatenate([bound] * frames, -1) for bound in (space.low, space.high))
    low, high = np.minimum(low, 0), np.maximum(high, 0)  # what is seen before there were as many

    def side_by_side(observation: Any) -> np.ndarray:
        return np.concatenate(list(observation), -1)

    together = spaces.Box(low, high, dtype=space.dtype.type)  # type: ignore[union-attr]
    return TransformObservation(FrameStackObservation(env, frames, padding_type="zero"), side_by_side, together)
