"""Optimizers, against torch's where they are the same and against loops of scalars, and on every engine."""

from __future__ import annotations

import numpy as np
import pytest
from engines import require
from parity import assert_close

from rlzoo import nn
from rlzoo.backend import ops, tree
from rlzoo.nn.optimizers import clip_by_norm, global_norm

OPTIMIZERS = {
    "sgd": (nn.SGD(), 0.1),
    "momentum": (nn.SGD(momentum=0.9), 0.02),
    "rmsprop": (nn.RMSprop(), 0.003),
    "adam": (nn.Adam(), 0.01),
    "adam clipped": (nn.Adam(max_grad_norm=0.1, epsilon=1e-5), 0.01),
    "adamw": (nn.AdamW(), 0.01),
}


def descend(optimizer, gradients, flat, rate):
    """The vector after each of these gradients."""
    state, path = optimizer.init(flat), []
    for gradient in gradients:
        flat, state = optimizer.update(flat, gradient, state, rate)
        path.append(flat)
    return np.array(path)


RNG = np.random.default_rng(0)
START = RNG.standard_normal(5)
GRADIENTS = RNG.standard_normal((20, 5)) * np.array([1.0, 1e-3, 1e3, 1.0, 0.0])


@pytest.mark.parametrize(
    "optimizer, name, settings",
    [
        (nn.SGD(), "SGD", {}),
        (nn.SGD(momentum=0.9), "SGD", {"momentum": 0.9}),
        (nn.Adam(), "Adam", {}),
        (nn.Adam(beta1=0.5, beta2=0.9, epsilon=1e-3), "Adam", {"betas": (0.5, 0.9), "eps": 1e-3}),
        (nn.AdamW(), "AdamW", {}),
        (nn.AdamW(weight_decay=0.1), "AdamW", {"weight_decay": 0.1}),
        (nn.Adam(weight_decay=0.1), "AdamW", {"weight_decay": 0.1}),
        (nn.RMSprop(), "RMSprop", {"alpha": 0.99, "eps": 1e-5}),
        (nn.RMSprop(decay=0.9, epsilon=1e-3), "RMSprop", {"alpha": 0.9, "eps": 1e-3}),
    ],
)
def test_as_torch(optimizer, name, settings):
    torch = require("torch").torch
    parameter = torch.nn.Parameter(torch.tensor(START))
    other, path = getattr(torch.optim, name)([parameter], lr=0.05, **settings), []
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor(gradient)
        other.step()
        path.append(parameter.detach().numpy().copy())
    assert_close(descend(optimizer, GRADIENTS, START, 0.05), np.array(path), tolerance=1e-12)


def test_clipping_by_norm():
    gradient = np.array([3.0, 0.0, -4.0])
    assert global_norm(gradient) == 5.0
    np.testing.assert_allclose(clip_by_norm(gradient, 2.0), gradient * 0.4, rtol=1e-6)
    np.testing.assert_array_equal(clip_by_norm(gradient, 10.0), gradient)
    np.testing.assert_array_equal(clip_by_norm(np.zeros(3), 1.0), np.zeros(3))
    moved, _ = nn.SGD(max_grad_norm=1.0).update(np.zeros(3), gradient, {}, 1.0)
    np.testing.assert_allclose(moved, -gradient / 5.0, rtol=1e-6)


NETWORK = nn.mlp((8,), 1)
LAYOUT = nn.Layout(NETWORK.init(np.random.default_rng(1), (3,)))


def updates(arguments):
    """One update of each optimizer on a small regression."""
    x, y = arguments["x"], arguments["y"]

    def loss(params):
        return ops.mean(ops.square(NETWORK(params, x) - y)), None

    results = {}
    for name, (optimizer, _) in OPTIMIZERS.items():
        flat, state = arguments["state"][name]
        value, _, gradient = LAYOUT.value_and_grad(loss, flat)
        results[name] = optimizer.update(flat, gradient, state, arguments["rate"][name]), value
    return results


def fifty_updates(call, dtype):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((16, 3)).astype(dtype)
    arguments = {"x": x, "y": np.sin(x.sum(1, keepdims=True)).astype(dtype), "rate": {}, "state": {}}
    flat = LAYOUT.flatten(NETWORK.init(np.random.default_rng(1), (3,))).astype(dtype)
    for name, (optimizer, rate) in OPTIMIZERS.items():
        arguments["rate"][name] = np.asarray(rate, dtype)
        arguments["state"][name] = flat, optimizer.init(flat)
    for _ in range(50):
        results = call(arguments)
        arguments = {**arguments, "state": {name: state for name, (state, _) in results.items()}}
    return results


@pytest.fixture(scope="module")
def expected():
    """The updates in NumPy and float64, where the gradient is worked out by hand (finite differences would be slow)."""

    def by_hand(loss, flat):
        params = LAYOUT.split(flat)
        x, y = by_hand.data
        hidden = np.tanh(x @ params["0"]["kernel"] + params["0"]["bias"])
        error = hidden @ params["2"]["kernel"] + params["2"]["bias"] - y
        back = 2.0 * error / error.size
        inner = (back @ params["2"]["kernel"].T) * (1.0 - hidden**2)
        gradient = [x.T @ inner, inner.sum(0), hidden.T @ back, back.sum(0)]
        return np.mean(error**2), None, np.concatenate([part.ravel() for part in gradient])

    def call(arguments):
        by_hand.data = arguments["x"], arguments["y"]
        return updates(arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LAYOUT, "value_and_grad", by_hand)
        return fifty_updates(call, np.float64)


def test_fifty_updates_on_every_engine(engine, expected):
    results = fifty_updates(engine.compile(updates), np.float32)
    assert_close(tree.map(engine.view, results), expected, tolerance=1e-4)


def test_fifty_updates_learn(expected):
    assert [name for name, (_, value) in expected.items() if value > 0.4] == []  # it was 1.06 before the first


def test_a_learning_rate_is_not_frozen(engine):
    traces = []

    def update(flat, gradient, state, rate):
        traces.append(0)
        return nn.Adam().update(flat, gradient, state, rate)

    call, flat = engine.compile(update), START.astype(np.float32)
    for rate in (0.1, 0.001):
        moved, _ = call(flat, np.ones(5, np.float32), nn.Adam().init(flat), np.float32(rate))
        np.testing.assert_allclose(engine.view(moved), flat - rate, atol=1e-5)
    assert len(traces) == 1
