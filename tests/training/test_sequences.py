"""How rollouts are cut into sequences, and which settings leave none."""

from __future__ import annotations

import numpy as np
import pytest
from counting import Counting
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlzoo import A2C, DQN, PPO
from rlzoo.algorithms import find
from rlzoo.backend import tree
from rlzoo.errors import UserError
from rlzoo.training.resolve import resolve

RECURRENT = dict(backend="numpy", hidden=(4,), recurrent="gru", recurrent_units=3, sequence_length=4)


def test_a_rollout_is_cut_into_sequences_of_one_environment_each():
    agent = PPO("CartPole-v1", n_envs=3, n_steps=12, batch_size=12, **RECURRENT)
    rows = agent.sequences
    assert rows.shape == (4, 9) and sorted(rows.ravel().tolist()) == list(range(36))
    for column in rows.T:
        time, environment = column // 3, column % 3
        assert (environment == environment[0]).all() and time[0] % 4 == 0
        np.testing.assert_array_equal(time, time[0] + np.arange(4))
    batch = agent.in_sequences({"number": np.arange(36)})
    np.testing.assert_array_equal(batch["number"].reshape(4, 9), rows)


def test_a_minibatch_has_whole_sequences_time_by_time():
    """Each column of `[length, B]` is one environment at consecutive times; an epoch has every step once."""
    agent = PPO("CartPole-v1", n_envs=3, n_steps=12, batch_size=12, n_epochs=2, **RECURRENT)
    minibatches = agent.minibatches()
    assert minibatches.shape == (2 * 3, 12)
    for steps in minibatches.reshape(6, 4, 3):
        time, environment = steps // 3, steps % 3
        np.testing.assert_array_equal(environment, environment[:1].repeat(4, 0))
        np.testing.assert_array_equal(time, time[0] + np.arange(4)[:, None])
        assert (time[0] % 4 == 0).all()
    for epoch in minibatches.reshape(2, 36):
        assert sorted(epoch.tolist()) == list(range(36))
    assert not np.array_equal(minibatches[:3], minibatches[3:])


def test_without_memory_steps_stay_as_they_are():
    agent = PPO("CartPole-v1", backend="numpy", n_steps=12, batch_size=12, sequence_length=5)
    batch = {"number": np.arange(12)}
    assert agent.in_sequences(batch) is batch and agent.config.length == 1


@pytest.mark.parametrize("kind, settings, length", [
    (A2C, {}, 5), (A2C, dict(n_steps="7"), 7), (A2C, dict(n_steps=48), 16), (A2C, dict(n_steps=24), 12),
    (A2C, dict(n_steps=17), 1), (A2C, dict(n_steps=48, sequence_length=24), 24),
    (PPO, dict(n_steps=128, batch_size=40), 8), (PPO, dict(n_steps=40, n_envs=16, batch_size=64), 8),
    (DQN, {}, 16), (DQN, dict(batch_size=100), 10), (DQN, dict(batch_size=6, buffer_size=6, n_envs=1), 6),
])  # fmt: skip
def test_sequences_are_by_default_as_long_as_what_is_cut_into_them_allows(kind, settings, length):
    """At most 16 steps; and what was resolved is what is kept and shown."""
    def of(settings):
        return resolve(kind.name, kind.Config, "Unknown-v0", None, settings)

    found = of(settings | {"recurrent": "lstm"})
    assert found.config.length == found.config.sequence_length == length
    assert found.config.model_dump()["sequence_length"] == length
    expected = {"n_steps, which it divides", "n_steps and batch_size, which it divides", "batch_size, which it divides"}
    if "sequence_length" in settings or length == 16:
        expected = {"given"} if "sequence_length" in settings else {f"default of {kind.name}"}
    assert found.sources["sequence_length"] in expected
    without = of({name: value for name, value in settings.items() if name != "sequence_length"})
    assert (without.config.length, without.config.sequence_length) == (1, 16)


def test_a2c_learns_recurrently_by_its_defaults():
    agent = A2C(SyncVectorEnv([Counting] * 8, autoreset_mode=AutoresetMode.SAME_STEP), backend="torch", eager=True,
                hidden=(4,), recurrent="gru", recurrent_units=3)  # fmt: skip
    before = agent.flat.copy()
    assert agent.learn(80).policy.trunk.length == 5 and np.abs(agent.flat - before).max() > 1e-5


