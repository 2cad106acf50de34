"""Recurrent agents: what they learn from are sequences of what happened, and whose memory each loss trains."""

from __future__ import annotations

import numpy as np
import pytest
from counting import Counting
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from loss_cases import BATCH, CASES, DISCRETE, GRU, ON_POLICY, Spaces, replayed, starting_state

from rlzoo.algorithms import find
from rlzoo.backend import tree

LENGTH, N_STEPS, N_ENVS, UNITS = 4, 12, 3, 3
ROLLOUTS = dict(backend="numpy", hidden=(4,), recurrent="gru", recurrent_units=UNITS, sequence_length=LENGTH,
                n_steps=N_STEPS)  # fmt: skip


class Given(Exception):
    """What a loss was given, in place of its value."""


def learned_from(name, loss, monkeypatch, **settings):
    """An agent that has collected a rollout, the first batch that its loss of this name is given, and the rollout.

    Episodes of 5, 7 and 9 steps, so that some begin within a sequence of 4.
    """
    lengths = (5, 7, 9)
    env = SyncVectorEnv([lambda n=n: Counting(n) for n in lengths], autoreset_mode=AutoresetMode.SAME_STEP)
    agent = find(name)(env, **ROLLOUTS, **settings)
    rng = np.random.default_rng(1)
    agent.state["parameters"] += 0.4 * rng.standard_normal(agent.layout.size).astype(np.float32)
    agent._sync()
    agent._reset()
    agent._collect()
    rollout = agent.rollout.arrays()

    def instead(params, batch, *scalars):
        raise Given(batch)

    monkeypatch.setattr(agent, loss, instead)
    with pytest.raises(Given) as given:
        agent.update(agent.state, rollout, agent.noise_of_update(), agent.scalars())
    return agent, given.value.args[0], rollout


def stepped(agent, rollout):
    """What the actor and the critic remember after each step, `[T, N, units]`, each environment by itself."""
    found = np.zeros((2, N_STEPS, N_ENVS, UNITS), np.float32)
    for i in range(N_ENVS):
        memory, begins = None, True
        for t in range(N_STEPS):
            if begins:
                memory = agent.policy.trunk.cell.initial_state(1)
            observation = rollout["observation"]["observation"][t, i : i + 1]
            features = agent.policy.features(agent.params, {"observation": observation, "memory": memory})
            found[0, t, i] = features.values[0]
            found[1, t, i] = (features.values if features.of_critic is None else features.of_critic)[0]
            memory, begins = features.memory, rollout["done"][t, i] > 0.0
    return found


