"""Returns and lengths that are reported are those of the environment, whatever is learned from."""

from __future__ import annotations

import pytest
from counting import Counting
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlzoo import PPO
from rlzoo.training.callbacks import Callback

STEPS = 12


class Rows(Callback):
    """What was logged."""

    def on_start(self, agent):
        self.rows = []

    def on_log(self, agent, record):
        self.rows.append(record)


def finished(length, mode):
    """How many episodes of this length end within `STEPS` steps."""
    return STEPS // length if mode is not AutoresetMode.NEXT_STEP else (STEPS + 1) // (length + 1)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_returns_are_the_environments_though_rewards_are_normalized(mode):
    """Episodes of two steps return 1 + 2, those of four 1 + 2 + 3 + 4."""
    env = SyncVectorEnv([lambda: Counting(2), lambda: Counting(4)], autoreset_mode=mode)
    agent, log = PPO(env, backend="torch", eager=True, hidden=(4,), n_steps=STEPS, batch_size=24, n_epochs=1,
                     normalize_reward=True, normalize_observation=True), Rows()  # fmt: skip
    agent.learn(2 * STEPS, callbacks=[log])
    assert agent.rollout.reward[0].tolist() != [1.0, 1.0], "rewards that are learned from must differ here"
    short, long = finished(2, mode), finished(4, mode)
    assert sorted(agent.episodes.returns) == [3.0] * short + [10.0] * long
    assert sorted(agent.episodes.lengths) == [2] * short + [4] * long
    (row,) = log.rows
    assert row["episodes"] == short + long
    assert row["episode_return"] == pytest.approx((3 * short + 10 * long) / (short + long))
    assert row["episode_length"] == pytest.approx((2 * short + 4 * long) / (short + long))
