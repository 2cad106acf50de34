"""MindSpore: generated straight-line source under `ms.jit`.

The ops below are read twice: called as they are (eager), and parsed by MindSpore as part of a generated program. So
they keep to the plain subset of Python that its compiler reads: positional arguments, no closures, no comprehensions.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading

os.environ.setdefault("GLOG_v", "3")  # errors only; read when MindSpore is imported
# Calls run in the thread that makes them: behind a queue that thread would wait busily, in the way of those that work.
os.environ.setdefault("MS_DEV_RUNTIME_CONF", "graph_pipeline:false")

import mindspore as ms
import numpy as np
from mindspore import ops

from rlzoo.backend import mindspore_cache, recorder, tree
from rlzoo.backend import numpy as reference
from rlzoo.backend.source import Module
from rlzoo.errors import UserError

PRODUCT = ops.MatMul()
equal, abs, exp, sqrt, square, sigmoid, relu, zeros_like, stop_gradient = (
    ops.equal, ops.abs, ops.exp, ops.sqrt, ops.square, ops.sigmoid, ops.relu, ops.zeros_like, ops.stop_gradient,
)  # fmt: skip
not_equal, less_equal, greater_equal = ops.not_equal, ops.less_equal, ops.greater_equal  # recorded, as the next
bitwise_and, bitwise_or = ops.bitwise_and, ops.bitwise_or
WIDE = 256 * 128  # numbers of a matrix, above which it is faster to repeat a vector than to have it broadcast
LONG, ROW = 128 * 1024, 1024  # numbers, from which on threads would share the sum of all; how many are summed instead


def add(x, y):
    return x + y


@contextlib.contextmanager
def _nothing_said():
    """Nothing is written to stderr, nor to stdout, by the C library either; a stdout that is closed stays closed.

    Nor is the hook of exceptions told, as Python's C library does: a notebook's would show a traceback in red.
    """
    with contextlib.redirect_stderr(io.StringIO()), contextlib.ExitStack() as after:
        after.callback(setattr, sys, "excepthook", sys.excepthook)
        sys.excepthook = lambda *_: None
        with contextlib.suppress(OSError, AttributeError):
            sys.stdout.flush()
            stdout = os.dup(1)
            after.callback(os.close, stdout)
            after.callback(os.dup2, stdout, 1)
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), 1)
        yield


def _first_words():
    """Have said what MindSpore says once: that NumPy is new, and how it is configured."""
    with _nothing_said():
        one = ms.Tensor(1.0, ms.float32)
        with contextlib.suppress(SystemError):
            one * one  # under NumPy 2 the first product that is not compiled fails, the others do not
        ms.jit(add)(one, one).asnumpy()


_first_words()


def subtract(x, y):
    return x - y


def multiply(x, y):
    return x * y


def divide(x, y):
    return x / y


def power(x, y):
    return ops.pow(x, y)


def minimum(x, y):
    return ops.minimum(x, y)


def maximum(x, y):
    return ops.maximum(x, y)


def where(condition, x, y):
    return ops.where(condition, x, y)


def less(x, y):
    return x < y


def greater(x, y):
    return x > y


def negative(x):
    return -x


def bitwise_invert(x):
    return ops.logical_not(x) if x.dtype == ms.bool_ else -1 - x


def tanh(x):
    return 2.0 * ops.sigmoid(2.0 * x) - 1.0  # within 2e-6; ops.tanh on the CPU is off by 1e-4 where |x| is 4 to 6


def log(x):
    return ops.xlogy(1.0, x)  # ops.log rounds otherwise at the end of a thread's share, which varies from call to call


def softplus(x):
    return ops.maximum(x, 0.0) + log(1.0 + ops.exp(-ops.abs(x)))


def sum(x, axis, keepdims):
    if axis is None and not keepdims and x.size >= LONG:  # row by row: threads add what they have in any order
        x = ops.reshape(x, (-1,))
        x = ops.reshape(_with_zeros(x, 0, -x.shape[0] % ROW), (-1, ROW)).sum(1)
    return x.sum(axis, None if x.is_floating_point() else ms.int32, keepdims)


def mean(x, axis, keepdims):
    if not x.is_floating_point():
        x = ops.cast(x, ms.float32)
    if axis is None and not keepdims and x.size >= LONG:
        return sum(x, axis, keepdims) / x.size
    return x.mean(axis, keepdims)


def max(x, axis, keepdims):
    return ops.amax(x, axis, keepdims)


def argmax(x, axis):
    return ops.cast(ops.argmax(x, axis), ms.int32)


def sort(x):
    return ops.sort(x)[0]


def logsumexp(x, axis):
    top = ops.stop_gradient(ops.amax(x, axis, True))
    return log(ops.exp(x - top).sum(axis)) + ops.squeeze(top, axis)


def log_softmax(x):
    return ops.log_softmax(x, -1)


def softmax(x):
    return ops.softmax(x, -1)


def reshape(x, shape):
    return ops.reshape(x, shape)


def permute_dims(x, axes):
    return ops.transpose(x, axes)


def expand_dims(x, axis):
    return ops.expand_dims(x, axis)


def squeeze(x, axis):
    return ops.squeeze(x, axis)


def broadcast_to(x, shape):
    return ops.broadcast_to(x, shape)


def concat(arrays, axis):
    return ops.concat(arrays, axis)


def stack(arrays, axis):
    return ops.stack(arrays, axis)


def unstack(x):
    return ops.unstack(x)


def split(x, sizes, axis):
    return ops.split(x, sizes, axis)


def matmul(x, y):
    if x.ndim == 2 and y.ndim == 2:
        return PRODUCT(x, y)
    return ops.matmul(x, y)


def take(x, indices, axis):
    return ops.gather(x, indices, axis)


def one_hot(indices, depth):
    return ops.one_hot(indices, depth, ms.Tensor(1.0, ms.float32), ms.Tensor(0.0, ms.float32))


def linear(x, kernel, bias):
    if x.ndim == 2 and x.shape[0] * kernel.shape[1] > WIDE:
        bias = ops.tile(ops.reshape(bias, (1, -1)), (x.shape[0], 1))
    return matmul(x, kernel) + bias


def lerp(x, y, weight):
    return x + weight * (y - x)


def adam(flat, gradient, first, second, count, learning_rate, beta1, beta2, epsilon, weight_decay):
    first = beta1 * first + (1.0 - beta1) * gradient
    second = beta2 * second + (1.0 - beta2) * (gradient * gradient)
    unbias = ops.sqrt(1.0 - ops.pow(beta2, count))
    scale = learning_rate * unbias / (1.0 - ops.pow(beta1, count))
    moved = flat - scale * first / (ops.sqrt(second) + epsilon * unbias)
    if weight_decay > 0.0:
        moved = moved - (learning_rate * weight_decay) * flat
    return moved, first, second


def _with_zeros(x, axis, count):
    """So many zeros after `x` along an axis. The gradient of `ops.pad` is wrong from the second call on."""
    if count <= 0:
        return x
    shape = x.shape[:axis] + (count,) + x.shape[axis + 1 :]  # noqa: RUF005  (MindSpore's parser: no unpacking)
    return ops.concat((x, ops.zeros(shape, x.dtype)), axis)


def conv2d(x, kernel, stride):
    """By space-to-depth, crops and one matmul: the CPU's own convolution takes twenty times as long."""
    n, height, width, channels = x.shape
    rows, columns = (height - kernel.shape[0]) // stride + 1, (width - kernel.shape[1]) // stride + 1
    down, across = (kernel.shape[0] + stride - 1) // stride, (kernel.shape[1] + stride - 1) // stride
    filters = kernel.shape[3]  # the kernel is `down` by `across` blocks of stride × stride pixels
    below, beside = down * stride - kernel.shape[0], across * stride - kernel.shape[1]
    kernel = _with_zeros(_with_zeros(kernel, 0, below), 1, beside)
    tall, wide = (rows - 1 + down) * stride, (columns - 1 + across) * stride
    x = _with_zeros(_with_zeros(x, 1, tall - height), 2, wide - width)[:, :tall, :wide, :]
    depth = stride * stride * channels
    x = ops.reshape(x, (n, tall // stride, stride, wide // stride, stride, channels))
    x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (n, tall // stride, wide // stride, depth))
    crops = ()
    for i in range(down):
        band = x[:, i : i + rows] if down > 1 else x
        for j in range(across):
            crop = band[:, :, j : j + columns] if across > 1 else band
            crops = crops + (crop,)  # type: ignore[assignment]  # noqa: RUF005  (MindSpore's parser: no unpacking)
    patches = ops.reshape(ops.concat(crops, 3), (n * rows * columns, down * across * depth))
    kernel = ops.reshape(kernel, (down, stride, across, stride, channels, filters))
    kernel = ops.reshape(ops.transpose(kernel, (0, 2, 1, 3, 4, 5)), (down * across * depth, filters))
    return ops.reshape(PRODUCT(patches, kernel), (n, rows, columns, filters))


def place(x, row, indices, index):
    """x with `row` at `index` of its leading axis; `indices` counts that axis."""
    here = ops.reshape(ops.equal(indices, index), (x.shape[0],) + (1,) * row.ndim)
    return ops.where(here, ops.expand_dims(row, 0), x)


def astype(x, dtype):
    if dtype == "float32":
        return ops.cast(x, ms.float32)
    if dtype == "int32":
        return ops.cast(x, ms.int32)
    return ops.cast(x, ms.bool_)


def asarray_like(value, like):
    return value if isinstance(value, ms.Tensor) else ms.Tensor(reference.asarray_like(value))


class _State(threading.local):
    differentiating = False  # PyNative would lose what the inner of two gradients reads from around it


_STATE, _ALONE = _State(), threading.Lock()  # a program is refused while one is compiled in another thread


def gradient(body, positions):
    """The function of value and gradient that generated source calls."""
    return ms.value_and_grad(body, positions, None, True)


def value_and_grad(function, arrays):
    if _STATE.differentiating:
        raise UserError("MindSpore takes the gradient of a gradient in a compiled function only: leave eager out")
    structures = []

    def body(*pieces):
        value, auxiliary = function(list(pieces))
        leaves, structure = tree.flatten(auxiliary)
        structures.append(structure)
        return (value, *leaves, value)

    _STATE.differentiating = True
    try:
        values, gradients = gradient(body, tuple(range(len(arrays))))(*arrays)
    finally:
        _STATE.differentiating = False
    gradients = [gradients] if len(arrays) == 1 else list(gradients)  # that of one array comes bare
    return values[0], tree.unflatten(structures[-1], list(values[1:-1])), gradients


def fold(step, carry, inputs, constants):
    return tree.loop(step, carry, inputs, constants, ops.stack)


def compile(function, device="cpu", donate=False):
    compiled = {}

    def run(*arguments):
        with _ALONE:
            return alone(arguments)

    def alone(arguments):
        leaves, structure = tree.flatten(arguments)
        leaves = [asarray(leaf) for leaf in leaves]
        key = (structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        if key not in compiled:
            program = recorder.record(function, tree.unflatten(structure, [view(leaf) for leaf in leaves]))
            module = Module(__name__)
            name = module.function(program)
            compiled[key] = ms.jit(getattr(module.load(asarray), name)), program.structure
            with mindspore_cache.kept(module, leaves):
                return tree.unflatten(program.structure, list(compiled[key][0](*leaves)))
        call, result = compiled[key]
        return tree.unflatten(result, list(call(*leaves)))

    return run


def asarray(x, device="cpu"):
    return x if isinstance(x, ms.Tensor) else ms.Tensor(np.asarray(x))  # a copy: calls return before they have run


def view(x):
    return x.asnumpy()


def device(name):
    return {"auto": "cpu", "cpu": "cpu"}.get(name)
