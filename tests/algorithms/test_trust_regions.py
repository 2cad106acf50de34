"""What keeps an update near the old policy.

TRPO's divergence and step by their definitions, its line search against a loop, PPO's penalty against its rule, and
its stop.
"""

from __future__ import annotations

import numpy as np
import pytest
from engines import require
from loss_cases import AGENTS, SCALARS, loss_case, rollout, starting_state, update_case
from parity import copied, single

from rlzoo import PPO, TRPO, UserError
from rlzoo.backend import tree


@pytest.fixture(scope="module")
def collected():
    """A TRPO agent in NumPy, its parameters, and a batch of a rollout as the line search takes it."""
    agent = TRPO("CartPole-v1", backend="numpy", seed=3, n_envs=2, n_steps=64, batch_size=8)
    agent._reset()
    agent._collect()
    flat = agent.state["parameters"]
    batch, _ = agent.advantages(flat, agent.rollout.arrays())
    yield agent, flat, batch | {"advantage": agent.normalized(batch["advantage"], None)}
    agent.vector_env.close()


def searched(agent, flat, full, batch, limit):
    """The parameters and the share that the search takes, and those a loop written the slow way takes."""
    loss, _ = agent.surrogate(agent.layout.split(flat), batch)
    found = agent.line_search(flat, full, loss, batch, {"target_kl": np.float32(limit)})
    expected, taken = flat, 0.0
    for i in range(10):
        candidate = flat + 0.8**i * full
        params = agent.layout.split(candidate.astype(np.float32))
        if agent.divergence(params, batch) < limit and agent.surrogate(params, batch)[0] < loss:
            expected, taken = candidate, 0.8**i
            break
    return found, expected, taken


def uphill(agent, flat, batch, size=1e-4):
    """The direction in which the surrogate improves, by differences along random ones."""
    rng, direction = np.random.default_rng(0), np.zeros_like(flat)
    loss, _ = agent.surrogate(agent.layout.split(flat), batch)
    for _ in range(40):
        try_ = rng.standard_normal(flat.size).astype(np.float32)
        there, _ = agent.surrogate(agent.layout.split(flat + size * try_), batch)
        direction -= try_ * np.float32(there - loss) / np.float32(size)
    return direction / np.linalg.norm(direction)


@pytest.mark.parametrize("length", [0.05, 1.0, 2.0, 4.0, 8.0])
def test_the_longest_step_within_the_trust_region_is_taken(collected, length):
    agent, flat, batch = collected
    full = np.float32(length) * uphill(agent, flat, batch)
    (parameters, share, kl, _), expected, taken = searched(agent, flat, full, batch, 0.01)
    assert float(share) == pytest.approx(taken, rel=1e-6)
    np.testing.assert_allclose(parameters, expected, atol=1e-6)
    assert float(kl) < 0.01
    if length == 0.05:
        assert taken == 1.0


def test_steps_of_other_lengths_are_tried(collected):
    """Among the cases above are a whole step and a shortened one, or they would test nothing."""
    agent, flat, batch = collected
    direction = uphill(agent, flat, batch)
    shares = {searched(agent, flat, np.float32(n) * direction, batch, 0.01)[2] for n in (0.05, 1.0, 2.0, 4.0, 8.0)}
    assert 1.0 in shares and any(0.0 < share < 1.0 for share in shares)


def test_the_policy_stays_where_nothing_improves_or_the_region_has_shrunk_to_nothing(collected):
    agent, flat, batch = collected
    direction = uphill(agent, flat, batch)
    for full, limit in ((-0.05 * direction, 0.01), (0.05 * direction, 0.0)):
        (parameters, share, kl, _), _, taken = searched(agent, flat, full.astype(np.float32), batch, limit)
        assert float(share) == float(kl) == taken == 0.0
        np.testing.assert_array_equal(parameters, flat)


@pytest.mark.parametrize("name", ["trpo", "trpo continuous"])
def test_the_divergence_is_of_the_new_policy_from_the_old(name):
    agent, _, (state, data) = loss_case(name)
    params = agent.layout.split(state["parameters"])
    old, new, kl = data["outputs"], agent.outputs(params, data), agent.policy.head.distribution.kl
    expected, other = (np.average(kl(*pair), weights=data["weight"]) for pair in ((old, new), (new, old)))
    assert abs(expected / other - 1.0) > 1e-3, "the two must differ here"
    assert agent.divergence(params, data) == pytest.approx(expected, rel=1e-5)


def test_the_full_step_is_the_natural_direction_at_the_edge_of_the_trust_region(monkeypatch):
    """x with (F + damping I) x = −g, as long as ½ xᵀ (F + damping I) x = δ (appendix C)."""
    engine = require("torch")  # whose second derivatives are exact
    agent, update, arguments = update_case("trpo")
    agent.config = agent.config.model_copy(update={"cg_steps": 15})
    taken, search = [], agent.line_search
    monkeypatch.setattr(agent, "line_search", lambda *given: taken.append(given) or search(*given))
    update(*tree.map(engine.asarray, single(arguments)))
    ((flat, full, _, batch, scalars),) = taken
    product = agent.fisher_product(flat, full, batch)
    gradient = agent.layout.value_and_grad(lambda params: agent.surrogate(params, batch), flat)[2]
    product, gradient, full = (copied(engine)(x).astype(np.float64) for x in (product, gradient, full))
    assert 0.5 * full @ product == pytest.approx(float(scalars["target_kl"]), rel=1e-3)
    cosine = product @ gradient / np.linalg.norm(product) / np.linalg.norm(gradient)
    assert cosine == pytest.approx(-1.0, abs=1e-3)


