"""Each op with arrays to try it on: name → (function, *arrays). The first word of a name is the op it is about."""

from __future__ import annotations

import numpy as np

from rlzoo.backend import ops

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((2, 3, 4))
ROW, COLUMN = rng.standard_normal(4), rng.standard_normal((3, 1))
POSITIVE = rng.uniform(0.5, 2.0, (3, 4))
CUBE = rng.standard_normal((2, 3, 4))
EVEN_KERNEL = np.random.default_rng(5).standard_normal((4, 2, 3, 5))  # and a row of pixels that no kernel reaches
LARGE_IMAGE = np.random.default_rng(6).standard_normal((1, 14, 13, 2))
LARGE_KERNEL = np.random.default_rng(7).standard_normal((8, 8, 2, 3))
IMAGE, KERNEL = rng.standard_normal((2, 7, 6, 3)), rng.standard_normal((3, 2, 3, 5))
PIXELS = rng.integers(0, 9, IMAGE.shape).astype(np.int32)
MATRIX = rng.standard_normal((4, 5))
INDICES = np.array([[2, 0], [1, 1]], np.int32)
INTEGERS = np.array([3, -1, 0, 3], np.int32)
MASK = X > 0.2
HUGE = np.array([[-1e4, 0.0, 1e4], [-30.0, 1e-3, 30.0]])
RANGE = np.linspace(-8.0, 8.0, 64)  # where approximations of the saturating functions go wrong

