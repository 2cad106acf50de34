"""Convolution as one matrix product, for XLA on the CPU, whose own gradient of one takes twenty times as long."""

from __future__ import annotations

import math
from typing import Any

Array = Any


def by_product(backend: Any, x: Array, kernel: Array, stride: int) -> Array:
    """`conv2d` of `[N, H, W, C]` and `[h, w, C, D]` by the ops of a backend whose arrays can be sliced."""
    (n, height, width, channels), (down, across, _, filters) = x.shape, kernel.shape
    rows, columns = (height - down) // stride + 1, (width - across) // stride + 1
    if stride > 1 and down % stride == across % stride == 0:  # pixels under one stride become one pixel's channels
        tall, wide = (rows - 1) * stride + down, (columns - 1) * stride + across
        x = _blocks(backend, x[:, :tall, :wide], stride)
        kernel = _blocks(backend, backend.expand_dims(kernel, 0), stride)[0]
        (down, across, channels), stride = kernel.shape[:3], 1
    tall, wide = (rows - 1) * stride + 1, (columns - 1) * stride + 1
    crops = [x[:, i : i + tall : stride, j : j + wide : stride] for i in range(down) for j in range(across)]
    size = down * across * channels
    patches = backend.reshape(backend.concat(tuple(crops), 3), (n * rows * columns, size))
    product = backend.matmul(patches, backend.reshape(kernel, (size, filters)))
    return backend.reshape(product, (n, rows, columns, filters))


def _blocks(backend: Any, x: Array, side: int) -> Array:
    """`[N, H, W, C, ...]` to `[N, H / side, W / side, side · side · C, ...]`."""
    n, height, width, *last = x.shape
    cut = backend.reshape(x, (n, height // side, side, width // side, side, math.prod(last)))
    cut = backend.permute_dims(cut, (0, 1, 3, 2, 4, 5))
    channels = side * side * last[0]
    return backend.reshape(cut, (n, height // side, width // side, channels, *last[1:]))
