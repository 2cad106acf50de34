"""Whose loss moves what: gradients of one loss alone, by finite differences that respect `stop_gradient`."""

from __future__ import annotations

import numpy as np
import pytest
from loss_cases import (
    AGENTS,
    BATCH,
    BOX,
    CASES,
    DISCRETE,
    GRU,
    ON_POLICY,
    SCALARS,
    Spaces,
    holding_stopped_values,
    loss_arguments,
    replayed,
    rollout,
    starting_state,
)

from rlzoo.algorithms import find
from rlzoo.backend import tree


def largest(gradient):
    """The largest slope of each network."""
    return {name: max((np.abs(leaf).max() for leaf in tree.flatten(part)[0]), default=0.0)
            for name, part in gradient.items()}  # fmt: skip


def gradient_of(agent, flat, function, monkeypatch):
    """The gradient of `function(params)`, as named arrays."""
    with holding_stopped_values(monkeypatch):
        return agent.layout.split(agent.layout.value_and_grad(lambda params: (function(params), None), flat)[2])


def remembering(name):
    """An off-policy agent with memory, which actor and critics share, its weights, and its loss as a function."""
    algorithm, space, settings = CASES[name]
    agent, rng = find(algorithm)(Spaces(space), **settings | GRU), np.random.default_rng(1)
    state, data = starting_state(agent, rng), replayed(agent, rng, (8,))
    target = rng.standard_normal((8, 4) if name == "tqc" else 8)

    def loss(params):
        loss, report = agent.loss(params, data["batch"], target, *loss_arguments(agent, data))
        return loss, report["metrics"]

    return agent, state["parameters"], loss


@pytest.mark.parametrize("name", ["td3", "sac", "tqc", "discrete_sac"])
def test_the_loss_of_the_actor_moves_the_actor_alone(name, monkeypatch):
    """Neither critics nor temperature, nor the trunk that they share: its memory is learned by the critics."""
    agent, flat, loss = remembering(name)
    size = largest(gradient_of(agent, flat, lambda params: loss(params)[1][1], monkeypatch))
    assert size.pop("actor") > 1e-3
    assert size == dict.fromkeys(("encoder", "critics", "log_temperature")[: len(size)], 0.0)


@pytest.mark.parametrize("name, aim", [("sac", -2.0), ("tqc", -2.0), ("discrete_sac", 0.5 * np.log(3.0))])
def test_what_is_left_of_the_loss_moves_the_temperature_alone(name, aim, monkeypatch):
    """By the entropy that is too much: the temperature does not reach the policy through its own loss."""
    agent, flat, loss = remembering(name)

    def rest(params):
        whole, metrics = loss(params)
        return whole - metrics[0] - metrics[1]

    entropy = loss(agent.layout.split(flat))[1][2]
    gradient = gradient_of(agent, flat, rest, monkeypatch)
    assert gradient.pop("log_temperature")[0] == pytest.approx(entropy - aim, rel=1e-5)
    assert abs(entropy - aim) > 0.01 and max(largest(gradient).values()) < 1e-7  # the rounding of whole − metrics


@pytest.mark.parametrize("name, reaches", [("ppo sde", False), ("sac sde", True)])
def test_the_size_of_held_noise_reaches_the_layers_that_it_is_a_function_of_in_sac_alone(name, reaches, monkeypatch):
    """As in Stable-Baselines3: on-policy its σ alone answers for it, in SAC the features are learned for it too."""
    agent, rng = AGENTS[name](), np.random.default_rng(1)
    states = rng.standard_normal((6, 3))

    def log_deviation(params):
        return np.sum(agent.policy.parameters_of_action(params, agent.policy.features(params, states))[1])

    size = largest(gradient_of(agent, starting_state(agent, rng)["parameters"], log_deviation, monkeypatch))
    assert size["log_std"] > 0.1 and (size["actor"] > 0.1 if reaches else size["actor"] == 0.0)


@pytest.mark.parametrize("space", [DISCRETE, BOX], ids=["choices", "numbers"])
def test_the_critic_of_trpo_leaves_the_policy_where_the_trust_region_put_it(space, monkeypatch):
    """What the policy remembers, too: its critic reads that, and does not move it."""
    agent, rng = find("trpo")(Spaces(space), **ON_POLICY | {"batch_size": BATCH} | GRU), np.random.default_rng(1)
    state = starting_state(agent, rng)
    rows, _ = agent.advantages(state["parameters"], rollout(agent, rng))
    with holding_stopped_values(monkeypatch):
        after, _ = agent.critic_step(state, np.arange(BATCH), {"batch": rows, "scalars": SCALARS})
    moved = largest(agent.layout.split(after["parameters"] - state["parameters"]))
    assert moved.pop("critic") == pytest.approx(1e-3, rel=0.01)  # Adam's first step is its learning rate
    assert max(moved.values()) == 0.0 and {"encoder", "actor"} <= set(moved)
