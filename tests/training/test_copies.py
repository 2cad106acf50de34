"""Pickled or copied, an agent is what its checkpoint would be: it acts the same and learns on the same."""

from __future__ import annotations

import copy
import gc
import multiprocessing as mp
import pickle

import gymnasium as gym
import numpy as np
import pytest
from counting import Counting
from engines import require
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers.vector import TransformReward
from tiny_agents import assert_same, everything, make

from rlzoo import PPO, UserError, load


def pickled(agent):
    return pickle.loads(pickle.dumps(agent))


@pytest.mark.parametrize("how", [pickled, copy.deepcopy])
@pytest.mark.parametrize("kind, engine_name", [("ppo", "jax"), ("ppo", "torch"), ("rainbow", "torch")])
def test_a_copy_learns_on_as_what_was_saved(kind, engine_name, how, tmp_path):
    require(engine_name)
    new = make(kind, engine_name)
    assert_same(everything(how(new)), everything(new))
    agent = make(kind, engine_name).learn(80)
    twin, saved = how(agent), load(agent.save(tmp_path / "saved", replay=True), backend=engine_name)
    assert_same(everything(twin), everything(agent))
    for each in (twin, saved):
        each.learn(40)
    assert_same(everything(twin), everything(saved))
    agent.learn(40)
    assert_same(everything(twin), everything(agent))


def test_a_copys_environment_is_its_own():
    agent = PPO(Counting(), backend="numpy", hidden=(8,))
    twin = copy.deepcopy(agent)
    assert twin.env is not agent.env and twin.evaluate(1).returns == agent.evaluate(1).returns


@pytest.mark.parametrize("wrap", [lambda env: env, lambda env: TransformReward(env, lambda reward: reward * 0.5)])
def test_environments_in_other_processes_are_made_anew_here_and_the_original_goes_on(wrap):
    require("torch")
    env = AsyncVectorEnv([lambda: gym.make("CartPole-v1")] * 2)
    agent = PPO(wrap(env), backend="torch", n_steps=8, batch_size=8, hidden=(8,)).learn(16)
    twin = copy.deepcopy(agent)
    copy.deepcopy(agent)  # and dropped
    gc.collect()
    assert isinstance(twin.env.unwrapped, SyncVectorEnv)
    for each in (twin, agent):
        each.learn(32)
    assert_same(everything(twin), everything(agent))
    env.close()


def test_what_cannot_be_copied_is_unharmed_by_the_attempt():
    here, there = mp.Pipe()
    env = Counting()
    env.here = here
    agent = PPO(env, backend="numpy", hidden=(8,))
    message = r"^Counting cannot be copied \(it holds a connection to another process\): save the agent, and load"
    with pytest.raises(UserError, match=message):
        copy.deepcopy(agent)
    gc.collect()
    there.send("still there")
    assert here.recv() == "still there"


def flat_of(agent):
    return agent.learn(20).flat


def test_agents_are_handed_to_processes_and_back():
    require("torch")
    agents = [make("ppo", "torch", gamma=gamma) for gamma in (0.9, 0.99)]
    with mp.get_context("spawn").Pool(1) as pool:
        found = pool.map(flat_of, agents)
    for agent, flat in zip(agents, found, strict=True):
        np.testing.assert_array_equal(flat, agent.learn(20).flat)


def complaint_of(agent):
    with pytest.raises(UserError) as caught:
        agent.learn(20)
    return str(caught.value)


@pytest.mark.skipif("fork" not in mp.get_all_start_methods(), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning", "ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("name", ["jax", "tensorflow", "mindspore"])
def test_what_would_hang_in_a_forked_process_is_refused_there(name):
    """Also an agent that was forked with its compiled update at hand, as `inherited` is; acting goes on."""
    require(name)
    inherited = make("ppo", name)
    inherited.engine.compile(lambda x: x)
    agent = make("ppo", name)
    with mp.get_context("fork").Pool(1, initializer=globals().update, initargs=({"forked": inherited},)) as pool:
        said = pool.apply_async(complaint_of, (agent,)).get(60)
        assert said == pool.apply_async(complaint_of_forked).get(60)
        acted = pool.apply_async(act, (agent,)).get(60)
    mend = "start worker processes with multiprocessing.get_context('spawn')"
    assert said == f"{name} cannot run in a process that was forked after {name} had run: {mend}"
    assert acted == act(agent)


def complaint_of_forked():
    return complaint_of(globals()["forked"])


def act(agent):
    return agent.act(np.zeros(4, np.float32))
