"""TensorFlow: one XLA program a call (`tf.function(jit_compile=True)`), folds as loops inside it."""

from __future__ import annotations

import os

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is imported

import tensorflow as tf

from rlzoo.backend import tree

add, subtract, multiply, divide, power = tf.add, tf.subtract, tf.multiply, tf.divide, tf.pow
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
squeeze, zeros_like, stack, concat, split = tf.squeeze, tf.zeros_like, tf.stack, tf.concat, tf.split
stop_gradient = tf.stop_gradient


def sum(x, axis, keepdims):
    return tf.reduce_sum(x, axis, keepdims)


def mean(x, axis, keepdims):
    return tf.reduce_mean(x, axis, keepdims)


def max(x, axis, keepdims):
    return tf.reduce_max(x, axis, keepdims)


def argmax(x, axis):
    return tf.argmax(x, axis, output_type=tf.int32)


def logsumexp(x, axis):
    return tf.reduce_logsumexp(x, axis)


def astype(x, dtype):
    return tf.cast(x, dtype)


def asarray_like(value, like):
    return tf.convert_to_tensor(value)


def linear(x, kernel, bias):
    return x @ kernel + bias


def conv2d(x, kernel, stride):
    return tf.nn.conv2d(x, kernel, stride, "VALID")


def take(x, indices, axis):
    return tf.gather(x, indices, axis=axis)


def one_hot(indices, depth):
    return tf.one_hot(indices, depth)


def value_and_grad(function, arrays):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        arrays = [tf.identity(array) for array in arrays]
        tape.watch(arrays)
        value, auxiliary = function(arrays)
    gradients = tape.gradient(value, arrays, unconnected_gradients="zero")
    return value, auxiliary, [tf.convert_to_tensor(gradient) for gradient in gradients]  # a gather's come as slices


def fold(step, carry, inputs, constants):
    leaves, structure = tree.flatten(inputs)
    length = leaves[0].shape[0]
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
    structures = {}
    place = "/GPU:0" if device == "cuda" else "/CPU:0"

    def build(structure):
        found = {}

        def flat(*leaves):
            outputs, found["structure"] = tree.flatten(function(*tree.unflatten(structure, list(leaves))))
            return outputs

        return tf.function(flat, jit_compile=True, autograph=False), found

    def run(*arguments):
        leaves, structure = tree.flatten(arguments)
        if structure not in structures:
            structures[structure] = build(structure)
        call, found = structures[structure]
        with tf.device(place):
            outputs = call(*[tf.convert_to_tensor(leaf) for leaf in leaves])
        return tree.unflatten(found["structure"], list(outputs))

    return run


def asarray(x, device="cpu"):
    with tf.device("/GPU:0" if device == "cuda" else "/CPU:0"):
        return tf.convert_to_tensor(x)


def to_numpy(x):
    return np.array(x)


def device(name):
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    return {"auto": "cuda" if has_gpu else "cpu", "cuda": "cuda" if has_gpu else None}.get(name, name)
