"""The dueling architecture: the value of a state, and what each action is above the mean of all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlzoo.backend import ops
from rlzoo.nn.layers import Array, Layer, Params, Shape


class Dueling(Layer):
    """V + A − mean A over actions (Wang 2016, eq. 9): `[N, inputs]` to `[N, actions · size]`.

    `value` gives `[N, size]`, `advantage` `[N, actions · size]`; size is 1, or what a distribution of returns takes.
    """

    value: Layer
    advantage: Layer
    actions: int

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        return {"value": self.value.init(rng, shape), "advantage": self.advantage.init(rng, shape)}

    def noise(self, rng: np.random.Generator, shape: Shape, batch: int) -> Any:
        noise = {name: getattr(self, name).noise(rng, shape, batch) for name in ("value", "advantage")}
        return None if all(part is None for part in noise.values()) else noise

    def __call__(self, params: Params, x: Array, noise: Any = None) -> Array:
        value, advantage = (
            layer(params[name], x) if noise is None else layer(params[name], x, noise[name])  # type: ignore[call-arg]
            for name, layer in (("value", self.value), ("advantage", self.advantage))
        )
        advantage = ops.reshape(advantage, (x.shape[0], self.actions, -1))
        centred = advantage - ops.mean(advantage, 1, keepdims=True)
        both = ops.expand_dims(value, 1) + centred
        return ops.reshape(both, (x.shape[0], math.prod(both.shape[1:])))
