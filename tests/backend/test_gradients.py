"""`value_and_grad`: what is constant, what is auxiliary, and gradients of gradients."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from engines import require
from parity import assert_close, compiled, uncompiled

from rlzoo.backend import numpy as numpy_backend
from rlzoo.backend import ops, tree

X, W = np.array([1.0, -2.0, 3.0]), np.array([1.0, -1.0, 2.0])

both = pytest.mark.parametrize("run", [compiled, uncompiled])


@both
def test_stop_gradient_makes_a_constant(engine, run):
    def gradient(x):
        return ops.value_and_grad(lambda p: (ops.sum(p[0] * ops.stop_gradient(p[0] * p[0])), None), [x])

    assert_close(run(engine, gradient, X), (np.sum(X**3), None, [X**2]))


@both
def test_the_absolute_value_is_level_at_its_kink(engine, run):
    """And its value is exact, of what is no finite number too."""
    x = np.array([0.0, -0.0, 2.0, -3.0, np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(run(engine, ops.abs, x), np.abs(x))

    def gradient(x):
        return ops.value_and_grad(lambda p: (ops.sum(ops.abs(p[0])), None), [x])[2][0]

    assert_close(run(engine, gradient, x[:4]), np.sign(x[:4]))


@both
def test_what_the_loss_does_not_read_has_no_gradient(engine, run):
    def gradient(x, y):
        return ops.value_and_grad(lambda p: (ops.sum(ops.square(p[1])), None), [x, y])[2]

    assert_close(run(engine, gradient, np.ones((2, 2)), X), [np.zeros((2, 2)), 2.0 * X])


@both
def test_values_around_the_loss_are_constants(engine, run):
    def gradient(x, w):
        doubled = 2.0 * x  # depends on x, but is not what is differentiated
        return ops.value_and_grad(lambda p: (ops.sum(p[0] * doubled * w), None), [x])[2][0]

    assert_close(run(engine, gradient, X, W), 2.0 * X * W)


@both
def test_auxiliary_tree_comes_back_as_it_was(engine, run):
    def auxiliary(x, w):
        def loss(pieces):
            product = pieces[0] * w
            return ops.sum(product), {"z": product, "a": (ops.max(product, 0), None), "outer": w}

        return ops.value_and_grad(loss, [x])[1]

    assert_close(run(engine, auxiliary, X, W), {"z": X * W, "a": (np.max(X * W), None), "outer": W})


def test_gradient_of_a_gradient(engine):
    """d/dx of Σ wᵢ ∂(Σ s x³)/∂xᵢ = 6 s w x, and d/ds of it Σ 3 w x²: a Hessian-vector product of a cubic."""

    def hessian_vector(x, s, w):
        def outer(pieces):
            def cubic(inner):
                return ops.sum(inner[0] * inner[0] * inner[0]) * pieces[1], None

            value, _, (slope,) = ops.value_and_grad(cubic, [pieces[0]])
            return ops.sum(slope * w) + 0.5 * value, slope

        return ops.value_and_grad(outer, [x, s])

    s = np.array(2.0)
    cubes = np.sum(X**3)
    slope = 3.0 * s * X**2
    value = np.sum(slope * W) + 0.5 * s * cubes
    gradients = [6.0 * s * W * X + 0.5 * slope, np.sum(3.0 * W * X**2) + 0.5 * cubes]
    assert_close(compiled(engine, hessian_vector, X, s, W), (value, slope, gradients))
    if not engine.__name__.endswith("mindspore"):  # refused there: see below
        assert_close(uncompiled(engine, hessian_vector, X, s, W), (value, slope, gradients))


NESTED = """
import numpy as np
from rlzoo.backend import mindspore, ops
def outer(pieces):
    return ops.sum(ops.value_and_grad(lambda inner: (ops.sum(inner[0] * pieces[0]), None), [x])[2][0]), None
