"""Collecting while the last rollout is learned from: one update stale, and otherwise the same run every time."""

from __future__ import annotations

import threading
from functools import cache

import numpy as np
import pytest
from engines import require
from test_exact_resume import Records
from tiny_agents import Killed, assert_same, everything, make

from rlzoo import PPO, load
from rlzoo.errors import UserError
from rlzoo.training.callbacks import Callback, Every, StopTraining

SETTINGS = dict(overlap=True, steps=200, checkpoint_every=100)  # ten phases in two halves, each of five rollouts
_FIRST = {}


def shared(agent):
    """The agent, with the compiled update of the first of its engine: updates are pure."""
    key = agent.engine.name, agent.config.overlap
    agent.compiled_update = _FIRST.setdefault(key, agent).compiled_update  # which needs its agent
    return agent


def tiny(backend, **changes):
    return shared(make("ppo", backend, **{**SETTINGS, **changes}))


@cache
def learned(backend, overlap=True):
    """All that an agent holds in the end."""
    return everything(tiny(backend, overlap=overlap).learn())


def spied(agent):
    """What each update is given, as NumPy arrays: (parameters, rollout, the behaviour's parameters)."""
    seen, update = [], agent.compiled_update

    def spy(state, rollout, noise, scalars, *behaviour):
        copied = {name: x.copy() for name, x in rollout.items()}
        seen.append((agent.engine.to_numpy(state["parameters"]), copied, *(x.copy() for x in behaviour)))
        return update(state, rollout, noise, scalars, *behaviour)

    agent.compiled_update = spy
    return seen


def test_it_is_the_same_run_every_time_and_the_same_curve_on_every_engine(backend):
    require("torch")
    assert_same(everything(tiny(backend).learn()), learned(backend))
    assert learned(backend)["steps"] == 200
    assert np.abs(learned(backend)["state/parameters"] - learned("torch")["state/parameters"]).max() < 1e-4


def test_it_is_another_run_than_without_on_the_same_noise():
    require("torch")
    overlapping, plain = learned("torch"), learned("torch", overlap=False)
    assert overlapping["steps"] == plain["steps"] and overlapping["generator"] == plain["generator"]
    assert np.abs(overlapping["state/parameters"] - plain["state/parameters"]).max() > 1e-2


def test_rollouts_are_collected_one_update_stale():
    require("torch")
    changes = dict(normalize_observation=False, learning_rate=0.1)  # large enough to change actions
    agent, twin = tiny("torch", **changes), tiny("torch", **changes)
    seen = spied(agent)
    agent.learn()
    before = [parameters for parameters, _, _ in seen]
    shape, told_apart = (agent.config.n_steps, agent.config.n_envs), 0
    for i, (fresh, rollout, behaviour) in enumerate(seen):
        noise, _ = twin.policy.noise(twin.rng, shape), twin.noise_of_update()  # in the order of taking turns
        stale = before[i if i in (0, 5) else i - 1]  # the first after a checkpoint is fresh
        steps = list(zip(rollout["observation"], noise))
        by_stale, by_fresh = (
            np.stack([twin.policy.sample(twin.layout.split(flat), *step)[0] for step in steps])
            for flat in (stale, fresh)
        )
        np.testing.assert_array_equal(behaviour, stale)
        np.testing.assert_array_equal(rollout["action"], by_stale)
        told_apart += int((by_fresh != by_stale).sum())
    assert len(seen) == 10 and told_apart > 10


def test_the_ratio_is_to_the_policy_that_acted():
    require("torch")
    agent = tiny("torch")
    seen = spied(agent)
    agent.learn()
    parameters, rollout, behaviour = seen[2]
    batch, _ = agent.advantages(parameters, rollout, behaviour)
    fresh, _ = agent.advantages(parameters, rollout)
    collected, _ = agent.advantages(behaviour, rollout)
    np.testing.assert_array_equal(batch["log_prob"], collected["log_prob"])
    np.testing.assert_array_equal(batch["value"], fresh["value"])
    np.testing.assert_array_equal(batch["advantage"], fresh["advantage"])
    assert np.abs(batch["log_prob"] - fresh["log_prob"]).max() > 1e-3


