"""The operations every algorithm and layer is written in, with array-API names.

Each acts on what it is given: NumPy arrays give NumPy arrays, torch tensors give torch tensors. The engine is found by
the type of the arguments (cached); there are no wrapper objects and there is no global mode, so two engines can live in
one process. `+ - * / ** @ < <= > >= == !=` may be used directly on arrays, and Python numbers mix with them. So do
bools, as 0 and 1, which `& | ~` combine. Other types mix on some engines only: where an int32 is to meet a float,
`astype` it first. NumPy's arrays mix with an engine's. Beside an operator that is not compiled not all of this holds:
there, `astype` bools and `asarray` NumPy's arrays. NumPy's own functions take no array of a compiled function.

Verbs that act on functions are at the end: `value_and_grad` and `fold`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rlzoo.backend import checks, tree
from rlzoo.backend.dispatch import backend_of
from rlzoo.backend.numpy import from_the_start

Array = Any  # an array of any engine


# ---- elementwise -----------------------------------------------------------------------------------------------------
def add(x: Array, y: Array) -> Array:
    """x + y."""
    return backend_of(x, y).add(x, y)


def subtract(x: Array, y: Array) -> Array:
    """x − y."""
    return backend_of(x, y).subtract(x, y)


def multiply(x: Array, y: Array) -> Array:
    """x · y."""
    return backend_of(x, y).multiply(x, y)


def divide(x: Array, y: Array) -> Array:
    """x / y, of integers too as float32."""
    return backend_of(x, y).divide(x, y)


def power(x: Array, y: Array) -> Array:
    """x to the power y; x is positive where y is not a whole number."""
    return backend_of(x, y).power(x, y)


def minimum(x: Array, y: Array) -> Array:
    """The smaller of x and y."""
    return backend_of(x, y).minimum(x, y)


def maximum(x: Array, y: Array) -> Array:
    """The larger of x and y."""
    return backend_of(x, y).maximum(x, y)


def clip(x: Array, low: Array, high: Array) -> Array:
    """x held between low and high."""
    return minimum(maximum(x, low), high)


def where(condition: Array, x: Array, y: Array) -> Array:
    """x where `condition` (bool) holds, elsewhere y."""
    return backend_of(condition, x, y).where(condition, x, y)


def equal(x: Array, y: Array) -> Array:
    """x == y, bool."""
    return backend_of(x, y).equal(x, y)


def less(x: Array, y: Array) -> Array:
    """x < y, bool."""
    return backend_of(x, y).less(x, y)


def greater(x: Array, y: Array) -> Array:
    """x > y, bool."""
    return backend_of(x, y).greater(x, y)


def abs(x: Array) -> Array:
    """The absolute value."""
    return backend_of(x).abs(x)


def negative(x: Array) -> Array:
    """−x."""
    return backend_of(x).negative(x)


def exp(x: Array) -> Array:
    """e to the power x."""
    return backend_of(x).exp(x)


def log(x: Array) -> Array:
    """The natural logarithm."""
    return backend_of(x).log(x)


def sqrt(x: Array) -> Array:
    """The square root; its gradient at zero is infinite, so add an epsilon first."""
    return backend_of(x).sqrt(x)


def square(x: Array) -> Array:
    """x · x."""
    return backend_of(x).square(x)


def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    return backend_of(x).tanh(x)


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^−x)."""
    return backend_of(x).sigmoid(x)


def softplus(x: Array) -> Array:
    """log(1 + e^x), safe for large |x|."""
    return backend_of(x).softplus(x)


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return backend_of(x).relu(x)


# ---- reductions ------------------------------------------------------------------------------------------------------
Axis = int | tuple[int, ...] | None


def sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum over `axis` (all axes when None); of integers and bools int32."""
    return backend_of(x).sum(x, axis, keepdims)


def mean(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The mean over `axis` (all axes when None); of integers and bools too float32."""
    return backend_of(x).mean(x, axis, keepdims)


def max(x: Array, axis: int, keepdims: bool = False) -> Array:
    """The largest element along `axis`."""
    return backend_of(x).max(x, axis, keepdims)


def argmax(x: Array, axis: int = -1) -> Array:
    """The index of the largest element along `axis`, int32; the first of equals."""
    return backend_of(x).argmax(x, axis)


def sort(x: Array) -> Array:
    """The elements along the last axis in rising order."""
    return backend_of(x).sort(x)


def logsumexp(x: Array, axis: int = -1) -> Array:
    """log Σ e^x along `axis`, safe for large x."""
    return backend_of(x).logsumexp(x, axis)


def log_softmax(x: Array) -> Array:
    """x − logsumexp(x) along the last axis."""
    return backend_of(x).log_softmax(x)


def softmax(x: Array) -> Array:
    """e^x / Σ e^x along the last axis."""
    return backend_of(x).softmax(x)


# ---- shape -----------------------------------------------------------------------------------------------------------
def reshape(x: Array, shape: Sequence[int]) -> Array:
    """x with this shape; one −1 is inferred."""
    return backend_of(x).reshape(x, tuple(shape))


def permute_dims(x: Array, axes: Sequence[int]) -> Array:
    """x with its axes in this order."""
    return backend_of(x).permute_dims(x, tuple(axes))


def expand_dims(x: Array, axis: int) -> Array:
    """x with an axis of length one put in at `axis`."""
    return backend_of(x).expand_dims(x, axis)


def squeeze(x: Array, axis: int) -> Array:
    """x without the axis `axis`, whose length is one."""
    return backend_of(x).squeeze(x, axis)


