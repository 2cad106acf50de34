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


def most_for(parameters: int) -> int:
    """Numbers that may be asked for by a file of so many parameters.

    What is made at loading need not be kept: initializers draw again, and hyperparameters stand in a config that the
    algorithm makes nothing of. So this leaves room for every agent that was saved, and for no gigabytes.
    """
    return 16 * parameters + 1_000_000


def check_widths(config: Any, parameters: int) -> None:
    """Raises ValueError for more units side by side, or more layers, than a file of so many parameters has."""
    unused = {"recurrent_units": not config.recurrent, "n_atoms": not getattr(config, "distributional", False)}
    for name in ("hidden", "critic_hidden", "recurrent_units", "n_atoms", "n_quantiles"):
        width = 0 if unused.get(name) else getattr(config, name, None) or 0
        if max(width if isinstance(width, tuple) else (width,), default=0) > most_for(parameters):
            raise ValueError(f"{name} = {width} makes more parameters than the file has")
    of_critics = getattr(config, "of_critics", ())
    layers = getattr(config, "n_critics", 1) * (max(len(config.hidden), len(of_critics)) + 1)
    if layers > parameters + 1000:  # a layer is several objects, and takes its time
        raise ValueError(f"{layers} layers make more parameters than the file has")


class BoundedGenerator(np.random.Generator):
    """Draws weights that a file's are to replace: at most so many numbers, however large a network its config asks for.

    A layer of no inputs draws none, and counts by its units: it has a bias.
    """

    def __init__(self, most: float):
        super().__init__(np.random.PCG64(0))
        self.left = most

    def standard_normal(self, size: Any = None, *arguments: Any, **options: Any) -> Any:
        self._count(size)
        return super().standard_normal(size, *arguments, **options)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        self._count(size)
        return super().normal(loc, scale, size)

    def random(self, size: Any = None, *arguments: Any, **options: Any) -> Any:
        self._count(size)
        return super().random(size, *arguments, **options)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        self._count(size)
        return super().uniform(low, high, size)

    def _count(self, size: Any) -> None:
        shape = np.atleast_1d(() if size is None else size).tolist()
        self.left -= math.prod(max(length, 1) for length in shape)
        if self.left < 0:
            raise ValueError("its networks have more parameters than the file")