x = mindspore.asarray(np.ones(3, np.float32))
ops.value_and_grad(outer, [x])
"""


def test_mindspore_refuses_gradients_of_gradients_that_are_not_compiled(mindspore):
    """They would be wrong. In a process of its own: an error inside a gradient leaves MindSpore in disorder."""
    done = subprocess.run([sys.executable, "-c", NESTED], capture_output=True, text=True, timeout=120)
    assert "UserError: MindSpore takes the gradient of a gradient in a compiled function only: leave" in done.stderr


def test_gradient_penalty_of_a_network(engine):
    """The slope of a network's slope by its weights, against differences of the slope worked out by hand."""
    rng = np.random.default_rng(3)
    kernel, out, x = rng.standard_normal((3, 4)), rng.standard_normal((4, 1)), rng.standard_normal((5, 3))

    def penalty(pieces, x):
        def score(inner):
            return ops.sum(ops.tanh(inner[0] @ pieces[0]) @ pieces[1]), None

        return ops.mean(ops.square(ops.value_and_grad(score, [x])[2][0])), None

    def by_hand(pieces):
        slope = ((1.0 - np.tanh(x @ pieces[0]) ** 2) * pieces[1][:, 0]) @ pieces[0].T
        return np.mean(slope**2), None

    def gradient(kernel, out, x):
        return ops.value_and_grad(lambda pieces: penalty(pieces, x), [kernel, out])

    expected = numpy_backend.value_and_grad(by_hand, [kernel, out])
    assert_close(compiled(engine, gradient, kernel, out, x), expected, tolerance=1e-4)


def test_finite_differences_are_exact_to_1e_8():
    """The reference itself, against a gradient known in closed form."""
    _, _, (gradient,) = ops.value_and_grad(lambda p: (ops.sum(ops.sigmoid(p[0]) * W), None), [X])
    sigmoid = 1.0 / (1.0 + np.exp(-X))
    np.testing.assert_allclose(gradient, W * sigmoid * (1.0 - sigmoid), atol=1e-8)


@both
@pytest.mark.parametrize("first", [0.25, -7.5, 3e9, -np.inf, np.nan])
def test_long_vectors_are_joined(engine, run, first):
    """Some engines join them in place: each piece at its own, whatever its numbers."""
    x, y = np.linspace(-1.0, 1.0, 40_000, dtype=np.float32), np.arange(3, dtype=np.float32)
    x[0] = first
    joined = run(engine, lambda x, y: ops.concat([x, y, x]), x, y)
    np.testing.assert_array_equal(joined, np.concatenate([x, y, x]))


def test_joined_vectors_are_differentiated_twice(engine):
    """Σ w³ of w = [x, y, x]: the gradient in x is 6 x², that of the gradient's sum 12 x."""

    def gradient(x, y):
        def loss(p):
            whole = ops.concat([p[0], y, p[0]])
            return ops.sum(whole * whole * whole), None

        return ops.value_and_grad(loss, [x])[2][0]

    def twice(x, y):
        first = gradient(x, y)
        return first, ops.value_and_grad(lambda p: (ops.sum(gradient(p[0], y)), None), [x])[2][0]

    x, y = np.linspace(-2.0, 1.0, 20_000), np.ones(5)
    assert_close(compiled(engine, twice, x, y), (6.0 * x**2, 12.0 * x))


def two_layers(x, kernel, bias, out):
    def loss(p):
        hidden = ops.relu(ops.linear(p[0], p[1], p[2]))
        return ops.mean(ops.square(hidden @ p[3])), hidden

    return ops.value_and_grad(loss, [x, kernel, bias, out])


def assert_large_products(engine, shape):
    """Two layers and their gradients, against NumPy in float64."""
    rng, (rows, inputs, units, outputs) = np.random.default_rng(1), shape
    sizes = [(rows, inputs), (inputs, units), (units,), (units, outputs)]
    arrays = [rng.standard_normal(size).astype(np.float32) / np.float32(size[0] ** 0.5) for size in sizes]
    arrays[0] *= np.float32(rows**0.5)
    x, kernel, bias, out = (array.astype(np.float64) for array in arrays)
    hidden = np.maximum(x @ kernel + bias, 0.0)
    error = 2.0 * (hidden @ out) / (rows * outputs)
    through = error @ out.T * (hidden > 0.0)
    gradients = [through @ kernel.T, x.T @ through, through.sum(0), hidden.T @ error]
    expected = np.mean(np.square(hidden @ out)), hidden, gradients
    actual = compiled(engine, two_layers, *arrays)
    for got, wanted in zip(tree.flatten(actual)[0], tree.flatten(expected)[0], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


LARGE = pytest.mark.parametrize("shape", [(256, 256, 256, 256), (64, 512, 256, 40), (600, 300, 24, 700)])


@LARGE
def test_large_products(engine, shape):
    """PyTorch leaves those to oneDNN, which wants them to lie in memory as it likes."""
    assert_large_products(engine, shape)


@LARGE
def test_large_products_where_pytorch_was_built_without_onednn(monkeypatch, shape):
    monkeypatch.setattr("rlzoo.backend.torch_script.HAS_ONEDNN", False)
    assert_large_products(require("torch"), shape)
