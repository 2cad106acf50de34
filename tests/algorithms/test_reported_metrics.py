"""What is reported of an update, by the definitions: explained variance, and all that TRPO says."""

from __future__ import annotations

import numpy as np
import pytest
from engines import require
from loss_cases import DISCRETE, ROLLOUT, SCALARS, SETTINGS, Spaces, rollout, starting_state, update_case
from parity import copied, single

from rlzoo.algorithms import find
from rlzoo.backend import tree

KERNEL, BIAS = np.array([0.5, -1.0, 2.0]), 0.3
CRITICS = (  # share of what depends on the observation, what is added, and the explained variance where it is known
    (1.0, BIAS, 1.0), (1.0, 5.0, 1.0), (0.0, 5.0, 0.0), (0.25, 0.0, None), (-1.0, 0.0, None),
)  # fmt: skip
FEW: dict = {"ppo": dict(batch_size=8), "a2c": {}}


def explained(name, share, bias, weighs, monkeypatch):
    """Explained variance as it is reported, and its definition, for rewards that a linear critic can say.

    Nothing follows a step (γ = 0), so that returns are the rewards; the critic says the `share` of what depends on the
    observation, and `bias`. With `weighs`, steps spent on a reset have rewards that would be seen.
    """
    settings = SETTINGS | dict(hidden=(), gamma=0.0, n_steps=ROLLOUT, n_envs=1) | FEW[name]
    agent = find(name)(Spaces(DISCRETE), **settings)
    monkeypatch.setattr(agent.collector.stepper, "every_step_counts", not weighs)
    rng = np.random.default_rng(3)
    state, data = starting_state(agent, rng), rollout(agent, rng)
    critic = agent.layout.split(state["parameters"])["critic"]["0"]
    critic["kernel"][:], critic["bias"][:] = share * KERNEL[:, None], bias
    counts = data["valid"] = (rng.random((ROLLOUT, 1)) < 0.7).astype(np.float64) if weighs else np.ones((ROLLOUT, 1))
    said = data["observation"] @ KERNEL
    data["reward"] = np.where(counts > 0.0, said + BIAS, 100.0 * rng.standard_normal((ROLLOUT, 1)))
    kept = counts > 0.0
    returns, errors = data["reward"][kept], (data["reward"] - share * said - bias)[kept]
    scalars = {key: SCALARS[key] for key in agent.config.scalars(0.0)}
    _, metrics = agent.update(state, data, np.arange(8, dtype=np.int32)[None], scalars)
    return metrics[agent.metrics.index("explained_variance")], 1.0 - errors.var() / returns.var()


@pytest.mark.parametrize("weighs", [False, True])
@pytest.mark.parametrize("name", FEW)
def test_explained_variance(name, weighs, monkeypatch):
    """1 of a critic that says the returns, also if all too high; 0 of one that says the same of all; else between."""
    for share, bias, known in CRITICS:
        found, expected = explained(name, share, bias, weighs, monkeypatch)
        assert found == pytest.approx(expected, abs=1e-6)
        if known is not None:
            assert found == pytest.approx(known, abs=1e-6)
    assert found < 0.0  # of one that is worse than saying nothing


def test_metrics_of_trpo_by_hand(monkeypatch):
    engine = require("torch")  # whose second derivatives are quick
    agent, update, (state, data, minibatches, scalars) = update_case("trpo")
    searched, search = [], agent.line_search

    def from_too_far(flat, full, *rest):
        searched.append(4.0 * full)
        return search(flat, searched[0], *rest)

    monkeypatch.setattr(agent, "line_search", from_too_far)
    given = single((state, data, minibatches, scalars))
    after, metrics = tree.map(copied(engine), update(*tree.map(engine.asarray, given)))
    found = dict(zip(agent.metrics, metrics.tolist(), strict=True))
    old, new, full = (agent.layout.split(x) for x in (state["parameters"], after["parameters"], searched[0].numpy()))
    features = agent.policy.features(old, data["observation"][:, 0])

    def log_probabilities(params):
        logits = agent.policy.parameters_of_action(params, features)
        return logits - np.log(np.exp(logits).sum(1, keepdims=True))

    before, now = log_probabilities(old), log_probabilities(new)
    batch, explained_variance = agent.advantages(state["parameters"], data)
    advantage = (batch["advantage"] - batch["advantage"].mean()) / batch["advantage"].std()
    ratio = np.exp(now - before)[np.arange(ROLLOUT), data["action"][:, 0]]
    assert 0.0 < found["step"] < 1.0, "a step must be shortened here"
    for name, layer in new["actor"].items():
        for key in layer:
            moved = old["actor"][name][key] + found["step"] * full["actor"][name][key]
            np.testing.assert_allclose(layer[key], moved, rtol=1e-4, atol=1e-5)
    rows = minibatches[0]
    error = agent.policy.value(old, features)[rows] - batch["return"][rows]
    expected = {
        "policy_loss": -np.mean(ratio * advantage), "kl": np.mean(np.sum(np.exp(before) * (before - now), 1)),
        "step": found["step"], "entropy": -np.mean(np.sum(np.exp(before) * before, 1)),
        "value_loss": np.mean(error**2), "explained_variance": explained_variance,
    }  # fmt: skip
    assert found == pytest.approx(expected, rel=1e-4)
    assert 0.0 < found["kl"] < scalars["target_kl"]
