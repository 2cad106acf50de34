"""Every algorithm, and what combines with it, at the size where finite differences are cheap: agents, fixed batches,
their losses and their updates.

NumPy's finite differences see through `stop_gradient`; `holding_stopped_values` makes them respect it.
"""

from __future__ import annotations

from contextlib import contextmanager
from inspect import signature

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rlzoo.algorithms import find
from rlzoo.backend import numpy as reference_backend
from rlzoo.backend import tree
from rlzoo.training.on_policy import OnPolicyAgent

BATCH, ROLLOUT, N_UPDATES = 8, 16, 50
SCALARS = {
    "learning_rate": np.float64(1e-3), "clip_range": np.float64(0.2), "entropy_coefficient": np.float64(0.01),
    "value_coefficient": np.float64(0.5), "target_kl": np.float64(0.01), "clip_range_value": np.float64(0.1),
}  # fmt: skip


class Spaces(gym.Env):
    """Only spaces, and masks that allow everything: nothing is stepped."""

    observation_space = spaces.Box(-1.0, 1.0, (3,))

    def __init__(self, action_space):
        self.action_space = action_space

    def action_masks(self):
        return np.ones(int(np.sum(getattr(self.action_space, "nvec", getattr(self.action_space, "n", 0)))))


DISCRETE, MULTI, BOX = spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.Box(-1.0, 1.0, (2,))
SETTINGS = {"backend": "numpy", "hidden": (5,), "activation": "tanh", "gamma": 0.9}
ON_POLICY = SETTINGS | {"n_steps": ROLLOUT, "n_envs": 1}
PPO = ON_POLICY | {"batch_size": BATCH}
LSTM = {"recurrent": "lstm", "recurrent_units": 3, "sequence_length": 4, "hidden": (3,)}
GRU = LSTM | {"recurrent": "gru"}
MASKS = {"action_masks": True}
CASES = {  # name → algorithm, action space, settings
    "ppo discrete": ("ppo", DISCRETE, PPO),
    "ppo continuous": ("ppo", BOX, PPO | {"clip_range_value": 0.1, "target_kl": 1.0}),
    "ppo multi-discrete": ("ppo", MULTI, PPO),
    "ppo kl": ("ppo", BOX, PPO | {"objective": "kl"}),
    "ppo sde": ("ppo", BOX, PPO | {"sde": True}),
    "ppo masked": ("ppo", MULTI, PPO | MASKS),
    "ppo recurrent": ("ppo", DISCRETE, PPO | LSTM | MASKS),
    "a2c": ("a2c", DISCRETE, ON_POLICY),
    "a2c recurrent": ("a2c", BOX, ON_POLICY | GRU),
    "reinforce": ("reinforce", spaces.MultiBinary(2), ON_POLICY),
    "trpo": ("trpo", DISCRETE, ON_POLICY | {"batch_size": BATCH, "cg_steps": 4, "hidden": (3,)}),
    "trpo continuous": ("trpo", BOX, ON_POLICY | {"batch_size": BATCH, "cg_steps": 4, "hidden": (2,)}),
    "dqn": ("dqn", DISCRETE, SETTINGS),
    "dqn not double": ("dqn", DISCRETE, SETTINGS | {"double": False}),
    "dqn dueling": ("dqn", DISCRETE, SETTINGS | {"dueling": True}),
    "dqn noisy": ("dqn", DISCRETE, SETTINGS | {"noisy": True}),
    "dqn distributional": ("dqn", DISCRETE, SETTINGS | {"distributional": True, "n_atoms": 5, "v_min": -3, "v_max": 2}),
    "dqn risk-averse": ("dqn", DISCRETE, SETTINGS | {"distributional": True, "n_atoms": 5, "risk": 0.4}),
    "dqn prioritized": ("dqn", DISCRETE, SETTINGS | {"prioritized": True, "n_step": 3}),
    "dqn recurrent": ("dqn", DISCRETE, SETTINGS | LSTM | MASKS),
    "rainbow": ("rainbow", DISCRETE, SETTINGS | {"n_atoms": 4, "hidden": (3,)}),
    "qrdqn": ("qrdqn", DISCRETE, SETTINGS | {"n_quantiles": 4, "risk": 0.6}),
    "td3": ("td3", BOX, SETTINGS),
    "td3 recurrent": ("td3", BOX, SETTINGS | GRU),
    "ddpg": ("ddpg", BOX, SETTINGS),
    "sac": ("sac", BOX, SETTINGS),
    "sac sde": ("sac", BOX, SETTINGS | {"sde": True, "log_std_init": -1.0}),
    "sac prioritized": ("sac", BOX, SETTINGS | {"prioritized": True, "entropy_coefficient": 0.1}),
    "discrete_sac": ("discrete_sac", DISCRETE, SETTINGS),
    "discrete_sac masked": ("discrete_sac", DISCRETE, SETTINGS | MASKS),
    "tqc": ("tqc", BOX, SETTINGS | {"n_quantiles": 3, "dropped_quantiles": 1}),
    "tqc risk-averse": ("tqc", BOX, SETTINGS | {"n_quantiles": 3, "dropped_quantiles": 0, "risk": 0.5}),
}  # fmt: skip
UPDATES = (  # whose whole updates have something that another's has not
    "ppo discrete", "ppo continuous", "ppo kl", "ppo recurrent", "a2c", "a2c recurrent", "trpo", "dqn", "dqn recurrent",
    "rainbow", "qrdqn", "td3", "sac", "discrete_sac", "tqc",
)  # fmt: skip


