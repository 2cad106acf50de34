"""Distributions: probabilities that sum to one, entropies by their definition, samples that follow both."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from rlzoo.nn import Bernoulli, Categorical, Gaussian, MultiCategorical, SquashedGaussian

RNG = np.random.default_rng(0)
LOGITS = 2.0 * RNG.standard_normal(5)
MEAN, LOG_STD = np.array([0.5, -1.0, 0.0]), np.array([-0.5, 0.3, 0.0])


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum()


def sigmoid(logits):
    return 1.0 / (1.0 + np.exp(-logits))


DISCRETE = {  # a distribution, and the probability of each action by enumeration
    "Categorical": (Categorical(5), dict(enumerate(softmax(LOGITS)))),
    "MultiCategorical": (
        MultiCategorical((2, 3)),
        {
            pair: softmax(LOGITS[:2])[pair[0]] * softmax(LOGITS[2:])[pair[1]]
            for pair in itertools.product(range(2), range(3))
        },
    ),
    "Bernoulli": (
        Bernoulli(5),
        {
            bits: np.prod([p if bit else 1.0 - p for p, bit in zip(sigmoid(LOGITS), bits)])
            for bits in itertools.product((0, 1), repeat=5)
        },
    ),
}
discrete = pytest.mark.parametrize("name", DISCRETE)


@discrete
def test_probabilities_by_enumeration(name):
    distribution, table = DISCRETE[name]
    actions = np.array(list(table), np.int32)
    log_probs = distribution.log_prob(np.tile(LOGITS, (len(table), 1)), actions)
    assert log_probs.shape == (len(table),)
    np.testing.assert_allclose(np.exp(log_probs), list(table.values()), rtol=1e-10)
    assert np.exp(log_probs).sum() == pytest.approx(1.0, abs=1e-12)


@discrete
def test_entropy_by_enumeration(name):
    distribution, table = DISCRETE[name]
    expected = -sum(p * math.log(p) for p in table.values())
    np.testing.assert_allclose(distribution.entropy(np.tile(LOGITS, (2, 1))), [expected] * 2, rtol=1e-10)


@discrete
def test_divergence_by_enumeration(name):
    distribution, table = DISCRETE[name]
    other = LOGITS[::-1] - 0.3
    actions = np.array(list(table), np.int32)
    log_old, log_new = (distribution.log_prob(np.tile(x, (len(table), 1)), actions) for x in (LOGITS, other))
    expected = np.sum(list(table.values()) * (log_old - log_new))
    old, new = np.tile(LOGITS, (2, 1)), np.tile(other, (2, 1))
    np.testing.assert_allclose(distribution.kl(old, new), [expected] * 2, rtol=1e-10)
    np.testing.assert_allclose(distribution.kl(old, old + (5.0 if name != "Bernoulli" else 0.0)), 0.0, atol=1e-12)


@discrete
def test_sampled_frequencies(name):
    distribution, table = DISCRETE[name]
    count = 100_000
    noise = distribution.noise(np.random.default_rng(1), (count,))
    samples = distribution.sample(np.tile(LOGITS, (count, 1)), noise)
    assert samples.dtype == np.int32
    for action, p in table.items():
        frequency = np.mean(np.all(samples.reshape(count, -1) == action, axis=-1))
        assert abs(frequency - p) < 5.0 * math.sqrt(p * (1.0 - p) / count)  # five standard errors


@discrete
def test_mode_is_the_most_probable(name):
    distribution, table = DISCRETE[name]
    assert np.all(distribution.mode(LOGITS[None])[0] == max(table, key=table.get))


def test_sizes_and_shapes():
    assert [Categorical(5).size, MultiCategorical((2, 3)).size, Bernoulli(5).size, Gaussian(3).size] == [5, 5, 5, 3]
    for distribution in (Categorical(5), MultiCategorical((2, 3)), Bernoulli(5), Gaussian(5), SquashedGaussian(5)):
        noise = distribution.noise(np.random.default_rng(0), (7, 2))
        assert noise.shape == (7, 2, 5) and noise.dtype == np.float32
    assert MultiCategorical((2, 3)).mode(np.tile(LOGITS, (4, 1))).shape == (4, 2)
    assert Bernoulli(5).mode(np.tile(LOGITS, (4, 1))).shape == (4, 5)


def normal_density(x, mean, std):
    return math.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2.0 * math.pi))


def test_gaussian_density_and_entropy():
    action = np.array([[0.2, 0.7, -3.0], [0.5, -1.0, 0.0]])
    expected = [sum(math.log(normal_density(*z)) for z in zip(row, MEAN, np.exp(LOG_STD))) for row in action]
    parameters = np.tile(MEAN, (2, 1)), LOG_STD  # one log_std for all rows
    np.testing.assert_allclose(Gaussian(3).log_prob(parameters, action), expected, rtol=1e-12)
    entropy = sum(0.5 * math.log(2.0 * math.pi * math.e * std**2) for std in np.exp(LOG_STD))
    np.testing.assert_allclose(Gaussian(3).entropy(parameters), [entropy, entropy], rtol=1e-12)
    assert np.array_equal(Gaussian(3).mode(parameters), parameters[0])


def test_gaussian_divergence_by_a_sum():
    """Over a fine grid of each dimension; log deviations of both kinds: one for all rows, and each row's own."""
    old = np.stack([MEAN, MEAN + 1.0]), LOG_STD
    new = np.stack([MEAN[::-1], MEAN - 0.5]), np.stack([LOG_STD - 0.4, LOG_STD[::-1]])
    x = np.linspace(-15.0, 15.0, 60_001)
    expected = np.zeros(2)
    for row in range(2):
        for k in range(3):
            p, q = (
                np.exp(-0.5 * ((x - m[row, k]) / np.exp(s[k])) ** 2) / np.exp(s[k]) / math.sqrt(2.0 * math.pi)
                for m, s in ((old[0], LOG_STD), (new[0], new[1][row]))
            )
            inside = p > 1e-300
            expected[row] += np.sum(p[inside] * np.log(p[inside] / q[inside])) * (x[1] - x[0])
    np.testing.assert_allclose(Gaussian(3).kl(old, new), expected, rtol=1e-6)
    np.testing.assert_allclose(Gaussian(3).kl(old, old), 0.0, atol=1e-12)


