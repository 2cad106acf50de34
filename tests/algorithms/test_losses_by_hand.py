"""The terms of the losses against their equations written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from loss_cases import (
    BOX,
    CASES,
    SCALARS,
    SETTINGS,
    Spaces,
    agent_of,
    loss_arguments,
    loss_case,
    replayed_case,
)
from slow_loops import quantile_huber

from rlzoo import SAC
from rlzoo.algorithms import find
from rlzoo.nn.schedules import Schedule


def weighted_mean(x, weight):
    return np.sum(x * weight) / np.sum(weight)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@pytest.mark.parametrize("name, clip", [("ppo discrete", None), ("ppo continuous", 0.1)])
def test_terms_of_ppo(name, clip):
    agent, _, (state, data) = loss_case(name)
    assert agent.config.clip_range_value == (None if clip is None else Schedule(clip, clip))
    params, weight = agent.layout.split(state["parameters"]), data["weight"]
    features = agent.policy.features(params, data["observation"])
    outputs, value = agent.policy.parameters_of_action(params, features), agent.policy.value(params, features)
    error = (value - data["return"]) ** 2
    if clip is not None:
        near = np.clip(value, data["value"] - clip, data["value"] + clip)
        assert np.any(near != value)
        error = np.maximum(error, (near - data["return"]) ** 2)
    if name == "ppo discrete":
        p = softmax(outputs)
        entropy = -np.sum(p * np.log(p), 1)
        log_prob = np.log(p[np.arange(len(p)), data["action"]])
    else:
        mean, log_std = outputs
        entropy = np.full(len(mean), np.sum(log_std + 0.5 * np.log(2 * np.pi * np.e)))
        z = (data["action"] - mean) / np.exp(log_std)
        log_prob = np.sum(-0.5 * z**2 - log_std - 0.5 * np.log(2 * np.pi), 1)
    ratio = np.exp(log_prob - data["log_prob"])
    outside = np.abs(ratio - 1.0) > 0.2
    assert 0 < outside.sum() < len(outside)
    advantage = data["advantage"] - weighted_mean(data["advantage"], weight)
    advantage = advantage / np.sqrt(weighted_mean(advantage**2, weight))
    surrogate = np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage)
    terms = [-surrogate, error, entropy, ratio - 1.0 - np.log(ratio), outside]
    expected = [weighted_mean(term, weight) for term in terms]
    loss, metrics = agent.loss(params, data, SCALARS)
    np.testing.assert_allclose(metrics, expected, rtol=1e-5)
    assert loss == pytest.approx(expected[0] + 0.5 * expected[1] - 0.01 * expected[2], rel=1e-5)


def test_what_a_value_may_leave_its_old_one_by_is_the_scalar_of_the_moment():
    """So that a schedule of it is followed: the value loss by 0.05, of an agent whose config begins with 0.1."""
    agent, _, (state, data) = loss_case("ppo continuous")
    features = agent.policy.features(agent.layout.split(state["parameters"]), data["observation"])
    value = agent.policy.value(agent.layout.split(state["parameters"]), features)
    near = np.clip(value, data["value"] - 0.05, data["value"] + 0.05)
    error = np.maximum((value - data["return"]) ** 2, (near - data["return"]) ** 2)
    _, metrics = agent.loss(agent.layout.split(state["parameters"]), data, SCALARS | {"clip_range_value": 0.05})
    assert metrics[1] == pytest.approx(weighted_mean(error, data["weight"]), rel=1e-5)
    scheduled = find("ppo")(Spaces(BOX), **SETTINGS, n_steps=16, batch_size=8, clip_range_value="linear(0.1, 0)")
    assert [scheduled.config.scalars(x)["clip_range_value"] for x in (0.0, 0.5, 1.0)] == [0.1, 0.05, 0.0]


def test_terms_of_a2c():
    agent, _, (state, data) = loss_case("a2c")
    params, weight = agent.layout.split(state["parameters"]), data["weight"]
    features = agent.policy.features(params, data["observation"])
    p, value = softmax(agent.policy.parameters_of_action(params, features)), agent.policy.value(params, features)
    log_prob = np.log(p[np.arange(len(p)), data["action"]])
    terms = [-data["advantage"] * log_prob, (value - data["return"]) ** 2, -np.sum(p * np.log(p), 1)]
    expected = [weighted_mean(term, weight) for term in terms]
    loss, metrics = agent.loss(params, data, SCALARS)
    np.testing.assert_allclose(metrics, expected, rtol=1e-5)
    assert loss == pytest.approx(expected[0] + 0.5 * expected[1] - 0.01 * expected[2], rel=1e-5)


def test_dqn_is_quadratic_near_the_target_and_linear_far_from_it():
    agent, state, data, _ = replayed_case("dqn", 4)
    params, batch = agent.layout.split(state["parameters"]), data["batch"]
    features = agent.policy.features(params, batch["observation"])
    value = agent.policy.outputs(params, features)[np.arange(4), batch["action"]]
    loss, report = agent.loss(params, batch, value + np.array([0.5, -0.5, 3.0, -5.0]), {})
    assert loss == pytest.approx(np.mean([0.125, 0.125, 2.5, 4.5]), rel=1e-5)
    np.testing.assert_allclose(report["metrics"], [loss, value.mean(), 2.25], rtol=1e-5)
    weighted, _ = agent.loss(params, batch | {"weight": np.array([1.0, 0.0, 0.5, 0.0])}, value + 3.0, {})
    assert weighted == pytest.approx(2.5 * 1.5 / 4.0, rel=1e-5)


def parts_of_sac(agent, state, data):
    """Parameters, features, the actor's u before the tanh and log π, the critics' values of what was done, and α."""
    params, noise = agent.layout.split(state["parameters"]), data["noise"]["action"]
    features = agent.policy.features(params, data["batch"]["observation"])
    mean, log_std = agent.policy.parameters_of_action(params, features)
    u = mean + np.exp(log_std) * noise
    log_prob = np.sum(-0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi) - np.log(1 - np.tanh(u) ** 2), 1)
    q = agent.policy.values(params, features, data["batch"]["action"])
    alpha = np.exp(params["log_temperature"][0])
    return params, features, u, log_prob, q, alpha


def test_terms_of_sac():
    agent, state, data, target = replayed_case("sac")
    params, features, u, log_prob, q, alpha = parts_of_sac(agent, state, data)
    expected = [
        sum(0.5 * np.mean((one - target) ** 2) for one in q),
        np.mean(alpha * log_prob - np.minimum(*agent.policy.values(params, features, np.tanh(u)))),
        -np.mean(log_prob), alpha, np.mean(q[0]),
    ]  # fmt: skip
    _, report = agent.loss(params, data["batch"], target, data["noise"], {})
    np.testing.assert_allclose(report["metrics"], expected, rtol=1e-5)


def test_the_temperature_that_is_given_and_the_entropy_aimed_at():
    fixed = SAC(Spaces(BOX), **SETTINGS, entropy_coefficient="linear(0.2, 0.1)")
    assert fixed.temperature(fixed.params, {"entropy_coefficient": 0.15}) == pytest.approx(0.15)
    agent = SAC(Spaces(BOX), **SETTINGS, initial_entropy_coefficient=0.2, target_entropy=-5.0)
    assert agent.temperature(agent.params, {}) == pytest.approx(0.2)
    _, state, data, target = replayed_case("sac")
    params = agent.layout.split(state["parameters"])
    loss, report = agent.loss(params, data["batch"], target, data["noise"], {})
    critic, actor, entropy = report["metrics"][:3]
    assert loss == pytest.approx(critic + actor + params["log_temperature"][0] * (entropy + 5.0), rel=1e-5)


def test_terms_of_td3():
    agent, state, data, target = replayed_case("td3")
    params, batch = agent.layout.split(state["parameters"]), data["batch"]
    features = agent.policy.features(params, batch["observation"])
    q = agent.policy.values(params, features, batch["action"])
    own = agent.policy.values(params, features, agent.policy.mode(params, batch["observation"])[0])[0]
    _, report = agent.loss(params, batch, target)
    expected = [sum(np.mean((one - target) ** 2) for one in q), -np.mean(own), np.mean(q[0])]
    np.testing.assert_allclose(report["metrics"], expected, rtol=1e-5)


def test_target_of_td3_is_smoothed_within_its_clip():
    agent, state, data, _ = replayed_case("td3")
    params, batch, noise = agent.layout.split(state["target"]), data["batch"], {"target": 4.0 * data["noise"]["target"]}
    features = agent.policy.features(params, batch["next_observation"])
    smooth = np.clip(0.2 * noise["target"], -0.5, 0.5)
    assert np.any(np.abs(smooth) == 0.5)
    action = np.clip(agent.policy.mode(params, batch["next_observation"])[0] + smooth, -1.0, 1.0)
    expected = batch["reward"] + batch["discount"] * np.minimum(*agent.policy.values(params, features, action))
    np.testing.assert_allclose(agent.targets(state, batch, noise), expected, rtol=1e-6)


def test_discrete_sac_sums_over_actions():
    agent, state, data, _ = replayed_case("discrete_sac")
    params, frozen = agent.layout.split(state["parameters"]), agent.target_layout.split(state["target"])
    batch, alpha = data["batch"], np.exp(params["log_temperature"][0])
    after = agent.policy.features(params, batch["next_observation"])
    p = softmax(agent.policy.parameters_of_action(params, after))
    least = np.minimum(*agent.policy.values(frozen, after))
    expected = batch["reward"] + batch["discount"] * np.sum(p * (least - alpha * np.log(p)), 1)
    np.testing.assert_allclose(agent.targets(state, batch, {}, {}), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["discrete_sac", "discrete_sac masked"])
def test_terms_of_discrete_sac(name):
    agent, state, data, target = replayed_case(name)
    params, batch = agent.layout.split(state["parameters"]), data["batch"]
    features = agent.policy.features(params, batch["observation"])
    n_allowed = np.full(8, 3) if features.mask is None else np.sum(features.mask, 1)
    p = softmax(agent.policy.parameters_of_action(params, features))
    log_p = np.log(np.where(p > 0.0, p, 1.0))
    q, alpha = agent.policy.values(params, features), np.exp(params["log_temperature"][0])
    expected = [
        sum(0.5 * np.mean((one[np.arange(8), batch["action"]] - target) ** 2) for one in q),
        np.mean(np.sum(p * (alpha * log_p - np.minimum(*q)), 1)), -np.mean(np.sum(p * log_p, 1)), alpha,
    ]  # fmt: skip
    aim = 0.5 * np.mean(np.log(n_allowed))
    assert np.any(n_allowed < 3) == ("masked" in name) and agent.config.target_entropy_share == 0.5
    assert agent.aim(features) == pytest.approx(aim, rel=1e-5)
    loss, report = agent.loss(params, batch, target, {}, {})
    np.testing.assert_allclose(report["metrics"][:4], expected, rtol=1e-5)
    temperature_loss = params["log_temperature"][0] * (expected[2] - aim)
    assert loss == pytest.approx(expected[0] + expected[1] + temperature_loss, rel=1e-5)


def test_the_entropy_aimed_at_by_discrete_sac_can_be_given():
    agent = find("discrete_sac")(Spaces(CASES["discrete_sac"][1]), **SETTINGS, target_entropy=0.7)
    features = agent.policy.features(agent.params, np.zeros((2, 3), np.float32))
    assert agent.aim(features) == 0.7


@pytest.mark.parametrize("name, factor", [("sac", 0.5), ("td3", 1.0), ("discrete_sac", 0.5)])
def test_importance_weights_weigh_the_errors_of_the_critics(name, factor):
    agent, state, data, target = replayed_case(name)
    params, weight = agent.layout.split(state["parameters"]), np.random.default_rng(2).uniform(0.1, 1.0, 8)
    batch = data["batch"]
    features = agent.policy.features(params, batch["observation"])
    if name == "discrete_sac":
        q = [one[np.arange(8), batch["action"]] for one in agent.policy.values(params, features)]
    else:
        q = agent.policy.values(params, features, batch["action"])
    _, report = agent.loss(params, batch | {"weight": weight}, target, *loss_arguments(agent, data))
    expected = sum(factor * np.mean(weight * (one - target) ** 2) for one in q)
    assert report["metrics"][0] == pytest.approx(expected, rel=1e-5)


def test_tqc_leaves_out_the_highest_quantiles_of_all_critics_together():
    agent, state, data, _ = replayed_case("tqc")
    params, frozen = agent.layout.split(state["parameters"]), agent.target_layout.split(state["target"])
    batch, distribution = data["batch"], agent.policy.head.distribution
    after = agent.policy.features(params, batch["next_observation"])
    outputs = agent.policy.parameters_of_action(params, after)
    action, log_prob = distribution.sample_and_log_prob(outputs, data["noise"]["next_action"])
    mixed = np.sort(np.concatenate(agent.policy.values(frozen, after, action), 1), 1)[:, :4]  # of six, two left out
    alpha = np.exp(params["log_temperature"][0])
    soft = mixed - alpha * log_prob[:, None]
    expected = batch["reward"][:, None] + batch["discount"][:, None] * soft
    np.testing.assert_allclose(agent.targets(state, batch, data["noise"], {}), expected, rtol=1e-5)


def test_terms_of_tqc():
    agent, state, data, _ = replayed_case("tqc")
    target = 2.0 * np.random.default_rng(2).standard_normal((8, 4))
    params, features, u, log_prob, q, alpha = parts_of_sac(agent, state, data)
    expected = [
        sum(np.mean([quantile_huber(*pair) for pair in zip(one, target)]) / 3 for one in q),
        np.mean(alpha * log_prob - np.mean(agent.policy.values(params, features, np.tanh(u)), (0, 2))),
        -np.mean(log_prob), alpha, np.mean(q[0]),
    ]  # fmt: skip
    _, report = agent.loss(params, data["batch"], target, data["noise"], {})
    np.testing.assert_allclose(report["metrics"], expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["dqn distributional", "qrdqn"])
def test_terms_of_what_learns_distributions_of_returns(name):
    agent, state, data, _ = replayed_case(name)
    params, batch, rng = agent.layout.split(state["parameters"]), data["batch"], np.random.default_rng(2)
    features = agent.policy.features(params, batch["observation"])
    said = agent.policy.outputs(params, features)[np.arange(8), batch["action"]]
    if name == "qrdqn":  # the worst 0.6 of four quantiles
        target = 2.0 * rng.standard_normal(said.shape)
        errors = [quantile_huber(*pair) for pair in zip(said, target)]
        values = said @ np.array([0.25, 0.25, 0.1, 0.0]) / 0.6
    else:
        target, p = softmax(rng.standard_normal(said.shape)), softmax(said)
        errors, values = -np.sum(target * np.log(p), 1), p @ np.linspace(-3.0, 2.0, 5)
    loss, report = agent.loss(params, batch, target, {})
    np.testing.assert_allclose(report["metrics"], [np.mean(errors), np.mean(values), np.mean(errors)], rtol=1e-5)
    assert loss == pytest.approx(np.mean(errors), rel=1e-5)
    weight = rng.uniform(0.1, 1.0, 8)
    weighted, _ = agent.loss(params, batch | {"weight": weight}, target, {})
    assert weighted == pytest.approx(np.mean(weight * errors), rel=1e-5)


def test_a_risk_averse_actor_raises_the_worst_share():
    """The worst half of three quantiles: the lowest whole, of the next half."""
    agent, values = agent_of("tqc risk-averse"), tuple(np.random.default_rng(0).standard_normal((2, 4, 3)))
    expected = np.mean([one @ [2 / 3, 1 / 3, 0.0] for one in values], 0)
    np.testing.assert_allclose(agent.wanted(values), expected, rtol=1e-5)
