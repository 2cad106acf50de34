"""Parts that do not fit end in one line that says what was wrong and how to mend it; so do masks and memories."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from environments import BitFlipping, FewAllowed, PartsOfAll, copies

from rlzoo import A2C, DQN, PPO, SAC, DiscreteSAC
from rlzoo.backend import ops
from rlzoo.errors import UserError

OBSERVATION, PAIR = np.float32([1.0, 0.0]), np.float32([[1.0, 0.0], [0.0, 1.0]])
TINY = dict(backend="torch", hidden=(4,))
ON = TINY | dict(n_steps=8, batch_size=8)
GRU = dict(recurrent="gru", sequence_length=4)


class NoReward(BitFlipping):
    """Goals, but nothing that says what another goal would have paid."""

    compute_reward = None  # type: ignore[assignment]


class ShortMask(FewAllowed):
    """A mask that lacks a choice."""

    def reset(self, **options):
        observation, info = super().reset(**options)
        return observation, {"action_mask": info["action_mask"][1:]}


def cartpoles():
    return copies(lambda: gym.make("CartPole-v1"), 2)


CONFIGS = {  # name → what is tried, and a piece of what is said
    "length and n_steps": (lambda: A2C("CartPole-v1", n_steps=10, **GRU, **TINY), "n_steps = 10 is not a multiple of"),
    "length and batch_size": (lambda: PPO("CartPole-v1", **ON | GRU | dict(batch_size=6)), "batch_size = 6 is no"),
    "length and replayed": (lambda: DQN("CartPole-v1", batch_size=30, **GRU, **TINY), "batch_size = 30 is not a mult"),
    "no such memory": (lambda: DQN("CartPole-v1", recurrent="lsm", **TINY), "did you mean 'lstm'"),
    "no goals": (lambda: DQN("CartPole-v1", hindsight="future", **TINY), "needs 'desired_goal' and 'achieved_goal'"),
    "no such strategy": (lambda: DQN(BitFlipping(3), hindsight="futur", **TINY), "did you mean 'future'"),
    "no reward of goals": (lambda: DQN(NoReward(3), hindsight="future", **TINY).learn(8), r"compute_reward\(achieved"),
    "sde of choices": (lambda: PPO("CartPole-v1", sde=True, **ON), "for continuous actions, not Discrete"),
    "sde of discrete sac": (lambda: DiscreteSAC("CartPole-v1", sde=True, **TINY), "for continuous actions"),
    "masks of numbers": (lambda: PPO("Pendulum-v1", action_masks=True, **ON), "for Discrete and MultiDiscrete"),
    "masks of sac": (lambda: SAC("Pendulum-v1", action_masks=True, **TINY), "set action_masks = false"),
    "no mask": (lambda: PPO("CartPole-v1", action_masks=True, **ON).learn(8), r"gives no action mask: put one into"),
    "no mask of several": (lambda: PPO(cartpoles(), action_masks=True, **ON).learn(8), "gives no action mask"),
    "short mask": (lambda: PPO(ShortMask(6), action_masks=True, **ON).learn(8), "mask of 5 choices does not fit"),
    "frames of given copies": (lambda: PPO(cartpoles(), frame_stack=2, **ON), "stack the frames of CartPole-v1"),
    "frames of parts": (lambda: PPO(PartsOfAll(), frame_stack=2, **ON), "arrays .Box., not for Dict"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_what_does_not_go_together_is_refused(name):
    tried, said = CONFIGS[name]
    with pytest.raises(UserError, match=said):
        tried()


@pytest.fixture(scope="module")
def masked():
    return PPO(FewAllowed(6, 3, 5), action_masks=True, **ON)


@pytest.fixture(scope="module")
def recurrent():
    return PPO("CartPole-v1", **ON, **GRU)


@pytest.mark.parametrize("observation, mask, said", [
    (OBSERVATION, None, "pass the environment's, action_mask=mask"),
    (OBSERVATION, np.ones(5), r"action_mask of shape \(5,\) is not valid: expected \(6,\)"),
    (OBSERVATION, np.ones((1, 1, 6)), r"action_mask of shape \(1, 1, 6\)"),
    (OBSERVATION, np.zeros(6), "allows no action"),
    (PAIR, np.eye(6)[:2] * [[1], [0]], "allows no action"),
    (OBSERVATION, "all", "1 or 0 for each choice"),
    (PAIR, np.ones((3, 6)), r"batches of one size, not of \[3, 2\]"),
    (PAIR, np.ones(6), "its parts are batches, but for .action_mask.$"),
])  # fmt: skip
def test_a_mask_that_does_not_fit(masked, observation, mask, said):
    with pytest.raises(UserError, match=said):
        masked.act(observation, action_mask=mask)


@pytest.mark.parametrize("deterministic", [True, False])
def test_only_what_is_allowed_is_done(masked, deterministic):
    for action in range(6):
        only = np.arange(6) == action
        for mask in (only, only.tolist(), only.astype(np.float64)):
            assert masked.act(OBSERVATION, deterministic, action_mask=mask) == action
    batch = masked.act(PAIR, deterministic, action_mask=np.eye(6)[[4, 1]])
    np.testing.assert_array_equal(batch, [4, 1])


def test_a_memory_that_does_not_fit(recurrent):
    plain, other = PPO("CartPole-v1", **ON), PPO("CartPole-v1", **ON, recurrent="lstm", sequence_length=4)
    state, two = np.zeros(4, np.float32), recurrent.memory(2)
    for act, said in (
        (lambda: recurrent.act(state), "recurrent = gru: pass memory=agent.memory"),
        (lambda: recurrent.act(state, memory=two), r"memory of 2 episodes for 1 observations: use agent.memory\(1\)"),
        (lambda: recurrent.act(state, memory=np.zeros(4)), "does not belong to this agent"),
        (lambda: recurrent.act(state, memory=other.memory(1)), "does not belong to this agent"),
        (lambda: plain.act(state, memory=two), "recurrent = none: leave memory out"),
        (lambda: plain.act(state, action_mask=[1, 0]), "action_masks = false: leave action_mask out"),
        (lambda: plain.memory(), "has no memory: it was made with recurrent = none"),
        (lambda: recurrent.memory(0), "it must be a whole number of at least 1"),
        (lambda: two.reset([True]), "done of 1 episodes for a memory of 2"),
    ):
        with pytest.raises(UserError, match=said):
            act()


def test_memory_is_of_each_episode(recurrent):
    """What was seen before changes what is said; a reset forgets it, in the episodes that are done alone."""
    params = recurrent.params
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 2, 4)).astype(np.float32)
    memory, fresh = recurrent.memory(2), recurrent.memory(2)
    recurrent.act(first, memory=memory)
    memory.reset([True, False])

    def said(memory):
        features = recurrent.policy.features(params, memory.around(second))
        return recurrent.policy.value(params, features)

    np.testing.assert_array_equal(said(memory)[0], said(fresh)[0])
    assert abs(said(memory)[1] - said(fresh)[1]) > 1e-4
    memory.reset()
    np.testing.assert_array_equal(said(memory), said(fresh))


def reporting(change, parent=DQN):
    """An agent whose loss reports what `change` makes of (report, what it calls, metrics, TD error)."""

    class Reporting(parent):
        name = parent.name

        def loss(self, params, batch, target, *further):
            loss, report = super().loss(params, batch, target, *further)
            return loss, change(self.report, report["metrics"], target)

    return Reporting


REPORTS = {  # what a loss reports → a piece of what is said
    "all pairs": (lambda report, metrics, y: report(metrics, y[:, None] - y), r"has shape \(8, 8\), not \(B,\)"),
    "two a row": (lambda report, metrics, y: report(metrics, ops.stack([y, y], -1)), r"has shape \(8, 2\), not \(B,\)"),
    "the mean": (lambda report, metrics, y: report(metrics, ops.mean(y)), r"has shape \(\), not \(B,\)"),
    "by hand": (lambda report, metrics, y: metrics, r"report by self\.report\(metrics, td_error\)"),
}


@pytest.mark.parametrize("prioritized", [True, False])
@pytest.mark.parametrize("name", REPORTS)
def test_a_report_that_is_not_one_error_a_row_is_refused(backend, name, prioritized):
    """Even where nothing is prioritized: a target that was broadcast is learned from else."""
    change, said = REPORTS[name]
    tiny = TINY | dict(backend=backend, batch_size=8, learning_starts=8, train_freq=8, prioritized=prioritized)
    with pytest.raises(UserError, match=said):
        reporting(change)("CartPole-v1", **tiny).learn(16)


def test_priorities_want_an_error_of_every_row():
    tiny = TINY | dict(batch_size=8, learning_starts=8, train_freq=8, prioritized=True)
    with pytest.raises(UserError, match=r"reports \['metrics'\], not \['metrics', 'td_error'\]: report by self"):
        reporting(lambda report, metrics, y: {"metrics": metrics})("CartPole-v1", **tiny).learn(16)
    with pytest.raises(UserError, match=r"has shape \(4,\), not \(8,\): report one number for each row"):
        reporting(lambda report, metrics, y: report(metrics, y[:4]))("CartPole-v1", **tiny).learn(16)