def agent_of(name):
    algorithm, action_space, settings = CASES[name]
    return find(algorithm)(Spaces(action_space), **settings)


AGENTS = {name: (lambda name=name: agent_of(name)) for name in CASES}


def double(value):
    """The same tree with floats as float64."""
    return tree.map(lambda x: np.asarray(x, np.float64) if np.asarray(x).dtype.kind == "f" else np.asarray(x), value)


def actions(agent, rng, shape):
    return agent.policy.head.random(rng, shape)


def flags(rng, shape):
    return (rng.random(shape) < 0.3).astype(np.float64)


def seen(agent, rng, shape, action):
    """What is seen at steps of these leading axes: normals, masks that allow the action, beginnings of episodes."""
    first = flags(rng, shape)

    def leaf(path, example):
        size = (*shape, *example.shape)
        if path == "first":
            return first
        if path.startswith("memory"):  # nothing is remembered where an episode begins
            return rng.standard_normal(size) * (1.0 - first[..., None])
        if path.endswith("action_mask"):
            return mask_around(action, agent.policy.head.distribution, flags(rng, size) > 0.0)
        return rng.standard_normal(size)

    example = agent.policy.trunk.example()
    leaves, structure = tree.flatten(example)
    return tree.unflatten(structure, [leaf(path, x) for path, x in zip(tree.paths(example), leaves, strict=True)])


def mask_around(action, distribution, mask):
    """The mask with what each action chose allowed."""
    start = 0
    columns = np.moveaxis(action.reshape(*mask.shape[:-1], -1), -1, 0)
    for column, count in zip(columns, getattr(distribution, "counts", mask.shape[-1:]), strict=True):
        np.put_along_axis(mask[..., start : start + count], column[..., None], True, -1)
        start += count
    return mask.astype(np.int8)


def starting_state(agent, rng):
    """The state of learning with weights moved off their initial values (a target equal to them, an actor near 0)."""
    state = double(agent.state)
    return {k: v + 0.3 * rng.standard_normal(v.shape) if k in ("parameters", "target") else v for k, v in state.items()}


def replayed(agent, rng, shape):
    """Transitions and noise of updates of these leading axes, `(B,)` or `(K, B)`."""
    action, following = actions(agent, rng, shape), actions(agent, rng, shape)
    batch = {
        "observation": seen(agent, rng, shape, action), "next_observation": seen(agent, rng, shape, following),
        "action": action, "reward": 2.0 * rng.standard_normal(shape),
        "discount": agent.config.gamma * (1.0 - flags(rng, shape)),
    }  # fmt: skip
    if agent.config.prioritized:
        batch["weight"] = rng.uniform(0.2, 1.0, shape)
    noise = agent.noise_of_update(shape if len(shape) == 2 else (1, *shape))
    return double({"batch": batch, "noise": noise if len(shape) == 2 else tree.map(lambda x: x[0], noise)})


def replayed_case(name, rows=8):
    """An off-policy agent, its state of learning, a batch with noise of an update, and a target for each row."""
    agent, rng = AGENTS[name](), np.random.default_rng(1)
    return agent, starting_state(agent, rng), replayed(agent, rng, (rows,)), rng.standard_normal(rows)


def rollout(agent, rng):
    shape = (ROLLOUT, 1)
    terminated, action = flags(rng, shape), actions(agent, rng, shape)
    return double({
        "observation": seen(agent, rng, shape, action), "next_observation": seen(agent, rng, shape, action),
        "action": action, "reward": rng.standard_normal(shape), "terminated": terminated,
        "valid": 1.0 - 0.3 * flags(rng, shape), "done": np.maximum(terminated, flags(rng, shape)),
    })  # fmt: skip


