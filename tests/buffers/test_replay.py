"""The replay buffer: a ring, drawn from uniformly."""

from __future__ import annotations

import numpy as np
import pytest

from rlzoo.buffers import ReplayBuffer


def filled(capacity, *batches):
    """A buffer to which transitions numbered 0, 1, … were added in batches of these sizes."""
    buffer, number = ReplayBuffer(capacity, ((2,), np.uint8), ((), np.int32)), 0
    for n in batches:
        ids = np.arange(number, number + n)
        buffer.add(dict(
            observation=np.stack([ids, ids + 100], 1), next_observation=np.stack([ids + 1, ids + 101], 1), action=ids,
            reward=0.5 * ids, terminated=ids % 2 == 0, truncated=ids % 3 == 0,
        ))  # fmt: skip
        number += n
    return buffer


def test_it_grows_then_overwrites_the_oldest():
    assert len(filled(5)) == 0
    assert len(filled(5, 3)) == 3
    buffer = filled(5, 3, 3, 3)  # 0 … 8: the last five remain, each at its number modulo 5
    assert len(buffer) == 5
    np.testing.assert_array_equal(buffer.data["action"], [5, 6, 7, 8, 4])
    assert buffer.position == 9 % 5


def test_fields_of_a_transition_stay_together():
    batch = filled(5, 3, 3, 3).sample(np.random.default_rng(0), (4, 7))
    ids = batch["action"]
    assert ids.shape == (4, 7)
    np.testing.assert_array_equal(batch["observation"], np.stack([ids, ids + 100], -1))
    np.testing.assert_array_equal(batch["next_observation"], np.stack([ids + 1, ids + 101], -1))
    np.testing.assert_array_equal(batch["reward"], 0.5 * ids)
    np.testing.assert_array_equal(batch["terminated"], ids % 2 == 0)
    np.testing.assert_array_equal(batch["truncated"], ids % 3 == 0)
    dtypes = {name: column.dtype for name, column in batch.items()}
    assert dtypes["observation"] == np.uint8 and dtypes["reward"] == dtypes["terminated"] == np.float32


@pytest.mark.parametrize("added, expected", [(3, range(3)), (12, range(7, 12))])
def test_only_what_is_filled_is_drawn_and_all_of_it_evenly(added, expected):
    drawn = filled(5, *[1] * added).sample(np.random.default_rng(0), (10_000,))["action"]
    numbers, counts = np.unique(drawn, return_counts=True)
    assert numbers.tolist() == list(expected)
    np.testing.assert_allclose(counts / 10_000, 1.0 / len(numbers), atol=0.02)


@pytest.mark.parametrize("batches", [(3,), (3, 3, 3), (5,), (7,)])
def test_restored_it_goes_on_as_before(batches):
    buffer = filled(5, *batches)
    other = ReplayBuffer(5, ((2,), np.uint8), ((), np.int32))
    other.restore({name: column.copy() for name, column in buffer.arrays().items()})
    row = {name: np.full((1, *column.shape[1:]), 9) for name, column in buffer.data.items()}
    buffer.add(row)
    other.add(row)
    assert len(buffer) == len(other) and buffer.position == other.position
    for name, column in buffer.data.items():
        np.testing.assert_array_equal(other.data[name], column)
    drawn = [b.sample(np.random.default_rng(1), (50,))["action"] for b in (buffer, other)]
    np.testing.assert_array_equal(*drawn)
