"""Images are kept once: what follows a step is mostly the observation of the next. All that is drawn is as before."""

from __future__ import annotations

import numpy as np
import pytest
from replays import Noise, same

from rlzoo import DQN, load
from rlzoo.backend import tree
from rlzoo.buffers import HindsightReplay, Priorities, ReplayBuffer, following, replay

ACTION = np.zeros((), np.int32)
EXAMPLE = {"achieved_goal": np.zeros(2, np.float32), "desired_goal": np.zeros(2, np.float32),
           "observation": np.zeros((3, 2), np.uint8)}  # fmt: skip


class Stream:
    """N environments as a collector gives them: what follows a step is what is seen next, but where an episode ends."""

    def __init__(self, n_envs, seed=0, ends=0.2):
        self.rng, self.n_envs, self.ends = np.random.default_rng(seed), n_envs, ends
        self.seen = self.observation()

    def observation(self):
        numbers = self.rng.integers(0, 250, (self.n_envs, 10))
        return {"achieved_goal": numbers[:, :2] / 4.0, "desired_goal": numbers[:, 2:4] / 4.0,
                "observation": numbers[:, 4:].reshape(-1, 3, 2)}  # fmt: skip

    def rows(self, n_steps):
        steps = []
        for _ in range(n_steps):
            begun, after = self.seen, self.observation()
            done = self.rng.random(self.n_envs) < self.ends
            terminated = done & (self.rng.random(self.n_envs) < 0.5)
            fresh = self.observation()
            self.seen = {name: np.where(done.reshape(-1, *[1] * (after[name].ndim - 1)), fresh[name], after[name])
                         for name in after}  # fmt: skip
            steps.append({
                "observation": begun, "next_observation": after, "action": self.rng.integers(0, 4, self.n_envs),
                "reward": self.rng.standard_normal(self.n_envs), "terminated": terminated * 1.0,
                "truncated": (done & ~terminated) * 1.0, "valid": np.ones(self.n_envs),
            })  # fmt: skip
        leaves = zip(*(tree.flatten(step)[0] for step in steps), strict=True)
        return tree.unflatten(tree.flatten(steps[0])[1], [np.concatenate(each) for each in leaves])


