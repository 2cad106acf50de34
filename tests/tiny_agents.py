"""Tiny agents, and how they are compared."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from environments import BitFlipping, FewAllowed, PartsOfAll
from gymnasium import spaces

from rlzoo import PPO
from rlzoo.algorithms import find
from rlzoo.training.callbacks import Callback, StopTraining

MASKED, BITS, BITS_BY_NUMBERS, PARTS = (
    f"rlzoo-tests/{name}-v0" for name in ("FewAllowed", "Bits", "BitsByNumbers", "PartsOfAll")
)
gym.register(MASKED, FewAllowed, kwargs=dict(actions=4, few=2, length=6))
gym.register(BITS, BitFlipping, kwargs=dict(n=4))
gym.register(BITS_BY_NUMBERS, BitFlipping, kwargs=dict(n=4, continuous=True))
gym.register(PARTS, PartsOfAll)

COMMON = dict(n_envs=2, steps=160, checkpoint_every=60, hidden=(8,))
OFF = dict(train_freq=5, gradient_steps=2, batch_size=8, buffer_size=64, learning_starts=15, learning_rate=1e-2)
VECTOR = {
    "ppo": ("CartPole-v1", dict(
        n_steps=10, batch_size=8, n_epochs=2, normalize_observation=True, normalize_reward=True,
        learning_rate="linear(1e-2, 1e-3)", clip_range="linear(0.2, 0.123456789)",
    )),
    "dqn": ("CartPole-v1", dict(
        train_freq=5, gradient_steps=2, batch_size=8, buffer_size=64, learning_starts=15, target_update_interval=25,
        learning_rate=1e-2, exploration="linear(1, 0.1, 0.9)", normalize_observation=True, normalize_reward=True,
    )),
    "sac": ("Pendulum-v1", dict(
        train_freq=5, gradient_steps=2, batch_size=8, buffer_size=500, learning_starts=15, n_critics=2,
        learning_rate="exponential(1e-2, 1e-3)", normalize_observation=True, normalize_reward=True,
    )),
    "a2c": ("CartPole-v1", dict(n_steps=5, learning_rate="linear(1e-2, 1e-3)")),
    "reinforce": ("CartPole-v1", dict(n_steps=10, normalize_reward=True)),
    "trpo": ("CartPole-v1", dict(n_steps=10, batch_size=8, cg_steps=3, n_critic_epochs=2, target_kl="linear(0.1, 0)")),
    "rainbow": ("CartPole-v1", OFF | dict(n_atoms=5, normalize_observation=True)),
    "qrdqn": ("CartPole-v1", OFF | dict(n_quantiles=4, risk=0.6)),
    "ddpg": ("Pendulum-v1", OFF | dict(exploration_deviation="linear(0.3, 0.1)", normalize_observation=True)),
    "td3": ("Pendulum-v1", OFF | dict(gradient_steps=3)),  # so the actor's turn is carried from update to update
    "discrete_sac": ("CartPole-v1", OFF),
    "tqc": ("Pendulum-v1", OFF | dict(n_quantiles=4, dropped_quantiles=1)),
}  # fmt: skip
COMBINED = {
    "recurrent": dict(env=MASKED, action_masks=True, recurrent="lstm", recurrent_units=4, sequence_length=5,
                      batch_size=10),
    "parts": dict(env=PARTS),
}  # fmt: skip


class Pictures(gym.Env):
    """An image whose bright half says which of two actions pays; eight steps an episode."""

    observation_space = gym.spaces.Box(0, 255, (36, 36, 1), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._picture(), {}

    def step(self, action):
        reward = float(action == self.side)
        self.steps += 1
        return self._picture(), reward, self.steps == 8, False, {}

    def _picture(self):
        picture = self.np_random.integers(0, 128, (36, 36, 1), np.uint8)
        self.side = int(self.np_random.integers(2))
        picture[:, 18 * self.side : 18 * self.side + 18] += 100
        return picture


def make(kind, backend, env=None, **changes):
    """A new agent: an algorithm on classic control or in `env`, or one of `COMBINED`; "pictures" acts on its engine."""
    if kind in COMBINED:
        return make("ppo", backend, **{**COMBINED[kind], **changes})
    if kind == "pictures":
        return PPO(Pictures(), backend=backend, seed=3, n_steps=8, batch_size=8, n_epochs=1, steps=16, hidden=(8,))
    usual, hyperparameters = VECTOR[kind]
    return find(kind)(env or usual, backend=backend, seed=3, **{**COMMON, **hyperparameters, **changes})


def observations(agent, n=1000):
    """Observations `[n, ...]` of the kind the agent's environment gives."""
    return _observations(agent.observation_space, n, np.random.default_rng(0))


def _observations(space, n, rng):
    if isinstance(space, spaces.Dict):
        return {name: _observations(part, n, rng) for name, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_observations(part, n, rng) for part in space)
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.n, size=n)
    if isinstance(space, spaces.MultiBinary):
        bits = rng.integers(0, 2, (n, *space.shape), np.int8)
        bits[~bits.any(-1)] = 1  # a mask allows something
        return bits
    if space.dtype == np.uint8:
        return rng.integers(0, 256, (n, *space.shape), np.uint8)
    return rng.standard_normal((n, *space.shape)).astype(np.float32)


def leaves(arrays, prefix=""):
    """name → array of nested dicts."""
    found = {}
    for name, value in arrays.items():
        found |= leaves(value, f"{prefix}{name}/") if isinstance(value, dict) else {prefix + name: np.asarray(value)}
    return found


def everything(agent):
    """Name → value of all that the agent's next step depends on, and what it counted on the way."""
    found = leaves(agent.arrays(replay=True))
    episodes = agent.episodes
    plain = dict(
        steps=agent.steps, total_steps=agent.total_steps, generator=agent.rng.bit_generator.state,
        finished=episodes.finished, returns=list(episodes.returns), lengths=list(episodes.lengths),
    )  # fmt: skip
    return found | plain


def assert_same(first, second):
    """Two results of `everything`, bit for bit, types and shapes included."""
    assert list(first) == list(second)
    different = []
    for name, value in first.items():
        other = second[name]
        if isinstance(value, np.ndarray):
            same = (value.dtype, value.shape) == (other.dtype, other.shape) and np.array_equal(value, other)
        else:
            same = value == other
        if not same:
            different.append(f"{name}: {value!r} and {other!r}")
    assert not different, "\n".join(different)


class Killed(Callback):
    """Saves at the first checkpoint past `after` steps and ends training there, as a killed run leaves it."""

    def __init__(self, path, after=1):
        self.path, self.after = path, after

    def on_checkpoint(self, agent):
        if agent.steps >= self.after:
            agent.save(self.path, replay=True)
            raise StopTraining
