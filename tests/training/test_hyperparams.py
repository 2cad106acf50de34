"""The published hyperparameters: every entry resolves for an environment that exists, and makes an agent."""

from __future__ import annotations

import re
from importlib.resources import files

import gymnasium as gym
import pytest
from engines import ALL

from rlzoo import envs
from rlzoo.algorithms import ALGORITHMS, find
from rlzoo.training.published import published, published_environments
from rlzoo.training.resolve import resolve, validate

ENTRIES = [(algorithm, env) for algorithm in ALGORITHMS for env in published_environments(algorithm)]
FAMILIES = {"classic_control", "box2d", "mujoco", "toy_text", "atari"}


def test_every_file_is_an_algorithms():
    names = [entry.name for entry in files("rlzoo.hyperparams").iterdir()]
    assert {name.removesuffix(".toml") for name in names if name.endswith(".toml")} <= set(ALGORITHMS)


@pytest.mark.parametrize("algorithm, env", ENTRIES)
def test_a_published_entry_makes_an_agent(algorithm, env):
    """Each value reaches the agent's config from the place that publishes it, and the agent fits the environment."""
    family = envs.family_of(env)  # raises UserError where Gymnasium does not know the environment
    assert family in FAMILIES or ":" in env
    resolved = resolve(algorithm, find(algorithm).Config, env, family, {})
    published = [name for name, source in resolved.sources.items() if source.startswith(f"environment {env}")]
    assert "steps" in published, "an entry says its budget"
    try:
        gym.make(env).close()
    except gym.error.DependencyNotInstalled:
        if ALL:
            raise
        pytest.skip(f"{env} is not installed")
    agent = find(algorithm)(env, backend="numpy")
    assert agent.config == resolved.config
    agent.vector_env.close()


def test_a_file_answers_for_every_family_it_names():
    """A family in a file is one that an environment may have: a mistyped one would never be found."""
    for algorithm in ALGORITHMS:
        assert set(published(algorithm).get("families", {})) <= FAMILIES, algorithm


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_a_family_calls_common_is(algorithm):
    """Its environments have it: all of them, or most where it says so."""
    kind = find(algorithm).Config
    for family, table in published(algorithm).get("families", {}).items():
        found = re.search(r"common to (most of )?the settings of its environments", table["source"])
        members = [env for env in published_environments(algorithm) if envs.family_of(env) == family]
        for name in table.keys() - {"source"} if found else ():
            wanted = getattr(validate(algorithm, kind, {name: table[name]}), name)
            have = [getattr(resolve(algorithm, kind, env, family, {}).config, name) == wanted for env in members]
            assert 2 * sum(have) > len(have) if found[1] else all(have), f"{name} of {family}"


def test_peers_values_that_were_read_by_hand():
    """A few entries against the figures that RL Baselines3 Zoo publishes."""

    def config(algorithm, env):
        return resolve(algorithm, find(algorithm).Config, env, envs.family_of(env), {}).config

    trpo = config("trpo", "HalfCheetah-v5")
    assert (trpo.n_steps, trpo.n_envs, trpo.cg_steps, trpo.n_critic_epochs) == (1024, 2, 25, 20)
    assert trpo.target_kl(0.0) == trpo.target_kl(1.0) == 0.04
    lander = config("a2c", "LunarLanderContinuous-v3")
    assert (lander.gae_lambda, lander.gamma, lander.normalize_observation, lander.sde) == (0.9, 0.99, True, True)
    assert (lander.learning_rate(0.0), lander.learning_rate(1.0)) == (7e-4, 0.0)
    cheetah = config("ppo", "HalfCheetah-v5")
    assert (cheetah.hidden, cheetah.activation, cheetah.log_std_init) == ((256, 256), "relu", -2.0)
    assert cheetah.normalize_observation and cheetah.normalize_reward
