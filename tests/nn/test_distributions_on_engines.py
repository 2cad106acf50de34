"""Distributions on every engine: log-probabilities, entropies, samples and gradients as NumPy's, extremes finite."""

from __future__ import annotations

import numpy as np
from parity import assert_close, assert_parity, compiled, leaves_by_name, reference

from rlzoo.backend import ops
from rlzoo.nn import Bernoulli, Categorical, Gaussian, MultiCategorical, SquashedGaussian

RNG = np.random.default_rng(0)
LOGITS, MEAN, LOG_STD = 2.0 * RNG.standard_normal((3, 4, 5))
CHOICES = RNG.integers(0, 5, 4).astype(np.int32)
PAIRS = np.stack([RNG.integers(0, 2, 4), RNG.integers(0, 3, 4)], -1).astype(np.int32)
BITS = RNG.integers(0, 2, (4, 5)).astype(np.int32)
NOISE = RNG.standard_normal((4, 5))
ONE_LOG_STD = 0.3 * RNG.standard_normal(5)

DIFFERENTIABLE = {
    "Categorical log_prob": (Categorical(5).log_prob, LOGITS, CHOICES),
    "Categorical entropy": (Categorical(5).entropy, LOGITS),
    "MultiCategorical log_prob": (MultiCategorical((2, 3)).log_prob, LOGITS, PAIRS),
    "MultiCategorical entropy": (MultiCategorical((2, 3)).entropy, LOGITS),
    "Bernoulli log_prob": (Bernoulli(5).log_prob, LOGITS, BITS),
    "Bernoulli entropy": (Bernoulli(5).entropy, LOGITS),
    "Gaussian log_prob": (lambda m, s, a: Gaussian(5).log_prob((m, s), a), MEAN, ONE_LOG_STD, LOGITS),
    "Gaussian entropy": (lambda m, s: Gaussian(5).entropy((m, s)), MEAN, ONE_LOG_STD),
    "Gaussian sample": (lambda m, s, n: Gaussian(5).sample((m, s), n), MEAN, ONE_LOG_STD, NOISE),
    "Categorical kl": (Categorical(5).kl, LOGITS, MEAN),
    "MultiCategorical kl": (MultiCategorical((2, 3)).kl, LOGITS, MEAN),
    "Bernoulli kl": (Bernoulli(5).kl, LOGITS, MEAN),
    "Gaussian kl": (
        lambda m, s, n, t: Gaussian(5).kl((m, s), (n, t)), MEAN, ONE_LOG_STD, MEAN + 0.3 * NOISE, 0.3 * LOG_STD,
    ),
    "SquashedGaussian sample": (
        lambda m, s, n: SquashedGaussian(5).sample_and_log_prob((m, s), n)[0], MEAN, 0.3 * LOG_STD, NOISE,
    ),
    "SquashedGaussian log_prob": (
        lambda m, s, n: SquashedGaussian(5).sample_and_log_prob((m, s), n)[1], MEAN, 0.3 * LOG_STD, NOISE,
    ),
    "SquashedGaussian log_prob_before_tanh": (
        lambda m, s, u: SquashedGaussian(5).log_prob_before_tanh((m, s), u), 0.3 * MEAN, 0.1 * LOG_STD, NOISE,
    ),
}  # fmt: skip


def test_values_and_gradients(engine):
    assert_parity(engine, DIFFERENTIABLE)


def test_samples_and_modes(engine):
    distributions = {"categorical": Categorical(5), "multi": MultiCategorical((2, 3)), "bernoulli": Bernoulli(5)}
    rng = np.random.default_rng(1)
    noise = {name: distribution.noise(rng, (4,)) for name, distribution in distributions.items()}

    def draw(logits, noise):
        return {
            name: (distribution.sample(logits, noise[name]), distribution.mode(logits))
            for name, distribution in distributions.items()
        }

    assert_close(compiled(engine, draw, LOGITS, noise), reference(draw, LOGITS, noise), tolerance=0.0)


EXTREME = np.array([[1e4, -1e4, 0.0, 1e4, -1e4], [-1e9, 3.0, -1e9, -1e9, 2.0]])
FAR = np.array([[50.0, -50.0, 0.0, 1e4, -1e4]])


def extremes(logits, mean, actions):
    """Each log-probability and entropy, with its gradient."""
    zeros = ops.zeros_like(mean)
    functions = {
        "categorical": lambda p: Categorical(5).log_prob(p, actions["one"]),
        "categorical entropy": Categorical(5).entropy,
        "multi": lambda p: MultiCategorical((2, 3)).log_prob(p, actions["two"]),
        "multi entropy": MultiCategorical((2, 3)).entropy,
        "bernoulli": lambda p: Bernoulli(5).log_prob(p, actions["bits"]),
        "bernoulli entropy": Bernoulli(5).entropy,
    }
    squashed = {
        "squashed": lambda m: SquashedGaussian(5).sample_and_log_prob((m, zeros - 2.0), zeros + 1.0)[1],
        "squashed sample": lambda m: SquashedGaussian(5).sample((m, zeros + 2.0), zeros - 3.0),
    }
    results = {}
    for point, group in ((logits, functions), (mean, squashed)):
        for name, function in group.items():

            def loss(pieces, function=function):
                output = function(pieces[0])
                return ops.sum(output), output

            results[name] = ops.value_and_grad(loss, [point])
    return results


def test_extreme_inputs_stay_finite(engine):
    actions = {"one": np.array([0, 1], np.int32), "two": np.array([[0, 0], [1, 2]], np.int32),
               "bits": np.array([[1, 0, 1, 1, 0], [0, 1, 0, 0, 1]], np.int32)}  # fmt: skip
    results = compiled(engine, extremes, EXTREME, FAR, actions)
    assert [name for name, leaf in leaves_by_name(results) if not np.all(np.isfinite(leaf))] == []
    assert_close(results["categorical"][1], np.array([-np.log(2.0), -np.log1p(np.exp(-1.0))]))
    assert_close(results["categorical entropy"][1][0], np.log(2.0))
    assert_close(results["bernoulli"][1], np.array([-np.log(2.0), -np.log1p(np.exp(-3.0)) - np.log1p(np.exp(-2.0))]))
    assert_close(results["squashed sample"][1], np.tanh(FAR - 3.0 * np.exp(2.0)))
    slope = results["squashed"][2][0][0]
    assert_close(slope[[0, 1, 3, 4]], np.array([2.0, -2.0, 2.0, -2.0]))  # of −2 (log 2 − |u|), far from zero