@pytest.mark.parametrize("engine_name", ["jax", "torch"])
def test_resumed_is_uninterrupted(engine_name, tmp_path):
    require(engine_name)
    whole, first, second = Records(), Records(), Records()
    uninterrupted = tiny(engine_name).learn(callbacks=[whole])
    tiny(engine_name).learn(callbacks=[first, Killed(tmp_path / "checkpoint")])
    resumed = shared(load(tmp_path / "checkpoint", backend=engine_name))
    assert resumed.steps == 100
    resumed.learn(callbacks=[second])
    assert_same(everything(resumed), everything(uninterrupted))
    assert first.rows + second.rows == whole.rows


def stop(agent):
    raise StopTraining


def test_stopped_between_checkpoints_it_goes_on_from_memory_as_from_the_file(tmp_path):
    require("torch")
    agent = tiny("torch").learn(callbacks=[Killed(tmp_path / "checkpoint"), Every(40, stop)])
    loaded = shared(load(tmp_path / "checkpoint", backend="torch"))
    assert agent.steps == loaded.steps == 40
    for each in (agent, loaded):
        each.learn()
    assert_same(everything(agent), everything(loaded))


def updating_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


@pytest.mark.parametrize("engine_name", ["jax", "torch"])
def test_interrupted_while_collecting_it_keeps_what_was_learned_and_leaves_no_thread(engine_name):
    require(engine_name)
    agent, plain, calls = tiny(engine_name), tiny(engine_name), []
    sample = agent.sample

    def interrupted(observation, noise):
        calls.append(1)
        if len(calls) == 25:  # in the third rollout, while the second is learned from
            raise KeyboardInterrupt
        return sample(observation, noise)

    agent.sample = interrupted
    with pytest.raises(KeyboardInterrupt):
        agent.learn()
    plain.learn(callbacks=[Every(40, stop)])
    np.testing.assert_array_equal(agent.flat, plain.flat)
    np.testing.assert_array_equal(agent.engine.to_numpy(agent.state["parameters"]), agent.flat)
    assert agent.steps == 40 and not updating_threads()
    assert agent.learn().steps == 200


def test_what_fails_in_the_update_is_raised_and_the_agent_is_as_before():
    require("torch")
    agent = tiny("torch")
    update, before = agent.compiled_update, agent.flat.copy()

    def fails(*arguments):
        raise RuntimeError("of the update")

    agent.compiled_update = fails
    with pytest.raises(RuntimeError, match="of the update"):
        agent.learn()
    assert agent.steps == 0 and not updating_threads()
    np.testing.assert_array_equal(agent.engine.to_numpy(agent.state["parameters"]), before)
    agent.compiled_update = update
    assert agent.learn().steps == 200


class Threads(Callback):
    """How many threads update, at most."""

    most = 0

    def on_steps(self, agent):
        self.most = max(self.most, len(updating_threads()))


@pytest.mark.parametrize("overlap", [False, True])
def test_one_thread_updates_and_none_where_nobody_asked(overlap):
    require("torch")
    threads = Threads()
    tiny("torch", overlap=overlap).learn(callbacks=[threads])
    assert threads.most == overlap and not updating_threads()


def test_acting_on_the_engine_as_image_policies_do_it_is_as_stale(backend):
    agent = tiny(backend)
    agent._acts_on_engine = True
    agent.learn()
    assert np.abs(agent.flat - learned(backend)["state/parameters"]).max() < 1e-4


def test_it_learns():
    require("jax")
    agent = PPO("CartPole-v1", backend="jax", seed=1, overlap=True).learn(30_000)
    assert agent.evaluate(10).mean_return > 400


def test_an_update_that_takes_no_behaviour_is_refused_in_one_line():
    class Fresh(PPO):
        def update(self, state, rollout, minibatches, scalars):
            raise NotImplementedError

    with pytest.raises(UserError, match="ppo cannot learn from a rollout of older parameters: set overlap = false"):
        Fresh("CartPole-v1", overlap=True)
