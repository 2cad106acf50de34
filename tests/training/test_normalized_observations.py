"""With `normalize_observation`, what acts, what is kept and what is learned from are scaled alike, to the last step."""

from __future__ import annotations

import numpy as np
import pytest
from counting import Counting
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlzoo import PPO, DiscreteSAC
from rlzoo.backend import tree
from rlzoo.envs import Stepper

T = 12  # steps of a rollout; each test has two of them
MEMORY = dict(recurrent="gru", recurrent_units=3, sequence_length=4)
CASES = [(mode, memory) for mode in AutoresetMode for memory in (False, True)]


class Leaping(Counting):
    """Where it ends it observes [episode, 1000], far from whatever was acted on."""

    def observation(self):
        return np.array([self.episode, 1000 if self.t == self.length else self.t], np.float32)


def environments(mode):
    return SyncVectorEnv([lambda: Leaping(2), lambda: Leaping(3)], autoreset_mode=mode)


def told(mode):
    """What the environments say: observations to act on `[2 T + 1, N, 2]`, and where each step led `[2 T, N, 2]`."""
    stepper = Stepper(environments(mode))
    acted_on, led_to = [stepper.reset(0).copy()], []
    for _ in range(2 * T):
        step = stepper.step(np.zeros(2, int))
        acted_on.append(step.observation.copy())
        led_to.append(step.next_observation.copy())
    return np.array(acted_on), np.array(led_to)


def normalized(rows, seen):
    """(rows − mean) / deviation of all that was seen to act on, within ±10."""
    seen = seen.reshape(-1, 2).astype(np.float64)
    return np.clip((rows - seen.mean(0)) / np.sqrt(seen.var(0) + 1e-12), -10.0, 10.0)


def inside(seen):
    """The observation in what a policy is given."""
    return seen["observation"] if isinstance(seen, dict) else seen


def settings(memory):
    return dict(backend="numpy", hidden=(4,), seed=1, normalize_observation=True) | (MEMORY if memory else {})


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def asked(agent, note):
    """Has `note(seen, action)` kept of each time that the agent chooses actions, in the list that this gives."""
    found, sample = [], agent.sample

    def spy(seen, noise):
        action, remembered = sample(seen, noise)
        found.append(note(tree.map(np.copy, seen), action))
        return action, remembered

    agent.sample = spy
    return found


def log_prob(agent, seen, action):
    outputs = agent.policy.parameters_of_action(agent.params, agent.policy.features(agent.params, seen))
    return agent.policy.head.distribution.log_prob(outputs, action)


@pytest.mark.parametrize("mode, memory", CASES)
def test_a_rollout_has_what_was_acted_on_and_where_it_led(mode, memory):
    agent = PPO(environments(mode), n_steps=T, batch_size=2 * T, **settings(memory))
    found = asked(agent, lambda seen, action: (inside(seen), log_prob(agent, seen, action)))
    acted_on, led_to = told(mode)
    agent._reset()
    for first in (0, T):
        found.clear()
        agent._collect()
        rollout = agent.rollout.arrays()
        steps = range(first, first + T)
        expected = [normalized(acted_on[t], acted_on[: t + 1]) for t in steps]
        close([seen for seen, _ in found], expected)
        close(inside(rollout["observation"]), expected)
        after = [normalized(led_to[t], acted_on[: t + 2]) for t in steps]
        close(inside(rollout["next_observation"]), after)
        leapt = np.array(after)[led_to[first : first + T, :, 1] == 1000]
        assert len(leapt) > 4 and np.all((leapt[:, 1] == 10.0) == (mode is not AutoresetMode.NEXT_STEP))
        batch, _ = agent.advantages(agent.state["parameters"], rollout)
        close(batch["log_prob"].reshape(T, 2), [chance for _, chance in found])  # of the policy that acted


@pytest.mark.parametrize("mode, memory", CASES)
def test_the_replay_is_acted_on_and_learned_from_normalized(mode, memory):
    agent = DiscreteSAC(environments(mode), train_freq=T, learning_starts=0, batch_size=16, **settings(memory))
    found = asked(agent, lambda seen, action: inside(seen))
    acted_on, led_to = told(mode)
    agent._reset()
    for _ in range(2):
        agent._collect()
    close(found, [normalized(acted_on[t], acted_on[: t + 1]) for t in range(2 * T)])
    raw, sample = [], agent.replay.sample
    agent.replay.sample = lambda *arguments: raw.append(sample(*arguments)) or dict(raw[0])
    batch = agent._inputs(6, agent.steps)["batch"]
    pairs = {tuple(row) for row in np.concatenate([acted_on[:-1], led_to], -1).reshape(-1, 4).tolist()}
    drawn = np.concatenate([inside(raw[0][name]) for name in ("observation", "next_observation")], -1).reshape(-1, 4)
    assert {tuple(row) for row in drawn.tolist()} <= pairs, "it keeps what the environment gave"
    assert np.any((drawn[:, 3] == 1000) & (drawn[:, 2] % 2 == 1)), "some that were truncated must be drawn here"
    for name in ("observation", "next_observation"):
        close(inside(batch[name]), normalized(inside(raw[0][name]), acted_on))
