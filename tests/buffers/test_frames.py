"""Of stacked frames each is kept once. All that is drawn is as before."""

from __future__ import annotations

import numpy as np
import pytest
from replays import Noise, same

from rlzoo import DQN, load
from rlzoo.backend import tree
from rlzoo.buffers import Priorities, ReplayBuffer, replay
from rlzoo.buffers.frames import Frames

ACTION = np.zeros((), np.int32)
SIDES = (3, 2)


class Stacks:
    """N environments of noise as a collector gives them, the last frames side by side; before the first, zeros."""

    def __init__(self, n_envs, frames, channels=1, seed=0, ends=0.2):
        self.rng, self.n_envs, self.frames, self.channels, self.ends = (
            np.random.default_rng(seed), n_envs, frames, channels, ends,
        )  # fmt: skip
        self.begin()

    def begin(self):
        self.seen = np.zeros((self.n_envs, *SIDES, self.frames * self.channels), np.uint8)
        self.seen[..., -self.channels:] = self.frame()

    def frame(self):
        return self.rng.integers(1, 250, (self.n_envs, *SIDES, self.channels), np.uint8)

    def rows(self, n_steps):
        steps = []
        for _ in range(n_steps):
            begun = self.seen
            after = np.concatenate([begun[..., self.channels:], self.frame()], -1)
            done = self.rng.random(self.n_envs) < self.ends
            terminated = done & (self.rng.random(self.n_envs) < 0.5)
            self.begin()
            self.seen = np.where(done[:, None, None, None], self.seen, after)
            steps.append({
                "observation": begun, "next_observation": after, "action": self.rng.integers(0, 4, self.n_envs),
                "reward": self.rng.standard_normal(self.n_envs), "terminated": terminated * 1.0,
                "truncated": (done & ~terminated) * 1.0, "valid": np.ones(self.n_envs),
            })  # fmt: skip
        return {name: np.concatenate([step[name] for step in steps]) for name in steps[0]}


