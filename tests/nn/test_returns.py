"""Returns and advantages, against slow loops written from their definitions and examples worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from parity import assert_close, compiled

from rlzoo.nn import returns

GAMMA, LAMBDA = 0.9, 0.8


def rollout(length, seed, environments=3):
    """Random rewards, values and episode ends; a done step is terminated or truncated."""
    rng = np.random.default_rng(seed)
    reward, value, next_value, log_ratio = rng.standard_normal((4, length, environments))
    done = (rng.random((length, environments)) < 0.25).astype(np.float64)
    terminated = done * (rng.random((length, environments)) < 0.5)
    following = np.concatenate([value[1:], next_value[-1:]])
    next_value = np.where(done == 0.0, following, next_value)  # within an episode the next state is the next row
    return {"reward": reward, "value": value, "next_value": next_value, "terminated": terminated, "done": done,
            "log_ratio": 0.7 * log_ratio}  # fmt: skip


def by_column(function):
    """The loop over one environment, applied to each."""

    def run(data, *settings):
        columns = [{key: array[:, i] for key, array in data.items()} for i in range(data["reward"].shape[1])]
        return np.stack([np.array(function(**column, **dict(settings))) for column in columns], 1)

    return run


def ends_after(t, done):
    """The last step, from t on, that belongs to the episode of t and to the rollout."""
    while t < len(done) - 1 and not done[t]:
        t += 1
    return t


@by_column
def slow_advantage(reward, value, next_value, terminated, done, **_):
    """The sum of discounted TD errors to the end of the episode."""
    delta = reward + GAMMA * (1.0 - terminated) * next_value - value
    return [
        sum((GAMMA * LAMBDA) ** (k - t) * delta[k] for k in range(t, ends_after(t, done) + 1))
        for t in range(len(reward))
    ]


def n_steps(t, n, reward, next_value, terminated, done):
    """The n-step return from t, shorter where the episode or the rollout ends."""
    last = min(t + n - 1, ends_after(t, done))
    discounted = sum(GAMMA ** (k - t) * reward[k] for k in range(t, last + 1))
    return discounted + GAMMA ** (last - t + 1) * (1.0 - terminated[last]) * next_value[last]


@by_column
def slow_n_step(reward, next_value, terminated, done, horizon, **_):
    return [n_steps(t, horizon, reward, next_value, terminated, done) for t in range(len(reward))]


@by_column
def slow_lambda_return(reward, next_value, terminated, done, **_):
    """The weighted mean of all n-step returns (Sutton 2018, eq. 12.3), not the recursion."""
    result = []
    for t in range(len(reward)):
        longest = ends_after(t, done) - t + 1
        all_returns = [n_steps(t, n, reward, next_value, terminated, done) for n in range(1, longest + 1)]
        weights = [(1.0 - LAMBDA) * LAMBDA**n for n in range(longest - 1)] + [LAMBDA ** (longest - 1)]
        result.append(np.dot(weights, all_returns))
    return result


@by_column
def slow_vtrace(log_ratio, reward, value, next_value, terminated, done, **_):
    """The sum of eq. 1, with rho and c clipped at 1.1 and 0.9."""
    rho, c = np.minimum(np.exp(log_ratio), 1.1), np.minimum(np.exp(log_ratio), 0.9)
    delta = rho * (reward + GAMMA * (1.0 - terminated) * next_value - value)
    return [
        value[t] + sum(GAMMA ** (k - t) * np.prod(c[t:k]) * delta[k] for k in range(t, ends_after(t, done) + 1))
        for t in range(len(reward))
    ]


def all_of_them(data):
    reward, value, next_value = data["reward"], data["value"], data["next_value"]
    terminated, done = data["terminated"], data["done"]
    results = {
        "advantage": returns.generalized_advantage(reward, value, next_value, terminated, done, GAMMA, LAMBDA),
        "lambda": returns.lambda_return(reward, next_value, terminated, done, GAMMA, LAMBDA),
        "vtrace": returns.vtrace(
            data["log_ratio"], reward, value, next_value, terminated, done, GAMMA, clip_rho=1.1, clip_c=0.9
        ),
    }
    for n in (1, 3, 40):
        results[f"{n} steps"] = returns.n_step_return(reward, next_value, terminated, done, GAMMA, n)
    return results


def slow(data):
    results = {"advantage": slow_advantage(data), "lambda": slow_lambda_return(data), "vtrace": slow_vtrace(data)}
    return results | {f"{n} steps": slow_n_step(data, ("horizon", n)) for n in (1, 3, 40)}


@pytest.mark.parametrize("length", [1, 2, 5, 33])
def test_against_slow_loops(length):
    for seed in range(5):
        data = rollout(length, seed)
        assert_close(all_of_them(data), slow(data), tolerance=1e-12)


def test_on_every_engine(engine):
    short, long = rollout(1, 0), rollout(33, 1)
    together = compiled(engine, lambda a, b: (all_of_them(a), all_of_them(b)), short, long)
    assert_close(together, (slow(short), slow(long)))


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 33])
def test_recurrence(length):
    rng = np.random.default_rng(length)
    addend, factor = rng.standard_normal((2, length, 2))
    expected, following = np.zeros((length, 2)), np.zeros(2)
    for t in reversed(range(length)):
        expected[t] = following = addend[t] + factor[t] * following
    assert_close(returns.linear_recurrence(addend, factor), expected, tolerance=1e-12)


def test_a_long_recurrence_keeps_float32_accuracy(engine):
    rng = np.random.default_rng(0)
    addend = rng.standard_normal((2048, 4))
    factor = 0.99 * 0.95 * (rng.random((2048, 4)) > 0.01)
    expected, following = np.zeros((2048, 4)), np.zeros(4)
    for t in reversed(range(2048)):
        expected[t] = following = addend[t] + factor[t] * following
    assert_close(compiled(engine, returns.linear_recurrence, addend, factor), expected, tolerance=1e-5)


ONES = np.ones((3, 1))
HAND = {"reward": ONES, "next_value": np.array([[10.0], [20.0], [30.0]])}


def column(*values):
    return np.array(values, np.float64)[:, None]


def test_by_hand_termination_cuts_the_value_and_truncation_keeps_it():
    """γ = ½, three steps of reward 1, V(next) = 10, 20, 30; the second step ends the episode."""
    done = column(0, 1, 0)
    terminated = returns.n_step_return(**HAND, terminated=done, done=done, gamma=0.5, horizon=3)
    truncated = returns.n_step_return(**HAND, terminated=0.0 * done, done=done, gamma=0.5, horizon=3)
    assert terminated[:, 0].tolist() == [1.5, 1.0, 16.0]  # 1 + ½·1;  1;  1 + ½·30
    assert truncated[:, 0].tolist() == [6.5, 11.0, 16.0]  # 1 + ½·1 + ¼·20;  1 + ½·20;  1 + ½·30
    for ended, expected in ((done, terminated), (0.0 * done, truncated)):
        monte_carlo = returns.lambda_return(**HAND, terminated=ended, done=done, gamma=0.5, td_lambda=1.0)
        assert monte_carlo.tolist() == expected.tolist()


def test_by_hand_advantage():
    """γ = ½, λ = ½, V = 4, 10, 20 (the next of each other), reward 1; the second step is the last of its episode."""
    value, next_value = column(4, 10, 20), column(10, 6, 30)
    arguments = {"reward": ONES, "value": value, "next_value": next_value, "gamma": 0.5, "gae_lambda": 0.5}
    done = column(0, 1, 0)
    terminated = returns.generalized_advantage(**arguments, terminated=done, done=done)
    truncated = returns.generalized_advantage(**arguments, terminated=0.0 * done, done=done)
    assert terminated[:, 0].tolist() == [2.0 - 9.0 / 4, -9.0, -4.0]  # δ: 1+5−4, 1−10, 1+15−20
    assert truncated[:, 0].tolist() == [2.0 - 6.0 / 4, -6.0, -4.0]  # δ of the second: 1+3−10


def test_special_cases_of_lambda_and_of_equal_policies():
    data = rollout(12, 7)
    reward, value, next_value, terminated, done = (
        data[key] for key in ("reward", "value", "next_value", "terminated", "done")
    )
    one_step = reward + GAMMA * (1.0 - terminated) * next_value
    to_the_end = slow_n_step(data, ("horizon", 12))
    for gae_lambda, target in ((0.0, one_step), (1.0, to_the_end)):
        advantage = returns.generalized_advantage(reward, value, next_value, terminated, done, GAMMA, gae_lambda)
        assert_close(advantage, target - value, 1e-12)
        assert_close(returns.lambda_return(reward, next_value, terminated, done, GAMMA, gae_lambda), target, 1e-12)
    on_policy = returns.vtrace(np.zeros_like(reward), reward, value, next_value, terminated, done, GAMMA)
    assert_close(on_policy, to_the_end, 1e-12)


def test_arrays_of_different_shapes_are_refused():
    a, b = np.zeros((5, 2)), np.zeros((5, 1))
    with pytest.raises(ValueError, match=r"one shape, not \[\(5, 1\), \(5, 2\)\]"):
        returns.linear_recurrence(a, b)
    with pytest.raises(ValueError, match="one shape"):
        returns.generalized_advantage(a, a, a, a, b, GAMMA, LAMBDA)
    with pytest.raises(ValueError, match="one shape"):
        returns.n_step_return(a, b, a, a, GAMMA, 3)
    with pytest.raises(ValueError, match="one shape"):
        returns.lambda_return(a, a, b, a, GAMMA, LAMBDA)
    with pytest.raises(ValueError, match="one shape"):
        returns.vtrace(b, a, a, a, a, a, GAMMA)
