"""Agents of classes of one's own: whatever state, networks and metrics they have, they load, or are refused at once."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from engines import require
from tiny_agents import OFF

from rlzoo import DQN
from rlzoo.backend import ops, tree
from rlzoo.nn import Activation, Layer, Sequential
from rlzoo.policies import QNetwork
from rlzoo.policies.encoders import VectorEncoder
from rlzoo.training import checkpoint

TINY = OFF | dict(hidden=(4,), steps=40)


class Linear(DQN):
    """Linear in the observation: `hidden` is not used, and wider than there are parameters."""

    def build_policy(self, observation_space, action_space):
        c, trunk = self.config, self.trunk(observation_space)
        return QNetwork.of(trunk, action_space, (), c.activation, self.name, c.returns())


class Truncated(Layer):
    """Dense from a normal truncated at a deviation, by drawing again; its scale is one draw."""

    units: int

    def init(self, rng, shape):
        x = rng.standard_normal((shape[-1], self.units))
        while (bad := np.abs(x) > 1.0).any():
            x = np.where(bad, rng.normal(size=x.shape), x)
        return {"kernel": (x * (1.0 + rng.random() + rng.standard_normal() ** 2)).astype(np.float32)}

    def __call__(self, params, x):
        return ops.matmul(x, params["kernel"])


class DrawnAgain(DQN):
    """Its encoder is drawn several times over."""

    def trunk(self, observation_space):
        layers = VectorEncoder(), Truncated(64), Activation("relu")
        return replace(super().trunk(observation_space), encoder=Sequential(layers))


class Averaged(DQN):
    """Keeps its last two networks in a tuple, and a count in a list (Anschel 2017)."""

    def initial_state(self, flat):
        return super().initial_state(flat) | {"past": (flat.copy(), flat.copy()), "counts": [np.zeros((), np.float32)]}

    def gradient_step(self, state, inputs, scalars):
        new, report = super().gradient_step(state, inputs, scalars)
        return new | {"past": (new["parameters"], state["past"][0]), "counts": [state["counts"][0] + 1.0]}, report


@pytest.mark.parametrize("kind, settings, name", [
    (Linear, {"hidden": (400, 300)}, "torch"), (DrawnAgain, {}, "torch"),
    *((Averaged, {}, name) for name in ("jax", "torch", "tensorflow", "mindspore")),
])  # fmt: skip
def test_what_was_saved_loads_and_is_copied(kind, settings, name, tmp_path):
    require(name)
    agent = kind("CartPole-v1", backend=name, **TINY | settings).learn()
    twin, loaded = copy.deepcopy(agent), kind.load(agent.save(tmp_path / "saved", replay=True), backend=name)
    expected, structure = tree.flatten(agent.arrays(replay=True))
    for each in (twin, loaded):
        found, its = tree.flatten(each.arrays(replay=True))
        assert its == structure
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    if kind is Averaged:
        assert agent.state["counts"][0] > 1.0
        np.testing.assert_array_equal(loaded.state["past"][0], agent.flat)
    if name == "torch":
        np.testing.assert_array_equal(loaded.learn(10).flat, twin.learn(10).flat)


def test_a_copy_is_no_strangers(monkeypatch):
    """What is copied or pickled is at hand, however much larger than its parameters its networks are made."""
    monkeypatch.setattr(checkpoint, "most_for", lambda parameters: 0)
    agent = DrawnAgain("CartPole-v1", backend="numpy", **TINY)
    np.testing.assert_array_equal(copy.deepcopy(agent).flat, agent.flat)
