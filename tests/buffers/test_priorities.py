"""The sum tree and the priorities on it, against sums and loops written the slow way."""

from __future__ import annotations

import math
from time import process_time

import numpy as np
import pytest
from replays import ACTION, GAMMA, OBSERVATION, History, filled

from rlzoo.buffers import Priorities, ReplayBuffer, SumTree

CAPACITIES = [1, 2, 5, 16, 17, 300, 4096, 4097, 70_000]


def holds(tree):
    """Whether each entry above the leaves is the sum of the row below it, and to the bit that of a tree set at once."""
    fresh = SumTree(tree.capacity)
    fresh[np.arange(tree.capacity)] = tree[np.arange(tree.capacity)]
    return all(
        np.allclose(above[: len(level)], [math.fsum(row) for row in level.tolist()], rtol=4e-15, atol=0.0)
        and not above[len(level) :].any()
        and np.array_equal(above, same)
        for level, above, same in zip(tree.levels, tree.entries[1:], fresh.entries[1:])
    )


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_every_node_is_the_sum_below_it(capacity):
    rng = np.random.default_rng(capacity)
    tree, values = SumTree(capacity), np.zeros(capacity)
    for n in (1, 3, capacity, 10 * capacity, 2):
        leaves, new = rng.integers(capacity, size=n), rng.exponential(size=n)
        for leaf, value in zip(leaves.tolist(), new.tolist()):  # of one named twice, the last counts
            values[leaf] = value
        tree[leaves] = new
        np.testing.assert_array_equal(tree[np.arange(capacity)], values)
        assert tree.total == pytest.approx(values.sum(), rel=1e-12) and holds(tree)
    tree[np.arange(capacity)] = 0.0
    assert tree.total == 0.0


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_a_mass_falls_where_a_loop_finds_it(capacity):
    rng = np.random.default_rng(capacity)
    tree, values = SumTree(capacity), rng.integers(4, size=capacity).astype(float)  # whole: sums are exact; some zero
    values[capacity // 2] = 3.0
    tree[np.arange(capacity)] = values
    mass = np.concatenate([[0.0, values.sum() - 0.5], rng.integers(2 * values.sum(), size=(300)) / 2.0])

    def slowly(mass):
        for leaf, value in enumerate(values.tolist()):
            if mass < value:
                return leaf
            mass -= value

    few = mass[:: max(capacity // 300, 1)]
    assert tree.find(few).tolist() == [slowly(m) for m in few]
    assert tree.find(few.reshape(1, -1)).shape == (1, len(few))


def test_rounding_never_leads_to_a_leaf_of_nothing():
    rng = np.random.default_rng(0)
    for _ in range(30):
        tree, alive = SumTree(5000), np.sort(rng.choice(5000, 40, replace=False))
        tree[alive] = 10.0 ** rng.uniform(-12, 6, 40)
        edges = np.cumsum(tree[alive])
        mass = np.concatenate([edges, np.nextafter(edges, 0.0), [0.0, tree.total], tree.total * rng.random(100)])
        assert np.isin(tree.find(np.minimum(mass, tree.total)), alive).all()


def test_leaves_are_found_as_often_as_their_value_says():
    rng, tree = np.random.default_rng(0), SumTree(1000)
    values = np.where(np.arange(1000) % 7 == 0, rng.exponential(size=1000), 0.0)
    tree[np.arange(1000)] = values
    found = tree.find(tree.total * (np.arange(200_000) + 0.5) / 200_000)
    np.testing.assert_allclose(np.bincount(found, minlength=1000) / 200_000, values / values.sum(), atol=1e-5)


def test_priorities_and_weights_by_their_formulas():
    rng, errors = np.random.default_rng(0), np.array([0.0, 0.5, 2.0, 8.0, 1.0])
    priorities = Priorities(8, alpha=0.7)
    priorities.enter(np.arange(5))
    priorities.beta = 0.6
    priorities.drawn = np.arange(5)[None]
    priorities.update(-errors[None])
    p = (errors + 1e-6) ** 0.7
    np.testing.assert_allclose(priorities.tree[np.arange(8)], [*p, 0, 0, 0], rtol=1e-12)
    drawn, weight = priorities.sample(rng, (40, 100), size=5)
    share = np.bincount(drawn.ravel(), minlength=5) / drawn.size
    np.testing.assert_allclose(share, p / p.sum(), atol=3e-3)  # one from each hundredth
    each = (5 * p / p.sum()) ** -0.6
    for rows, weights in zip(drawn, weight):
        np.testing.assert_allclose(weights, each[rows] / each[rows].max(), rtol=1e-6)
    assert weight.dtype == np.float32 and (weight.max(-1) == 1.0).all()


def test_what_is_new_comes_with_the_largest_priority_that_was_seen():
    priorities = Priorities(8, alpha=1.0, epsilon=0.0)
    priorities.enter(np.array([0, 1]))
    assert priorities.tree[np.array([0, 1])].tolist() == [1.0, 1.0]
    priorities.drawn = np.array([[0, 1]])
    priorities.update(np.array([[5.0, 0.25]]))
    priorities.update(np.array([[3.0, 0.25]]))
    priorities.enter(np.array([2]))
    assert priorities.tree[np.arange(4)].tolist() == [3.0, 0.25, 5.0, 0.0]


def test_what_was_cleared_since_it_was_drawn_stays_cleared():
    priorities = Priorities(8, alpha=1.0, epsilon=0.0)
    priorities.enter(np.arange(4))
    priorities.drawn = np.array([[0, 1], [2, 1]])
    priorities.clear(np.array([1]))
    priorities.update(np.array([[7.0, 8.0], [9.0, 8.0]]))
    assert priorities.tree[np.arange(4)].tolist() == [7.0, 0.0, 9.0, 1.0]


def test_the_error_of_a_sequence_is_mostly_its_largest():
    priorities = Priorities(8, alpha=1.0, epsilon=0.0)
    priorities.enter(np.arange(8))
    priorities.drawn = np.array([[3, 6]])
    priorities.update(np.array([[1.0, 10.0, 2.0, -20.0, 6.0, 0.0]]))  # time by time, two sequences side by side
    np.testing.assert_allclose(priorities.tree[np.array([3, 6])], [0.9 * 6 + 0.1 * 3, 0.9 * 20 + 0.1 * 10])


def test_a_step_of_a_sequence_that_does_not_count_surprises_nobody():
    priorities = Priorities(8, alpha=1.0, epsilon=0.0)
    priorities.enter(np.arange(8))
    priorities.drawn, priorities.counts = np.array([[3, 6]]), np.float32([[1.0, 1.0, 1.0, 0.0, 0.0, 1.0]])
    priorities.update(np.array([[1.0, 10.0, 2.0, -20.0, 6.0, 0.0]]))
    np.testing.assert_allclose(priorities.tree[np.array([3, 6])], [0.9 * 2 + 0.1 * 1.5, 0.9 * 10 + 0.1 * 5])


def test_an_error_that_is_no_number_counts_as_the_largest():
    priorities = Priorities(4, alpha=1.0, epsilon=0.0)
    priorities.enter(np.arange(3))
    priorities.drawn = np.array([[0, 1, 2]])
    priorities.update(np.array([[np.nan, np.inf, 0.5]]))
    assert priorities.tree[np.arange(3)].tolist() == [1.0, 1.0, 0.5] and priorities.largest == 1.0


def test_restored_they_draw_the_same_bit_for_bit():
    rng, size = np.random.default_rng(0), 5000
    one, other = Priorities(6000, 0.6), Priorities(6000, 0.6)
    for begin in range(0, size, 50):  # a few at a time: sums made in another order than those of a restored tree
        one.enter(np.arange(begin, begin + 50))
        one.sample(rng, (2, 16), begin + 50)
        one.update(rng.standard_normal((2, 16)))
    other.restore(one.arrays(size), size)
    assert holds(one.tree) and one.tree.total == other.tree.total and one.largest == other.largest
    draws = [p.sample(np.random.default_rng(1), (50, 64), size) for p in (one, other)]
    np.testing.assert_array_equal(draws[0][0], draws[1][0])
    np.testing.assert_array_equal(draws[0][1], draws[1][1])


@pytest.mark.parametrize("capacity", [300, 60])  # part full, and full
@pytest.mark.parametrize("before, after", [(2, 6), (6, 2), (6, 6), (1, 4), (4, 1)])
def test_restored_for_sequences_of_another_length(capacity, before, after):
    """Drawn is what begins a whole one now; priorities that are known stay."""
    history = History(40, 3, resets=True)
    saved = filled(history, capacity, length=before, priorities=Priorities(capacity, 0.6))
    saved.sample(np.random.default_rng(0), (1, 8 * before))
    saved.priorities.update(np.random.default_rng(1).standard_normal((1, 8 * before)))
    restored = ReplayBuffer(capacity, 3, OBSERVATION, ACTION, GAMMA, length=after, priorities=Priorities(capacity, 0.6))
    restored.restore(saved.arrays())
    expected = filled(history, capacity, length=after, priorities=Priorities(capacity, 0.6))
    had, has, would = (buffer.priorities.tree[np.arange(capacity)] for buffer in (saved, restored, expected))
    np.testing.assert_array_equal(has > 0.0, would > 0.0)
    both = (had > 0.0) & (has > 0.0)
    np.testing.assert_array_equal(has[both], had[both])
    assert (has[(had == 0.0) & (has > 0.0)] == saved.priorities.largest).all()


@pytest.mark.parametrize("change, message", [
    ({"priority": np.zeros(3)}, r"float64 \(3,\), not float64 \(2,\)"),
    ({"priority": np.zeros(2, np.float32)}, "float32"),
    ({"priority": np.array([1.0, np.nan])}, "not finite"),
    ({"priority": np.array([1.0, -1.0])}, "at least 0"),
    ({"largest_priority": np.asarray(np.inf)}, "not finite"),
])  # fmt: skip
def test_priorities_that_do_not_fit_are_refused(change, message):
    arrays = {"priority": np.ones(2), "largest_priority": np.asarray(1.0)}
    with pytest.raises(ValueError, match=message):
        Priorities(4, 0.6).restore(arrays | change, 2)


class BinaryTree:
    """The sum tree as in the paper, two children a node, also for many rows at a time."""

    def __init__(self, size: int):
        self.depth = (size - 1).bit_length()
        leaf = np.arange(1 << self.depth)
        self.sums = np.zeros(2 << self.depth)
        self.update(leaf, leaf < size)

    def sample(self, rng, rows):
        mass = (np.arange(rows) + rng.random(rows)) * (self.sums[1] / rows)
        node = np.ones(rows, np.int64)
        for _ in range(self.depth):
            node = 2 * node
            left = self.sums[node]
            right = mass >= left
            mass = mass - right * left
            node = node + right
        return node - (1 << self.depth), self.sums[node]

    def update(self, leaf, values):
        node = leaf + (1 << self.depth)
        self.sums[node] = values
        for _ in range(self.depth):
            node = node >> 1
            self.sums[node] = self.sums[2 * node] + self.sums[2 * node + 1]


def test_speed():
    """Ahead of a binary tree that does less: it neither weighs what it draws nor asks what was overwritten.

    Both are made of the same kind of work, so a slow machine, or another process in the caches, meets both. How many
    a second it comes to, `python -m benchmarks.priorities` says.
    """
    rng, size, rows = np.random.default_rng(0), 1_000_000, 256
    priorities, binary = Priorities(size, 0.6), BinaryTree(size)
    priorities.enter(np.arange(size))
    error = rng.standard_normal((1, rows))

    def sixteen_children():
        priorities.sample(rng, (1, rows), size)
        priorities.update(error)

    def two_children():
        leaf, _ = binary.sample(rng, rows)
        binary.update(leaf, (np.abs(error[0]) + 1e-6) ** 0.6)

    def seconds(work):
        begun = process_time()
        for _ in range(10):
            work()
        return process_time() - begun

    rounds = [(seconds(sixteen_children), seconds(two_children)) for _ in range(60)]
    ours, theirs = (min(column) for column in zip(*rounds, strict=True))
    assert ours < theirs