def test_gaussian_samples():
    noise = Gaussian(3).noise(np.random.default_rng(2), (200_000,))
    samples = Gaussian(3).sample((MEAN, LOG_STD), noise)
    np.testing.assert_allclose(samples.mean(0), MEAN, atol=0.02)
    np.testing.assert_allclose(samples.std(0), np.exp(LOG_STD), rtol=0.01)


@pytest.mark.parametrize("mean, log_std", [(0.0, 0.0), (1.5, -1.0), (-0.5, 0.5)])
def test_squashed_gaussian_integrates_to_one(mean, log_std):
    """Over actions within (−1, 1), by the midpoint rule."""
    edges = np.linspace(-1.0, 1.0, 400_001)
    action = 0.5 * (edges[1:] + edges[:-1])[:, None]
    parameters = np.array([[mean]]), np.array([[log_std]])
    density = np.exp(SquashedGaussian(1).log_prob_before_tanh(parameters, np.arctanh(action)))
    assert density.sum() * (edges[1] - edges[0]) == pytest.approx(1.0, abs=1e-4)
    direct = [normal_density(math.atanh(a), mean, math.exp(log_std)) / (1.0 - a * a) for a in (-0.5, 0.1, 0.9)]
    u = np.arctanh(np.array([[-0.5], [0.1], [0.9]]))
    np.testing.assert_allclose(np.exp(SquashedGaussian(1).log_prob_before_tanh(parameters, u)), direct, rtol=1e-10)


def test_squashed_gaussian_samples():
    distribution, parameters = SquashedGaussian(3), (np.tile(MEAN, (1000, 1)), np.tile(LOG_STD, (1000, 1)))
    noise = distribution.noise(np.random.default_rng(3), (1000,)).astype(np.float64)
    action, log_prob = distribution.sample_and_log_prob(parameters, noise)
    u = MEAN + np.exp(LOG_STD) * noise
    np.testing.assert_allclose(action, np.tanh(u), rtol=1e-12)
    np.testing.assert_allclose(distribution.sample(parameters, noise), action, rtol=1e-12)
    np.testing.assert_allclose(log_prob, distribution.log_prob_before_tanh(parameters, u), rtol=1e-9)
    np.testing.assert_allclose(distribution.mode((MEAN, LOG_STD)), np.tanh(MEAN))
    for low in (-0.9, -0.3, 0.2, 0.7):  # the share of samples below, against the normal's distribution function
        z = (math.atanh(low) - MEAN[0]) / math.exp(LOG_STD[0])
        p = 0.5 * (1.0 + math.erf(z / math.sqrt(2.0)))
        assert abs(np.mean(action[:, 0] < low) - p) < 5.0 * math.sqrt(p * (1.0 - p) / 1000)
