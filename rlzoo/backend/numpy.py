"""NumPy: what acts in the environment, and the reference the engines are tested against."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rlzoo.backend import tree
from rlzoo.errors import UserError

add, subtract, multiply, divide, power = np.add, np.subtract, np.multiply, np.divide, np.power
minimum, maximum, where = np.minimum, np.maximum, np.where
equal, less, greater = np.equal, np.less, np.greater
not_equal, less_equal, greater_equal = np.not_equal, np.less_equal, np.greater_equal  # recorded operators, as the next
bitwise_and, bitwise_or, bitwise_invert = np.bitwise_and, np.bitwise_or, np.invert
abs, negative, exp, log, sqrt, square, tanh = np.abs, np.negative, np.exp, np.log, np.sqrt, np.square, np.tanh
matmul, permute_dims, expand_dims, broadcast_to = np.matmul, np.transpose, np.expand_dims, np.broadcast_to
concat, stack, zeros_like, take = np.concatenate, np.stack, np.zeros_like, np.take
ZERO = np.zeros((), np.float32)  # a Python number would be made an array at every call
NARROW = {"d": np.float32, "l": np.int32, "q": np.int32}  # the types of engines for those of NumPy


def sigmoid(x):
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def softplus(x):
    return np.logaddexp(x, 0.0)


def relu(x):
    return np.maximum(x, ZERO)


def sum(x, axis, keepdims):
    total = np.add.reduce(x, axis=axis, keepdims=keepdims)
    return total if total.dtype.kind == "f" else total.astype(np.int32)


def mean(x, axis, keepdims):
    return np.mean(x if x.dtype.kind == "f" else x.astype(np.float32), axis=axis, keepdims=keepdims)


def max(x, axis, keepdims):
    return np.maximum.reduce(x, axis=axis, keepdims=keepdims)


def argmax(x, axis):
    return x.argmax(axis).astype(np.int32)


def sort(x):
    return np.sort(x, -1)


def logsumexp(x, axis):
    highest = np.max(x, axis=axis, keepdims=True)
    return np.squeeze(highest, axis) + np.log(np.sum(np.exp(x - highest), axis=axis))


def log_softmax(x):
    return x - np.expand_dims(logsumexp(x, -1), -1)


def softmax(x):
    return np.exp(log_softmax(x))


def reshape(x, shape):
    return x.reshape(shape)


def squeeze(x, axis):
    return x.squeeze(axis)


def split(x, sizes, axis):
    before, start, pieces = (slice(None),) * (axis % x.ndim), 0, []
    for size in sizes:
        pieces.append(x[(*before, slice(start, start + size))])
        start += size
    return pieces


def astype(x, dtype):
    return np.asarray(x).astype(dtype, copy=False)


def asarray_like(value, like=None):
    value = np.asarray(value)
    return value.astype(NARROW.get(value.dtype.char, value.dtype), copy=False)


def counted(name, x, y, kind, cast):
    """x and y for the op of this name: of a bool and a number, the bool as 0 and 1 of the number's type."""
    kinds = kind(x), kind(y)
    if kinds == ("b", "b") and name in ("add", "subtract"):
        raise UserError(f"{name} of two bools is not the same on every engine: ops.astype them, or use | or &")
    dtype = {"f": "float32", "i": "int32"}.get("".join(kinds).replace("b", ""))
    return [cast(each, dtype) if of_it == "b" and dtype else each for each, of_it in zip((x, y), kinds, strict=True)]


def from_the_start(indices, x, axis):
    """What an engine takes of its array x for constant indices: negative ones, from the end, as counted from the start.

    Indices of an engine are given back as they are, and so are those of a NumPy array.
    """
    if isinstance(x, np.ndarray) or not isinstance(indices, np.ndarray | np.integer | int):
        return indices
    indices = np.asarray(indices, np.int32)
    return np.where(indices < 0, indices + np.int32(x.shape[axis]), indices)


def stop_gradient(x):
    return x


def linear(x, kernel, bias):
    return x @ kernel + bias


def conv2d(x, kernel, stride):
    height, width = kernel.shape[:2]
    windows = sliding_window_view(x, (height, width), axis=(1, 2))[:, ::stride, ::stride]  # [N, H', W', C, h, w]
    return np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2)))


def one_hot(indices, depth):
    return (np.asarray(indices)[..., None] == np.arange(depth)).astype(np.float32)


def value_and_grad(function, arrays):
    value, auxiliary = function(arrays)
    gradients = []
    for position, array in enumerate(arrays):
        gradient = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            step = 1e-6 * np.maximum(1.0, np.abs(array[index]))
            ends = []
            for shift in (step, -step):
                moved = array.copy()
                moved[index] += shift
                ends.append(function([*arrays[:position], moved, *arrays[position + 1 :]])[0])
            gradient[index] = (ends[0] - ends[1]) / (2.0 * step)
        gradients.append(gradient)
    return value, auxiliary, gradients


def fold(step, carry, inputs, constants):
    return tree.loop(step, carry, inputs, constants, np.stack)


def compile(function, device="cpu", donate=False):
    return function


def asarray(x, device="cpu"):
    return np.asarray(x)


def view(x):
    return np.asarray(x)


def device(name):
    return "cpu" if name in ("auto", "cpu") else None
