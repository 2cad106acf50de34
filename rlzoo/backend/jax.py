"""JAX: `jit`, with the first argument donated where asked, and `lax.scan` for folds.

Trees are taken apart and put together here, for JAX would sort the keys of dicts.
"""

from __future__ import annotations

import math
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from rlzoo.backend import cache, convolution, tree

add, subtract, multiply, divide, power = jnp.add, jnp.subtract, jnp.multiply, jnp.divide, jnp.power
minimum, maximum, where = jnp.minimum, jnp.maximum, jnp.where
equal, less, greater = jnp.equal, jnp.less, jnp.greater
negative, exp, log, sqrt, square, tanh = jnp.negative, jnp.exp, jnp.log, jnp.sqrt, jnp.square, jnp.tanh
sigmoid, softplus, relu = jax.nn.sigmoid, jax.nn.softplus, jax.nn.relu
log_softmax, softmax = jax.nn.log_softmax, jax.nn.softmax
matmul, reshape, permute_dims, expand_dims, broadcast_to = (
    jnp.matmul, jnp.reshape, jnp.transpose, jnp.expand_dims, jnp.broadcast_to,
)  # fmt: skip
squeeze, zeros_like, take = jnp.squeeze, jnp.zeros_like, jnp.take
stop_gradient = jax.lax.stop_gradient
NARROW, COLUMNS = 16, 6  # outputs of a linear map
LARGEST_PACKED = 1 << 20  # bytes of an array that is copied to go to a GPU with others


def abs(x):
    return jnp.sign(x) * x  # whose derivative at 0 is 0, as on the other engines: that of jnp.abs is 1


def sum(x, axis, keepdims):
    return jnp.sum(x, axis=axis, keepdims=keepdims)


def mean(x, axis, keepdims):
    return jnp.mean(x, axis=axis, keepdims=keepdims)


def max(x, axis, keepdims):
    return jnp.max(x, axis=axis, keepdims=keepdims)


def argmax(x, axis):
    return jnp.argmax(x, axis=axis).astype(jnp.int32)


def sort(x):
    return jnp.sort(x, axis=-1)


def logsumexp(x, axis):
    return jax.nn.logsumexp(x, axis=axis)


def concat(arrays, axis):
    if arrays[0].ndim > 1 or not arrays[0].size:
        return jnp.concatenate(arrays, axis)
    # In place, into numbers that are all overwritten, and first at a place, 0, that XLA does not know: it would make
    # one loop of padding or concatenating, which reads beyond the pieces by masked loads. These are harmless, but where
    # no page of the process lies there each can take hundreds of cycles: some processes were slow, others not.
    first = jax.lax.stop_gradient(arrays[0][0])
    ends = np.cumsum([x.shape[0] for x in arrays])
    total = jnp.full(ends[-1], first, jnp.result_type(*arrays))
    for x, place in zip(arrays, (jnp.minimum((first != first).astype(jnp.int32), 0), *ends[:-1]), strict=True):
        total = jax.lax.dynamic_update_slice(total, x.astype(total.dtype), (place,))
    return total


def stack(arrays, axis):
    return jnp.stack(arrays, axis)


def split(x, sizes, axis):
    return jnp.split(x, np.cumsum(sizes)[:-1], axis)


def astype(x, dtype):
    return x.astype(dtype)


def asarray_like(value, like):
    return jnp.asarray(value)


def linear(x, kernel, bias):
    narrow = x.ndim == 2 and kernel.shape[1] <= NARROW and _on_cpu()
    return _narrow_linear(x, kernel, bias) if narrow else x @ kernel + bias


@jax.custom_vjp
def _narrow_linear(x, kernel, bias):
    return x @ kernel + bias


def _narrow_backward(held, gradient):
    """XLA's CPU products are slow where the result is narrow: the kernel's gradient column by column, or made wider."""
    x, kernel = held
    n = kernel.shape[1]
    if n <= COLUMNS:
        for_kernel = jnp.stack([gradient[:, i] @ x for i in range(n)], 1)
    else:
        for_kernel = (jnp.pad(gradient, ((0, 0), (0, NARROW - n))).T @ x)[:n].T
    return jax.lax.dot_general(gradient, kernel, (((1,), (1,)), ((), ()))), for_kernel, jnp.sum(gradient, 0)


