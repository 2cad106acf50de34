"""How rollouts are cut into sequences, and which settings leave none."""

from __future__ import annotations

import numpy as np
import pytest

from rlzoo import DQN, PPO
from rlzoo.errors import UserError

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


def test_without_memory_steps_stay_as_they_are():
    agent = PPO("CartPole-v1", backend="numpy", n_steps=12, batch_size=12, sequence_length=5)
    batch = {"number": np.arange(12)}
    assert agent.in_sequences(batch) is batch and agent.config.length == 1


@pytest.mark.parametrize("kind, settings, message", [
    (PPO, dict(n_steps=10), "n_steps = 10 is no multiple of sequence_length = 4"),
    (DQN, dict(batch_size=30), "batch_size = 30 is no multiple of sequence_length = 4"),
    (DQN, dict(batch_size=32, buffer_size=7, n_envs=2), "buffer_size = 7 holds no sequence: 4 steps × 2"),
    (PPO, dict(recurrent="lstn"), "recurrent = 'lstn'.*lstm"),
])  # fmt: skip
def test_settings_that_leave_no_sequence(kind, settings, message):
    with pytest.raises(UserError, match=message):
        kind("CartPole-v1", **RECURRENT | settings)
