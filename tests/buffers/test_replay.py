"""The replay buffer: a ring, drawn from uniformly, as single steps, n-step returns or sequences."""

from __future__ import annotations

import numpy as np
import pytest
from replays import ACTION, GAMMA, OBSERVATION, History, drawn, filled

from rlzoo.backend import tree
from rlzoo.buffers import Priorities, ReplayBuffer


def numbered(capacity, *batches):
    """A buffer of one environment to which transitions numbered 0, 1, … were added in batches of these sizes."""
    buffer, number = ReplayBuffer(capacity, 1, np.zeros(2, np.uint8), ACTION, GAMMA), 0
    for n in batches:
        ids = np.arange(number, number + n)
        buffer.add(dict(
            observation=np.stack([ids, ids + 100], 1), next_observation=np.stack([ids + 1, ids + 101], 1), action=ids,
            reward=0.5 * ids, terminated=ids % 2 == 0, truncated=ids % 3 == 0, valid=np.ones(n),
        ))  # fmt: skip
        number += n
    return buffer


def test_it_grows_then_overwrites_the_oldest():
    assert len(numbered(5)) == 0 and not numbered(5).is_ready
    assert len(numbered(5, 3)) == 3
    buffer = numbered(5, 3, 3, 3)  # 0 … 8: the last five remain, each at its number modulo 5
    assert len(buffer) == 5 and buffer.is_ready
    np.testing.assert_array_equal(buffer.data["action"], [5, 6, 7, 8, 4])
    assert buffer.position == 9 % 5


def test_fields_of_a_transition_stay_together():
    batch = numbered(5, 3, 3, 3).sample(np.random.default_rng(0), (4, 7))
    ids = batch["action"]
    assert ids.shape == (4, 7)
    np.testing.assert_array_equal(batch["observation"], np.stack([ids, ids + 100], -1))
    np.testing.assert_array_equal(batch["next_observation"], np.stack([ids + 1, ids + 101], -1))
    np.testing.assert_array_equal(batch["reward"], 0.5 * ids)
    np.testing.assert_allclose(batch["discount"], np.where(ids % 2 == 0, 0.0, GAMMA), rtol=1e-6)  # truncated or not
    dtypes = {name: column.dtype for name, column in batch.items()}
    assert dtypes["observation"] == np.uint8 and dtypes["reward"] == dtypes["discount"] == np.float32


@pytest.mark.parametrize("added, expected", [(3, range(3)), (12, range(7, 12))])
def test_only_what_is_filled_is_drawn_and_all_of_it_evenly(added, expected):
    actions = numbered(5, *[1] * added).sample(np.random.default_rng(0), (1, 10_000))["action"]
    numbers, counts = np.unique(actions, return_counts=True)
    assert numbers.tolist() == list(expected)
    np.testing.assert_allclose(counts / 10_000, 1.0 / len(numbers), atol=0.02)


def test_observations_may_be_trees():
    example = {"a": np.zeros(2, np.float32), "b": (np.zeros((), np.int32), np.zeros((3, 3, 1), np.uint8))}
    buffer = ReplayBuffer(6, 2, example, ACTION, GAMMA)
    numbers = np.arange(10)

    def seen(numbers):
        return {"a": numbers[:, None] + [0.25, 0.5], "b": (numbers, np.tile(numbers[:, None, None, None], (3, 3, 1)))}

    one = np.zeros(10)
    buffer.add(dict(observation=seen(numbers), next_observation=seen(numbers + 50), action=numbers, reward=one,
                    terminated=one, truncated=one, valid=one + 1))  # fmt: skip
    batch = buffer.sample(np.random.default_rng(0), (2, 20))
    ids = batch["action"]
    assert set(ids.ravel().tolist()) == {4, 5, 6, 7, 8, 9}
    for name, shift in (("observation", 0), ("next_observation", 50)):
        np.testing.assert_array_equal(batch[name]["a"], ids[..., None] + shift + np.float32([0.25, 0.5]))
        np.testing.assert_array_equal(batch[name]["b"][0], ids + shift)
        assert batch[name]["b"][1].shape == (2, 20, 3, 3, 1) and batch[name]["b"][1].dtype == np.uint8
        np.testing.assert_array_equal(batch[name]["b"][1][..., 2, 1, 0], ids + shift)


