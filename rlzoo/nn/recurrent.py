"""Recurrent cells: layers that take a state beside their input and give the next one beside their output."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlzoo.backend import ops
from rlzoo.nn.initializers import orthogonal, zeros
from rlzoo.nn.layers import Array, Layer, Params, Shape


class LSTMCell(Layer):
    """One step of an LSTM: `(x [N, inputs], (h, c))` to `(h, (h, c))`, each `[N, units]` (Hochreiter 1997)."""

    units: int

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        inputs, states = orthogonal(rng, (shape[-1], 4 * self.units)), orthogonal(rng, (self.units, 4 * self.units))
        bias = zeros(4 * self.units)
        bias[self.units : 2 * self.units] = 1.0  # the forget gate starts open
        return {"input": inputs, "state": states, "bias": bias}

    def initial_state(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        return zeros(batch, self.units), zeros(batch, self.units)

    def __call__(self, params: Params, x: Array, state: Any = None) -> Any:
        h, c = self.initial_state(x.shape[0]) if state is None else state
        gates = ops.matmul(x, params["input"]) + ops.matmul(h, params["state"]) + params["bias"]
        i, f, g, o = ops.split(gates, [self.units] * 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, (h, c)

    def output_shape(self, shape: Shape) -> Shape:
        return (self.units,)


class GRUCell(Layer):
    """One step of a GRU: `(x [N, inputs], h [N, units])` to `(h, h)` (Cho 2014)."""

    units: int

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        inputs, states = orthogonal(rng, (shape[-1], 3 * self.units)), orthogonal(rng, (self.units, 3 * self.units))
        return {"input": inputs, "state": states, "bias": zeros(3 * self.units), "new_bias": zeros(self.units)}

    def initial_state(self, batch: int) -> np.ndarray:
        return zeros(batch, self.units)

    def __call__(self, params: Params, x: Array, state: Any = None) -> Any:
        h = self.initial_state(x.shape[0]) if state is None else state
        sizes = [self.units] * 3
        x_r, x_z, x_n = ops.split(ops.matmul(x, params["input"]) + params["bias"], sizes, axis=-1)
        h_r, h_z, h_n = ops.split(ops.matmul(h, params["state"]), sizes, axis=-1)
        z = ops.sigmoid(x_z + h_z)
        n = ops.tanh(x_n + ops.sigmoid(x_r + h_r) * (h_n + params["new_bias"]))
        h = (1.0 - z) * n + z * h
        return h, h

    def output_shape(self, shape: Shape) -> Shape:
        return (self.units,)
