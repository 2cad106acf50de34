"""Recurrent cells: layers that take a state beside their input and give the next one beside their output.

A call is `step` of what `of_input` makes of the input. That part does not depend on the state, so that whole sequences
go through it at once, as one product.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlzoo.backend import ops, tree
from rlzoo.nn.initializers import orthogonal, zeros
from rlzoo.nn.layers import Array, Layer, Params, Shape


class RecurrentCell(Layer):
    """What the cells share: `(x [N, inputs], state)` to `(output [N, units], next state)`; zeros without a state."""

    units: int

    def initial_state(self, batch: int) -> Any:
        """Zeros for the state before the first step of `batch` sequences: NumPy arrays `[batch, units]`."""
        raise NotImplementedError

    def of_input(self, params: Params, x: Array) -> Any:
        """What the cell takes of its input, `[N, ...]`, whatever the state."""
        raise NotImplementedError

    def step(self, params: Params, given: Any, state: Any) -> tuple[Array, Any]:
        """The output and the next state; `given` is what `of_input` made of the input."""
        raise NotImplementedError

    def __call__(self, params: Params, x: Array, state: Any = None) -> Any:
        if state is None:
            state = tree.map(lambda zero: ops.asarray(zero, x), self.initial_state(x.shape[0]))
        return self.step(params, self.of_input(params, x), state)

    def output_shape(self, shape: Shape) -> Shape:
        return (self.units,)


class LSTMCell(RecurrentCell):
    """One step of an LSTM: `(x [N, inputs], (h, c))` to `(h, (h, c))`, each `[N, units]`.

    Hochreiter 1997, with the forget gate of Gers 2000.
    """

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        inputs, states = orthogonal(rng, (shape[-1], 4 * self.units)), orthogonal(rng, (self.units, 4 * self.units))
        bias = zeros(4 * self.units)
        bias[self.units : 2 * self.units] = 1.0  # the forget gate starts open
        return {"input": inputs, "state": states, "bias": bias}

    def initial_state(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        return zeros(batch, self.units), zeros(batch, self.units)

    def of_input(self, params: Params, x: Array) -> Array:
        return ops.linear(x, params["input"], params["bias"])

    def step(self, params: Params, given: Any, state: Any) -> tuple[Array, Any]:
        h, c = state
        gates = given + ops.matmul(h, params["state"])
        i, f, g, o = ops.split(gates, [self.units] * 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, (h, c)


class GRUCell(RecurrentCell):
    """One step of a GRU: `(x [N, inputs], h [N, units])` to `(h, h)` (Cho 2014)."""

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        inputs, states = orthogonal(rng, (shape[-1], 3 * self.units)), orthogonal(rng, (self.units, 3 * self.units))
        return {"input": inputs, "state": states, "bias": zeros(3 * self.units), "new_bias": zeros(self.units)}

    def initial_state(self, batch: int) -> np.ndarray:
        return zeros(batch, self.units)

    def of_input(self, params: Params, x: Array) -> Array:
        return ops.linear(x, params["input"], params["bias"])

    def step(self, params: Params, given: Any, state: Any) -> tuple[Array, Any]:
        h, sizes = state, [self.units] * 3
        x_r, x_z, x_n = ops.split(given, sizes, axis=-1)
        h_r, h_z, h_n = ops.split(ops.matmul(h, params["state"]), sizes, axis=-1)
        z = ops.sigmoid(x_z + h_z)
        n = ops.tanh(x_n + ops.sigmoid(x_r + h_r) * (h_n + params["new_bias"]))
        h = (1.0 - z) * n + z * h
        return h, h