def test_a_trust_region_may_shrink_and_is_never_negative():
    agent = TRPO("CartPole-v1", backend="numpy", target_kl="linear(0.02, 0)", steps=100)
    agent.steps = 75
    assert agent.scalars()["target_kl"] == pytest.approx(0.005)
    for wrong, told in ((0.0, "greater than 0"), (-0.01, "at least 0"), ("linear(0.01, -0.01)", "at least 0")):
        with pytest.raises(UserError, match=rf"target_kl = .*{told}"):
            TRPO("CartPole-v1", backend="numpy", target_kl=wrong)


@pytest.mark.parametrize(("divergence", "factor"), [
    (0.0, 0.5), (0.0133, 0.5), (0.0134, 1.0), (0.02, 1.0), (0.0299, 1.0), (0.0301, 2.0), (1.0, 2.0)
])  # fmt: skip
def test_the_penalty_is_halved_below_and_doubled_above_its_band(divergence, factor):
    """Schulman 2017, section 4: β / 2 where d < d_targ / 1.5, 2 β where d > 1.5 d_targ; here d_targ = 0.02."""
    agent = PPO("CartPole-v1", backend="numpy", objective="kl", kl_target=0.02)
    assert float(agent.adapted(np.float32(3.0), np.float32(divergence))) == pytest.approx(3.0 * factor)


@pytest.mark.parametrize("divergence", [0.0, 1.0])
def test_a_penalty_comes_back_from_wherever_it_went(divergence):
    """Halved without end it would be 0, which no doubling changes; doubled, infinite."""
    agent, penalty = PPO("CartPole-v1", backend="numpy", objective="kl", kl_target=0.02), np.float32(1.0)
    for _ in range(400):
        penalty = agent.adapted(penalty, np.float32(divergence))
    there = float(penalty)
    back = float(agent.adapted(penalty, np.float32(1.0 - divergence)))
    assert np.isfinite(there) and back == pytest.approx(there * (0.5 if divergence else 2.0))


def test_the_penalty_of_a_recurrent_policy_follows_what_it_remembers_after_the_update(monkeypatch):
    """The divergence is that of the new policy with its own memory since each sequence's first step."""
    agent, rng, seen = AGENTS["ppo recurrent"](), np.random.default_rng(2), []
    agent.config = agent.config.model_copy(update={"objective": "kl"})
    state, data = starting_state(agent, rng) | {"penalty": np.float64(1.0)}, rollout(agent, rng)
    monkeypatch.setattr(agent, "adapted", lambda penalty, divergence: seen.append(divergence) or penalty)
    minibatches, scalars = np.array([np.arange(8)] * 3, np.int32), SCALARS | {"learning_rate": 0.3}
    old, new = state["parameters"], agent.update(state, data, minibatches, scalars)[0]["parameters"]

    def outputs(parameters, through_time):
        params, policy, found, remembered = agent.layout.split(parameters), agent.policy, [], None
        for t in range(len(data["reward"])):
            step = tree.map(lambda x, t=t: x[t], data["observation"])
            if through_time and t % agent.config.length:
                step = step | {"memory": tree.map(lambda x, first=step["first"]: x * (1.0 - first), remembered)}
            features = policy.features(params, step)
            remembered = features.memory
            found.append(policy.parameters_of_action(params, features))
        return np.concatenate(found)

    kl = agent.policy.head.distribution.kl(outputs(old, False), outputs(new, True))
    assert seen == [pytest.approx(kl.mean(), rel=1e-5)]
    stale = agent.policy.head.distribution.kl(outputs(old, False), outputs(new, False))
    assert abs(stale.mean() / seen[0] - 1.0) > 0.02  # what it is not


def test_no_step_of_ppo_follows_one_that_went_too_far():
    """One that did is not undone: the next finds it, and is not taken, nor any after it."""
    agent, rng = AGENTS["ppo discrete"](), np.random.default_rng(2)
    state, data = starting_state(agent, rng), rollout(agent, rng)
    minibatches, scalars = np.array([np.arange(8)] * 5, np.int32), SCALARS | {"learning_rate": 0.1}

    def after(n, target_kl):
        agent.config = agent.config.model_copy(update={"target_kl": target_kl})
        return agent.update(state, data, minibatches[:n], scalars)[0]["parameters"]

    one = after(1, 1e-9)
    assert np.abs(one - state["parameters"]).max() > 0.01
    np.testing.assert_array_equal(after(5, 1e-9), one)
    assert np.abs(after(5, 1e9) - one).max() > 0.01