DIFFERENTIABLE = {
    "add": (ops.add, X, Y),
    "add broadcast": (ops.add, X, ROW),
    "add operator": (lambda x, y: 2 + (x + y) + 0.5, X, COLUMN),
    "subtract": (ops.subtract, X, Y),
    "subtract operator": (lambda x, y: 1.0 - (x - y) - 3, X, ROW),
    "multiply": (ops.multiply, X, Y),
    "multiply operator": (lambda x, y: 2 * (x * y) * 0.5, X, COLUMN),
    "divide": (ops.divide, X, POSITIVE),
    "divide operator": (lambda x, y: 1.0 / (x / y + 10.0) / 2, X, POSITIVE),
    "power": (ops.power, POSITIVE, Y),
    "power of a number": (lambda x: ops.power(0.9, x), Y),
    "power operator": (lambda x: x**2 + x**3 + 1.5**x, X),
    "minimum": (ops.minimum, X, Y),
    "minimum number": (lambda x: ops.minimum(x, 0.3) + ops.minimum(-0.1, x), X),
    "maximum": (ops.maximum, X, ROW),
    "maximum number": (lambda x: ops.maximum(x, 0.3) + ops.maximum(-0.1, x), X),
    "clip": (lambda x: ops.clip(x, -0.5, 0.5), X),
    "clip arrays": (ops.clip, X, ROW - 1.0, ROW + 0.3),
    "where": (ops.where, MASK, X, Y),
    "where number": (lambda mask, x: ops.where(mask, x, 0.5) + ops.where(mask, -1.0, x), MASK, X),
    "where compared": (lambda x, y: ops.where(ops.greater(x, y), x * y, x), X, ROW),
    "abs": (ops.abs, X),
    "negative": (ops.negative, X),
    "negative operator": (lambda x: -x, X),
    "exp": (ops.exp, X),
    "exp range": (lambda x: ops.exp(0.5 * x), RANGE),
    "log": (ops.log, POSITIVE),
    "log range": (lambda x: ops.log(ops.exp(x)), RANGE),
    "sqrt": (ops.sqrt, POSITIVE),
    "square": (ops.square, X),
    "tanh": (ops.tanh, X),
    "tanh range": (ops.tanh, RANGE),
    "tanh huge": (ops.tanh, HUGE),
    "sigmoid": (ops.sigmoid, X),
    "sigmoid range": (ops.sigmoid, RANGE),
    "sigmoid huge": (ops.sigmoid, HUGE),
    "softplus": (ops.softplus, X),
    "softplus range": (ops.softplus, RANGE),
    "softplus huge": (ops.softplus, HUGE),
    "relu": (ops.relu, X),
    "sum": (ops.sum, X),
    "sum axis": (lambda x: ops.sum(x, 0), X),
    "sum axes kept": (lambda x: ops.sum(x, (0, -1), keepdims=True), CUBE),
    "sum all kept": (lambda x: ops.sum(x, None, keepdims=True), X),
    "mean": (ops.mean, X),
    "mean axis kept": (lambda x: ops.mean(x, -1, keepdims=True), X),
    "mean axes": (lambda x: ops.mean(x, (0, 2)), CUBE),
    "max": (lambda x: ops.max(x, -1), X),
    "max kept": (lambda x: ops.max(x, 1, keepdims=True), CUBE),
    "sort": (ops.sort, X),
    "sort batched": (ops.sort, CUBE),
    "logsumexp": (ops.logsumexp, X),
    "logsumexp axis": (lambda x: ops.logsumexp(x, 1), CUBE),
    "logsumexp huge": (ops.logsumexp, HUGE),
    "log_softmax": (ops.log_softmax, CUBE),
    "log_softmax huge": (ops.log_softmax, HUGE),
    "softmax": (ops.softmax, CUBE),
    "softmax huge": (ops.softmax, HUGE),
    "reshape": (lambda x: ops.reshape(x, (2, -1)), X),
    "reshape list": (lambda x: ops.reshape(x, [4, 3]), X),
    "reshape scalar": (lambda x: ops.reshape(x, ()), X[:1, :1]),
    "permute_dims": (lambda x: ops.permute_dims(x, (2, 0, 1)), CUBE),
    "expand_dims": (lambda x: ops.expand_dims(x, 1), X),
    "expand_dims last": (lambda x: ops.expand_dims(x, -1), X),
    "squeeze": (lambda x: ops.squeeze(x, 1), COLUMN),
    "squeeze last": (lambda x: ops.squeeze(x, -1), COLUMN),
    "broadcast_to": (lambda x: ops.broadcast_to(x, (2, 3, 4)), COLUMN),
    "concat": (lambda x, y: ops.concat([x, y]), X, Y),
    "concat axis": (lambda x, y: ops.concat((x, y, x), -1), X, COLUMN),
    "stack": (lambda x, y: ops.stack([x, y]), X, Y),
    "stack axis": (lambda x, y: ops.stack((y, x), -1), X, Y),
    "split": (lambda x: ops.concat(ops.split(x, (1, 2))[::-1]), X),
    "split in one": (lambda x: ops.split(x, (3,))[0], X),
    "split axis": (lambda x: ops.split(x, [1, 2, 1], axis=-1)[1], X),
    "zeros_like": (lambda x: ops.zeros_like(x) + x, X),
    "asarray": (lambda x: x * ops.asarray(np.arange(4, dtype=np.float32), like=x), X),
    "matmul": (ops.matmul, X, MATRIX),
    "matmul operator": (lambda x, y: x @ y, X, MATRIX),
    "linear": (ops.linear, X, MATRIX, MATRIX[0]),
    "linear batched": (ops.linear, CUBE, MATRIX, MATRIX[0]),
    "matmul batched": (ops.matmul, CUBE, MATRIX),
    "conv2d": (ops.conv2d, IMAGE, KERNEL),
    "conv2d of data": (lambda x, kernel: ops.conv2d(ops.astype(x, "float32"), kernel, 2), PIXELS, KERNEL),
    "conv2d strided": (lambda x, kernel: ops.conv2d(x, kernel, 2), IMAGE, KERNEL),
    "conv2d of whole strides": (lambda x, kernel: ops.conv2d(x, kernel, 2), IMAGE, EVEN_KERNEL),
    "conv2d in Atari's sizes": (lambda x, kernel: ops.conv2d(x, kernel, 4), LARGE_IMAGE, LARGE_KERNEL),
    "take": (ops.take, X, INDICES),
    "take axis": (lambda x, indices: ops.take(x, indices, 1), CUBE, INDICES),
    "take last axis": (lambda x, indices: ops.take(x, indices, -1), X, INDICES),
    "astype": (lambda mask, x: ops.astype(mask, "float32") * x, MASK, X),
    "lerp": (ops.lerp, X, Y, POSITIVE),
    "lerp by a number": (lambda x, y, weight: ops.lerp(x, y, weight[0, 0]), X, Y, POSITIVE),
    "one_hot": (lambda indices, x: ops.one_hot(indices, 3) @ x, INDICES[0], X),
    "getitem": (lambda x: x[1], X),
    "getitem negative": (lambda x: x[-1], X),
    "getitem slice": (lambda x: x[1:], X),
    "getitem slices": (lambda x: x[:-1, 1:3], X),
    "getitem every other": (lambda x: x[::2], X),
    "getitem mixed": (lambda x: x[..., 0, 1:], CUBE),
    "getitem new axis": (lambda x: x[:, None], X),
}

DISCRETE = {  # outputs that are not floats have no gradient
    "equal": (ops.equal, INTEGERS, INTEGERS[::-1].copy()),
    "equal number": (lambda x: ops.equal(x, 3), INTEGERS),
    "equal operator": (lambda x: x == 3, INTEGERS),
    "less": (ops.less, X, Y),
    "less number": (lambda x: ops.less(x, 0.25), X),
    "less operator": (lambda x, y: x < y, X, ROW),
    "greater": (ops.greater, X, COLUMN),
    "greater operator": (lambda x: x > 0.25, X),
    "argmax": (ops.argmax, X),
    "argmax axis": (lambda x: ops.argmax(x, 0), X),
    "argmax ties": (ops.argmax, np.zeros((2, 5))),
    "sort ties": (ops.sort, np.float32([[1, 0, 1, -2], [0, -1, 0, -1]])),
    "one_hot": (lambda indices: ops.one_hot(indices, 3), INDICES),
    "astype integer": (lambda x: ops.astype(x * 3.0, "int32"), X),
    "astype bool": (lambda x: ops.astype(x, "bool"), INTEGERS),
    "add integers": (lambda x: x + x * 2 - 1, INTEGERS),
    "take integers": (ops.take, INTEGERS, INDICES),
}