_narrow_linear.defvjp(lambda x, kernel, bias: (_narrow_linear(x, kernel, bias), (x, kernel)), _narrow_backward)


def _on_cpu():
    place = jax.config.jax_default_device  # set around every compiled call
    return place is None or place.platform == "cpu"


def conv2d(x, kernel, stride):
    if _on_cpu():
        return convolution.by_product(sys.modules[__name__], x, kernel, stride)
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def one_hot(indices, depth):
    return jax.nn.one_hot(indices, depth, dtype=jnp.float32)


def value_and_grad(function, arrays):
    structures = []

    def flat(pieces):
        value, auxiliary = function(pieces)
        leaves, structure = tree.flatten(auxiliary)
        structures.append(structure)
        return value, leaves

    (value, leaves), gradients = jax.value_and_grad(flat, has_aux=True)(list(arrays))
    return value, tree.unflatten(structures[-1], leaves), gradients


def fold(step, carry, inputs, constants):
    (carried, carry_structure), (scanned, input_structure) = tree.flatten(carry), tree.flatten(inputs)
    structures = []

    def flat(state, x):
        new, output = step(tree.unflatten(carry_structure, state), tree.unflatten(input_structure, x), constants)
        leaves, structure = tree.flatten(output)
        structures.append(structure)
        return tree.flatten(new)[0], leaves

    carried, outputs = jax.lax.scan(flat, carried, scanned)
    return tree.unflatten(carry_structure, carried), tree.unflatten(structures[-1], outputs)


def _keep_compilations():
    """Have JAX keep what it compiles on disk, where the user has not told it where or that it should not."""
    if jax.config.jax_compilation_cache_dir is None and (folder := cache.folder("jax")) is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def compile(function, device="cpu", donate=False):
    _keep_compilations()
    on_gpu = device == "cuda"
    place = jax.devices("gpu" if on_gpu else "cpu")[0]
    structures = {}  # of the outputs, by that of the inputs

    @partial(jax.jit, static_argnums=(0, 1), donate_argnums=2 if donate else ())
    def jitted(structure, packed, first, rest):
        leaves = [*first, *(_unpacked(rest, packed) if packed else rest)]
        with jax.default_matmul_precision("float32" if on_gpu else None):  # else a GPU rounds what it multiplies
            outputs, structures[structure] = tree.flatten(function(*tree.unflatten(structure, leaves)))
        return outputs

    def run(*arguments):
        leaves, structure = tree.flatten(arguments)
        donated = len(tree.flatten(arguments[0])[0])
        first, rest = leaves[:donated], leaves[donated:]
        rest, packed = _packed(rest) if on_gpu else (rest, None)
        with jax.default_device(place):
            outputs = jitted(structure, packed, first, rest)
        return tree.unflatten(structures[structure], outputs)

    return run


def _packed(leaves):
    """NumPy's small arrays as one, last, for each costs a transfer; and where they lie in it: place, shape, type."""
    packed, pieces, others = [], [], []
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, np.ndarray | np.generic) and leaf.nbytes <= LARGEST_PACKED:
            leaf = leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype), copy=False)
            packed.append((i, leaf.shape, leaf.dtype.str))
            pieces.append(np.ravel(leaf).view(np.uint8))
        else:
            others.append(leaf)
    return ([*others, np.concatenate(pieces)], tuple(packed)) if packed else (leaves, None)


def _unpacked(leaves, packed):
    *others, block = leaves
    end = 0
    for i, shape, name in packed:
        dtype = np.dtype(name)
        start, end = end, end + math.prod(shape) * dtype.itemsize
        piece = block[start:end].reshape(*shape, *([dtype.itemsize] if dtype.itemsize > 1 else []))
        piece = piece.astype(dtype) if dtype == np.bool_ else jax.lax.bitcast_convert_type(piece, dtype)
        others.insert(i, piece)  # they come in the order of their places
    return others


def asarray(x, device="cpu"):
    return jax.device_put(x, jax.devices("gpu" if device == "cuda" else "cpu")[0])


def view(x):
    return np.asarray(x)


def device(name):
    has_gpu = any(place.platform == "gpu" for place in jax.devices())
    return {"auto": "cuda" if has_gpu else "cpu", "cuda": "cuda" if has_gpu else None}.get(name, name)
