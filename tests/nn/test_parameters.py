"""The flat vector and its layout."""

from __future__ import annotations

import numpy as np
import pytest
from parity import assert_close, compiled

from rlzoo import nn
from rlzoo.backend import ops

PARAMS = {
    "actor": {"0": {"kernel": np.arange(6.0).reshape(2, 3), "bias": np.array([7.0, 8.0, 9.0])}, "1": {}},
    "log_alpha": np.array(-1.5),
    "critic": {"kernel": np.arange(20.0, 22.0).reshape(2, 1)},
}
LAYOUT = nn.Layout(PARAMS)


def test_names_sizes_and_ranges():
    assert LAYOUT.names == ("actor/0/kernel", "actor/0/bias", "log_alpha", "critic/kernel")
    assert LAYOUT.shapes == ((2, 3), (3,), (), (2, 1)) and LAYOUT.sizes == (6, 3, 1, 2) and LAYOUT.size == 12
    assert [LAYOUT.range(group) for group in ("actor", "log_alpha", "critic")] == [(0, 9), (9, 10), (10, 12)]


def test_lists_have_a_name_for_each_of_their_arrays(engine):
    params = {"encoder": {"kernels": [np.zeros(2), np.ones((3, 1))]}, "critics": (np.arange(4.0),), "t": np.zeros(1)}
    layout = nn.Layout(params)
    assert layout.names == ("encoder/kernels/0", "encoder/kernels/1", "critics/0", "t")
    assert [layout.range(*group) for group in (["critics"], ["encoder", "critics"])] == [(5, 9), (0, 9)]
    assert_close(compiled(engine, layout.split, layout.flatten(params)), params, 0.0)


def test_flatten_orders_by_name_and_is_float32():
    flat = LAYOUT.flatten(PARAMS)
    assert flat.dtype == np.float32
    assert flat.tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 9, -1.5, 20, 21]


def test_split_is_the_inverse(engine):
    assert_close(LAYOUT.split(LAYOUT.flatten(PARAMS)), PARAMS, 0.0)
    assert_close(compiled(engine, LAYOUT.split, LAYOUT.flatten(PARAMS)), PARAMS, 0.0)


def test_flat_gradient_has_the_order_of_the_vector(engine):
    def gradient(flat):
        def loss(params):
            alpha = ops.exp(params["log_alpha"])
            return alpha * ops.sum(ops.square(params["actor"]["0"]["bias"])), {"alpha": alpha}

        return LAYOUT.value_and_grad(loss, flat)

    alpha = np.exp(-1.5)
    expected = np.zeros(12)
    expected[6:9], expected[9] = 2.0 * alpha * np.array([7.0, 8.0, 9.0]), alpha * (49 + 64 + 81)
    flat = LAYOUT.flatten(PARAMS)
    assert_close(compiled(engine, gradient, flat), (alpha * 194.0, {"alpha": alpha}, expected))


def test_other_names_are_refused():
    with pytest.raises(ValueError, match="names"):
        LAYOUT.flatten({"actor": PARAMS["actor"]})
