"""Critics whose hidden layers are as wide as `critic_hidden` says, and the actor's as `hidden` says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from loss_cases import BOX, DISCRETE, SETTINGS, Spaces

from rlzoo import PPO, UserError
from rlzoo.algorithms import ALGORITHMS, find
from rlzoo.nn import Dense

ACTORS_AND_CRITICS = ("a2c", "ddpg", "discrete_sac", "ppo", "reinforce", "sac", "td3", "tqc", "trpo")
SMALL = {name: dict(n_steps=8, batch_size=8) for name in ("ppo", "trpo")}


def agent_of(name, **changes):
    space = DISCRETE if name == "discrete_sac" else BOX
    return find(name)(Spaces(space), **SETTINGS | SMALL.get(name, {}) | changes)


def widths(layer):
    return [part.units for part in layer.layers if isinstance(part, Dense)]


@pytest.mark.parametrize("name", ACTORS_AND_CRITICS)
def test_actor_and_critics_are_as_wide_as_each_is_told(name):
    agent = agent_of(name, hidden=(5,), critic_hidden="7,6")
    policy = agent.policy
    critic = policy.critic if hasattr(policy, "critic") else policy.critics.layer
    assert widths(policy.actor)[:-1] == [5] and widths(critic)[:-1] == [7, 6]
    assert agent.config.model_dump(mode="json")["critic_hidden"] == [7, 6]


@pytest.mark.parametrize("name", ACTORS_AND_CRITICS)
def test_untold_they_are_as_wide_as_the_actor(name):
    untold, told = agent_of(name), agent_of(name, critic_hidden=SETTINGS["hidden"])
    np.testing.assert_array_equal(untold.flat, told.flat)
    assert untold.config.critic_hidden is None and agent_of(name, critic_hidden="none").config.critic_hidden is None


def test_it_is_offered_where_there_is_an_actor_and_nowhere_else():
    assert {name for name in ALGORITHMS if "critic_hidden" in find(name).Config.model_fields} == {*ACTORS_AND_CRITICS}
    with pytest.raises(UserError, match="unknown hyperparameter 'critic_hidden' of dqn"):
        find("dqn")(Spaces(DISCRETE), **SETTINGS, critic_hidden=(4,))


@pytest.mark.parametrize("wrong, words", [("0", "must be at least 1"), ("4,x", "integer"), ("4.5", "integer")])
def test_what_is_no_width_is_refused(wrong, words):
    with pytest.raises(UserError, match=rf"critic_hidden.*{words}"):
        agent_of("ppo", critic_hidden=wrong)


def test_a_checkpoint_keeps_it_and_one_from_before_has_the_actors(tmp_path):
    agent = agent_of("ppo", critic_hidden=(7, 6))
    np.testing.assert_array_equal(PPO.load(agent.save(tmp_path / "new"), backend="numpy").flat, agent.flat)
    before = agent_of("ppo")
    path = before.save(tmp_path / "before") / "manifest.json"
    plain = json.loads(path.read_text())
    del plain["config"]["critic_hidden"], plain["sources"]["critic_hidden"]
    path.write_text(json.dumps(plain))
    loaded = PPO.load(tmp_path / "before", backend="numpy")
    np.testing.assert_array_equal(loaded.flat, before.flat)
    assert loaded.config == before.config


@pytest.mark.parametrize("critic_hidden", [[10_000_000], [1] * 20_000])
def test_a_strangers_file_may_not_ask_for_critics_larger_than_itself(critic_hidden, tmp_path):
    path = agent_of("sac").save(tmp_path / "stranger") / "manifest.json"
    plain = json.loads(path.read_text())
    plain["config"]["critic_hidden"] = critic_hidden
    path.write_text(json.dumps(plain))
    with pytest.raises(UserError, match="more parameters than the file has"):
        find("sac").load(tmp_path / "stranger", backend="numpy")


def test_they_learn():
    """A critic of no hidden layer beside an actor of one: after an update both have moved."""
    settings = dict(backend="jax", hidden=(4,), critic_hidden=(), n_steps=64, batch_size=64)
    agent = PPO("CartPole-v1", **settings)
    assert widths(agent.policy.critic) == [1]
    before = agent.layout.split(agent.flat.copy())
    agent.learn(64)
    for part in ("actor", "critic"):
        moved = [np.abs(agent.params[part][key][name] - before[part][key][name]).max()
                 for key in before[part] for name in before[part][key]]  # fmt: skip
        assert min(moved) > 1e-6