def learned_from(agent, state, rng):
    """What the loss of an on-policy agent takes: steps `[T · N, ...]`, ratios on both sides of the clip."""
    data = tree.map(lambda x: x.reshape(ROLLOUT, *x.shape[2:]), rollout(agent, rng))
    data = {name: data[name] for name in ("observation", "action")}
    data |= {key: rng.standard_normal(ROLLOUT) for key in ("log_prob", "value", "advantage", "return")}
    params, policy = agent.layout.split(state["parameters"]), agent.policy
    features = policy.features(params, data["observation"], through_time=True)
    outputs = policy.parameters_of_action(params, features)
    data["log_prob"] = policy.head.distribution.log_prob(outputs, data["action"]) + 0.3 * data["log_prob"]
    data["value"] = policy.value(params, features) + 0.2 * data["value"]
    if agent.keeps_outputs:
        rows = (outputs[0], outputs[1] + 0.0 * outputs[0]) if isinstance(outputs, tuple) else outputs
        data["outputs"] = tree.map(lambda x: x + 0.3 * rng.standard_normal(x.shape), rows)
    return data | {"weight": 1.0 - flags(rng, ROLLOUT)}


def as_taken(function, *arguments):
    """Called with as many of these as it takes."""
    return function(*arguments[: len(signature(function).parameters)])


def loss_case(name):
    """A function `(state, data) -> value, metrics and gradient` of an agent's loss, and its arguments."""
    agent, rng = agent_of(name), np.random.default_rng(1)
    state = starting_state(agent, rng)
    if isinstance(agent, OnPolicyAgent):
        data = learned_from(agent, state, rng)
        scalars = SCALARS | ({"penalty": np.float64(0.7)} if "penalty" in state else {})

        def of_on_policy(state, data):
            def loss(params):
                if agent.name != "trpo":
                    return as_taken(agent.loss, params, data, scalars)
                surrogate, entropy = agent.surrogate(params, data)
                return surrogate + 0.7 * agent.divergence(params, data), entropy

            return agent.layout.value_and_grad(loss, state["parameters"])

        return agent, of_on_policy, (state, data)
    data = replayed(agent, rng, (ROLLOUT,))

    def of_off_policy(state, data):
        target, further = targets_of(agent, state, data), loss_arguments(agent, data)
        value, metrics, gradient = agent.layout.value_and_grad(
            lambda params: agent.loss(params, data["batch"], target, *further), state["parameters"]
        )
        return value, metrics, gradient, target

    return agent, of_off_policy, (state, data)


def scalars_of(agent):
    """Those that an off-policy update takes."""
    names = agent.config.scalars(0.0)
    return {name: SCALARS["learning_rate"] if name == "learning_rate" else np.float64(x) for name, x in names.items()}


def targets_of(agent, state, data):
    """The targets of an off-policy agent."""
    return as_taken(agent.targets, state, data["batch"], data["noise"], scalars_of(agent))


def loss_arguments(agent, data):
    """What its loss takes after the target."""
    return [data["noise"], scalars_of(agent)][: len(signature(agent.loss).parameters) - 3]


def update_case(name):
    """An agent's whole update, and arguments that make 50 gradient steps of it where it can be told to."""
    agent, rng = agent_of(name), np.random.default_rng(2)
    state = starting_state(agent, rng)
    if isinstance(agent, OnPolicyAgent):
        data = rollout(agent, rng)
        scalars = {key: SCALARS[key] for key in agent.config.scalars(0.0)}
        noise = agent.noise_of_update()
        if noise is None:  # a gradient step a rollout
            return agent, agent.update, (state, data, None, scalars | {"learning_rate": np.float64(1.0)})
        if agent.policy.trunk.cell is not None:  # whose differences take long: few steps, and long ones
            return agent, agent.update, (state, data, noise[:5], scalars | {"learning_rate": np.float64(1e-2)})
        n = 1 if agent.name == "trpo" else N_UPDATES
        indices = [rng.permutation(ROLLOUT)[:BATCH] for _ in range(n)]
        return agent, agent.update, (state, data, np.array(indices, np.int32), scalars)
    fixed = replayed(agent, rng, (1, BATCH))
    inputs = tree.map(lambda x: np.repeat(x, N_UPDATES, 0), fixed) | {"tau": np.full(N_UPDATES, 0.05)}
    return agent, agent.update, (state, inputs, scalars_of(agent))


@contextmanager
def holding_stopped_values(monkeypatch):
    """Within, what `stop_gradient` returns at a point is held while finite differences move the arguments round it."""
    differences = reference_backend.value_and_grad

    def value_and_grad(function, arrays):
        held = []

        def note(x):
            held.append(x)
            return x

        with monkeypatch.context() as patch:
            patch.setattr(reference_backend, "stop_gradient", note)
            function(arrays)

            def with_held(arrays):
                again = iter(held)
                patch.setattr(reference_backend, "stop_gradient", lambda x: next(again))
                return function(arrays)

            return differences(with_held, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(reference_backend, "value_and_grad", value_and_grad)
        yield
