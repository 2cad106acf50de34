"""What a checkpoint, which may be a stranger's, may ask for before anything is made of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict

from rlzoo.envs.masks import KEY, with_masks


def check_views(config: Any, observation: Any, action: Any) -> None:
    """Raises ValueError for observations that are not what masks and stacked frames make of any."""
    if config.action_masks:
        inner = observation["observation"] if isinstance(observation, Dict) and KEY in observation.spaces else None
        if inner is None or observation != with_masks(inner, action):
            raise ValueError(f"action_masks = true does not fit observations of {observation}")
        observation = inner
    frames, shape = config.frame_stack, observation.shape
    if frames > 1 and (not isinstance(observation, Box) or not shape or shape[-1] % frames or not shape[-1]):
        raise ValueError(f"frame_stack = {frames} does not fit observations of {observation}")


def check_widths(config: Any, most: int) -> None:
    """Raises ValueError for more units side by side than there are parameters: each has at least a bias."""
    unused = {"recurrent_units": not config.recurrent, "n_atoms": not getattr(config, "distributional", False)}
    for name in ("hidden", "recurrent_units", "n_critics", "n_atoms", "n_quantiles"):
        width = 0 if unused.get(name) else getattr(config, name, 0)
        if max(width if isinstance(width, tuple) else (width,), default=0) > most:
            raise ValueError(f"{name} = {width} makes more parameters than the file has")


class BoundedGenerator(np.random.Generator):
    """Draws weights that a file's are to replace: at most so many, however large a network its config asks for."""

    def __init__(self, most: int):
        super().__init__(np.random.PCG64(0))
        self.left = most

    def standard_normal(self, size: Any = None, *arguments: Any, **options: Any) -> Any:
        self._count(size)
        return super().standard_normal(size, *arguments, **options)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        self._count(size)
        return super().uniform(low, high, size)

    def _count(self, size: Any) -> None:
        self.left -= math.prod(np.atleast_1d(size).tolist())
        if self.left < 0:
            raise ValueError("its networks have more parameters than the file")