def made(large, monkeypatch, capacity, n_envs, frames, channels=1, n_step=1, length=1, prioritized=False):
    """A buffer that keeps each frame once of stacks of more than `large` bytes."""
    monkeypatch.setattr(replay, "LARGE", large)
    priorities = Priorities(max(capacity // n_envs, 1) * n_envs, 0.6) if prioritized else None
    example = np.zeros((*SIDES, frames * channels), np.uint8)
    return ReplayBuffer(capacity, n_envs, example, ACTION, 0.9, n_step, length, priorities, frames)


@pytest.mark.parametrize("settings", [(1, 1, False), (3, 1, False), (1, 4, False), (2, 2, True)])
@pytest.mark.parametrize("capacity, n_envs, frames, channels", [
    (60, 3, 4, 1), (61, 2, 2, 3), (7, 1, 4, 1), (9, 3, 4, 2),
])  # fmt: skip
def test_whatever_is_drawn_is_what_was_drawn_of_whole_stacks(capacity, n_envs, frames, channels, settings, monkeypatch):
    """After rollouts of all sizes, longer than the buffer too, and episodes given up; saved and restored halfway."""
    sizes = capacity, n_envs, frames, channels
    buffers = [made(large, monkeypatch, *sizes, *settings) for large in (0, 10**9)]
    assert isinstance(buffers[0].data["observation"], Frames)
    assert isinstance(buffers[1].data["observation"], np.ndarray)
    stream, lengths = Stacks(n_envs, frames, channels, seed=capacity), np.random.default_rng(1)
    for i in range(40):
        rows = stream.rows(int(lengths.choice([1, 1, 2, 5, 13, 40])))
        for buffer in buffers:
            buffer.add(rows)
        if i % 7 == 3:
            stream.begin()
            for buffer in buffers:
                buffer.cut()
        if i == 20:
            buffers[0], arrays = made(0, monkeypatch, *sizes, *settings), buffers[0].arrays()
            buffers[0].restore(arrays)
        for name in ("observation", "next_observation"):
            same(*(buffer.data[name][: len(buffer)] for buffer in buffers))
        if all(buffer.is_ready for buffer in buffers):
            same(*(buffer.sample(np.random.default_rng(i), (2, 16)) for buffer in buffers))
            if settings[2]:
                for buffer in buffers:
                    buffer.priorities.update(np.random.default_rng(i).random((2, 16)))


def test_only_beginnings_and_what_is_overwritten_is_kept_apart(monkeypatch):
    """Six frames of nothing at the beginning of each episode, and those that the oldest steps have lost."""
    buffer = made(0, monkeypatch, 400, 4, 4)
    stream = Stacks(4, 4, ends=0.02)
    for _ in range(300):
        buffer.add(stream.rows(3))
    ring = buffer.data["observation"]
    ended = np.count_nonzero(buffer.data["terminated"] + buffer.data["truncated"])
    assert 4 * 6 <= sum(len(apart.rows(400)) for apart in ring.older.values()) <= 6 * (ended + 4) + 4 * 6
    for apart in ring.older.values():
        assert len(apart.free) + len(apart.rows(400)) == len(apart.kept) <= 100


def test_stacks_that_are_none_are_kept_as_given(monkeypatch):
    """Whoever adds rows of his own may skip steps, or write anything."""
    buffers = [made(large, monkeypatch, 40, 2, 4) for large in (0, 10**9)]
    for seed in range(4):
        rows = Stacks(2, 4, seed=seed).rows(7)
        rows["observation"] = np.random.default_rng(seed).integers(0, 250, rows["observation"].shape, np.uint8)
        for buffer in buffers:
            buffer.add(rows)
        same(*(buffer.data["observation"][: len(buffer)] for buffer in buffers))
        same(*(buffer.data["next_observation"][: len(buffer)] for buffer in buffers))


def test_what_stands_beside_stacks_is_kept_as_given(monkeypatch):
    """Such as what a cell of 1,026 units remembers beside four frames, of which it is no multiple."""
    monkeypatch.setattr(replay, "LARGE", 0)
    seen = {"observation": np.zeros((*SIDES, 4), np.uint8), "memory": np.zeros(6, np.float32)}
    buffer = ReplayBuffer(40, 2, seen, ACTION, 0.9, frames=4)
    rows, rng = Stacks(2, 4).rows(7), np.random.default_rng(0)
    for name in ("observation", "next_observation"):
        rows[name] = {"observation": rows[name], "memory": rng.standard_normal((14, 6)).astype(np.float32)}
    buffer.add(rows)
    assert isinstance(buffer.data["observation"]["observation"], Frames)
    for name in ("observation", "next_observation"):
        same(rows[name], tree.map(lambda column: column[:14], buffer.data[name]))


@pytest.mark.parametrize("n_steps", [15, 33])
def test_an_older_checkpoint_has_whole_stacks(n_steps, monkeypatch):
    old, new = (made(large, monkeypatch, 40, 2, 4) for large in (10**9, 0))
    stream = Stacks(2, 4)
    old.add(stream.rows(n_steps))
    old.add(stream.rows(2))
    new.restore(old.arrays())
    more = stream.rows(12)
    for _ in range(2):
        same(*(buffer.sample(np.random.default_rng(0), (2, 50)) for buffer in (old, new)))
        for buffer in (old, new):
            buffer.add(more)


OLDER, ROWS = "frames of observation, 2 back", "rows of those 2 back of observation"


@pytest.mark.parametrize("change", [
    lambda arrays: {ROWS: arrays[ROWS].astype(np.int32)}, lambda arrays: {ROWS: arrays[ROWS][::-1]},
    lambda arrays: {ROWS: arrays[ROWS] + 18}, lambda arrays: {ROWS: arrays[ROWS] - 9},
    lambda arrays: {OLDER: arrays[OLDER][:-1]}, lambda arrays: {OLDER: arrays[OLDER].astype(np.float32)},
    lambda arrays: {"observation": arrays["observation"][:-2]},
    lambda arrays: {"observation": arrays["observation"].astype(np.float32)},
])  # fmt: skip
def test_a_strangers_arrays_are_refused(change, monkeypatch):
    buffer = made(0, monkeypatch, 40, 2, 4)
    buffer.add(Stacks(2, 4).rows(9))
    arrays = buffer.arrays()
    made(0, monkeypatch, 40, 2, 4).restore(arrays)
    with pytest.raises(ValueError, match="replay "):
        made(0, monkeypatch, 40, 2, 4).restore(arrays | change(arrays))


@pytest.mark.parametrize("masked", [False, True])
def test_an_agent_keeps_each_frame_once_and_learns_the_same(masked, monkeypatch, tmp_path):
    """Also with masks beside the images, and where it is saved, loaded and goes on."""
    if masked:
        monkeypatch.setattr(Noise, "action_masks", lambda self: np.array([1, 1]), raising=False)
    settings = dict(backend="torch", hidden=(4,), buffer_size=50, learning_starts=8, batch_size=4, train_freq=8,
                    n_step=2, seed=1, eager=True, frame_stack=4, action_masks=masked)  # fmt: skip
    once = DQN(Noise(40, 0.05), **settings).learn(64)
    rings = tree.flatten(once.replay.data["observation"])[0]
    assert [ring.nbytes < 0.6 * 50 * 40 * 40 * 4 for ring in rings if isinstance(ring, Frames)] == [True]
    monkeypatch.setattr(replay, "LARGE", 10**9)
    whole = DQN(Noise(40, 0.05), **settings).learn(64)
    np.testing.assert_array_equal(once.flat, whole.flat)
    monkeypatch.setattr(replay, "LARGE", 4096)
    again = load(once.save(tmp_path / "saved", replay=True), env=Noise(40, 0.05), backend="torch", eager=True)
    np.testing.assert_array_equal(again.learn(16).flat, whole.learn(16).flat)