@pytest.mark.parametrize("name, loss", [("a2c", "loss"), ("reinforce", "loss"), ("trpo", "surrogate")])
def test_a_batch_in_sequences_remembers_what_acting_did(name, loss, monkeypatch):
    """And so the policy that collected it is as probable as it was: TRPO's first ratios are 1."""
    agent, batch, rollout = learned_from(name, loss, monkeypatch, **({"batch_size": 8} if name == "trpo" else {}))
    features = agent.policy.features(agent.params, batch["observation"], through_time=True)
    expected = stepped(agent, rollout).reshape(2, N_STEPS // LENGTH, LENGTH, N_ENVS, UNITS)
    expected = np.moveaxis(expected, 2, 1).reshape(2, -1, UNITS)  # the steps of one time side by side
    assert np.ptp(expected, axis=1).min() > 0.1 and rollout["done"][:-1].any()
    np.testing.assert_allclose(features.values, expected[0], atol=1e-6)
    of_critic = features.values if features.of_critic is None else features.of_critic
    np.testing.assert_allclose(of_critic, expected[1], atol=1e-6)
    outputs = agent.policy.parameters_of_action(agent.params, features)
    log_prob = agent.policy.head.distribution.log_prob(outputs, batch["action"])
    assert np.std(log_prob) > 0.01
    np.testing.assert_allclose(log_prob, batch["log_prob"], atol=1e-6)


def test_the_first_minibatch_of_ppo_remembers_what_acting_did(monkeypatch):
    agent, batch, _ = learned_from("ppo", "loss", monkeypatch, batch_size=12)
    outputs = agent.outputs(agent.params, batch)
    log_prob = agent.policy.head.distribution.log_prob(outputs, batch["action"])
    assert np.std(log_prob) > 0.01
    np.testing.assert_allclose(log_prob, batch["log_prob"], atol=1e-6)


# ---- whose memory is trained -----------------------------------------------------------------------------------------
def with_memory(name):
    """An on-policy agent, its weights in float64, and 8 steps of what it sees."""
    batch_size = {"batch_size": BATCH} if name in ("ppo", "trpo") else {}
    agent, rng = find(name)(Spaces(DISCRETE), **ON_POLICY | batch_size | GRU), np.random.default_rng(1)
    action = rng.integers(3, size=8)
    seen = {
        "observation": rng.standard_normal((8, 3)), "first": np.zeros(8),
        "memory": tree.map(lambda x: rng.standard_normal(x.shape), agent.policy.trunk.cell.initial_state(8)),
    }  # fmt: skip
    return agent, starting_state(agent, rng)["parameters"], seen, action


def slopes(agent, flat, function, seen):
    """The largest slope of the sum of `function(params, features)` in each part of the cell."""

    def total(params):
        return np.sum(function(params, agent.policy.features(params, seen, through_time=True))), None

    cell = agent.layout.split(agent.layout.value_and_grad(total, flat)[2])["encoder"]["cell"]
    return {name: max(np.abs(leaf).max() for leaf in tree.flatten(part)[0]) for name, part in cell.items()}


@pytest.mark.parametrize("name", ["ppo", "a2c", "reinforce"])
def test_actor_and_critic_train_a_memory_each_of_their_own(name):
    agent, flat, seen, action = with_memory(name)

    def log_prob(params, features):
        return agent.policy.head.distribution.log_prob(agent.policy.parameters_of_action(params, features), action)

    of_value, of_policy = slopes(agent, flat, agent.policy.value, seen), slopes(agent, flat, log_prob, seen)
    assert of_value.keys() == of_policy.keys() == {"actor", "critic"}
    assert of_value["critic"] > 0.01 and of_value["actor"] == 0.0
    assert of_policy["actor"] > 0.01 and of_policy["critic"] == 0.0


def test_the_critic_of_trpo_reads_the_one_memory_there_is():
    agent, flat, seen, _ = with_memory("trpo")
    of_value = slopes(agent, flat, agent.policy.value, seen)
    assert of_value.keys() == {"input", "state", "bias", "new_bias"} and min(of_value.values()) > 0.01
    assert agent.policy.features(agent.params, seen).of_critic is None


# ---- the target's memory ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["sac", "tqc", "discrete_sac", "td3", "ddpg", "dqn"])
def test_the_target_network_judges_by_what_it_remembers_itself(name):
    """y = r + γ (1 − terminated) (q − α log π), q of the target's critics behind the target's encoder and cell."""
    algorithm, space, settings = CASES[name]
    agent, rng = find(algorithm)(Spaces(space), **settings | GRU), np.random.default_rng(1)
    state, data = starting_state(agent, rng), replayed(agent, rng, (8,))
    batch, noise, policy = data["batch"], data["noise"], agent.policy
    online = agent.layout.split(state["parameters"])
    target = getattr(agent, "target_layout", agent.layout).split(state["target"])
    seen = batch["next_observation"]
    here, there = (policy.features(params, seen) for params in (online, target))
    assert np.abs(here.values - there.values).max() > 0.1, "the two must differ here"
    if name in ("sac", "tqc"):
        mean, log_std = policy.parameters_of_action(online, here)
        u = mean + np.exp(log_std) * noise["next_action"]
        log_prob = -0.5 * noise["next_action"] ** 2 - log_std - 0.5 * np.log(2 * np.pi) - np.log(1 - np.tanh(u) ** 2)
        q = policy.values(target, there, np.tanh(u))
        cost = np.exp(online["log_temperature"][0]) * log_prob.sum(1)
        value = np.minimum(*q) - cost if name == "sac" else np.sort(np.concatenate(q, 1), 1)[:, :4] - cost[:, None]
    elif name == "discrete_sac":
        logits = policy.parameters_of_action(online, here)
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        q = np.minimum(*policy.values(target, there))
        value = np.sum(np.exp(log_p) * (q - np.exp(online["log_temperature"][0]) * log_p), 1)
    elif name == "dqn":
        chosen = policy.outputs(online, here).argmax(1)
        value = policy.outputs(target, there)[np.arange(8), chosen]
    else:
        action = policy.action(target, there)
        if name == "td3":
            action = np.clip(action + np.clip(0.2 * noise["target"], -0.5, 0.5), -1.0, 1.0)
        value = np.min(policy.values(target, there, action), 0)
    reward, discount = (batch[key] if value.ndim == 1 else batch[key][:, None] for key in ("reward", "discount"))
    found = agent.targets(state, batch, noise, *([{}] if name in ("sac", "tqc", "discrete_sac") else []))
    np.testing.assert_allclose(found, reward + discount * value, rtol=1e-5)
