"""Hindsight: which goals take the place of those that were wanted, and what follows from it, against loops."""

from __future__ import annotations

import numpy as np
import pytest
from replays import ACTION, GAMMA, History

from rlzoo.buffers import HindsightReplay, Priorities

N = 3  # environments


class Goals(History):
    """A history whose states are its steps: after (i, t) the state [i, t] is reached; what is wanted is never reached.

    The reward of a goal is 100 at its state, −1 elsewhere.
    """

    def rows(self, start, stop):
        rows = super().rows(start, stop)
        here = rows["observation"]

        def seen(step, reached):
            return {"observation": step, "achieved_goal": reached, "desired_goal": np.full_like(reached, -7.0)}

        before = here - np.float32([0.0, 1.0])
        return rows | {"observation": seen(here, before), "next_observation": seen(here + np.float32([0, 0.5]), here)}

    def episode(self, i, t, oldest):
        """The steps of the episode in which (i, t) lies, of those that the buffer holds."""
        done = self.terminated[:, i] | self.truncated[:, i]
        first, last = t, t
        while first > oldest and not done[first - 1] and self.valid[first - 1, i]:
            first -= 1
        while last + 1 < len(done) and not done[last]:
            last += 1
        return first, last

    def allowed(self, strategy, i, t, oldest):
        """The times whose states may be the goal."""
        first, last = self.episode(i, t, oldest)
        return {"future": range(t, last + 1), "final": [last], "episode": range(first, last + 1)}[strategy]


EXAMPLE = {name: np.zeros(2, np.float32) for name in ("observation", "achieved_goal", "desired_goal")}


def reward(achieved, desired):
    assert achieved.shape == desired.shape and achieved.shape[-1] == 2
    return np.where((achieved == desired).all(-1), 100.0, -1.0)


def filled(history, capacity, strategy, share=1.0, chunk=3, **settings):
    arguments = [settings.get(name, default) for name, default in (("n_step", 1), ("length", 1), ("priorities", None))]
    buffer = HindsightReplay(capacity, N, EXAMPLE, ACTION, GAMMA, *arguments, strategy=strategy, share=share)
    buffer.compute_reward = reward
    for start in range(0, len(history.reward), chunk):
        buffer.add(history.rows(start, min(start + chunk, len(history.reward))))
    return buffer


def steps_and_goals(batch):
    """(environment, time) of each row, and the goal it was given."""
    rows = batch["observation"]["observation"].reshape(-1, 2).astype(int).tolist()
    return list(zip(rows, batch["observation"]["desired_goal"].reshape(-1, 2).tolist()))


@pytest.mark.parametrize("strategy", ["future", "final", "episode"])
@pytest.mark.parametrize("n_steps, chunk", [(15, 3), (47, 3), (64, 1), (60, 50)])  # of 20 steps that it holds
@pytest.mark.parametrize("resets", [False, True])
def test_goals_are_those_reached_in_the_same_episode(strategy, n_steps, chunk, resets):
    """Each that may be is, evenly, and no other; and reward and next observation go with it."""
    history, oldest = Goals(n_steps, N, seed=n_steps, resets=resets, ends=0.2), max(n_steps - 20, 0)
    batch = filled(history, 60, strategy, chunk=chunk).sample(np.random.default_rng(0), (2, 15_000))
    found = {}
    for (i, t), (goal_i, goal_t) in steps_and_goals(batch):
        assert goal_i == i  # of the same environment
        found.setdefault((i, t), []).append(int(goal_t))
    assert set(found) == {(i, t) for i in range(N) for t in range(oldest, n_steps) if history.valid[t, i]}
    for (i, t), goals in found.items():
        possible = list(history.allowed(strategy, i, t, oldest))
        times, counts = np.unique(goals, return_counts=True)
        assert times.tolist() == possible
        share = 1 / len(possible)
        assert np.abs(counts / len(goals) - share).max() < 6 * np.sqrt(share / len(goals))
    steps, goals = batch["observation"]["observation"], batch["observation"]["desired_goal"]
    np.testing.assert_array_equal(batch["next_observation"]["desired_goal"], goals)
    np.testing.assert_array_equal(batch["next_observation"]["achieved_goal"], steps)
    np.testing.assert_array_equal(batch["reward"], np.where(steps[..., 1] == goals[..., 1], 100.0, -1.0))
    assert batch["reward"].dtype == batch["discount"].dtype == np.float32


