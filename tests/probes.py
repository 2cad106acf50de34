"""Environments so small that their values are known in closed form, and agents trained on them.

Observations are two numbers, FIRST or SECOND; `values` of a probe are V(FIRST) and V(SECOND) of the best policy.
`solved` trains an agent on a probe, `state_values` and `action_values` read its critic in NumPy.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlzoo.algorithms import find
from rlzoo.policies import ActorCritic, DiscreteActorCritics, QNetwork

GAMMA = 0.5
STATES = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
FIRST, SECOND = STATES

ACTIONS = {  # kind → the space, the action that pays at FIRST, and the one at SECOND where it differs
    "discrete": (spaces.Discrete(3), 2, 0),
    "multi-discrete": (spaces.MultiDiscrete([2, 3]), [1, 2], [0, 0]),
    "binary": (spaces.MultiBinary(3), [1, 0, 1], [0, 1, 0]),
    "box": (spaces.Box(-2.0, 2.0, (1,)), [0.5], [-0.5]),
}


class OneStep(gym.Env):
    """What all probes share, and the simplest of them: an episode is one step that pays 1 and terminates."""

    values: ClassVar[tuple[float, ...]] = (1.0,)
    action_pays: ClassVar[bool] = False
    observation_space = spaces.Box(-1.0, 1.0, (2,))

    def __init__(self, kind: str = "discrete"):
        self.action_space, *best = ACTIONS[kind]
        self.best = np.array(best)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.start()
        return STATES[self.state], {}

    def start(self) -> int:
        return 0

    def step(self, action):
        return FIRST, 1.0, True, False, {}

    def pay(self, action: Any) -> float:
        """1 for the best action; less by the squared distance of numbers, or by the share of wrong choices."""
        difference = np.asarray(action) - self.best[self.state]
        cost = difference**2 if isinstance(self.action_space, spaces.Box) else difference != 0
        return 1.0 - float(np.mean(cost))


class TwoSteps(OneStep):
    """Nothing for the first step, 1 for the second: V = γ, then 1."""

    values = (GAMMA, 1.0)

    def step(self, action):
        self.state += 1
        return SECOND, float(self.state == 2), self.state == 2, False, {}


class ActionPays(OneStep):
    """1 for the best action, less for any other."""

    action_pays = True

    def step(self, action):
        return FIRST, self.pay(action), True, False, {}


class ObservationMatters(ActionPays):
    """A coin shows FIRST or SECOND, which want opposite actions; SECOND pays double."""

    values = (1.0, 2.0)

    def start(self):
        return int(self.np_random.integers(2))

    def step(self, action):
        return STATES[self.state], (1 + self.state) * self.pay(action), True, False, {}


class Truncated(OneStep):
    """One state that pays 1 for ever, cut off after each step: V = 1 / (1 − γ). `OneStep` is the same, terminated."""

    values = (1.0 / (1.0 - GAMMA),)

    def step(self, action):
        return FIRST, 1.0, False, True, {}


class TruncatedElsewhere(ObservationMatters):
    """FIRST pays nothing and is cut off at SECOND, which pays 1 and terminates: V = γ, and 1.

    V(FIRST) would be 0 if the cut were a termination, and γ / (2 − γ) if the value were that of the next episode.
    """

    values = (GAMMA, 1.0)
    action_pays = False

    def step(self, action):
        return SECOND, float(self.state), self.state == 1, self.state == 0, {}


PROBES = (OneStep, TwoSteps, ActionPays, ObservationMatters, Truncated, TruncatedElsewhere)

ON_POLICY: dict[str, Any] = dict(hidden=(16,), n_steps=8, log_std_init=-1.0)
VALUES: dict[str, Any] = dict(steps=2560, hidden=(16,), exploration=0.5, batch_size=32, train_freq=8, gradient_steps=16,
                              learning_starts=64, buffer_size=2000, tau=0.1, target_update_interval=0)  # fmt: skip
CRITICS: dict[str, Any] = dict(steps=2560, hidden=(32,), batch_size=64, train_freq=8, gradient_steps=32,
                               learning_starts=64, buffer_size=2000, tau=0.1)  # fmt: skip
SOFT = CRITICS | dict(entropy_coefficient=0.01)
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": ON_POLICY | dict(steps=4096, batch_size=32, n_epochs=4),
    "a2c": ON_POLICY | dict(steps=32768, rmsprop=False), "reinforce": ON_POLICY | dict(steps=32768),
    "trpo": ON_POLICY | dict(steps=8192, n_steps=16, batch_size=32, target_kl=0.1),
    "dqn": VALUES, "rainbow": VALUES | dict(n_atoms=31, v_min=-0.5, v_max=2.5), "qrdqn": VALUES | dict(n_quantiles=8),
    "sac": SOFT, "tqc": SOFT | dict(n_quantiles=5, dropped_quantiles=0), "discrete_sac": SOFT,
    "td3": CRITICS | dict(exploration_deviation=0.5, target_noise=0.05, activation="tanh"),
    "ddpg": CRITICS | dict(exploration_deviation=1.0, activation="tanh"),
}  # fmt: skip
CONTINUOUS = ("sac", "tqc", "td3", "ddpg")  # that act in a Box only
_FIRST: dict[Any, Any] = {}


def environment(probe: Any, kind: str, mode: AutoresetMode = AutoresetMode.SAME_STEP) -> SyncVectorEnv:
    """Eight copies of a probe."""
    return SyncVectorEnv([lambda: probe(kind)] * 8, autoreset_mode=mode)


def untrained(algorithm: str, env: SyncVectorEnv, backend: str, seed: int = 0) -> Any:
    """An agent with the settings of probes. Updates are pure, so agents of one kind share one compiled update."""
    kind = find(algorithm)
    agent = kind(env, backend=backend, seed=seed, learning_rate=1e-2, gamma=GAMMA, **SETTINGS[algorithm])
    key = algorithm, backend, repr(env.single_action_space), env.metadata["autoreset_mode"]
    agent.compiled_update = _FIRST.setdefault(key, agent).compiled_update  # which needs its agent
    return agent


def kind_for(algorithm: str, kind: str = "discrete") -> str:
    """The kind of actions a probe has for an algorithm."""
    return "box" if algorithm in CONTINUOUS else kind


def solved(algorithm: str, probe: Any, backend: str, kind: str = "discrete",
           mode: AutoresetMode = AutoresetMode.SAME_STEP) -> Any:  # fmt: skip
    """An agent trained on a probe."""
    return untrained(algorithm, environment(probe, kind_for(algorithm, kind), mode), backend).learn()


def state_values(agent: Any) -> np.ndarray:
    """V(FIRST) and V(SECOND): of the critic, or Q of the greedy action."""
    policy, params = agent.policy, agent.params
    if isinstance(policy, ActorCritic):
        return policy.value(params, policy.features(params, STATES))
    return action_values(agent, STATES, policy.mode(params, STATES)[0])


def action_values(agent: Any, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Q of these actions (of the distribution's own kind); the mean over critics, and over quantiles."""
    policy, params = agent.policy, agent.params
    features = policy.features(params, observations)
    if isinstance(policy, QNetwork):
        return policy.values(policy.outputs(params, features))[np.arange(len(actions)), actions]
    if isinstance(policy, DiscreteActorCritics):
        return np.mean(policy.values(params, features), 0)[np.arange(len(actions)), actions]
    values = np.mean(policy.values(params, features, actions), 0)
    return values if values.ndim == 1 else values.mean(-1)
