"""One checkpoint, every engine: saved on any, loaded on any other and on NumPy, it acts and learns alike."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from counting import Counting
from engines import INSTALLED, require
from gymnasium import spaces
from tiny_agents import COMBINED, Pictures, assert_same, everything, make, observations

from rlzoo import PPO, UserError, load
from rlzoo.algorithms import ALGORITHMS
from rlzoo.backend import tree

EVERYWHERE = ["ppo", "dqn", "sac", "pictures"]  # saved on every engine; the others on the first alone
KINDS = [*EVERYWHERE, *(name for name in ALGORITHMS if name not in EVERYWHERE), *COMBINED]


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """(kind, engine) → (checkpoint of an agent trained there, all it held, its actions); trained when asked for."""

    @cache
    def train(kind, engine):
        budget = dict(steps=40, checkpoint_every=20) if kind != "pictures" else {}
        agent = make(kind, engine, **budget).learn()
        path = agent.save(tmp_path_factory.mktemp("saved") / f"{kind}_{engine}", replay=True)
        return path, everything(agent), act(agent)[1]

    return train


def act(agent):
    """What the networks see and the actions chosen for it; with memory, at the third step of an episode."""
    given = observations(agent)
    if agent.policy.trunk.cell is None:
        return agent._prepared(given), agent.act(given)
    memory = agent.memory(1000)
    for shift in (2, 1):
        agent.act(tree.map(lambda x: np.roll(x, shift, 0), given), memory=memory)  # noqa: B023
    seen = memory.around(agent._prepared(given))
    assert not seen["first"].any() and min(np.abs(state).max() for state in tree.flatten(seen["memory"])[0]) > 0.01
    return seen, agent.act(given, memory=memory)


def assert_agree(actions, expected, scores=None):
    """The same choices, but where the two best scores `[N, choices]` are all but equal; the same numbers to 1e-5."""
    assert actions.dtype == expected.dtype and actions.shape == expected.shape == (1000, *actions.shape[1:])
    assert len(np.unique(expected)) > 1, "an agent that always does the same would agree by chance"
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-5)
        return
    first, second = np.sort(scores, -1)[:, :-3:-1].T
    tied = first - second < 1e-5
    assert tied.mean() < 0.05
    np.testing.assert_array_equal(actions[~tied], expected[~tied])


def compiled_mode(agent):
    """The deterministic policy compiled on the agent's engine, a function of flat parameters and observations."""
    return agent.engine.compile(lambda flat, rows: agent.policy.mode(agent.layout.split(flat), rows))


def scores(agent, seen):
    """What the choice is made by, in NumPy: logits or action values; None for continuous actions."""
    policy, params = agent.policy, agent.params
    features = policy.features(params, seen)
    if hasattr(policy, "returns"):
        return policy.values(policy.outputs(params, features), features.mask)
    if np.issubdtype(policy.head.dtype, np.integer):
        return policy.parameters_of_action(params, features)
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_loaded_elsewhere_it_holds_and_does_the_same(kind, backend, saved):
    compiled = policy = None  # one compilation serves the checkpoints of every engine: parameters are an argument
    for engine in INSTALLED if kind in EVERYWHERE else INSTALLED[:1]:
        path, held, actions = saved(kind, engine)
        agent = load(path, backend=backend, eager=kind not in EVERYWHERE)  # compiling is what takes the time
        assert_same(everything(agent), held)
        if policy is not None:
            agent._compiled_policy = policy
        seen, found = act(agent)
        policy = agent._compiled_policy
        judged = scores(agent, seen)
        assert_agree(found, actions, judged)
        if kind == "pictures":
            continue  # it acted by its compiled policy just now
        if compiled is None:
            compiled = compiled_mode(agent)
        mode, _ = agent.engine.to_numpy(compiled(agent.flat, seen))
        assert_agree(agent.policy.head.to_env(mode), actions, judged)


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_loaded_on_numpy_it_acts(kind, backend, saved):
    acts_on_numpy(*saved(kind, backend))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in EVERYWHERE])
def test_what_the_first_engine_saved_acts_on_numpy(kind, saved):
    acts_on_numpy(*saved(kind, INSTALLED[0]))


def acts_on_numpy(path, held, actions):
    agent = load(path, backend="numpy", replay=True)
    assert_same(everything(agent), held)
    seen, found = act(agent)
    assert_agree(found, actions, scores(agent, seen))
    with pytest.raises(UserError, match="numpy acts but does not learn"):
        agent.learn()


