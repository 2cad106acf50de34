"""Agents of classes of one's own: whatever state, networks and metrics they have, they load, or are refused at once."""

from __future__ import annotations

import copy

import gymnasium as gym
import numpy as np
import pytest
from engines import require
from gymnasium import spaces
from tiny_agents import OFF

from rlzoo import DQN, UserError, load
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

    def encoder(self, observation_space):
        return Sequential((VectorEncoder(), Truncated(64), Activation("relu")))


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


class MadeByInit(DQN):
    """Its width is none of its hyperparameters."""

    def __init__(self, env, width=5, **options):
        self.width = width
        super().__init__(env, **options)

    def encoder(self, observation_space):
        return Sequential((VectorEncoder(), Truncated(self.width)))


def test_a_class_that_its_init_makes_is_at_fault_and_not_the_checkpoint(tmp_path):
    agent = MadeByInit("CartPole-v1", backend="numpy", **TINY)
    path = agent.save(tmp_path / "saved")
    for again in (copy.deepcopy, lambda agent: MadeByInit.load(path, backend="numpy")):
        with pytest.raises(UserError, match=r"^MadeByInit has no 'width' where .*: make it a field of its Config"):
            again(agent)
    MadeByInit.width = 5
    np.testing.assert_array_equal(MadeByInit.load(path, backend="numpy").flat, agent.flat)


def test_an_algorithm_with_a_name_of_its_own_says_who_loads_it(tmp_path):
    path = type("Named", (DQN,), {"name": "mine"})("CartPole-v1", backend="numpy", **TINY).save(tmp_path / "saved")
    told = r"holds an agent of the class Named, of the unknown algorithm 'mine': in Python Named\.load\(path\) loads"
    with pytest.raises(UserError, match=told):
        load(path, backend="numpy")


def test_a_class_that_was_changed_is_at_fault_and_not_the_checkpoint(tmp_path, monkeypatch):
    path = DrawnAgain("CartPole-v1", backend="numpy", **TINY).save(tmp_path / "saved")
    monkeypatch.setattr(DrawnAgain, "encoder", lambda self, space: Sequential((VectorEncoder(), Truncated(5))))
    mend = "load it with the class as it was when the agent was saved"
    with pytest.raises(UserError, match=rf"^checkpoint .* does not fit DrawnAgain \(state/.* expected .*\): {mend}$"):
        DrawnAgain.load(path, backend="numpy")


def test_a_copy_is_no_strangers(monkeypatch):
    """What is copied or pickled is at hand, however much larger than its parameters its networks are made."""
    monkeypatch.setattr(checkpoint, "most_for", lambda parameters: 0)
    agent = DrawnAgain("CartPole-v1", backend="numpy", **TINY)
    np.testing.assert_array_equal(copy.deepcopy(agent).flat, agent.flat)


def with_state(**more):
    """DQN whose state has more in it; `parameters=None` takes those away."""

    class Own(DQN):
        def initial_state(self, flat):
            state = super().initial_state(flat) | more
            return {name: leaf for name, leaf in state.items() if leaf is not None}

    return Own


@pytest.mark.parametrize("more, said", [
    ({"count": np.zeros(())}, r"^state\['count'\] of Own is float64: make it float32$"),
    ({"count": np.arange(2)}, r"^state\['count'\] of Own is int64: make it int32$"),
    ({"past": (np.float32(0), [1.5])}, r"^state\['past'\]\[1\]\[0\] of Own is float64: make it float32$"),
    ({"when": "now"}, r"^state\['when'\] of Own is <U3: make it an array of float32, int32 or bool$"),
    ({"a": {"b": np.float32(0)}, "a/b": np.float32(1)}, "^two arrays in the state of Own are called 'a/b': rename "),
    ({"parameters": None}, r"^initial_state of Own gives no \"parameters\" but \['target', 'optimizer'\]: add "),
])  # fmt: skip
def test_a_state_that_cannot_be_kept_is_refused_at_once(more, said):
    with pytest.raises(UserError, match=said):
        with_state(**more)("CartPole-v1", backend="numpy", **TINY)


