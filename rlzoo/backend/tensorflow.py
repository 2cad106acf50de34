"""TensorFlow: one XLA program a call (`tf.function(jit_compile=True)`), folds as loops inside it."""

from __future__ import annotations

import functools
import math
import os
import sys
from contextvars import ContextVar

import numpy as np

from rlzoo.backend import cache, convolution, tree
from rlzoo.backend import numpy as reference

os.environ["TF_XLA_FLAGS"] = cache.tensorflow_flags(os.environ.get("TF_XLA_FLAGS", ""))  # read at import, as the next
# Where it keeps compilations no errors either: it says some of each that it reads, and what goes wrong is raised.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if "cache_directory" in os.environ["TF_XLA_FLAGS"] else "2")
# oneDNN is for what XLA does not compile; where a processor suits it, TensorFlow tells of it at each start, whatever
# the level, and that results may differ.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import tensorflow as tf
from tensorflow.compiler.tf2xla.python.xla import dynamic_update_slice

power = tf.pow
minimum, maximum, where = tf.minimum, tf.maximum, tf.where
equal, less, greater = tf.equal, tf.less, tf.greater
abs, negative, exp, log, sqrt, square, tanh = (
    tf.abs, tf.negative, tf.exp, tf.math.log, tf.sqrt, tf.square, tf.tanh,
)  # fmt: skip
sigmoid, softplus, relu = tf.sigmoid, tf.math.softplus, tf.nn.relu
log_softmax, softmax = tf.nn.log_softmax, tf.nn.softmax
matmul, reshape, permute_dims, expand_dims, broadcast_to = (
    tf.matmul, tf.reshape, tf.transpose, tf.expand_dims, tf.broadcast_to,
)  # fmt: skip
squeeze, zeros_like, stack, split = tf.squeeze, tf.zeros_like, tf.stack, tf.split
stop_gradient = tf.stop_gradient
LONG = 32_768  # numbers in a joined vector
_gradients: ContextVar[int] = ContextVar("_gradients", default=0)  # how often what runs is differentiated


def _counting(operation, name):
    """`operation` of two arrays or numbers, for which a bool beside numbers is 0 or 1, as it is on other engines.

    TensorFlow refuses most of it, and takes the product of a bool and a number for a logical "and".
    """

    @functools.wraps(operation)
    def counting(x, y, *arguments, **keywords):
        if _is_bool(x) or _is_bool(y):
            x, y = (_floating(x), _floating(y)) if name == "divide" else reference.counted(name, x, y, _kind, astype)
        return operation(x, y, *arguments, **keywords)

    return counting


def _is_bool(x):
    return isinstance(x, tf.Tensor) and x.dtype == tf.bool


def _kind(x):
    return np.dtype(x.dtype.as_numpy_dtype).kind if isinstance(x, tf.Tensor) else np.asarray(x).dtype.kind