def made(kind, large, monkeypatch, capacity, n_envs, n_step=1, length=1, prioritized=False):
    """A buffer that keeps observations of more than `large` bytes once."""
    monkeypatch.setattr(replay, "LARGE", large)
    priorities = Priorities(max(capacity // n_envs, 1) * n_envs, 0.6) if prioritized else None
    goals = dict(strategy="future", share=0.8) if kind is HindsightReplay else {}
    buffer = kind(capacity, n_envs, EXAMPLE, ACTION, 0.9, n_step, length, priorities, **goals)
    if kind is HindsightReplay:
        buffer.compute_reward = lambda achieved, desired: -np.abs(achieved - desired).sum(-1)
    return buffer


@pytest.mark.parametrize("kind", [ReplayBuffer, HindsightReplay])
@pytest.mark.parametrize("settings", [(1, 1, False), (3, 1, False), (1, 4, False), (2, 2, True)])
@pytest.mark.parametrize("capacity, n_envs", [(60, 3), (61, 2), (7, 1)])
def test_whatever_is_drawn_is_what_was_drawn_of_both(kind, settings, capacity, n_envs, monkeypatch):
    """After rollouts of all sizes, longer than the buffer too, and episodes given up; saved and restored halfway."""
    buffers = [made(kind, large, monkeypatch, capacity, n_envs, *settings) for large in (0, 10**9)]
    sparse = buffers[0].data["next_observation"]["observation"]
    assert isinstance(sparse, following.Following)
    stream, sizes = Stream(n_envs, seed=capacity), np.random.default_rng(1)
    for i in range(40):
        rows = stream.rows(int(sizes.choice([1, 1, 2, 5, 13, 40])))
        for buffer in buffers:
            buffer.add(rows)
        if i % 7 == 3:
            stream.seen = stream.observation()
            for buffer in buffers:
                buffer.cut()
        if i == 20:
            buffers[0], arrays = made(kind, 0, monkeypatch, capacity, n_envs, *settings), buffers[0].arrays()
            buffers[0].restore(arrays)
        same(buffers[0].data["next_observation"]["observation"][: len(buffers[0])],
             buffers[1].data["next_observation"]["observation"][: len(buffers[1])])  # fmt: skip
        if all(buffer.is_ready for buffer in buffers):
            same(*(buffer.sample(np.random.default_rng(i), (2, 16)) for buffer in buffers))
            if settings[2]:
                for buffer in buffers:
                    buffer.priorities.update(np.random.default_rng(i).random((2, 16)))


def test_only_ends_and_the_newest_steps_are_kept(monkeypatch):
    buffer = made(ReplayBuffer, 0, monkeypatch, 400, 4)
    stream = Stream(4, ends=0.1)
    for _ in range(300):
        buffer.add(stream.rows(3))
    ended = buffer.data["terminated"] + buffer.data["truncated"] > 0.0
    apart = buffer.data["next_observation"]["observation"].apart
    newest = (buffer.position - 1 - np.arange(4)) % 400
    assert set(apart.rows(400)) == set(np.flatnonzero(ended)) | set(newest)
    assert len(apart.kept) <= 128 and len(apart.free) + len(apart.rows(400)) == len(apart.kept)


def test_what_follows_otherwise_than_the_next_step_says_is_kept_as_given(monkeypatch):
    """Whoever adds rows of his own may skip steps."""
    buffer = made(ReplayBuffer, 0, monkeypatch, 40, 2)
    one, other = Stream(2).rows(5), Stream(2, seed=1).rows(5)
    buffer.add(one)
    buffer.add(other)
    expected = np.concatenate([rows["next_observation"]["observation"] for rows in (one, other)])
    np.testing.assert_array_equal(buffer.data["next_observation"]["observation"][:20], expected)


def test_an_older_checkpoint_has_what_follows_every_row(monkeypatch):
    old, new = (made(ReplayBuffer, large, monkeypatch, 40, 2) for large in (10**9, 0))
    stream = Stream(2)
    old.add(stream.rows(15))
    new.restore(old.arrays())
    more = stream.rows(12)
    for buffer in (old, new):
        buffer.add(more)
    same(*(buffer.sample(np.random.default_rng(0), (2, 50)) for buffer in (old, new)))


@pytest.mark.parametrize("change", [
    lambda name, arrays: arrays | {following.rows_of(name): np.arange(3)},
    lambda name, arrays: arrays | {following.rows_of(name): arrays[following.rows_of(name)].astype(np.int32)},
    lambda name, arrays: arrays | {following.rows_of(name): arrays[following.rows_of(name)] + 1},
    lambda name, arrays: arrays | {following.rows_of(name): arrays[following.rows_of(name)][::-1]},
    lambda name, arrays: arrays | {name: arrays[name][:-1]},
    lambda name, arrays: arrays | {name: arrays[name].astype(np.float32)},
])  # fmt: skip
def test_a_strangers_arrays_are_refused(change, monkeypatch):
    buffer = made(ReplayBuffer, 0, monkeypatch, 40, 2)
    buffer.add(Stream(2).rows(9))
    with pytest.raises(ValueError, match="replay "):
        made(ReplayBuffer, 0, monkeypatch, 40, 2).restore(change("next_observation/observation", buffer.arrays()))


def test_an_agent_on_images_keeps_each_once_and_learns_the_same(monkeypatch, tmp_path):
    """Also where it is saved, loaded and goes on."""
    settings = dict(backend="torch", hidden=(4,), buffer_size=50, learning_starts=8, batch_size=4, train_freq=8,
                    n_step=2, seed=1, eager=True)  # fmt: skip
    once = DQN(Noise(64, 0.1), **settings).learn(64)
    assert once.replay.data["next_observation"].nbytes < 25 * 64 * 64
    monkeypatch.setattr(replay, "LARGE", 10**9)
    twice = DQN(Noise(64, 0.1), **settings).learn(64)
    np.testing.assert_array_equal(once.flat, twice.flat)
    monkeypatch.undo()
    again = load(once.save(tmp_path / "saved", replay=True), env=Noise(64, 0.1), backend="torch", eager=True)
    np.testing.assert_array_equal(again.learn(16).flat, twice.learn(16).flat)


def test_vectors_are_kept_twice():
    """They are small, and drawn sooner."""
    agent = DQN("CartPole-v1", backend="numpy", hidden=(4,), buffer_size=500)
    assert isinstance(agent.replay.data["next_observation"], np.ndarray)
