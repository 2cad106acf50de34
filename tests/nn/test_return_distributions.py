"""What is said of a return, against loops over its definition; and on every engine, gradients included."""

from __future__ import annotations

import math

import numpy as np
import pytest
from parity import assert_parity
from slow_loops import quantile_huber

from rlzoo.nn import CategoricalReturn, ExpectedReturn, QuantileReturn
from rlzoo.nn.losses import batch_mean, huber, smallest, valid_mean

RNG = np.random.default_rng(0)
ATOMS = CategoricalReturn(6, -1.0, 2.0)
QUANTILES = QuantileReturn(5)
LOGITS, OTHER = 2.0 * RNG.standard_normal((2, 8, 6))
REWARD, DISCOUNT = RNG.uniform(-2.5, 3.5, 8), RNG.choice([0.0, 0.9, 0.81], 8)
DISCOUNT[0] = 0.0


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


# ---- C51 -------------------------------------------------------------------------------------------------------------
def projected(returns, p, reward, discount):
    """Algorithm 1 of Bellemare 2017 for one row, as it is written there."""
    low, high, n = returns.low, returns.high, returns.count
    width = (high - low) / (n - 1)
    m = np.zeros(n)
    for j in range(n):
        b = (min(max(reward + discount * (low + j * width), low), high) - low) / width
        b = round(b, 9)  # of whole numbers that rounding missed
        lower, upper = math.floor(b), math.ceil(b)
        if lower == upper:
            m[lower] += p[j]
        else:
            m[lower] += p[j] * (upper - b)
            m[upper] += p[j] * (b - lower)
    return m


def test_projection_is_that_of_the_paper():
    found = ATOMS.backup(LOGITS, REWARD, DISCOUNT)
    rows = zip(softmax(LOGITS), REWARD, DISCOUNT)
    np.testing.assert_allclose(found, [projected(ATOMS, *row) for row in rows], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.sum(-1), 1.0, rtol=1e-6)


def test_projection_keeps_the_mean_unless_it_is_clipped():
    reward, discount = np.array([0.3, -0.2]), np.array([0.5, 0.9 * 0.5])
    target = ATOMS.backup(LOGITS[:2], reward, discount)
    np.testing.assert_allclose(target @ ATOMS.support, reward + discount * (softmax(LOGITS[:2]) @ ATOMS.support))


def test_projection_of_what_terminates_lies_at_the_reward():
    """Exactly at one of the values; between two of them; and past both ends."""
    reward = np.array([0.8, 1.1, 7.0, -7.0])
    expected = [[0, 0, 0, 1, 0, 0], [0, 0, 0, 0.5, 0.5, 0], [0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0]]
    np.testing.assert_allclose(ATOMS.backup(LOGITS[:4], reward, np.zeros(4)), expected, atol=1e-6)


def test_categorical_value_and_error():
    p, target = softmax(LOGITS), softmax(OTHER)
    np.testing.assert_allclose(ATOMS.support, [-1.0, -0.4, 0.2, 0.8, 1.4, 2.0], rtol=1e-6)
    np.testing.assert_allclose(ATOMS.value(LOGITS), [sum(row * ATOMS.support) for row in p], rtol=1e-6)
    entropy = [-sum(t * math.log(q) for t, q in zip(*rows)) for rows in zip(target, p)]
    np.testing.assert_allclose(ATOMS.error(LOGITS, target), entropy, rtol=1e-9)


@pytest.mark.parametrize("risk", [0.05, 0.3, 0.77, 1.0])
def test_categorical_value_at_risk_is_the_mean_of_the_worst_share(risk):
    """By taking from the lowest value on until the share is full."""
    found = CategoricalReturn(6, -1.0, 2.0, risk).value(LOGITS)
    for row, p in zip(found, softmax(LOGITS)):
        left, total = risk, 0.0
        for value, probability in zip(ATOMS.support.tolist(), p.tolist()):
            taken = min(probability, left)
            total, left = total + taken * value, left - taken
        assert row == pytest.approx(total / risk, rel=1e-5)


# ---- quantiles -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("count", [1, 5, 9])
def test_quantile_error_is_that_of_the_paper(count):
    """Also against another number of quantiles, as the mixture of several critics has."""
    ours, targets = LOGITS[:, :5], np.concatenate([OTHER, LOGITS[:, ::-1]], -1)[:, :count]
    found = QUANTILES.error(ours, targets)
    np.testing.assert_allclose(found, [quantile_huber(*rows) for rows in zip(ours, targets)], rtol=1e-6)


