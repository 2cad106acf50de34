"""State-dependent exploration: noise that is held, a function of the features, and a Gaussian of one step alone."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from rlzoo import PPO, SAC
from rlzoo.errors import UserError
from rlzoo.policies import ActorCritic, SquashedActorCritics, Trunk, sde

BOX = spaces.Box(-2.0, 2.0, (2,))
TRUNK = Trunk.of(spaces.Box(-1.0, 1.0, (3,)))
STATES = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


def actor_critic(every=8):
    policy = ActorCritic.of(TRUNK, BOX, (5, 6), (5, 6), "tanh", log_std=-1.0, sde_every=every)
    params = policy.init(np.random.default_rng(1))
    params["log_std"] += 0.5 * np.random.default_rng(2).standard_normal((6, 2)).astype(np.float32)
    return policy, params


def last_hidden(params, states):
    """z(s) by hand: the last hidden layer of the actor."""
    x = np.tanh(states @ params["actor"]["0"]["kernel"] + params["actor"]["0"]["bias"])
    return np.tanh(x @ params["actor"]["2"]["kernel"] + params["actor"]["2"]["bias"])


def deviation(params, states):
    """√(Σ z² σ²) of each action, by loops."""
    z, sigma = last_hidden(params, states), np.exp(params["log_std"])
    return np.array([[np.sqrt(sum(z[n, f] ** 2 * sigma[f, a] ** 2 for f in range(6))) for a in range(2)]
                     for n in range(len(states))])  # fmt: skip


@pytest.mark.parametrize(
    "every, changes", [(1, [1, 2, 3, 4, 5, 6]), (3, [3, 6]), (4, [4]), (7, []), (9, []), (10**15, [])]
)
def test_a_draw_is_held(every, changes):
    """For so many steps. Each environment has one of its own."""
    noise = sde.noise(np.random.default_rng(0), (7, 2), (6, 3), every)
    assert noise.shape == (7, 2, 6, 3) and noise.dtype == np.float32
    assert [t for t in range(1, 7) if (noise[t] != noise[t - 1]).all()] == changes
    assert all((noise[t] == noise[t - 1]).all() for t in range(1, 7) if t not in changes)
    assert (noise[0, 0] != noise[0, 1]).all()


def test_the_policy_draws_as_its_config_says():
    policy, _ = actor_critic(every=2)
    noise = policy.noise(np.random.default_rng(0), (4, 3))
    assert noise.shape == (4, 3, 6, 2) and policy.sde_size == (6, 2)
    assert (noise[0] == noise[1]).all() and (noise[1] != noise[2]).all()


def test_an_action_is_the_mean_and_the_noise_of_its_features():
    policy, params = actor_critic()
    noise = policy.noise(np.random.default_rng(0), (1, 4))[0]
    action, memory = policy.sample(params, STATES, noise)
    z, sigma, mean = last_hidden(params, STATES), np.exp(params["log_std"]), policy.mode(params, STATES)[0]
    expected = [[mean[n, a] + sum(z[n, f] * sigma[f, a] * noise[n, f, a] for f in range(6)) for a in range(2)]
                for n in range(4)]  # fmt: skip
    np.testing.assert_allclose(action, expected, rtol=1e-5)
    again = policy.sample(params, STATES[:1].repeat(2, 0), noise[[1, 1]])[0]
    np.testing.assert_array_equal(again[0], again[1])  # the same state is answered the same way
    assert memory is None


def test_samples_spread_as_the_log_probability_says():
    policy, params = actor_critic()
    n = 100_000
    noise = np.random.default_rng(0).standard_normal((n, 6, 2), np.float32)
    for state in STATES[:2]:
        actions = policy.sample(params, np.tile(state, (n, 1)), noise)[0]
        expected = deviation(params, state[None])[0]
        np.testing.assert_allclose(actions.std(0), expected, rtol=0.015)
        np.testing.assert_allclose(actions.mean(0), policy.mode(params, state[None])[0][0], atol=0.015)


@pytest.mark.parametrize("make", [
    actor_critic,
    lambda: (policy := SquashedActorCritics.of(TRUNK, BOX, (5, 6), (5, 6), "tanh", 2, "sac", log_std=-1.0, sde_every=8),
             policy.init(np.random.default_rng(1))),
])  # fmt: skip
def test_the_deviation_of_the_log_probability(make):
    policy, params = make()
    mean, log_std = policy.parameters_of_action(params, policy.features(params, STATES))
    np.testing.assert_allclose(np.exp(log_std), deviation(params, STATES), rtol=1e-4)
    if isinstance(policy, ActorCritic):
        action = mean + 0.3
        z = 0.3 / deviation(params, STATES)
        expected = -np.sum(0.5 * z * z + np.log(deviation(params, STATES) * np.sqrt(2.0 * np.pi)), -1)
        np.testing.assert_allclose(policy.head.distribution.log_prob((mean, log_std), action), expected, rtol=1e-4)


@pytest.mark.parametrize("kind, settings", [
    (PPO, dict(n_steps=12, batch_size=12, n_epochs=1)),
    (SAC, dict(learning_starts=4, train_freq=12, batch_size=8, buffer_size=100)),
])  # fmt: skip
def test_agents_hold_their_noise_for_as_long_as_they_are_told(kind, settings):
    agent = kind("Pendulum-v1", backend="jax", hidden=(8,), sde=True, sde_sample_freq=4, **settings)
    drawn, sample = [], agent.policy.sample

    def spy(params, seen, noise):
        drawn.append(noise.copy())
        return sample(params, seen, noise)

    object.__setattr__(agent.policy, "sample", spy)
    before = agent.params["log_std"].copy()
    agent.learn(24)
    last = drawn[-12:]
    assert [t for t in range(1, 12) if (last[t] != last[t - 1]).any()] == [4, 8]
    assert np.abs(agent.params["log_std"] - before).max() > 0.0  # and its size is learned


def test_a_squashed_mean_stays_where_the_tanh_has_a_slope():
    """What acts, what explores and what the loss sees alike: the last layer's output, but within −2 and 2."""
    policy = SquashedActorCritics.of(TRUNK, BOX, (5, 6), (5, 6), "tanh", 2, "sac", log_std=-1.0, sde_every=8)
    params = policy.init(np.random.default_rng(1))
    params["actor"]["4"]["bias"] = np.array([7.0, -0.5], np.float32)
    last = last_hidden(params, STATES) @ params["actor"]["4"]["kernel"] + params["actor"]["4"]["bias"]
    assert (last[:, 0] > 2.0).all() and (np.abs(last[:, 1]) < 2.0).all()
    expected = np.stack([np.full(4, 2.0), last[:, 1]], -1)
    np.testing.assert_allclose(policy.parameters_of_action(params, policy.features(params, STATES))[0], expected, 1e-5)
    np.testing.assert_allclose(policy.mode(params, STATES)[0], np.tanh(expected), 1e-5)
    silent = np.zeros((4, *policy.sde_size), np.float32)
    np.testing.assert_allclose(policy.sample(params, STATES, silent)[0], np.tanh(expected), 1e-5)