def test_a_share_keeps_its_own_goal_and_reward():
    history = Goals(18, N)
    batch = filled(history, 60, "future", share=0.7).sample(np.random.default_rng(0), (2, 5000))
    kept = batch["observation"]["desired_goal"][..., 0] == -7.0
    assert kept.mean() == pytest.approx(0.3, abs=0.02)
    i, t = np.moveaxis(batch["observation"]["observation"][kept].astype(int), -1, 0)
    np.testing.assert_array_equal(batch["reward"][kept], history.reward[t, i])
    np.testing.assert_array_equal(batch["next_observation"]["desired_goal"][kept], -7.0)
    none = filled(history, 60, "future", share=0.0).sample(np.random.default_rng(0), (1, 500))
    assert (none["observation"]["desired_goal"] == -7.0).all()


class MovingGoals(Goals):
    """What is wanted changes with every step: [-1, t] at step t, and [-1, t + 1] where it led."""

    def rows(self, start, stop):
        rows = super().rows(start, stop)
        for name, ahead in (("observation", 0.0), ("next_observation", 1.0)):
            time = rows["observation"]["observation"][:, 1] + np.float32(ahead)
            rows[name]["desired_goal"] = np.stack([np.full_like(time, -1.0), time], -1)
        return rows


@pytest.mark.parametrize("n_step", [1, 3])
def test_a_transition_that_is_kept_leads_to_the_goal_it_led_to(n_step):
    """Goals may change within an episode; a new goal is that of both sides."""
    buffer = filled(MovingGoals(18, N), 60, "future", share=0.5, n_step=n_step)
    batch = buffer.sample(np.random.default_rng(0), (2, 500))
    before, after = batch["observation"]["desired_goal"], batch["next_observation"]["desired_goal"]
    last = batch["next_observation"]["achieved_goal"][..., 1]
    kept = before[..., 0] == -1.0
    assert 0.4 < kept.mean() < 0.6
    np.testing.assert_array_equal(after[kept], np.stack([np.full_like(last, -1.0), last + 1.0], -1)[kept])
    np.testing.assert_array_equal(after[~kept], before[~kept])


@pytest.mark.parametrize("terminates", [False, True])
@pytest.mark.parametrize("n_step", [1, 4])
def test_n_step_returns_of_a_new_goal(n_step, terminates):
    """Rewards, and where the environment says so terminations too, of the new goal; windows end where episodes do."""
    history = Goals(47, N, ends=0.15)
    buffer = filled(history, 60, "future", n_step=n_step)
    if terminates:
        buffer.compute_terminated = lambda achieved, desired: (achieved == desired).all(-1)
    batch = buffer.sample(np.random.default_rng(0), (1, 1500))
    for row, ((i, t), goal) in enumerate(steps_and_goals(batch)):
        total, k = 0.0, 0
        while True:
            at, hit = t + k, [i, t + k] == goal
            total += GAMMA**k * (100.0 if hit else -1.0)
            over = hit if terminates else history.terminated[at, i]
            if over or history.truncated[at, i] or history.terminated[at, i] or k + 1 == n_step or at == 46:
                break
            k += 1
        assert batch["reward"][0, row] == pytest.approx(total, rel=1e-5)
        assert batch["discount"][0, row] == pytest.approx(0.0 if over else GAMMA ** (k + 1), rel=1e-5)
        assert batch["next_observation"]["achieved_goal"][0, row].tolist() == [i, t + k]


