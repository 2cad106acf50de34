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