for _method, _op in {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide"}.items():
    for _name in (f"__{_method}__", f"__r{_method}__"):  # without bools they are TensorFlow's own
        setattr(tf.Tensor, _name, _counting(getattr(tf.Tensor, _name), _op))
add, subtract, multiply = (_counting(getattr(tf, _op), _op) for _op in ("add", "subtract", "multiply"))


def divide(x, y):
    return tf.divide(_floating(x), _floating(y))


def sum(x, axis, keepdims):
    return tf.reduce_sum(tf.cast(x, tf.int32) if x.dtype == tf.bool else x, axis, keepdims)


def mean(x, axis, keepdims):
    return tf.reduce_mean(_floating(x), axis, keepdims)


def _floating(x):
    return tf.cast(x, tf.float32) if isinstance(x, tf.Tensor) and not x.dtype.is_floating else x


def max(x, axis, keepdims):
    return tf.reduce_max(x, axis, keepdims)


def argmax(x, axis):
    return tf.argmax(x, axis, output_type=tf.int32)


def sort(x):
    return tf.sort(x, axis=-1)


def logsumexp(x, axis):
    return tf.reduce_logsumexp(x, axis)


def concat(arrays, axis):
    ends = np.cumsum([x.shape[0] for x in arrays])
    if arrays[0].shape.rank > 1 or ends[-1] < LONG or tf.executing_eagerly():
        return tf.concat(arrays, axis)
    total = _begun(arrays[0], ends[-1])
    for x, start, end in zip(arrays[1:], ends, ends[1:], strict=False):  # in place, which is faster for long vectors
        total = tf.raw_ops.TensorStridedSliceUpdate(input=total, begin=[start], end=[end], strides=[1], value=x)
    return total


@tf.custom_gradient
def _begun(x, size):
    """x and after it numbers to overwrite, at a place, 0, that XLA does not know: else it would pad (see jax.py)."""
    zero = tf.minimum(tf.cast(tf.math.is_nan(x[:1]), tf.int32), 0)
    return dynamic_update_slice(tf.fill([size], x[0]), x, zero), lambda gradient: (gradient[: x.shape[0]], None)


def astype(x, dtype):
    return tf.cast(x, dtype)


def asarray_like(value, like):
    return value if isinstance(value, tf.Tensor) else tf.convert_to_tensor(reference.asarray_like(value))


def linear(x, kernel, bias):
    return x @ kernel + bias


def conv2d(x, kernel, stride):
    if "GPU" not in x.device:
        return convolution.by_product(sys.modules[__name__], x, kernel, stride)
    return tf.nn.conv2d(x, kernel, stride, "VALID")


def take(x, indices, axis):
    return tf.gather(x, indices, axis=axis)


def one_hot(indices, depth):
    return tf.one_hot(indices, depth)


def value_and_grad(function, arrays):
    token = _gradients.set(_gradients.get() + 1)
    try:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            arrays = [tf.identity(array) for array in arrays]
            tape.watch(arrays)
            value, auxiliary = function(arrays)
    finally:
        _gradients.reset(token)
    gradients = tape.gradient(value, arrays, unconnected_gradients="zero")
    return value, auxiliary, [tf.convert_to_tensor(gradient) for gradient in gradients]  # a gather's come as slices


def fold(step, carry, inputs, constants):
    leaves, structure = tree.flatten(inputs)
    length = leaves[0].shape[0]
    if length == 1:
        carry, output = step(carry, tree.unflatten(structure, [leaf[0] for leaf in leaves]), constants)
        return carry, tree.map(lambda leaf: leaf[tf.newaxis], output)
    if _gradients.get() > 1:  # a loop that is differentiated twice takes fifty times as long
        return tree.loop(step, carry, inputs, constants, tf.stack)
    carried, carry_structure = tree.flatten(carry)
    first = tree.unflatten(structure, [leaf[0] for leaf in leaves])
    shapes, output_structure = tree.flatten(_output_shapes(step, carry, first, constants))
    stores = [tf.TensorArray(spec.dtype, length, element_shape=spec.shape) for spec in shapes]

    def body(i, state, stores):
        x = tree.unflatten(structure, [tf.gather(leaf, i) for leaf in leaves])
        new, output = step(tree.unflatten(carry_structure, state), x, constants)
        written = [store.write(i, leaf) for store, leaf in zip(stores, tree.flatten(output)[0], strict=True)]
        return i + 1, tree.flatten(new)[0], written

    _, carried, stores = tf.while_loop(
        lambda i, state, stores: i < length, body, (0, carried, stores), maximum_iterations=length
    )
    outputs = [store.stack() for store in stores]
    return tree.unflatten(carry_structure, carried), tree.unflatten(output_structure, outputs)


def _output_shapes(step, carry, x, constants):
    """What one step puts out, as TensorSpecs, found by tracing it without running it."""
    arguments, structure = tree.flatten((carry, x, constants))
    found = {}

    def trace(*leaves):
        _, output = step(*tree.unflatten(structure, list(leaves)))
        found["output"] = tree.map(lambda leaf: tf.TensorSpec(leaf.shape, leaf.dtype), output)
        return 0

    specs = [tf.TensorSpec(leaf.shape, leaf.dtype) for leaf in map(tf.convert_to_tensor, arguments)]
    tf.function(trace, autograph=False).get_concrete_function(*specs)
    return found["output"]


def compile(function, device="cpu", donate=False):
    programs = {}
    place = "/GPU:0" if device == "cuda" else "/CPU:0"
    if device == "cuda":
        tf.config.experimental.enable_tensor_float_32_execution(False)  # else a GPU rounds what it multiplies

    def run(*arguments):
        leaves, structure = tree.flatten(arguments)
        with tf.device(place):
            if donate and not isinstance(leaves[0], tf.Tensor):  # NumPy's at the first call, tensors ever after
                leaves = [*map(tf.convert_to_tensor, tree.flatten(arguments[0])[0]), *tree.flatten(arguments[1:])[0]]
            key = (structure, tuple((isinstance(leaf, tf.Tensor), leaf.shape, leaf.dtype) for leaf in leaves))
            if key not in programs:
                programs[key] = _Program(function, structure, leaves)
                try:
                    return programs[key](leaves)
                except (tf.errors.DataLossError, tf.errors.OutOfRangeError):
                    cache.forget_tensorflow()  # a file there is broken
                    programs[key] = _Program(function, structure, leaves)
            return programs[key](leaves)

    return run


class _Program:
    """`function` compiled for arrays like these. An argument costs 10 µs: NumPy's float32 come in as one array."""

    def __init__(self, function, structure, leaves):
        self.packed = [isinstance(leaf, np.ndarray | np.generic) and leaf.dtype == np.float32 for leaf in leaves]
        shapes = [leaf.shape for leaf, packed in zip(leaves, self.packed, strict=True) if packed]
        sizes = [math.prod(shape) for shape in shapes]

        def flat(*tensors):
            others = iter(tensors)
            pieces = iter(tf.split(next(others), sizes) if sizes else ())
            unpacked = (tf.reshape(piece, shape) for piece, shape in zip(pieces, shapes, strict=True))
            inputs = [next(unpacked if packed else others) for packed in self.packed]
            outputs, self.structure = tree.flatten(function(*tree.unflatten(structure, inputs)))
            return outputs

        tensors = self._tensors(leaves)
        self.program = tf.function(flat, jit_compile=True, autograph=False).get_concrete_function(*tensors)
        self.call = self.program.inference_fn.call_flat  # what it calls, after 60 µs of looking at its arguments

    def __call__(self, leaves):
        return tree.unflatten(self.structure, list(self.call(*self._tensors(leaves))))

    def _tensors(self, leaves):
        pack = [leaf.reshape(-1) for leaf, packed in zip(leaves, self.packed) if packed]
        others = [leaf if isinstance(leaf, tf.Tensor) else tf.convert_to_tensor(leaf)
                  for leaf, packed in zip(leaves, self.packed) if not packed]
        return [tf.constant(np.concatenate(pack)), *others] if pack else others


def asarray(x, device="cpu"):
    with tf.device("/GPU:0" if device == "cuda" else "/CPU:0"):
        return tf.convert_to_tensor(x)


def view(x):
    return np.asarray(x)


def device(name):
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    return {"auto": "cuda" if has_gpu else "cpu", "cuda": "cuda" if has_gpu else None}.get(name, name)