@pytest.mark.parametrize("strategy", ["future", "final", "episode"])
@pytest.mark.parametrize("n_steps", [15, 47, 64])  # of 20 that it holds
@pytest.mark.parametrize("resets", [False, True])
def test_a_sequence_has_one_goal(strategy, n_steps, resets):
    """Of the episode that it begins in, or of the one that begins after a step spent on a reset; each that may be."""
    history, oldest = Goals(n_steps, N, seed=n_steps, resets=resets, ends=0.2), max(n_steps - 20, 0)
    batch = filled(history, 60, strategy, length=4).sample(np.random.default_rng(0), (2, 16_000))
    goals = batch["observation"]["desired_goal"].reshape(2, 4, 4000, 2)
    assert (goals == goals[:, :1]).all()
    starts = batch["observation"]["observation"].reshape(2, 4, 4000, 2)[:, 0].reshape(-1, 2).astype(int)
    found = {}
    for (i, t), (goal_i, goal_t) in zip(starts.tolist(), goals[:, 0].reshape(-1, 2).tolist()):
        assert goal_i == i
        found.setdefault((i, t), set()).add(int(goal_t))
    assert set(found) == {(i, t) for i in range(N) for t in range(oldest, n_steps - 3)}
    for (i, t), times in found.items():
        assert times == {*history.allowed(strategy, i, t if history.valid[t, i] else t + 1, oldest)}


def test_given_up_during_a_reset_a_sequence_has_a_goal_of_the_next_episode():
    """The newest step when all episodes are given up is one spent on a reset: those that follow begin anew."""
    history = Goals(16, N, ends=0.0)
    history.truncated[4], history.valid[5] = True, False
    buffer = filled(history, 60, "final", chunk=6, length=2)
    early = Goals(6, N, ends=0.0)
    early.truncated[4], early.valid[5] = True, False
    cut = filled(early, 60, "final", chunk=6, length=2)
    cut.cut()
    cut.add(history.rows(6, 16))
    for each in (buffer, cut):
        batch = each.sample(np.random.default_rng(0), (1, 400))
        for (_, t), (_, goal) in steps_and_goals(batch)[:200]:
            assert goal == (4 if t < 5 else 15)


def test_priorities_go_with_it():
    priorities = Priorities(60, 1.0, epsilon=0.0)
    buffer = filled(Goals(20, N, ends=0.1), 60, "future", priorities=priorities)
    buffer.sample(np.random.default_rng(0), (1, 200))
    priorities.update(np.where(priorities.drawn % 2 == 0, 1.0, 0.0))
    batch = buffer.sample(np.random.default_rng(1), (1, 400))
    assert batch["weight"].shape == (1, 400)
    drawn = np.unique(priorities.drawn)
    assert (priorities.tree[drawn] > 0.0).all() and (drawn % 2 == 0).sum() >= 25


def test_an_episode_that_was_given_up_ends_where_it_was_cut():
    history = Goals(16, N, ends=0.0)
    buffer = filled(history, 60, "final", chunk=20)
    buffer.cut()
    later = Goals(22, N, ends=0.0)
    buffer.add(later.rows(16, 22))
    batch = buffer.sample(np.random.default_rng(0), (1, 2000))
    for (_, t), (_, goal) in steps_and_goals(batch):
        assert goal == (15 if t < 16 else 21)


@pytest.mark.parametrize("n_steps", [8, 30])
def test_restored_it_goes_on_as_before(n_steps):
    history = Goals(n_steps + 6, N, ends=0.15, resets=True)
    buffer = filled(Goals(n_steps, N, ends=0.15, resets=True), 60, "episode", 0.8)
    other = filled(Goals(0, N), 60, "episode", 0.8)
    other.restore({name: column.copy() for name, column in buffer.arrays().items()})
    batches = []
    for each in (buffer, other):
        each.cut()
        each.add(history.rows(n_steps, n_steps + 6))
        batches.append(each.sample(np.random.default_rng(0), (1, 1000)))
    assert steps_and_goals(batches[0]) == steps_and_goals(batches[1])
    np.testing.assert_array_equal(batches[0]["reward"], batches[1]["reward"])


@pytest.mark.parametrize("change, message", [
    ({"step": np.zeros(3, np.int64)}, "replay step is int64"),
    ({"final": np.zeros(24)}, "replay final is float64"),
    ({"next_step": np.zeros(2, np.int64)}, r"next_step is int64 \(2,\), not int64 \(3,\)"),
])  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(change, message):
    arrays = filled(Goals(8, N), 60, "future").arrays()
    with pytest.raises(ValueError, match=message):
        filled(Goals(0, N), 60, "future").restore(arrays | change)