def test_what_every_engine_keeps_may_be_in_a_state(tmp_path):
    more = {"count": 0 * np.int32(1), "seen": np.zeros(2, np.uint8), "flag": np.zeros((), bool), "none": {}}
    agent = with_state(**more)("CartPole-v1", backend="numpy", **TINY)
    found = type(agent).load(agent.save(tmp_path / "saved"), backend="numpy").state
    assert {name: found[name].dtype.name for name in ("count", "seen", "flag")} == {
        "count": "int32", "seen": "uint8", "flag": "bool",
    }  # fmt: skip


@pytest.mark.parametrize("metrics, said", [
    (("loss", "steps", "value"), "^metrics of Own name 'steps', which is a column of every run: rename it$"),
    (("loss", "time_env", "value"), "^metrics of Own name 'time_env', which is a column"),
    (("loss", "evaluation_std", "value"), "^metrics of Own name 'evaluation_std', which is a column"),
    (("loss", "value", "loss"), "^metrics of Own name 'loss' twice: rename one$"),
    ("loss", r"^metrics = 'loss' of Own is not valid: it must be a tuple of names, such as \('loss',\)$"),
])  # fmt: skip
def test_metrics_that_would_overwrite_a_column_are_refused_at_once(metrics, said):
    own = type("Own", (DQN,), {"metrics": metrics})
    with pytest.raises(UserError, match=said):
        own("CartPole-v1", backend="numpy", **TINY)


class OneNumber(DQN):
    """Reports a number and not a vector."""

    metrics = ("loss",)

    def report(self, metrics, td_error):
        return super().report(metrics[0], td_error)


class Named(DQN):
    """Reports a dict."""

    def update(self, state, inputs, scalars):
        state, report = super().update(state, inputs, scalars)
        return state, report | {"metrics": {"loss": report["metrics"][0]}}


@pytest.mark.parametrize("kind, said", [(OneNumber, r"metrics of shape \(\)"), (Named, "dict")])
def test_metrics_that_are_no_vector_are_said(kind, said):
    require("torch")
    with pytest.raises(UserError, match=rf"^dqn reports {said}, not a vector: ops.stack\(\[…\]\) of loss"):
        kind("CartPole-v1", backend="torch", **TINY).learn()


class Beside(Layer):
    """Two parts of a Dict, side by side."""

    def __call__(self, params, x):
        return ops.concat([x["cash"], x["prices"]], -1)


class BesideOfKnownShape(Beside):
    """The same, and how many features that makes."""

    def output_shape(self, shape):
        return (5,)


class InParts(gym.Env):
    """Shows what an account holds and what prices are."""

    observation_space = spaces.Dict(cash=spaces.Box(0.0, 1.0, (1,)), prices=spaces.Box(0.0, 1.0, (4,)))
    action_space = spaces.Discrete(2)


@pytest.mark.parametrize("first", [None, BesideOfKnownShape()])
@pytest.mark.parametrize("recurrent", [None, "gru"])
def test_layers_stand_behind_the_encoder_of_a_dict(first, recurrent):
    class Own(DQN):
        def encoder(self, observation_space):
            return Sequential((first or super().encoder(observation_space), Truncated(7)))

    settings = {"sequence_length": 2, "batch_size": 2, "recurrent_units": 3} if recurrent else {}
    agent = Own(InParts(), backend="numpy", hidden=(4,), recurrent=recurrent, **settings)
    kernel = next(x for x in tree.flatten(agent.params["encoder"])[0] if x.shape == (5, 7))
    assert kernel.any() and agent.policy.trunk.size == (3 if recurrent else 7)


@pytest.mark.parametrize("encoder", [Beside(), Sequential((Beside(), Truncated(7)))])
def test_a_layer_that_takes_the_parts_of_a_dict_says_its_shape(encoder):
    class Own(DQN):
        def encoder(self, observation_space):
            return encoder

    with pytest.raises(UserError, match=r"^an encoder of the parts of Dict.*: give .* a method output_shape\(shape\)"):
        Own(InParts(), backend="numpy")
