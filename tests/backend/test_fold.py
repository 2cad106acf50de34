"""`fold`: a step over the leading axis, against a NumPy loop."""

from __future__ import annotations

import numpy as np
import pytest
from parity import assert_close, compiled, uncompiled

from rlzoo.backend import ops
from rlzoo.backend.recorder import record


def smoothed(x, y, decay, scale):
    """A program with ops before, in and after a fold, a carry and outputs of several arrays, and constants."""
    before = ops.tanh(x) * scale

    def step(carry, row, constants):
        mean = constants["decay"] * carry["mean"] + (1.0 - constants["decay"]) * row["x"]
        count = carry["count"] + 1.0
        return {"mean": mean, "count": count}, {"sum": ops.sum(mean), "row": mean * row["y"]}

    start = {"mean": ops.zeros_like(before[0]), "count": ops.zeros_like(y[0])}
    carry, outputs = ops.fold(step, start, {"x": before, "y": y}, {"decay": decay})
    return {"carry": carry, "outputs": outputs, "after": ops.exp(carry["mean"]) + ops.sum(outputs["row"], 0)}


def smoothed_by_hand(x, y, decay, scale):
    before, mean, sums, rows = np.tanh(x) * scale, np.zeros(x.shape[1]), [], []
    for t in range(len(x)):
        mean = decay * mean + (1.0 - decay) * before[t]
        sums.append(mean.sum())
        rows.append(mean * y[t])
    return {
        "carry": {"mean": mean, "count": np.array(float(len(x)))},
        "outputs": {"sum": np.array(sums), "row": np.array(rows)},
        "after": np.exp(mean) + np.sum(rows, 0),
    }


@pytest.mark.parametrize("length", [1, 7, 23])
def test_fold_is_the_loop(engine, length):
    rng = np.random.default_rng(length)
    arguments = rng.standard_normal((length, 3)), rng.standard_normal(length), np.array(0.9), np.array(2.0)
    assert_close(compiled(engine, smoothed, *arguments), smoothed_by_hand(*arguments))


def test_fold_uncompiled(engine):
    rng = np.random.default_rng(0)
    arguments = rng.standard_normal((5, 3)), rng.standard_normal(5), np.array(0.9), np.array(2.0)
    assert_close(uncompiled(engine, smoothed, *arguments), smoothed_by_hand(*arguments))
    assert_close(smoothed(*arguments), smoothed_by_hand(*arguments), tolerance=1e-12)


def test_fold_without_outputs_or_constants(engine):
    def total(x):
        return ops.fold(lambda carry, row, _: (carry + row * row, None), ops.zeros_like(x[0]), x)

    x = np.random.default_rng(1).standard_normal((6, 2))
    assert_close(compiled(engine, total, x), (np.sum(x**2, 0), None))


@pytest.mark.parametrize("run", [compiled, uncompiled])
def test_fold_of_numpy_arrays_and_numbers(engine, run):
    """In the carry, the inputs and the constants."""

    def weighted(x):
        def step(carry, row, constants):
            total, count = carry
            total = total + row["x"] * ops.astype(row["weight"], "float32") * constants["scale"] * constants["half"]
            return (total, count + 1.0), ops.sum(total)

        inputs, constants = {"x": x, "weight": np.arange(5)}, {"scale": np.array([1.0, 2.0]), "half": 0.5}
        (total, count), sums = ops.fold(step, (np.zeros(2), 0.0), inputs, constants)
        return total * count, sums

    x = np.random.default_rng(6).standard_normal((5, 2))
    totals = np.cumsum(x * np.arange(5.0)[:, None] * [0.5, 1.0], 0)
    assert_close(run(engine, weighted, x), (totals[-1] * 5.0, totals.sum(-1)))


def test_gradient_steps_in_a_fold(engine):
    """What an off-policy learner does: a gradient in every step, its outputs stacked."""

    def descend(weight, x, y, rate):
        def step(weight, batch, rate):
            def loss(pieces):
                return ops.mean(ops.square(batch[0] @ pieces[0] - batch[1])), None

            value, _, (gradient,) = ops.value_and_grad(loss, [weight])
            return weight - rate * gradient, value

        return ops.fold(step, weight, (x, y), rate)

    rng = np.random.default_rng(2)
    weight, x, y = rng.standard_normal((3, 1)), rng.standard_normal((9, 4, 3)), rng.standard_normal((9, 4, 1))
    expected, values = weight, []
    for rows, targets in zip(x, y):
        error = rows @ expected - targets
        values.append(np.mean(error**2))
        expected = expected - 0.1 * 2.0 * rows.T @ error / error.size
    assert_close(compiled(engine, descend, weight, x, y, np.array(0.1)), (expected, np.array(values)))


