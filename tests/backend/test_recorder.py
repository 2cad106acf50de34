"""The recorder: what it notes, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlzoo.backend import numpy as numpy_backend
from rlzoo.backend import ops
from rlzoo.backend.recorder import record
from rlzoo.backend.source import Module
from rlzoo.backend.staging import run
from rlzoo.errors import UserError

X, Y = np.arange(6.0).reshape(2, 3), np.ones((3, 2))


def test_the_program_of_a_small_function():
    program = record(lambda x, y: {"out": ops.tanh(x @ y) + 1.0, "in": x}, [X, Y])
    assert [instruction.op for instruction in program.instructions] == ["matmul", "tanh", "add"]
    assert [node.shape for node in program.inputs] == [(2, 3), (3, 2)]
    assert [node.shape for node in program.outputs] == [(2, 2), (2, 3)]
    assert program.outputs[1] is program.inputs[0]
    np.testing.assert_allclose(program.outputs[0].value, np.tanh(X @ Y) + 1.0)


def test_the_program_runs_on_other_arrays():
    program = record(lambda x, y: (ops.sum(x, 0), ops.split(y, (1, 2))[1][0] - x[1:, :2]), [X, Y])
    total, rest = run(program, numpy_backend, [X * 3.0, Y * 5.0])
    np.testing.assert_array_equal(total, 3.0 * X.sum(0))
    np.testing.assert_array_equal(rest, 5.0 - 3.0 * X[1:, :2])


def test_a_gradient_captures_what_it_reads_from_outside():
    def function(x, y):
        scale = ops.exp(y)

        def loss(pieces):
            doubled = scale * 2.0  # of captured values alone: noted outside, computed once

            def inner(innermost):
                return ops.sum(innermost[0] * doubled * pieces[0]), None

            value, _, (slope,) = ops.value_and_grad(inner, [pieces[0]])
            return value + ops.sum(slope), None

        return ops.value_and_grad(loss, [x])[2]

    program = record(function, [np.ones(3), np.ones(3)])
    assert [instruction.op for instruction in program.instructions] == ["exp", "multiply", "value_and_grad"]
    outer = program.instructions[-1].body
    inner = next(instruction.body for instruction in outer.instructions if instruction.op == "value_and_grad")
    doubled = program.instructions[1].outputs[0]
    assert outer.captures == [doubled]
    assert [any(capture is node for node in (doubled, outer.inputs[0])) for capture in inner.captures] == [True, True]


def test_a_gradient_by_data_may_read_the_weights_around_it():
    """As a gradient penalty does: the inner gradient's arrays are older than the outer loss it stands in."""

    def penalty(weights, x):
        def outer(pieces):
            slope = ops.value_and_grad(lambda inner: (ops.sum(inner[0] @ pieces[0]), None), [x])[2][0]
            return ops.sum(ops.square(slope)), None

        return ops.value_and_grad(outer, [weights])[0]

    program = record(penalty, [Y, X])
    (instruction,) = program.instructions
    assert [inner.op for inner in instruction.body.instructions] == ["value_and_grad", "square", "sum"]


def test_an_array_of_a_loss_is_refused_outside_it():
    leaked = []

    def loss(pieces):
        leaked.append(pieces[0] * 2.0)
        return ops.sum(pieces[0]), None

    with pytest.raises(TypeError, match="cannot be read outside it"):
        record(lambda x: (ops.value_and_grad(loss, [x])[0], leaked[0]), [X])


def test_constants_are_kept_with_the_program():
    table = np.array([1.0, 2.0, 4.0])
    program = record(lambda x: (x * table, 3.0), [np.ones(3)])
    product, three = run(program, numpy_backend, [np.full(3, 2.0)])
    assert product.tolist() == [2.0, 4.0, 8.0] and three == 3.0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x if x[0, 0] > 0.0 else -x,
        lambda x: x if ops.sum(x) == 0.0 else -x,
        lambda x: x if (ops.sum(x) > 0.0 and ops.sum(x) < 1.0) else -x,
    ],
)
def test_if_on_a_recorded_value_is_refused(function):
    with pytest.raises(TypeError, match=r"use ops\.where instead of if"):
        record(function, [X])


@pytest.mark.parametrize(
    "function, message",
    [
        (np.tanh, "np.tanh cannot take an array of a compiled function.*: use ops.tanh"),
        (np.mean, "use ops.mean"),
        (np.abs, "use ops.abs"),
        (lambda x: np.add(x, 1.0), "use ops.add"),
        (lambda x: np.concatenate([x, x]), "use ops.concat"),
        (lambda x: np.add.reduce(x), "np.add cannot take"),
        (np.asarray, "np.asarray cannot take an array of a compiled function.*: use what there is in ops"),
        (np.linalg.norm, "np.norm cannot take an array of a compiled function.*: use what there is in ops"),
        (lambda x: float(ops.sum(x)), "a number inside a compiled function is not known in Python"),
        (lambda x: int(ops.sum(x)), "a number inside a compiled function is not known in Python"),
        (lambda x: x[: ops.argmax(x[0])], "a number inside a compiled function is not known in Python"),
        (lambda x: math.exp(ops.sum(x)), "a number inside a compiled function is not known in Python"),
    ],
)
def test_numpy_functions_on_recorded_values_are_refused(function, message):
    with pytest.raises(UserError, match=message):
        record(function, [X])


@pytest.mark.parametrize("key", [np.array([0, 1]), [0, 1], (slice(None), np.array([0]))], ids=str)
def test_an_array_as_index_is_refused(key):
    with pytest.raises(UserError, match=r"use ops\.take"):
        record(lambda x: x[key], [X])


def test_written_source_is_the_same_function():
    """The text that MindSpore compiles, run by Python on NumPy."""

    def function(x, y):
        left, right = ops.split(x, (1, 2), axis=1)
        left = ops.where(left > 1.0, left, 0.5) - ops.where(left > 5.0, float("nan"), -np.inf)
        return left - right[:, 1:], ops.mean(ops.reshape(y, (-1,)), 0, keepdims=True) / 2

    module = Module("rlzoo.backend.numpy")
    name = module.function(record(function, [X, Y]))
    assert "split" not in module.text  # slices, for MindSpore takes long to compile its own split
    scope = dict(module.constants)
    exec(module.text, scope)
    for got, want in zip(scope[name](X * 2.0, Y * 3.0), function(X * 2.0, Y * 3.0), strict=True):
        np.testing.assert_array_equal(got, want)