def test_choices_are_not_explored_by_it():
    with pytest.raises(UserError, match=r"continuous actions, not Discrete.*sde = false"):
        PPO("CartPole-v1", backend="numpy", sde=True)


@pytest.mark.parametrize("kind", [PPO, SAC])
def test_noise_that_is_kept_for_no_step_is_refused(kind):
    with pytest.raises(UserError, match=r"sde_sample_freq = 0 of .* at least 1, or −1"):
        kind("Pendulum-v1", backend="numpy", sde=True, sde_sample_freq=0)


@pytest.mark.parametrize(("kind", "settings", "held"), [
    (PPO, dict(n_steps=6, batch_size=6, sde_sample_freq=-1), 6),
    (PPO, dict(n_steps=8, batch_size=8, sde_sample_freq=3), 3),
    (SAC, dict(train_freq=4), 4), (SAC, dict(train_freq=4, sde_sample_freq=2), 2), (SAC, {}, 1),
])  # fmt: skip
def test_who_plays_explores_as_training_does(kind, settings, held):
    """A draw is held as long as in a rollout, and each episode begins with one of its own."""
    agent = kind("Pendulum-v1", backend="numpy", hidden=(8,), sde=True, log_std_init=0.0, **settings)
    play = agent.player(2, np.random.default_rng(0))
    seen = np.tile(np.float32([0.6, 0.8, 0.1]), (2, 1))
    taken = [play(seen, np.ones(2, np.bool_))] + [play(seen, None) for _ in range(9)]
    assert [t for t in range(1, 10) if (taken[t] != taken[t - 1]).all()] == list(range(held, 10, held))
    assert all((taken[t] == taken[t - 1]).all() for t in range(1, 10) if t % held)
    again = play(seen, np.array([True, False]))
    assert again[0] != taken[-1][0] and (again[1] == taken[-1][1] or 10 % held == 0)
    assert (play(seen, None)[0] == again[0]) == (held > 1)
