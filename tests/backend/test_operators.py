"""Python's operators on arrays: comparisons, bools that meet numbers, NumPy's arrays on either side."""

from __future__ import annotations

import numpy as np
import pytest
from parity import assert_close, compiled, single, uncompiled

from rlzoo.backend import ops
from rlzoo.errors import UserError

X, N, ROW = np.array([-1.0, 2.0, 0.0]), np.array([3, -1, 0], np.int32), np.array([1.0, 2.0, -1.0])

ALONE = {  # on any engine, compiled or not; but PyTorch subtracts no bools where nothing is compiled
    "greater or equal": lambda x, n: x >= 0,
    "less or equal": lambda x, n: x <= 0.0,
    "unequal": lambda x, n: x != 2.0,
    "integers compared": lambda x, n: (n >= 0) | (n != -1),
    "not": lambda x, n: ~(x > 0),
    "and": lambda x, n: (x >= 0) & (n < 0),
    "or": lambda x, n: (x > 0) | (n > 0),
    "absolute": lambda x, n: abs(x),
    "bool by number": lambda x, n: (x > 0) * 2.0,
    "number by bool": lambda x, n: 2.0 * (x > 0),
    "bool by float": lambda x, n: (x > 0) * x,
    "float by bool": lambda x, n: x * (x > 0),
    "bool and number": lambda x, n: (x > 0) + 1.0,
    "number and bool": lambda x, n: 1.0 + (x > 0),
    "bool over number": lambda x, n: (x > 0) / 2.0,
    "bool over integer": lambda x, n: (x > 0) / 2,
    "number over bool": lambda x, n: 2.0 / (x < 9.0),
    "both": lambda x, n: (x > 0) * (x >= 0),
    "integer by bool": lambda x, n: n * (x > 0),
    "multiply": lambda x, n: ops.multiply(x > 0, x),
    "add": lambda x, n: ops.add(x > 0, 1.0),
    "divide": lambda x, n: ops.divide(x > 0, 2.0),
}
COMPILED = ALONE | {
    "number less bool": lambda x, n: 1.0 - (x > 0),
    "bool less number": lambda x, n: (x > 0) - 1.0,
    "float less bool": lambda x, n: x - (x > 0),
    "subtract": lambda x, n: ops.subtract(1.0, x > 0),
    "bool by whole number": lambda x, n: (x > 0) * 3,
    "whole number and bool": lambda x, n: 3 + (x > 0),
    "whole number less bool": lambda x, n: 3 - (x > 0),
    "by True": lambda x, n: x * (x.shape[0] == 3),
    "array compared": lambda x, n: (ROW >= x) & (ROW != x),  # noqa: SIM300
    "compared to an array": lambda x, n: (x <= ROW) & np.array([True, True, False]),
    "array less bool": lambda x, n: ROW - (x > 0),
    "bool by array": lambda x, n: (x > 0) * ROW,
    "array of integers by bool": lambda x, n: np.arange(3, dtype=np.int32) * (x > 0),
    "array and array": lambda x, n: ROW * x + ROW - ROW / (x + 3.0),
    "NumPy's number": lambda x, n: np.float32(2.0) * x - np.float64(0.5),
}


def expected(cases):
    """NumPy's numbers, as float32, int32 or bool."""
    found = {name: np.asarray(case(X, N)) for name, case in cases.items()}
    return single({name: x.astype(np.int32) if x.dtype == np.int64 else x for name, x in found.items()})


def assert_same(actual, wanted):
    assert_close(actual, wanted, tolerance=1e-6)
    assert {name: x.dtype for name, x in actual.items()} == {name: x.dtype for name, x in wanted.items()}


def test_operators(engine):
    actual = compiled(engine, lambda x, n: {name: case(x, n) for name, case in COMPILED.items()}, X, N)
    assert_same(actual, expected(COMPILED))


def test_operators_that_are_not_compiled(eager):
    actual = uncompiled(eager, lambda x, n: {name: case(x, n) for name, case in ALONE.items()}, X, N)
    assert_same(actual, expected(ALONE))


def test_gradients_through_bools_that_count(engine):
    def gradient(x):
        return ops.value_and_grad(lambda p: (ops.sum((p[0] > 0) * p[0] * p[0] + (1.0 - (p[0] > 0)) * p[0]), None), [x])

    value, _, (slope,) = compiled(engine, gradient, X)
    assert value == 3.0 and slope.tolist() == [1.0, 4.0, 1.0]


@pytest.mark.parametrize("engine", ["torch", "tensorflow", "mindspore"], indirect=True)
def test_the_sum_of_two_bools_is_refused(engine):
    """It is "or" on NumPy, JAX and PyTorch, and an error of their own on the others."""
    with pytest.raises(UserError, match=r"add of two bools is not the same on every engine: ops\.astype them"):
        compiled(engine, lambda x: (x > 0) + (x < 0), X)
