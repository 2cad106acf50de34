"""PyTorch's programs for a GPU, where the recording itself is imitated: what is copied, replayed and given back.

The imitation calls again what a GPU would replay, and writes its results to the same places.
"""

from __future__ import annotations

import numpy as np
import pytest
from engines import require

from rlzoo.algorithms import find
from rlzoo.backend import ops

ROLLOUT = dict(n_envs=4, n_steps=8, hidden=(8, 8))
REPLAY = dict(n_envs=2, train_freq=4, learning_starts=16, batch_size=8, hidden=(8, 8))
RUNS = {
    "ppo": ("CartPole-v1", ROLLOUT | dict(batch_size=16, n_epochs=3)),
    "trpo": ("CartPole-v1", ROLLOUT | dict(batch_size=16, cg_steps=3, n_critic_epochs=2)),
    "rainbow": ("CartPole-v1", REPLAY | dict(n_atoms=5, gradient_steps=3)),
    "td3": ("Pendulum-v1", REPLAY | dict(gradient_steps=3)),  # whose actor learns every second step
}


@pytest.fixture
def engine(monkeypatch):
    """The backend module, where "cuda" is the CPU that imitates a GPU."""
    engine = require("torch")
    import torch

    from rlzoo.backend import torch_graphs

    def imitated(function):
        for _ in range(torch_graphs.WARM_UPS):
            function()
        results = function()
        return results, lambda: torch_graphs._fill(results or [], function() or [])

    monkeypatch.setattr(torch_graphs, "_recorded", imitated)
    monkeypatch.setattr(torch_graphs, "_pinned", lambda size: torch.empty(size, dtype=torch.uint8))
    monkeypatch.setattr(torch_graphs, "_moved", lambda block: block)
    monkeypatch.setattr(engine, "device", lambda name: "cuda" if name == "cuda" else "cpu")
    return engine


@pytest.mark.parametrize("name", RUNS)
def test_learning_is_that_of_the_cpu(engine, name):
    def learned(device):
        agent = find(name)(RUNS[name][0], backend="torch", device=device, seed=5, **RUNS[name][1]).learn(96)
        assert agent.engine.device == device
        return agent.flat

    start = find(name)(RUNS[name][0], backend="torch", seed=5, **RUNS[name][1]).flat
    found, expected = learned("cuda"), learned("cpu")
    assert np.abs(expected - start).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_arrays_of_every_type_and_shape_are_moved(engine):
    arguments = {
        "single": np.arange(6, dtype=np.float32).reshape(2, 3).T, "scalar": np.float32(3.5), "none": np.zeros((0, 2)),
        "bytes": np.arange(5, dtype=np.uint8), "bool": np.array([True, False]), "int": np.int32([[7]]),
        "long": np.arange(3),
    }  # fmt: skip
    moved = engine.torch_graphs.asarrays(list(arguments.values()))
    for tensor, (name, array) in zip(moved, arguments.items(), strict=True):
        np.testing.assert_array_equal(tensor.numpy(), array, err_msg=name)
        assert tensor.numpy().dtype == np.asarray(array).dtype and tensor.shape == np.shape(array), name


def test_results_stay_as_they_are_when_it_is_called_again(engine):
    call = engine.compile(lambda state, x: (state + x, state * x), device="cuda")
    one, two = call(np.float32([1, 2]), np.float32([3, 4]))
    more, _ = call(one, np.float32([5, 5]))
    assert (one.tolist(), two.tolist(), more.tolist()) == ([4, 6], [3, 8], [9, 11])


@pytest.mark.parametrize("length", [1, 2, 7])
def test_a_fold_whose_carry_changes_places(engine, length):
    """A step's results may be what it was given, at another place; and it must not see those of its warming up."""

    def step(carry, x, constants):
        return {"new": carry["new"] + x, "old": carry["new"], "older": carry["old"]}, carry["older"] * constants

    def function(carry, xs, constants):
        return ops.fold(step, carry, xs, constants)

    xs = np.arange(1, 1 + 2 * length, dtype=np.float32).reshape(length, 2)
    carry = {name: np.full(2, i, np.float32) for i, name in enumerate(("new", "old", "older"))}
    call = engine.compile(function, device="cuda")
    for _ in range(2):
        found, outputs = call(carry, xs, np.float32(10))
        expected, expected_outputs = function(carry, xs, np.float32(10))
        for name in carry:
            np.testing.assert_array_equal(found[name].numpy(), expected[name], err_msg=name)
        np.testing.assert_array_equal(outputs.numpy(), expected_outputs)