def recurrence(w, x):
    """h = w · h + x, from h = 0: its last value, and the squares of all."""

    def step(h, row, w):
        h = w * h + row
        return h, ops.square(h)

    return ops.fold(step, ops.zeros_like(x[0]), x, w)


def recurrence_by_hand(w, x):
    """The sum of its squares and its last values, with two derivatives by w."""
    h, first, second, found = 0.0, 0.0, 0.0, np.zeros(3)
    for row in x:
        h, first, second = w * h + row, h + w * first, 2.0 * first + w * second
        found += [np.sum(h**2), np.sum(2.0 * h * first), np.sum(2.0 * (first**2 + h * second))]
    return np.add(found, [np.sum(h), np.sum(first), np.sum(second)])


def loss_of_recurrence(pieces):
    w, x = pieces
    last, squares = recurrence(w, x)
    return ops.sum(squares) + ops.sum(last), None


@pytest.mark.parametrize("run", [compiled, uncompiled])
@pytest.mark.parametrize("length", [1, 6])
def test_a_fold_inside_a_gradient(engine, length, run):
    """What a recurrent policy's loss is."""

    def gradient(w, x):
        value, _, (of_w, of_x) = ops.value_and_grad(loss_of_recurrence, [w, x])
        return value, of_w, of_x

    w, x = np.array(0.7), np.random.default_rng(9).standard_normal((length, 3))
    nearby = [x + 1e-6 * np.eye(x.size)[i].reshape(x.shape) for i in range(x.size)]
    value, of_w, _ = recurrence_by_hand(w, x)
    of_x = [(recurrence_by_hand(w, moved)[0] - value) / 1e-6 for moved in nearby]
    assert_close(run(engine, gradient, w, x), (value, of_w, np.reshape(of_x, x.shape)), tolerance=1e-4)


def test_a_fold_inside_a_gradient_inside_a_gradient(engine):
    """As the second derivatives of TRPO have it."""

    def second(w, x):
        def slope(pieces):
            return ops.value_and_grad(loss_of_recurrence, [pieces[0], x])[2][0], None

        return ops.value_and_grad(slope, [w])[2][0]

    w, x = np.array(0.7), np.random.default_rng(9).standard_normal((6, 3))
    assert_close(compiled(engine, second, w, x), recurrence_by_hand(w, x)[2], tolerance=1e-4)


@pytest.mark.parametrize("run", [compiled, uncompiled])
def test_a_fold_inside_a_fold(engine, run):
    """A recurrent policy in the steps of an off-policy learner; outputs of numbers, of rows and of pairs of rows."""

    def sums(x, w):
        def outer(total, rows, w):
            last, squares = recurrence(w, rows)
            return total + ops.sum(squares), {"last": last, "squares": squares, "sum": ops.sum(last)}

        return ops.fold(outer, ops.zeros_like(w), x, w)

    w, x = np.array(0.7), np.random.default_rng(10).standard_normal((4, 5, 3))
    h, squares = np.zeros((4, 3)), []
    for t in range(5):
        h = w * h + x[:, t]
        squares.append(h**2)
    outputs = {"last": h, "squares": np.stack(squares, 1), "sum": h.sum(-1)}
    assert_close(run(engine, sums, x, w), (np.sum(squares), outputs))


def test_two_folds_one_after_the_other(engine):
    def cumulated(x):
        def step(carry, row, _):
            return carry + row, carry + row

        _, once = ops.fold(step, ops.zeros_like(x[0]), x)
        last, twice = ops.fold(step, once[0], once * 2.0)
        return last, twice

    x = np.random.default_rng(4).standard_normal((7, 2))
    twice = x[0] + np.cumsum(2.0 * np.cumsum(x, 0), 0)
    assert_close(compiled(engine, cumulated, x), (twice[-1], twice))


def test_the_integer_type_of_a_carry_is_kept(engine):
    def count(x):
        return ops.fold(lambda n, row, _: (n + 1, n * 2), ops.astype(x[0], "int32"), x)

    last, doubled = compiled(engine, count, np.zeros(4))
    assert last == 4 and doubled.tolist() == [0, 2, 4, 6] and last.dtype == np.int32


def test_a_step_that_reads_around_its_arguments_is_refused():
    """By the recorder, and so by torch and mindspore; jax and tensorflow would take it."""

    def impure(x):
        outside = x[0] * 2.0
        return ops.fold(lambda carry, row, _: (carry + row * outside, None), x[0], x)

    with pytest.raises(TypeError, match="pass this one in `constants`"):
        record(impure, [np.ones((3, 2), np.float32)])


def test_a_carry_of_another_structure_is_refused(engine):
    def reordered(x):
        def step(carry, row, _):
            return {"b": carry["b"], "a": carry["a"] + row}, None

        return ops.fold(step, {"a": x[0], "b": x[1]}, x)

    with pytest.raises(TypeError, match="structure it was given"):
        engine.compile(reordered)(np.ones((3, 2), np.float32))