@pytest.mark.parametrize("kind", ["ppo", "dqn", "sac"])
def test_learning_goes_on_elsewhere_as_it_would_have_at_home(kind, backend, saved):
    neighbour = INSTALLED[(INSTALLED.index(backend) + 1) % len(INSTALLED)]
    path, held, _ = saved(kind, neighbour)
    here, home = (load(path, backend=name).learn(20) for name in (backend, neighbour))
    moved, expected = everything(here), everything(home)
    assert here.steps == 60 and moved["generator"] == expected["generator"] != held["generator"]
    assert moved["state/optimizer/count"] > held["state/optimizer/count"]
    assert np.abs(moved["state/parameters"] - held["state/parameters"]).max() > 1e-3
    for name in (name for name in moved if name.startswith(("state", "normalizers"))):
        np.testing.assert_allclose(moved[name], expected[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_pictures_learn_on_elsewhere(saved):
    path, held, _ = saved("pictures", INSTALLED[0])
    agent = load(path, env=Pictures(), backend=INSTALLED[:2][-1]).learn(8)
    assert agent.steps == 24
    assert agent.evaluate(2).lengths == (8, 8)
    assert (everything(agent)["state/parameters"] != held["state/parameters"]).any()


def test_two_engines_learning_by_turns_do_not_disturb_each_other():
    if len(INSTALLED) < 2:
        pytest.skip("two engines are needed")

    def agents():
        return [make("dqn", engine, steps=40, checkpoint_every=20) for engine in INSTALLED]

    alone = [agent.learn(20).learn(20) for agent in agents()]
    together = agents()
    for _ in range(2):
        for agent in together:
            agent.learn(20)
    for one, other in zip(together, alone):
        assert one.steps == 40
        assert_same(everything(one), everything(other))


@pytest.mark.parametrize("name", ["log_std_init", "initializer", "initial_entropy_coefficient"])
def test_what_only_a_new_agent_reads_is_refused(tmp_path, name):
    kind, value = ("sac", 0.5) if name == "initial_entropy_coefficient" else ("ppo", "xavier" if "z" in name else -1.0)
    path = make(kind, "torch").save(tmp_path / "agent")
    with pytest.raises(UserError, match=f"^{name} is what a new {kind} begins with, not one that is loaded"):
        load(path, **{name: value})


def test_another_budget_is_that_which_is_learned_to(tmp_path):
    agent = PPO("CartPole-v1", backend="torch", n_envs=1, n_steps=8, batch_size=8, hidden=(4,), steps=80).learn(16)
    path = agent.save(tmp_path / "agent")
    assert load(path).learn().steps == 80 and load(path, steps=40).learn().steps == 40
    again = load(load(path, steps=40).learn(8).save(tmp_path / "later"))
    assert again.total_steps == 24 and again.learn().steps == 40


@pytest.mark.parametrize("low, high", [(0.0, 0.5), (-2.0, 2.0)])
def test_other_bounds_of_actions_are_refused(tmp_path, low, high):
    """The agent's actions have those that it was made with."""

    def bounded(low, high):
        class Bounded(Counting):
            action_space = spaces.Box(low, high, (1,))

        return Bounded()

    agent = PPO(bounded(-1.0, 1.0), backend="torch", n_steps=8, batch_size=8, hidden=(4,))
    path = agent.save(tmp_path / "agent")
    load(path, env=bounded(-1.0, 1.0)).learn(8)
    with pytest.raises(UserError, match="the agent's action space is Box"):
        load(path, env=bounded(low, high)).learn(8)
    with pytest.raises(UserError, match="the agent's action space is Box"):
        agent.evaluate(1, env=bounded(low, high))


def test_it_is_loaded_with_other_hyperparameters_to_learn_on_with(tmp_path):
    require("torch")
    path = make("ppo", "torch").learn(40).save(tmp_path / "saved")
    agent = load(path, backend="torch", learning_rate=0.5, n_envs=4, n_steps=5, batch_size=4)
    assert (agent.config.learning_rate(0.0), agent.resolved.sources["learning_rate"]) == (0.5, "load")
    np.testing.assert_array_equal(agent.flat, load(path, backend="numpy").flat)
    assert agent.learn(20).steps == 60 and agent.vector_env.num_envs == 4
    again = load(agent.save(tmp_path / "again"), backend="numpy")
    assert (again.config.n_envs, again.config.learning_rate(1.0)) == (4, 0.5)
    with pytest.raises(UserError, match=r"does not fit hidden = \(16,\)"):
        load(path, backend="numpy", hidden=(16,))
    with pytest.raises(UserError, match="unknown hyperparameter 'learning_rat'"):
        load(path, backend="numpy", learning_rat=0.5)
    with pytest.raises(UserError, match=r"gamma = 2\.0 of ppo is not valid"):
        load(path, backend="numpy", gamma=2.0)


def test_what_normalizes_stays_with_what_was_learned(tmp_path):
    path = PPO("CartPole-v1", backend="numpy", hidden=(4,), normalize_observation=True, normalize_reward=True).save(
        tmp_path / "saved"
    )
    for name in ("normalize_observation", "normalize_reward"):
        with pytest.raises(UserError, match=rf"does not fit {name} = False \(it was learned with {name} = true\)$"):
            load(path, backend="numpy", **{name: False})


def test_a_replay_without_priorities_has_none_to_go_on_with(tmp_path):
    require("torch")
    path = make("dqn", "torch").learn(40).save(tmp_path / "saved", replay=True)
    with pytest.raises(UserError, match=r"prioritized = True \(a replay without priorities: replay=False leaves it"):
        load(path, backend="torch", prioritized=True)
    assert load(path, backend="torch", prioritized=True, replay=False).learn(40).steps == 80


def test_a_replay_stays_with_as_many_environments_as_wrote_it(tmp_path):
    """Its rows tell by their place which environment they are of: among others, episodes would be mixed."""
    agent = make("dqn", "torch", n_step=3).learn(40)
    path = agent.save(tmp_path / "saved", replay=True)
    mend = r"load\(path, replay=False, n_envs=4\) learns on without it"
    for n_envs in (4, "4"):
        with pytest.raises(UserError, match=f"^n_envs = 4 does not fit the replay, which is of 2 environments: {mend}"):
            load(path, backend="torch", n_envs=n_envs)
    assert len(load(path, backend="torch", n_envs=2, gamma=0.9).replay) == 40
    other = load(path, backend="torch", replay=False, n_envs=4)
    assert len(other.replay) == 0 and len(other.learn(40).replay) == 40
    without = load(agent.save(tmp_path / "without"), backend="torch", n_envs=4)
    assert_same(everything(without.learn(40)), everything(other))