@pytest.mark.parametrize("kind, settings, message", [
    (PPO, dict(n_steps=10), "n_steps = 10 is not a multiple of sequence_length = 4: set sequence_length = 2"),
    (DQN, dict(batch_size=30), "batch_size = 30 is not a multiple of sequence_length = 4: set sequence_length = 15"),
    (DQN, dict(batch_size=32, buffer_size=7, n_envs=2), "buffer_size = 7 holds no sequence: 4 steps × 2; raise it"),
    (PPO, dict(recurrent="lstn"), "recurrent = 'lstn'.*lstm"),
])  # fmt: skip
def test_settings_that_leave_no_sequence(kind, settings, message):
    with pytest.raises(UserError, match=message):
        kind("CartPole-v1", **RECURRENT | settings)


@pytest.mark.parametrize("name", ["sac", "td3", "ddpg", "tqc", "discrete_sac"])
def test_steps_spent_on_a_reset_are_learned_from_by_nobody(name):
    """Neither by critics nor by the actor nor by the temperature; a mean is one of the steps that count."""
    env = "CartPole-v1" if name == "discrete_sac" else "Pendulum-v1"
    agent = find(name)(env, **RECURRENT, batch_size=16, learning_starts=0)
    rng, head = np.random.default_rng(0), agent.policy.head
    seen = agent.policy.trunk.example()
    counts = np.tile([1.0, 1.0, 0.0, 1.0], 4)  # of four sequences side by side, the third
    batch = {"observation": tree.map(lambda x: rng.standard_normal((16, *x.shape)), seen), "weight": counts}
    batch |= {"action": head.random(rng, (16,)), "valid": counts / counts.mean()}
    noise = {"action": rng.standard_normal((16, 1))} if name != "discrete_sac" else {}
    target = rng.standard_normal((16, 46) if name == "tqc" else 16)
    further = () if name in ("td3", "ddpg") else (noise, {})

    def losses(batch):
        loss, report = agent.loss(agent.params, batch, target, *further)
        return np.array([loss, *report["metrics"][: 2 if not further else 3]])

    other = tree.map(lambda x: np.where(counts.reshape(-1, *[1] * (x.ndim - 1)) > 0, x, x + 1), batch["observation"])
    np.testing.assert_allclose(losses(batch | {"observation": other}), losses(batch), rtol=1e-9)


def test_a_batch_says_which_of_its_steps_were_spent_on_a_reset():
    env = SyncVectorEnv([Counting], autoreset_mode=AutoresetMode.NEXT_STEP)
    agent = DQN(env, **RECURRENT, batch_size=16, train_freq=16, learning_starts=0)
    agent._reset()
    agent._collect()
    batch = agent.replay.sample(np.random.default_rng(0), (5, 16))
    resets = batch["weight"] == 0.0
    assert resets.any(1).all() and (batch["valid"][resets] == 0.0).all()
    np.testing.assert_allclose(batch["valid"].mean(1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("prioritized", [False, True])
@pytest.mark.parametrize("before, after", [("NEXT_STEP", "SAME_STEP"), ("SAME_STEP", "NEXT_STEP")])
def test_resets_stay_known_where_learning_goes_on_in_another_autoreset_mode(tmp_path, before, after, prioritized):
    envs = [SyncVectorEnv([Counting], autoreset_mode=AutoresetMode[mode]) for mode in (before, after)]
    settings = dict(batch_size=16, train_freq=16, learning_starts=0, prioritized=prioritized)
    agent = DQN(envs[0], **RECURRENT, **settings)
    agent._reset()
    agent._collect()
    agent.save(tmp_path / "it", replay=True)
    again = DQN.load(tmp_path / "it", env=envs[1], backend="numpy", replay=True)
    again._reset()
    again._collect()
    assert len(again.replay) == 32 and np.count_nonzero(again.replay.data["valid"][:32] == 0.0) in (3, 4)
    batch = again.replay.sample(np.random.default_rng(0), (20, 16))
    steps = batch["observation"]["observation"][..., 1]
    resets = batch["weight"] == 0.0
    assert resets.any() and (steps[resets] == 3.0).all(), "where an episode ended, and the reset is the step from there"
    np.testing.assert_array_equal(batch["valid"] == 0.0, resets)
    np.testing.assert_allclose(batch["valid"].mean(1), 1.0, rtol=1e-6)
