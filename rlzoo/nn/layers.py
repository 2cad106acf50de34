"""The unified layer API: a layer is a small frozen specification that initialises and applies itself, on any engine.

A new layer is a class with its settings as fields, `init` (NumPy, returns named arrays) and `__call__` (written on
`ops`). Parameters are nested dicts: a container gives each layer the part under its own name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, dataclass_transform

import numpy as np

from rlzoo.backend import ops
from rlzoo.errors import UserError, nearest
from rlzoo.nn.initializers import (
    Initializer,
    fan_in_bias,
    fan_in_uniform,
    he_uniform,
    ones,
    orthogonal,
    xavier_uniform,
    zeros,
)

Array = Any
Params = dict[str, Any]  # name → array, or the parameters of a layer inside
Shape = tuple[int, ...]  # of one example, without the batch axis

ACTIVATIONS = {"tanh": ops.tanh, "relu": ops.relu, "sigmoid": ops.sigmoid, "softplus": ops.softplus}
INITIALIZERS: dict[str, Initializer] = {
    "orthogonal": orthogonal, "xavier": xavier_uniform, "he": he_uniform, "fan_in": fan_in_uniform,
}  # fmt: skip


@dataclass_transform(frozen_default=True)
class Layer:
    """What every layer offers. Subclasses become frozen dataclasses by themselves."""

    _has_own_init = False  # then what it keeps is in no field to compare

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        cls._has_own_init = cls._has_own_init or "__init__" in vars(cls)  # or one above, which it is made by as well
        dataclass(frozen=True, init=not cls._has_own_init, eq=not cls._has_own_init)(cls)

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        """Initial parameters for examples of this shape. Without parameters: an empty dict."""
        return {}

    def __call__(self, params: Params, x: Array) -> Array:
        """The layer's output for a batch `[N, *shape]`."""
        raise NotImplementedError

    def noise(self, rng: np.random.Generator, shape: Shape, batch: int) -> Any:
        """What `__call__` takes as its third argument while training; None where the layer needs no noise."""
        return None

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one output for one example of `shape`, found by running the layer once in NumPy."""
        return _output_shape(self, tuple(shape))


@lru_cache(maxsize=256)
def _output_shape(layer: Layer, shape: Shape) -> Shape:
    return layer(layer.init(np.random.default_rng(0), shape), np.zeros((1, *shape), np.float32)).shape[1:]


def _check(kind: str, name: str, valid: dict[str, Any]) -> None:
    """Raises UserError for a name that is not among the valid ones."""
    if name not in valid:
        raise UserError(f"unknown {kind} {name!r}{nearest(name, valid)} (valid: {', '.join(valid)})")


class Dense(Layer):
    """x W + b, `[N, inputs]` to `[N, units]`; bias zero or, with `fan_in`, uniform as in PyTorch."""

    units: int
    gain: float = 1.0
    initializer: str = "orthogonal"

    def __post_init__(self) -> None:
        _check("initializer", self.initializer, INITIALIZERS)

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        kernel = INITIALIZERS[self.initializer](rng, (shape[-1], self.units), self.gain)
        if self.initializer == "fan_in":
            return {"kernel": kernel, "bias": fan_in_bias(rng, shape[-1], self.units, self.gain)}
        return {"kernel": kernel, "bias": zeros(self.units)}

    def __call__(self, params: Params, x: Array) -> Array:
        return ops.linear(x, params["kernel"], params["bias"])


class Activation(Layer):
    """An elementwise function by name: tanh, relu, sigmoid, softplus."""

    function: str

    def __post_init__(self) -> None:
        _check("activation", self.function, ACTIVATIONS)

    def __call__(self, params: Params, x: Array) -> Array:
        return ACTIVATIONS[self.function](x)


class Conv2D(Layer):
    """Convolution without padding, `[N, H, W, C]` to `[N, H', W', filters]`."""

    filters: int
    kernel_size: int
    stride: int = 1
    gain: float = math.sqrt(2)
    initializer: str = "orthogonal"

    def __post_init__(self) -> None:
        _check("initializer", self.initializer, INITIALIZERS)

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        size = (self.kernel_size, self.kernel_size, shape[-1], self.filters)
        return {"kernel": INITIALIZERS[self.initializer](rng, size, self.gain), "bias": zeros(self.filters)}

    def __call__(self, params: Params, x: Array) -> Array:
        return ops.conv2d(x, params["kernel"], self.stride) + params["bias"]


class Flatten(Layer):
    """`[N, *shape]` to `[N, product of shape]`."""

    def __call__(self, params: Params, x: Array) -> Array:
        return ops.reshape(x, (x.shape[0], math.prod(x.shape[1:])))


class LayerNorm(Layer):
    """Zero mean and unit variance over the last axis, then a learned scale and shift (Ba 2016)."""

    epsilon: float = 1e-5

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        return {"scale": ones(shape[-1]), "shift": zeros(shape[-1])}

    def __call__(self, params: Params, x: Array) -> Array:
        centred = x - ops.mean(x, -1, keepdims=True)
        variance = ops.mean(ops.square(centred), -1, keepdims=True)
        return centred / ops.sqrt(variance + self.epsilon) * params["scale"] + params["shift"]


class Embedding(Layer):
    """A learned vector for each of `count` integers: `[N]` int32 to `[N, units]`."""

    count: int
    units: int

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        return {"table": rng.standard_normal((self.count, self.units)).astype(np.float32)}

    def __call__(self, params: Params, x: Array) -> Array:
        return ops.take(params["table"], ops.astype(x, "int32"))


class Dropout(Layer):
    """Each element kept with probability 1 − rate and scaled by 1 / (1 − rate), by uniform noise that is handed in."""

    rate: float

    def noise(self, rng: np.random.Generator, shape: Shape, batch: int) -> Any:
        return rng.random((batch, *shape), np.float32)

    def __call__(self, params: Params, x: Array, noise: Array | None = None) -> Array:
        if noise is None:
            return x
        return ops.where(ops.less(noise, self.rate), ops.zeros_like(x), x / (1.0 - self.rate))


class NoisyDense(Layer):
    """Dense with factorised Gaussian noise on its weights (Fortunato 2018, eq. 9–11); without noise, their means."""

    units: int
    sigma: float = 0.5

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        size = (shape[-1], self.units)
        kernel, bias = fan_in_uniform(rng, size), fan_in_bias(rng, *size)
        spread = np.full(size, self.sigma / math.sqrt(size[0]), np.float32)
        return {"kernel": kernel, "bias": bias, "kernel_sigma": spread, "bias_sigma": spread[0].copy()}

    def noise(self, rng: np.random.Generator, shape: Shape, batch: int) -> Any:
        def scaled(size: int) -> np.ndarray:
            x = rng.standard_normal(size, np.float32)
            return np.sign(x) * np.sqrt(np.abs(x))

        return {"input": scaled(shape[-1]), "output": scaled(self.units)}

    def __call__(self, params: Params, x: Array, noise: Any = None) -> Array:
        mean = ops.matmul(x, params["kernel"]) + params["bias"]
        if noise is None:
            return mean
        spread = ops.matmul(x * noise["input"], params["kernel_sigma"]) * noise["output"]
        return mean + spread + params["bias_sigma"] * noise["output"]


class Sequential(Layer):
    """Layers one after another; parameters and noise under "0", "1", …"""

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        params = {}
        for i, layer in enumerate(self.layers):
            params[str(i)] = layer.init(rng, shape)
            shape = layer.output_shape(shape)
        return params

    def noise(self, rng: np.random.Generator, shape: Shape, batch: int) -> Any:
        noise = {}
        for i, layer in enumerate(self.layers):
            noise[str(i)] = layer.noise(rng, shape, batch)
            shape = layer.output_shape(shape)
        return None if all(part is None for part in noise.values()) else noise

    def __call__(self, params: Params, x: Array, noise: Any = None) -> Array:
        for i, layer in enumerate(self.layers):
            part = None if noise is None else noise[str(i)]
            x = layer(params[str(i)], x) if part is None else layer(params[str(i)], x, part)  # type: ignore[call-arg]
        return x

    def output_shape(self, shape: Shape) -> Shape:
        for layer in self.layers:  # one by one, as in `init`: the first may take more than an array
            shape = layer.output_shape(shape)
        return shape


def mlp(
    hidden: tuple[int, ...],
    units: int | None = None,
    activation: str = "tanh",
    initializer: str = "orthogonal",
    gain: float = math.sqrt(2),
    output_gain: float = 1.0,
    noisy: bool = False,
) -> Sequential:
    """Dense layers of these widths, each followed by the activation, then (if `units`) a Dense layer of that width.

    `noisy` makes them NoisyDense, which have an initialization of their own.
    """

    def dense(width: int, gain: float) -> Layer:
        return NoisyDense(width) if noisy else Dense(width, gain, initializer)

    layers: list[Layer] = []
    gain = 1.0 if initializer == "fan_in" else gain
    for width in hidden:
        layers += [dense(width, gain), Activation(activation)]
    return Sequential((*layers, *([] if units is None else [dense(units, output_gain)])))


class Ensemble(Layer):
    """`count` copies of a layer with weights and noise of their own; the outputs as a tuple.

    Each copy is a matmul of its own: XLA's CPU backend does not send batched products to its fast GEMM.
    """

    layer: Layer
    count: int

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        return {str(i): self.layer.init(rng, shape) for i in range(self.count)}

    def noise(self, rng: np.random.Generator, shape: Shape, batch: int) -> Any:
        noise = {str(i): self.layer.noise(rng, shape, batch) for i in range(self.count)}
        return None if all(part is None for part in noise.values()) else noise

    def __call__(self, params: Params, x: Array, noise: Any = None) -> tuple[Array, ...]:
        layer: Any = self.layer
        if noise is None:
            return tuple(layer(params[str(i)], x) for i in range(self.count))
        return tuple(layer(params[str(i)], x, noise[str(i)]) for i in range(self.count))

    def output_shape(self, shape: Shape) -> Shape:
        return self.layer.output_shape(shape)