def test_the_error_is_least_at_the_quantiles():
    """Of many samples: gradient steps on the loss lead to the quantiles at 0.1, 0.3, … of them."""
    samples, ours = 40.0 * RNG.standard_normal((1, 2001)), np.zeros((1, 5))
    middle = (np.arange(5) + 0.5) / 5
    for _ in range(3000):
        u = samples[:, None, :] - ours[:, :, None]
        ours += 0.5 * (np.abs(middle[:, None] - (u < 0)) * np.clip(u, -1.0, 1.0)).mean(-1)
    np.testing.assert_allclose(ours[0], np.quantile(samples, middle), atol=2.0)
    near = [QUANTILES.error(ours + 3.0 * row, samples)[0] for row in np.eye(5) - np.eye(5)[::-1]]
    assert min(near) >= QUANTILES.error(ours, samples)[0]


def test_quantile_value_and_backup():
    quantiles = LOGITS[:, :5]
    np.testing.assert_allclose(QUANTILES.value(quantiles), quantiles.mean(-1))
    expected = [[r + g * z for z in row] for r, g, row in zip(REWARD, DISCOUNT, quantiles)]
    np.testing.assert_allclose(QUANTILES.backup(quantiles, REWARD, DISCOUNT), expected)


@pytest.mark.parametrize("risk", [0.1, 0.3, 0.5, 0.9])
def test_quantile_value_at_risk_is_the_mean_of_the_worst_share(risk):
    """Each quantile stands for an equal share of probability: the lowest count whole, the last in part."""
    returns, quantiles = QuantileReturn(5, risk), np.sort(LOGITS[:, :5])
    fine = np.repeat(quantiles, 1000, -1)[:, : round(5000 * risk)]
    np.testing.assert_allclose(returns.value(quantiles), fine.mean(-1), rtol=1e-5)
    assert returns.weights.sum() == pytest.approx(1.0)


# ---- the mean, and losses --------------------------------------------------------------------------------------------
def test_expected_return():
    values, target = LOGITS[:, 0], OTHER[:, 0]
    assert ExpectedReturn().shape == ()
    np.testing.assert_allclose(ExpectedReturn().backup(values, REWARD, DISCOUNT), REWARD + DISCOUNT * values)
    error = [0.5 * e * e if abs(e) < 1.0 else abs(e) - 0.5 for e in values - target]
    np.testing.assert_allclose(ExpectedReturn().error(values, target), error)


def test_huber():
    np.testing.assert_allclose(huber(np.array([-3.0, -1.0, 0.0, 0.5, 1.0, 2.0])), [2.5, 0.5, 0.0, 0.125, 0.5, 1.5])
    np.testing.assert_allclose(huber(np.array([-3.0, 1.0, 2.0]), 2.0), [4.0, 0.5, 2.0])


def test_means():
    """Σ w x / N, where what does not count makes the sum smaller; Σ w x / Σ w, where it makes the rest count more."""
    x, weight, valid = np.array([1.0, 2.0, 4.0, 9.0]), np.array([1.0, 0.5, 0.25, 0.0]), np.array([1.0, 1.0, 0.0, 0.0])
    assert batch_mean(x) == valid_mean(x) == 4.0
    assert batch_mean(x, weight) == 0.75 and valid_mean(x, valid) == 1.5
    assert valid_mean(x, 0.0 * valid) == 0.0


def test_smallest():
    values = np.array([1.0, 5.0]), np.array([2.0, -1.0]), np.array([0.5, 3.0])
    np.testing.assert_array_equal(smallest(values), [0.5, -1.0])
    np.testing.assert_array_equal(smallest(values[:1]), values[0])


# ---- on every engine -------------------------------------------------------------------------------------------------
DIFFERENTIABLE = {
    "categorical value": (ATOMS.value, LOGITS),
    "categorical value at risk": (CategoricalReturn(6, -1.0, 2.0, 0.3).value, LOGITS),
    "categorical backup": (lambda x, r, d: ATOMS.backup(x, r, d), LOGITS, REWARD, np.full(8, 0.37)),
    "categorical error": (ATOMS.error, LOGITS, softmax(OTHER)),
    "quantile value at risk": (QuantileReturn(6, 0.3).value, LOGITS),
    "quantile backup": (QuantileReturn(6).backup, LOGITS, REWARD, DISCOUNT),
    "quantile error": (QuantileReturn(6).error, LOGITS, OTHER),
    "expected error": (ExpectedReturn().error, LOGITS[:, 0], OTHER[:, 0]),
    "huber": (lambda x: huber(x, 0.7), LOGITS),
    "mean of a batch": (lambda x, w: batch_mean(x, w), LOGITS, OTHER),
    "mean of what is valid": (lambda x, w: valid_mean(x, w), LOGITS, np.abs(OTHER)),
    "smallest": (lambda x, y: smallest((x, y)), LOGITS, OTHER),
}


def test_values_and_gradients(engine):
    assert_parity(engine, DIFFERENTIABLE)
