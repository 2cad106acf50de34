"""JAX: `jit` with the first argument donated, `lax.scan` for folds."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

add, subtract, multiply, divide, power = jnp.add, jnp.subtract, jnp.multiply, jnp.divide, jnp.power
minimum, maximum, where = jnp.minimum, jnp.maximum, jnp.where
equal, less, greater = jnp.equal, jnp.less, jnp.greater
abs, negative, exp, log, sqrt, square, tanh = jnp.abs, jnp.negative, jnp.exp, jnp.log, jnp.sqrt, jnp.square, jnp.tanh
sigmoid, softplus, relu = jax.nn.sigmoid, jax.nn.softplus, jax.nn.relu
log_softmax, softmax = jax.nn.log_softmax, jax.nn.softmax
matmul, reshape, permute_dims, expand_dims, broadcast_to = (
    jnp.matmul, jnp.reshape, jnp.transpose, jnp.expand_dims, jnp.broadcast_to,
)  # fmt: skip
squeeze, zeros_like, take = jnp.squeeze, jnp.zeros_like, jnp.take
stop_gradient = jax.lax.stop_gradient


def sum(x, axis, keepdims):
    return jnp.sum(x, axis=axis, keepdims=keepdims)


def mean(x, axis, keepdims):
    return jnp.mean(x, axis=axis, keepdims=keepdims)


def max(x, axis, keepdims):
    return jnp.max(x, axis=axis, keepdims=keepdims)


def argmax(x, axis):
    return jnp.argmax(x, axis=axis).astype(jnp.int32)


def logsumexp(x, axis):
    return jax.nn.logsumexp(x, axis=axis)


def concat(arrays, axis):
    return jnp.concatenate(arrays, axis)


def stack(arrays, axis):
    return jnp.stack(arrays, axis)


def split(x, sizes, axis):
    return jnp.split(x, np.cumsum(sizes)[:-1], axis)


def astype(x, dtype):
    return x.astype(dtype)


def asarray_like(value, like):
    return jnp.asarray(value)


def conv2d(x, kernel, stride):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def one_hot(indices, depth):
    return jax.nn.one_hot(indices, depth, dtype=jnp.float32)


def value_and_grad(function, arrays):
    (value, auxiliary), gradients = jax.value_and_grad(function, has_aux=True)(list(arrays))
    return value, auxiliary, gradients


def fold(step, carry, inputs, constants):
    return jax.lax.scan(lambda state, x: step(state, x, constants), carry, inputs)


def compile(function, device="cpu"):
    jitted = jax.jit(function, donate_argnums=0)
    place = jax.devices("gpu" if device == "cuda" else "cpu")[0]

    def run(*arguments):
        with jax.default_device(place):
            return jitted(*arguments)

    return run


def asarray(x, device="cpu"):
    return jax.device_put(x, jax.devices("gpu" if device == "cuda" else "cpu")[0])


def to_numpy(x):
    return np.array(x)  # a copy: the buffer may be donated to the next call


def device(name):
    has_gpu = any(place.platform == "gpu" for place in jax.devices())
    return {"auto": "cuda" if has_gpu else "cpu", "cuda": "cuda" if has_gpu else None}.get(name, name)
