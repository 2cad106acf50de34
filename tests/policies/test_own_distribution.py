"""A distribution that is none of the library's, as CONTRIBUTING.md has it, and one that lacks something."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from gymnasium import spaces

from rlzoo import PPO
from rlzoo.backend import ops
from rlzoo.errors import UserError
from rlzoo.nn import Categorical, mlp
from rlzoo.policies.heads import Head

SCALE = 0.3
BOX = spaces.Box(np.float32([-1.0, 0.0]), np.float32([1.0, 0.5]))


@dataclass(frozen=True)
class Laplace:
    """Independent, of a fixed scale, from the locations."""

    count: int

    @property
    def size(self):
        return self.count

    def noise(self, rng, batch):
        return rng.laplace(size=(*batch, self.count)).astype(np.float32)

    def sample(self, location, noise):
        return location + SCALE * noise

    def mode(self, location):
        return location

    def log_prob(self, location, action):
        return -ops.sum(ops.abs(action - location) / SCALE + math.log(2.0 * SCALE), -1)

    def entropy(self, location):
        return ops.sum(0.0 * location + 1.0 + math.log(2.0 * SCALE), -1)

    def kl(self, old, new):
        distance = ops.abs(old - new) / SCALE
        return ops.sum(distance + ops.exp(-distance) - 1.0, -1)


class Clipped(Laplace):
    """And the two methods more."""

    def to_env(self, action, space):
        return np.clip(action, space.low, space.high).reshape(-1, *space.shape)

    def random(self, rng, batch):
        return rng.uniform(-1.0, 1.0, (*batch, self.count)).astype(np.float32)


class Levels(Categorical):
    """One of the library's, whose choices are levels between the bounds."""

    def to_env(self, action, space):
        return space.low + (space.high - space.low) * action[:, None] / np.float32(self.count - 1)

    def random(self, rng, batch):
        return np.zeros(batch, np.int32)


class Scaled(Laplace):
    """Of a scale that the network puts out too."""

    @property
    def size(self):
        return 2 * self.count


def agent_of(distribution, **settings):
    class Mine(PPO):
        name = "ppo"

        def build_policy(self, observation_space, action_space):
            policy = super().build_policy(observation_space, action_space)
            return replace(policy, head=Head(distribution(1), action_space, (1,), np.float32))

    tiny = dict(n_steps=16, n_envs=1, batch_size=16, n_epochs=1, hidden=(4,), sde=False)
    return Mine("Pendulum-v1", **tiny | settings)


def test_it_says_what_its_actions_are():
    head = Head(Clipped(2), BOX, (2,), np.float32)
    actions = head.to_env(np.float32([[-2.0, 0.25], [0.125, 3.0]]))
    assert actions.tolist() == [[-1.0, 0.25], [0.125, 0.5]]
    drawn = head.random(np.random.default_rng(0), (50, 3))
    assert drawn.shape == (50, 3, 2) and -1.0 < drawn.min() < -0.9


def test_an_algorithm_learns_with_it(backend):
    agent = agent_of(Clipped, backend=backend).learn(32)
    assert agent.last_metrics["entropy"] == pytest.approx(1.0 + math.log(2.0 * SCALE), rel=1e-5)


def test_what_one_made_from_the_librarys_says_of_its_actions_counts():
    head = Head(Levels(5), BOX, (), np.int32)
    assert head.to_env(np.int32([0, 2, 4])).tolist() == [[-1.0, 0.0], [0.0, 0.25], [1.0, 0.5]]
    assert not head.random(np.random.default_rng(0), (50,)).any()


def test_an_actor_puts_out_what_the_distribution_takes():
    with pytest.raises(UserError, match=r"puts out 1 numbers, and Scaled takes 2: .* mlp\(hidden, 2, activation\)"):
        agent_of(Scaled, backend="torch")
    policy = agent_of(Clipped, backend="torch").policy
    head = replace(policy.head, distribution=Scaled(1))
    params = replace(policy, head=head, actor=mlp((4,), 2, "tanh")).init(np.random.default_rng(0))
    assert params["actor"]["2"]["kernel"].shape == (4, 2)


def test_what_it_lacks_is_said():
    head = Head(Laplace(2), BOX, (2,), np.float32)
    with pytest.raises(UserError, match=r"Laplace has no to_env: give it to_env\(action, space\), which makes"):
        agent_of(Laplace, backend="torch").learn(32)
    with pytest.raises(UserError, match=r"Laplace has no random: give it random\(rng, batch\), which draws"):
        head.random(np.random.default_rng(0), (3,))
    with pytest.raises(UserError, match="exploration is of a Gaussian, not of a Clipped: set sde = false"):
        agent_of(Clipped, backend="torch", sde=True)