# ---- n-step returns --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n_step", [1, 2, 3, 5])
@pytest.mark.parametrize("n_steps, capacity", [(11, 60), (40, 60), (40, 61)])  # not full; full, with a seam; 61 is 60
@pytest.mark.parametrize("resets", [False, True])
def test_n_step_returns_are_those_of_a_loop(n_step, n_steps, capacity, resets):
    """Also where an episode is truncated or terminates inside the window, and where the newest step does."""
    history = History(n_steps, 3, seed=n_step, resets=resets)
    buffer = filled(history, capacity, n_step=n_step)
    assert buffer.capacity == 60
    batch = buffer.sample(np.random.default_rng(0), (4, 200))
    steps, newest = drawn(batch), n_steps - 1
    oldest = max(n_steps - 20, 0)
    assert set(steps) == {(i, t) for i in range(3) for t in range(oldest, n_steps) if history.valid[t, i]}
    expected = [history.n_steps(i, t, n_step, newest) for i, t in steps]
    np.testing.assert_allclose(batch["reward"].ravel(), [total for total, _, _ in expected], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(batch["discount"].ravel(), [discount for _, discount, _ in expected], rtol=1e-6)
    led_to = [(i, last + 0.5) for (i, _), (_, _, last) in zip(steps, expected)]
    np.testing.assert_array_equal(batch["next_observation"].reshape(-1, 2), led_to)
    np.testing.assert_array_equal(batch["action"].ravel(), [t % 7 for _, t in steps])


def test_an_episode_that_was_given_up_is_not_gone_on_with():
    """`cut` marks it: what comes after a reset belongs to another episode."""
    history = History(8, 2, ends=0.0)
    buffer = ReplayBuffer(20, 2, OBSERVATION, ACTION, GAMMA, n_step=3)
    buffer.add(history.rows(0, 5))
    buffer.cut()
    buffer.add(history.rows(5, 8))
    history.truncated[4] = True
    batch = buffer.sample(np.random.default_rng(0), (1, 200))
    expected = [history.n_steps(i, t, 3, 7) for i, t in drawn(batch)]
    np.testing.assert_allclose(batch["reward"][0], [total for total, _, _ in expected], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(batch["next_observation"][0, :, 1], [last + 0.5 for _, _, last in expected])
    np.testing.assert_allclose(batch["discount"][0], [discount for _, discount, _ in expected], rtol=1e-6)


def test_cutting_an_empty_buffer_and_one_that_is_full_by_a_seam():
    buffer = ReplayBuffer(6, 2, OBSERVATION, ACTION, GAMMA)
    buffer.cut()
    assert not buffer.data["truncated"].any()
    for t in range(4):  # times 1, 2, 3 remain, the newest at rows 0 and 1
        buffer.add(History(4, 2, ends=0.0).rows(t, t + 1))
    buffer.cut()
    assert buffer.data["truncated"].tolist() == [1, 1, 0, 0, 0, 0]
    assert buffer.data["observation"][:2, 1].tolist() == [3, 3]


# ---- sequences -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n_steps", [4, 9, 20, 23])
@pytest.mark.parametrize("n_step", [1, 3])
def test_sequences_are_steps_one_after_another_of_one_environment(n_steps, n_step):
    """None spans the seam between the newest step and the oldest; all that do not are drawn, evenly."""
    length, history = 4, History(n_steps, 3, seed=n_steps, resets=True)
    buffer = filled(history, 60, length=length, n_step=n_step)
    batch = buffer.sample(np.random.default_rng(0), (2, 12 * 300))
    environment, time = np.moveaxis(batch["observation"].reshape(2, length, -1, 2), -1, 0).astype(int)
    assert (environment == environment[:, :1]).all()
    np.testing.assert_array_equal(time, time[:, :1] + np.arange(length)[:, None])
    starts = list(zip(environment[:, 0].ravel().tolist(), time[:, 0].ravel().tolist()))
    possible = {(i, t) for i in range(3) for t in range(max(n_steps - 20, 0), n_steps - length + 1)}
    assert set(starts) == possible
    counts = np.unique(starts, axis=0, return_counts=True)[1] / len(starts)
    np.testing.assert_allclose(counts, 1 / len(possible), atol=5 * np.sqrt(1 / len(possible) / len(starts)))
    expected = [history.n_steps(i, t, n_step, n_steps - 1) for i, t in drawn(batch)]
    np.testing.assert_allclose(batch["reward"].ravel(), [total for total, _, _ in expected], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(batch["discount"].ravel(), [discount for _, discount, _ in expected], rtol=1e-6)


def test_steps_spent_on_resets_weigh_nothing_in_a_sequence():
    history = History(30, 2, resets=True)
    buffer = filled(history, 40, length=5)
    buffer.every_step_counts = False  # as the agent says of a NEXT_STEP environment
    batch = buffer.sample(np.random.default_rng(0), (2, 500))
    weights = [float(history.valid[t, i]) for i, t in drawn(batch)]
    assert 0.0 in weights
    np.testing.assert_array_equal(batch["weight"].ravel(), weights)


def test_every_batch_has_weights_or_none_has():
    """The compiled update takes a batch of one form, also before the first reset step is among what is drawn."""
    buffer = filled(History(10, 2, ends=0.0), 40, length=2)
    buffer.every_step_counts = False
    assert buffer.sample(np.random.default_rng(0), (1, 4))["weight"].tolist() == [[1, 1, 1, 1]]


def test_it_is_ready_when_a_sequence_is_whole():
    history = History(4, 2, ends=0.0)
    buffer = ReplayBuffer(20, 2, OBSERVATION, ACTION, GAMMA, length=4)
    ready = []
    for t in range(4):
        buffer.add(history.rows(t, t + 1))
        ready.append(buffer.is_ready)
    assert ready == [False, False, False, True]


def test_it_is_not_ready_where_every_step_was_spent_on_a_reset():
    only_resets = {**History(1, 2).rows(0, 1), "valid": np.zeros(2, np.float32)}
    for priorities in (None, Priorities(20, 0.6)):
        buffer = ReplayBuffer(20, 2, OBSERVATION, ACTION, GAMMA, priorities=priorities)
        buffer.add(only_resets)
        assert not buffer.is_ready
        buffer.add(History(1, 2).rows(0, 1))
        assert buffer.is_ready


# ---- priorities ------------------------------------------------------------------------------------------------------
def drawable(buffer):
    """(environment, time) of all rows with a priority, and those priorities."""
    priority = buffer.priorities.tree[np.arange(buffer.capacity)]
    rows = np.flatnonzero(priority)
    return dict(zip(drawn({"observation": buffer.data["observation"][rows]}), priority[rows].tolist(), strict=True))


@pytest.mark.parametrize("length", [1, 4])
@pytest.mark.parametrize("n_steps, chunk", [(3, 1), (4, 4), (9, 2), (20, 3), (33, 3), (47, 5), (43, 30),
                                             (38, 19), (40, 20)])  # fmt: skip
def test_rows_with_a_priority_are_those_that_begin_a_whole_sequence(length, n_steps, chunk):
    """Whatever was overwritten, and whatever would span the seam, has none; nor has a step spent on a reset."""
    history = History(n_steps, 2, seed=n_steps, resets=True)
    buffer = filled(history, 40, chunk, length=length, priorities=Priorities(40, 1.0))
    oldest = max(n_steps - 20, 0)
    begin = [(i, t) for i in range(2) for t in range(oldest, n_steps - length + 1) if history.valid[t, i]]
    assert drawable(buffer) == dict.fromkeys(begin, 1.0)


def test_a_priority_belongs_to_its_step_also_after_overwriting():
    """By a dictionary: what is drawn takes its error, what is overwritten is forgotten, what is new comes first."""
    rng, history = np.random.default_rng(0), History(60, 2, ends=0.0)
    buffer = filled(History(1, 2, ends=0.0), 16, priorities=Priorities(16, 0.5, epsilon=0.0))
    known, largest = {(0, 0): 1.0, (1, 0): 1.0}, 1.0
    for t in range(1, 60):
        buffer.add(history.rows(t, t + 1))
        known |= {(0, t): largest, (1, t): largest}
        known = {key: value for key, value in known.items() if key[1] > t - 8}
        steps = drawn(buffer.sample(rng, (2, 3)))
        errors = rng.exponential(size=(2, 3))
        buffer.priorities.update(errors)
        for key, error in zip(steps, errors.ravel().tolist()):
            known[key] = error**0.5
        largest = max(largest, np.sqrt(errors.max()))
        assert drawable(buffer) == pytest.approx(known)


def test_an_update_that_comes_after_its_rows_were_overwritten_touches_nothing_else():
    history = History(30, 1, ends=0.0)
    buffer = filled(history, 10, length=3, priorities=Priorities(10, 1.0, epsilon=0.0))
    buffer.sample(np.random.default_rng(0), (1, 60))
    history = History(36, 1, ends=0.0)
    buffer.add(history.rows(30, 36))
    buffer.priorities.update(np.full((1, 60), 5.0))
    assert set(drawable(buffer)) == {(0, t) for t in range(26, 34)}  # no row of a sequence that is not whole


@pytest.mark.parametrize("length, resets", [(1, False), (3, False), (3, True)])
def test_weights_of_what_is_drawn_by_priority(length, resets):
    history = History(20, 2, resets=resets)
    buffer = filled(history, 40, length=length, priorities=Priorities(40, 1.0))
    rng = np.random.default_rng(0)
    buffer.every_step_counts = not resets
    buffer.sample(rng, (1, 300))
    buffer.priorities.update(rng.exponential(size=(1, 300)))
    buffer.priorities.beta = 0.5
    batch = buffer.sample(rng, (2, 30))
    known = drawable(buffer)
    starts = batch["observation"].reshape(2, length, -1, 2)[:, 0]
    for starts_of, weights, steps in zip(starts, batch["weight"], batch["observation"]):
        p = np.array([known[key] for key in drawn({"observation": starts_of})])
        expected = np.tile(p**-0.5 / (p**-0.5).max(), length)
        counts = [history.valid[int(t), int(i)] for i, t in steps]
        np.testing.assert_allclose(weights, expected * counts, rtol=1e-5)


# ---- saving ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("settings", [{}, {"n_step": 3}, {"length": 3}, {"prioritized": True},
                                      {"prioritized": True, "length": 3, "n_step": 2}])  # fmt: skip
@pytest.mark.parametrize("n_steps", [4, 10, 25])
def test_restored_it_goes_on_as_before(n_steps, settings):
    settings = dict(settings)
    history, prioritized = History(n_steps + 5, 2, resets=True), settings.pop("prioritized", False)

    def empty():
        return ReplayBuffer(20, 2, OBSERVATION, ACTION, GAMMA, **settings,
                            priorities=Priorities(20, 0.6) if prioritized else None)  # fmt: skip

    buffer, other, rng = empty(), empty(), np.random.default_rng(0)
    for t in range(n_steps):
        buffer.add(history.rows(t, t + 1))
        if prioritized and buffer.is_ready and buffer.priorities.tree.total > 0.0:
            buffer.sample(rng, (2, 6))
            buffer.priorities.update(rng.standard_normal((2, 6)))
    other.restore({name: column.copy() for name, column in buffer.arrays().items()})
    for each in (buffer, other):
        each.cut()
        each.add(history.rows(n_steps, n_steps + 5))
    assert len(buffer) == len(other) and buffer.position == other.position
    for one, again in zip(tree.flatten(buffer.arrays())[0], tree.flatten(other.arrays())[0], strict=True):
        np.testing.assert_array_equal(one, again)
    batches = [each.sample(np.random.default_rng(1), (5, 12)) for each in (buffer, other)]
    assert batches[0].keys() == batches[1].keys()
    for name in batches[0]:
        np.testing.assert_array_equal(batches[0][name], batches[1][name])


@pytest.mark.parametrize("change, message", [
    ({"position": np.asarray(3.0)}, "position is float64"),
    ({"position": np.asarray(7)}, "7, in a buffer of 20: replay=False leaves it out"),
    ({"reward": np.zeros(50, np.float32)}, "50 rows"),
    ({"reward": np.zeros(8)}, "reward is float64"),
    ({"action": np.zeros((8, 2), np.int32)}, "action is int32"),
])  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(change, message):
    arrays = filled(History(4, 2), 20).arrays()
    with pytest.raises(ValueError, match=message):
        ReplayBuffer(20, 2, OBSERVATION, ACTION, GAMMA).restore(arrays | change)