def broadcast_to(x: Array, shape: Sequence[int]) -> Array:
    """x repeated to this shape."""
    return backend_of(x).broadcast_to(x, tuple(shape))


def concat(arrays: Sequence[Array], axis: int = 0) -> Array:
    """The arrays joined along an axis they all have."""
    return backend_of(*arrays).concat(tuple(arrays), axis)


def stack(arrays: Sequence[Array], axis: int = 0) -> Array:
    """The arrays, all of one shape, joined along a new axis."""
    return backend_of(*arrays).stack(tuple(arrays), axis)


def split(x: Array, sizes: Sequence[int], axis: int = 0) -> Sequence[Array]:
    """x cut along `axis` into pieces of these sizes, which add up to its length."""
    return backend_of(x).split(x, tuple(sizes), axis)


# ---- types, constants, gradients -------------------------------------------------------------------------------------
def astype(x: Array, dtype: str) -> Array:
    """x as "float32", "int32" or "bool"."""
    return backend_of(x).astype(x, dtype)


def zeros_like(x: Array) -> Array:
    """Zeros with x's shape and type."""
    return backend_of(x).zeros_like(x)


def asarray(value: Any, like: Array) -> Array:
    """A NumPy array (or nested list) as a float32, int32 or bool array of the engine and on the device of `like`."""
    return backend_of(like).asarray_like(value, like)


def stop_gradient(x: Array) -> Array:
    """x as a constant: no gradient flows back through it."""
    return backend_of(x).stop_gradient(x)


# ---- linear algebra and indexing -------------------------------------------------------------------------------------
def matmul(x: Array, y: Array) -> Array:
    """The matrix product `[..., n, k] @ [k, m]`."""
    return backend_of(x, y).matmul(x, y)


def linear(x: Array, kernel: Array, bias: Array) -> Array:
    """x @ kernel + bias: `[..., k]`, `[k, m]` and `[m]` give `[..., m]`."""
    return backend_of(x, kernel, bias).linear(x, kernel, bias)


def conv2d(x: Array, kernel: Array, stride: int = 1) -> Array:
    """Convolution without padding: `[N, H, W, C]` and `[h, w, C, D]` give `[N, H', W', D]`."""
    return backend_of(x, kernel).conv2d(x, kernel, stride)


def take(x: Array, indices: Array, axis: int = 0) -> Array:
    """The slices of x at integer indices of any shape, along `axis`; constant ones may be negative: from the end."""
    return backend_of(x, indices).take(x, from_the_start(indices, x, axis), axis)


def one_hot(indices: Array, depth: int) -> Array:
    """`[...]` integers to `[..., depth]` float32: one at the index, elsewhere zero."""
    return backend_of(indices).one_hot(indices, depth)


# ---- passes over whole parameter vectors: composed of the ops above where an engine has nothing faster ---------------
def lerp(x: Array, y: Array, weight: Array) -> Array:
    """x + weight (y − x)."""
    backend = backend_of(x, y, weight)
    return backend.lerp(x, y, weight) if hasattr(backend, "lerp") else x + weight * (y - x)


def adam(
    flat: Array, gradient: Array, first: Array, second: Array, count: Array, learning_rate: Array,
    beta1: float, beta2: float, epsilon: float, weight_decay: float,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Adam's step number `count` (from 1): the next parameters and moments (Kingma 2015, algorithm 1).

    The decay of weights is decoupled (Loshchilov 2019, algorithm 2).
    """
    arguments = flat, gradient, first, second, count, learning_rate
    backend = backend_of(*arguments)
    if hasattr(backend, "adam"):
        return tuple(backend.adam(*arguments, beta1, beta2, epsilon, weight_decay))
    first = beta1 * first + (1.0 - beta1) * gradient
    second = beta2 * second + (1.0 - beta2) * (gradient * gradient)
    unbias = sqrt(1.0 - power(beta2, count))  # both corrections as numbers, not as passes over vectors
    step = unbias / (1.0 - power(beta1, count)) * first / (sqrt(second) + epsilon * unbias)
    if weight_decay:
        step = step + weight_decay * flat
    return flat - learning_rate * step, first, second


# ---- verbs on functions ----------------------------------------------------------------------------------------------
def value_and_grad(
    function: Callable[[list[Array]], tuple[Array, Any]], arrays: Sequence[Array]
) -> tuple[Array, Any, list[Array]]:
    """Value, auxiliary tree and gradient of `function(arrays) -> (scalar, auxiliary)` with respect to each array.

    `function` may read other arrays from around it; they are constants. Inside another `value_and_grad`, the value and
    the gradients may be differentiated again, the auxiliary tree may not. On NumPy the gradient is by central finite
    differences, exact to about 1e-9 in float64: the reference of every parity test, not something to train with.
    """
    return backend_of(*arrays).value_and_grad(checks.loss(function), list(arrays))


def fold(
    step: Callable[[Any, Any, Any], tuple[Any, Any]], carry: Any, inputs: Any, constants: Any = None
) -> tuple[Any, Any]:
    """Apply a pure step over the leading axis of `inputs`: the last carry, and each step's output stacked.

    `step(carry, input, constants) -> (carry, output)`, all trees of arrays. It must read arrays from its arguments
    only, and keep the carry's shapes. `output` may be None. Raises UserError where the inputs differ in length.
    """
    checks.inputs(inputs)
    leaves, _ = tree.flatten((carry, inputs, constants))
    return backend_of(*leaves).fold(checks.step(step, carry), carry, inputs, constants)
