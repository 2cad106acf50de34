"""What the networks of a policy begin with."""

from __future__ import annotations

import numpy as np

from rlzoo import PPO, TRPO


def layers(algorithm, initializer):
    """The Dense layers of actor and critic, as they were drawn; `[(kernel, bias), ...]` each."""
    agent = algorithm("Pendulum-v1", seed=3, initializer=initializer, hidden=(40, 30), n_steps=128, n_envs=1)
    params = agent.layout.split(agent.engine.to_numpy(agent.state["parameters"]))
    agent.vector_env.close()
    return [[(layer["kernel"], layer["bias"]) for layer in params[name].values() if layer]
            for name in ("actor", "critic")]  # fmt: skip


def test_orthogonal_weights_and_an_actor_near_zero():
    actor, critic = layers(PPO, "orthogonal")
    for _, bias in actor + critic:
        assert not bias.any()
    for network, gain in (actor, 0.01), (critic, 1.0):
        np.testing.assert_allclose(network[1][0].T @ network[1][0], 2.0 * np.eye(30), atol=1e-5)
        np.testing.assert_allclose(network[2][0].T @ network[2][0], [[gain**2]], rtol=1e-4)


def test_weights_as_pytorch_draws_them():
    """Kernels and biases uniform within ±1/√inputs, the actor's last layer no smaller than the others."""
    for algorithm in (PPO, TRPO):
        for network in layers(algorithm, "fan_in"):
            for kernel, bias in network:
                drawn, bound = np.append(kernel, bias), 1.0 / np.sqrt(len(kernel))
                assert 0.85 * bound < np.abs(drawn).max() <= bound
                assert bias.any()


def test_only_the_actor_begins_near_zero():
    for initializer, variance in ("xavier", 2.0 / 31), ("he", 2.0 / 30):
        actor, critic = layers(PPO, initializer)
        assert np.abs(actor[2][0]).max() < 0.01
        assert np.var(critic[2][0]) > 0.3 * variance
