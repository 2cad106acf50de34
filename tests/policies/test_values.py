"""Networks that compare the values of actions: what their streams are made of."""

from __future__ import annotations

import numpy as np
import pytest

from rlzoo import DQN, Rainbow

ATOMS = 5
ON, OFF = dict(dueling=True), dict(dueling=False)


def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def stream(layers, x):
    """A hidden layer and what comes out of it."""
    return dense(layers["2"], np.maximum(dense(layers["0"], x), 0.0))


@pytest.mark.parametrize("settings, size", [({}, 1), (dict(distributional=True, n_atoms=ATOMS), ATOMS)])
def test_dueling_streams_by_hand(settings, size):
    """V + A − mean A (Wang 2016, eq. 9): the mean over actions is what the stream of the state's value says."""
    agent = DQN("CartPole-v1", backend="numpy", seed=0, hidden=(6, 5), dueling=True, **settings)
    network = agent.params["network"]
    assert {name for layer in network.values() for name in layer} == {"kernel", "bias", "value", "advantage"}
    seen = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
    hidden, streams = np.maximum(dense(network["0"], seen), 0.0), network["2"]
    value, advantage = stream(streams["value"], hidden), stream(streams["advantage"], hidden).reshape(7, 2, size)
    outputs = agent.policy.outputs(agent.params, agent.policy.features(agent.params, seen)).reshape(7, 2, size)
    np.testing.assert_allclose(outputs.mean(1), value, rtol=1e-4, atol=1e-6)
    centred = advantage - advantage.mean(1, keepdims=True)
    np.testing.assert_allclose(outputs, value[:, None] + centred, rtol=1e-4, atol=1e-6)
    assert np.abs(centred).max() > 0.01


def test_streams_are_where_they_are_asked_for():
    for kind, settings, there in ((DQN, {}, False), (DQN, ON, True), (Rainbow, {}, True), (Rainbow, OFF, False)):
        agent = kind("CartPole-v1", backend="numpy", **settings)
        assert any({"value", "advantage"} <= set(layer) for layer in agent.params["network"].values()) == there
