"""Images of a rollout are given to the networks part by part, and what comes of it is what all at once would give."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from parity import assert_close, compiled

from rlzoo.algorithms import find
from rlzoo.backend import ops, tree
from rlzoo.backend.recorder import record
from rlzoo.training import actor_critic

N_STEPS, N_ENVS = 8, 3
SETTINGS = dict(backend="numpy", hidden=(4,), n_steps=N_STEPS, n_envs=N_ENVS)
MEMORY = dict(recurrent="lstm", recurrent_units=3, sequence_length=4)
IMAGE, DISCRETE, BOX = spaces.Box(0, 255, (36, 36, 1), np.uint8), spaces.Discrete(3), spaces.Box(-1.0, 1.0, (2,))
CASES = {  # name → algorithm, action space, settings
    "ppo": ("ppo", DISCRETE, dict(batch_size=8)),
    "ppo kl": ("ppo", BOX, dict(batch_size=8, objective="kl")),
    "ppo recurrent": ("ppo", BOX, dict(batch_size=8, objective="kl") | MEMORY),
    "ppo masked": ("ppo", DISCRETE, dict(batch_size=8, action_masks=True)),
    "trpo": ("trpo", DISCRETE, dict(batch_size=8)),
    "a2c": ("a2c", BOX, {}),
}


class Spaces(gym.Env):
    """Only spaces, and masks that allow everything: nothing is stepped."""

    def __init__(self, observation, action):
        self.observation_space, self.action_space = observation, action

    def action_masks(self):
        return np.ones(3)


def agent_of(name, observation=IMAGE, **changes):
    algorithm, action, settings = CASES[name]
    settings = SETTINGS | settings | changes
    env = gym.vector.SyncVectorEnv([lambda: Spaces(observation, action)] * settings["n_envs"])
    return find(algorithm)(env, **settings)


def rollout(agent, rng):
    """What a rollout buffer may hold: pixels, memories and masks by chance."""
    shape = (agent.config.n_steps, agent.config.n_envs)

    def leaf(example):
        if example.dtype == np.uint8:
            return rng.integers(0, 256, (*shape, *example.shape), np.uint8)
        return np.ones((*shape, *example.shape), example.dtype) * (rng.random((*shape, *example.shape)) < 0.7)

    def seen():
        found = tree.map(leaf, agent.policy.trunk.example())
        if agent.config.action_masks:
            found["action_mask"] = np.maximum(found["action_mask"], np.int8([1, 0, 0]))
        return found

    def of_steps(low=0.0):
        return (rng.random(shape) < 0.2).astype(np.float32) if low is None else rng.normal(size=shape)

    action = agent.policy.head.random(rng, shape)
    if agent.config.action_masks:
        action = np.zeros_like(action)
    done = of_steps(None)
    return tree.map(lambda x: x.astype(np.float32) if x.dtype == np.float64 else x, {
        "observation": seen(), "next_observation": seen(), "action": action, "reward": of_steps(),
        "terminated": done * (rng.random(shape) < 0.5), "valid": 1.0 - of_steps(None), "done": done,
    })  # fmt: skip


def moved(agent, rng):
    return agent.flat + np.float32(0.05) * rng.standard_normal(agent.flat.size).astype(np.float32)


def judged_of(agent, rng, ahead=True):
    """What is computed of a rollout, `ahead` or not, besides what is learned, as a function of arrays, and these."""
    flat, behaviour, data = moved(agent, rng), moved(agent, rng), rollout(agent, rng)
    penalizes = "penalty" in agent.initial_state(flat)

    def judged(flat, behaviour, data):
        batch, explained = agent.advantages(flat, data, behaviour if ahead and agent.name == "ppo" else None)
        drift = {"drift": agent.drift(flat, batch)} if penalizes else {}
        return {"batch": batch, "explained": explained} | drift

    return judged, (flat, behaviour, data)


@pytest.mark.parametrize("name", CASES)
def test_parts_give_what_the_whole_gives(name, monkeypatch):
    """Twenty-four frames in five parts, so that one of them is filled up; and in two."""
    agent = agent_of(name)
    judged, arguments = judged_of(agent, np.random.default_rng(0))
    assert agent.parts == 1
    whole = judged(*arguments)
    assert agent.keeps_outputs == ("outputs" in whole["batch"]) == (name in ("ppo kl", "ppo recurrent", "trpo"))
    assert whole.get("drift", 1.0) > 1e-4 and np.abs(whole["batch"]["value"]).min() > 0.0
    for frames, parts in ((5, 5), (13, 2)):
        del agent.parts
        monkeypatch.setattr(actor_critic, "FRAMES", frames)
        assert agent.parts == parts
        assert_close(judged(*arguments), whole)


def test_parts_give_it_on_every_engine(engine, monkeypatch):
    """With memory, and a log standard deviation that is no row's own; six sequences of four steps in three parts."""
    agent = agent_of("ppo recurrent")
    judged, arguments = judged_of(agent, np.random.default_rng(0), ahead=False)
    whole = judged(*arguments)
    monkeypatch.setattr(actor_critic, "FRAMES", 8)
    del agent.parts
    assert agent.parts == 3
    assert_close(compiled(engine, judged, *arguments), whole, tolerance=2e-5)


def convolved(program):
    """How many frames each convolution of a program takes, those of its gradients and folds too."""
    found = []
    for instruction in program.instructions:
        if instruction.body is not None:
            found += convolved(instruction.body)
        if instruction.op == "conv2d":
            found.append(instruction.arguments[0].shape[0])
    return found


@pytest.mark.parametrize("name", ["ppo", "ppo kl", "ppo recurrent"])
def test_no_more_frames_than_a_part_or_a_minibatch_are_convolved_at_once(name, monkeypatch):
    monkeypatch.setattr(actor_critic, "FRAMES", 12)
    agent, rng = agent_of(name), np.random.default_rng(0)
    arguments = agent.state, rollout(agent, rng), agent.noise_of_update(), agent.scalars()
    assert set(convolved(record(agent.update, arguments))) == {8, 12}


def test_a_rollout_of_five_hundred_frames_is_one_part_and_so_is_one_of_vectors_however_long():
    assert actor_critic.FRAMES == 512
    made = [agent_of("ppo", IMAGE, n_envs=1, n_steps=n) for n in (512, 513, 1500)]
    assert [agent.parts for agent in made] == [1, 2, 3]
    assert agent_of("ppo", BOX, n_envs=1, n_steps=4096).parts == 1


def test_long_sequences_are_never_cut():
    agent = agent_of("ppo recurrent", n_envs=2, n_steps=1200, sequence_length=600, batch_size=600)
    assert agent.parts == 4
    calls = []

    def function(rows, constants):
        calls.append(rows["step"].copy())
        return ops.square(rows["step"])

    steps = np.arange(2400.0)
    np.testing.assert_array_equal(agent.in_parts(function, {"step": steps}, {"flat": agent.flat}), steps**2)
    assert [len(call) for call in calls] == [600] * 4
    assert all((np.diff(call) == 2).all() for call in calls)  # one environment of two, step by step
