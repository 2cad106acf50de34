"""Every algorithm on every engine learns the values that probe environments have in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from probes import (
    FIRST,
    PROBES,
    SETTINGS,
    STATES,
    ActionPays,
    ObservationMatters,
    TruncatedElsewhere,
    action_values,
    environment,
    kind_for,
    solved,
    state_values,
    untrained,
)

KINDS = ("multi-discrete", "binary", "box")


def assert_greedy(agent, probe, kind):
    """The deterministic action is the best one in every state the probe has."""
    best = probe(kind).best[: len(probe.values)]
    actions = agent.act(STATES[: len(best)])
    if kind == "box":
        np.testing.assert_allclose(actions, best, atol=0.2)
    else:
        np.testing.assert_array_equal(actions, best)


TELLING = (ObservationMatters, TruncatedElsewhere)  # of the probes, those that most faults fail
WHOLE = ("ppo", "dqn", "sac")  # that are tried on all of them on every engine; the others on JAX


def cases():
    """Every probe on JAX; elsewhere all for some algorithms, and the telling ones for the others."""
    for algorithm in SETTINGS:
        for probe in PROBES:
            for name in ("jax", "torch", "tensorflow", "mindspore"):
                if name == "jax" or algorithm in WHOLE or probe in TELLING:
                    yield pytest.param(algorithm, probe, name, id=f"{algorithm}-{probe.__name__}-{name}")


@pytest.mark.parametrize("algorithm, probe, backend", list(cases()), indirect=["backend"])
def test_values_and_actions(algorithm, probe, backend):
    """`Truncated` and `OneStep` are one but for what ends their episodes: were the cut a termination, so were V."""
    agent = solved(algorithm, probe, backend)
    kind = kind_for(algorithm)
    tolerance = 0.15 if kind == "box" and probe.action_pays else 0.05
    np.testing.assert_allclose(state_values(agent)[: len(probe.values)], probe.values, atol=tolerance)
    if probe.action_pays:
        assert_greedy(agent, probe, kind)
    if probe is ObservationMatters and algorithm in ("dqn", "rainbow", "qrdqn", "discrete_sac"):
        assert_values_of_all_choices(agent)
    if probe is ActionPays and kind == "box":
        assert_values_across_a_box(agent)
    if probe is ActionPays and algorithm == "ppo":
        assert_certain(agent)


def assert_values_of_all_choices(agent):
    """Also of the actions that the greedy agent leaves."""
    values = [action_values(agent, STATES, np.full(2, action)) for action in range(3)]
    np.testing.assert_allclose(values, [[0.0, 2.0], [0.0, 0.0], [1.0, 0.0]], atol=0.05)


def assert_values_across_a_box(agent):
    """Actions of the distribution are half the environment's."""
    values = action_values(agent, np.stack([FIRST] * 3), np.array([[-0.25], [0.25], [0.75]], np.float32))
    np.testing.assert_allclose(values, [0.0, 1.0, 0.0], atol=0.3)


def assert_certain(agent):
    """Logits held in [−1, 1] by a tanh would leave a third choice of three at most e² / (e² + 2) = 0.79."""
    sampled = agent.act(np.tile(FIRST, (300, 1)), deterministic=False)
    assert np.mean(sampled == 2) > 0.95


@pytest.mark.parametrize("probe", [ActionPays, ObservationMatters])
@pytest.mark.parametrize("kind", KINDS)
def test_ppo_in_every_action_space(backend, kind, probe):
    in_every_action_space("ppo", backend, kind, probe)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ["a2c", "reinforce", "trpo"])
def test_other_actor_critics_in_every_action_space(algorithm, kind):
    in_every_action_space(algorithm, "jax", kind, ObservationMatters)


def in_every_action_space(algorithm, backend, kind, probe):
    agent = solved(algorithm, probe, backend, kind)
    assert_greedy(agent, probe, kind)
    values, n = np.array(probe.values), len(probe.values)
    if kind == "box":  # a Gaussian pays 1 − (mean − best)² − σ² on average
        miss = agent.policy.mode(agent.params, STATES)[0][:n, 0] - probe(kind).best[:n, 0]
        values = values * (1.0 - miss**2 - np.exp(2.0 * agent.params["log_std"][0]))
    np.testing.assert_allclose(state_values(agent)[:n], values, atol=0.1)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])  # the others have SAME_STEP
@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "dqn", "rainbow", "sac"])
def test_final_observation_is_bootstrapped_in_every_autoreset_mode(algorithm, mode):
    agent = solved(algorithm, TruncatedElsewhere, "jax", mode=mode)
    np.testing.assert_allclose(state_values(agent), TruncatedElsewhere.values, atol=0.05)


@pytest.mark.parametrize("algorithm", ["ppo", "dqn", "sac"])
def test_one_seed_gives_one_agent(algorithm):
    """Bit for bit; another seed gives another agent. On the other engines `test_exact_resume.py` holds the former."""
    kind = kind_for(algorithm)

    def weights(seed):
        return untrained(algorithm, environment(ObservationMatters, kind), "jax", seed).learn(256).flat

    first, again, other = weights(3), weights(3), weights(4)
    np.testing.assert_array_equal(first, again)
    assert np.mean(first != other) > 0.5
