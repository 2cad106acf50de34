"""A resumed run is the run that was interrupted, bit for bit, on each engine."""

from __future__ import annotations

import pytest
from engines import require
from tiny_agents import BITS, BITS_BY_NUMBERS, MASKED, VECTOR, Killed, assert_same, everything, make, observations

from rlzoo import load
from rlzoo.backend import ENGINES
from rlzoo.training.callbacks import Callback, Every

# What the defaults of `tiny_agents.make` leave out. Steps that are no multiple of the phases, updates every step, …
VARIANTS = {
    **{name: {} for name in VECTOR},
    "dqn-uneven": dict(
        n_envs=3, steps=170, checkpoint_every=17, gradient_steps=-1, train_freq=1, target_update_interval=0,
        tau=0.05, double=False,
    ),
    "sac-uneven": dict(n_envs=1, steps=67, checkpoint_every=31, train_freq=1, gradient_steps=1, tau=0.5,
                       target_update_interval=7, entropy_coefficient=0.1, buffer_size=20, normalize_reward=False),
    "ppo-uneven": dict(n_envs=3, n_steps=7, steps=100, checkpoint_every=33, batch_size=5, target_kl=1e-3,
                       clip_range_value=0.2, normalize_observation=False, entropy_coefficient="linear(0.1, 0)"),
    "ppo-native": dict(vectorization="native", n_envs=8, n_steps=20, steps=960, checkpoint_every=320, batch_size=80),
    "ppo-recurrent": dict(env=MASKED, action_masks=True, recurrent="lstm", recurrent_units=4, sequence_length=5,
                          batch_size=10),
    "ppo-gsde": dict(env="Pendulum-v1", sde=True, sde_sample_freq=4, objective="kl"),
    "dqn-recurrent": dict(recurrent="gru", recurrent_units=4, sequence_length=4, prioritized=True, n_step=3),
    "dqn-hindsight": dict(env=BITS, hindsight="final", prioritized=True, n_step=2),
    "sac-hindsight": dict(env=BITS_BY_NUMBERS, hindsight="future", buffer_size=70),
    "sac-gsde": dict(sde=True, sde_sample_freq=3, prioritized=True),
    "td3-lingering": dict(exploration_noise="ornstein_uhlenbeck", n_step=3, train_freq=1, gradient_steps=1),
    "discrete_sac-masked": dict(env=MASKED, action_masks=True, prioritized=True),
}  # fmt: skip
PLAIN = ["ppo", "dqn", "sac"]
UNEVEN = ["ppo-uneven", "dqn-uneven", "sac-uneven", "ppo-native"]
PARTS = [name for name in VARIANTS if name not in PLAIN + UNEVEN]  # the other algorithms, and what combines
ELSEWHERE = ["trpo", "ppo-recurrent", "rainbow"]  # of these, on every engine: their programs are like no other's


class Records(Callback):
    """The rows that were logged, without what depends on the clock."""

    def __init__(self):
        self.rows = []

    def on_log(self, agent, record):
        self.rows.append({name: value for name, value in record.items() if "time" not in name and "second" not in name})


def agent_of(variant, backend):
    return make(variant.partition("-")[0], backend, **VARIANTS[variant])


def resume(variant, backend, path, after=1, share=False):
    """(uninterrupted, interrupted and resumed): agents at the end of their budget, and the rows of each.

    Both begin anew, so that they are the same says too that one seed gives one agent. With `share` all have one
    compiled update, which is pure; compiling is what takes the time.
    """
    whole, first, second = Records(), Records(), Records()
    uninterrupted = agent_of(variant, backend).learn(callbacks=[whole])
    killed = agent_of(variant, backend)
    if share:
        killed.compiled_update = uninterrupted.compiled_update
    killed.learn(callbacks=[first, Killed(path, after)])
    assert 0 < killed.steps < uninterrupted.steps
    resumed = load(path, backend=backend)
    assert_same(everything(resumed), everything(killed))
    if share:
        resumed.compiled_update = uninterrupted.compiled_update
    resumed.learn(callbacks=[second])
    return uninterrupted, resumed, whole.rows, first.rows + second.rows


@pytest.mark.parametrize("kind", PLAIN)
def test_resumed_is_uninterrupted(kind, backend, tmp_path):
    uninterrupted, resumed, rows, resumed_rows = resume(kind, backend, tmp_path / "checkpoint")
    assert uninterrupted.steps >= 160
    assert_same(everything(resumed), everything(uninterrupted))
    assert resumed_rows == rows


def cases():
    """(variant, engine): all on jax, some on each."""
    return [(variant, "jax") for variant in PARTS] + [
        (variant, engine) for engine in ENGINES if engine != "jax" for variant in ELSEWHERE
    ]


@pytest.mark.parametrize("variant, engine_name", cases())
def test_resumed_is_uninterrupted_with_every_algorithm_and_part(variant, engine_name, tmp_path):
    require(engine_name)
    uninterrupted, resumed, rows, resumed_rows = resume(variant, engine_name, tmp_path / "checkpoint", share=True)
    assert len(rows) > 1 and uninterrupted.last_metrics, "it must have learned"
    assert_same(everything(resumed), everything(uninterrupted))
    assert resumed_rows == rows


@pytest.mark.parametrize("variant", UNEVEN)
@pytest.mark.parametrize("engine_name", ["torch"])
def test_resumed_is_uninterrupted_in_every_way_of_collecting(variant, engine_name, tmp_path):
    require(engine_name)
    uninterrupted, resumed, rows, resumed_rows = resume(variant, engine_name, tmp_path / "checkpoint", after=40)
    assert_same(everything(resumed), everything(uninterrupted))
    assert resumed_rows == rows


@pytest.mark.parametrize("variant", ["dqn", "ddpg"])
def test_acting_and_evaluating_on_the_way_change_nothing(variant, tmp_path):
    require("torch")
    plain, watched = make(variant, "torch", steps=80), make(variant, "torch", steps=80)
    seen = observations(watched, 3)

    def watch(agent):
        agent.act(seen), agent.act(seen, deterministic=False)
        agent.evaluate(2), agent.evaluate(2, deterministic=False)
        agent.save(tmp_path / "watched", replay=True)

    plain.learn()
    watched.learn(callbacks=[Every(20, watch)])
    assert_same(everything(watched), everything(plain))


def test_a_finished_agent_learns_on_from_its_checkpoint_as_in_memory(tmp_path):
    require("torch")
    agent = make("sac", "torch", steps=60).learn()
    agent.save(tmp_path / "done", replay=True)
    loaded = load(tmp_path / "done", backend="torch")
    assert loaded.steps == loaded.total_steps == 60
    loaded.learn(40)
    agent.learn(40)
    assert loaded.steps == 100
    assert_same(everything(loaded), everything(agent))


def test_an_agent_saved_without_its_replay_learns_once_it_has_seen_as_much_as_at_first(tmp_path):
    require("torch")
    make("sac", "torch", steps=60).learn().save(tmp_path / "done")
    agent, seen = load(tmp_path / "done", backend="torch"), []
    before = agent.flat.copy()
    agent.learn(40, callbacks=[Every(1, lambda agent: seen.append((len(agent.replay), (agent.flat == before).all())))])
    assert agent.config.learning_starts == 15
    assert seen == [(10, True), (20, False), (30, False), (40, False)]


def test_learn_goes_on_to_the_stored_total(tmp_path):
    require("torch")
    make("dqn", "torch").learn(120, callbacks=[Killed(tmp_path / "c")])
    loaded = load(tmp_path / "c", backend="torch")
    assert (loaded.steps, loaded.total_steps) == (60, 120)
    assert loaded.learn().steps == 120
    assert loaded.learn().steps == loaded.config.steps == 160, "then to the end of the budget"
    assert loaded.learn().steps == 2 * 160, "and for as many again"


def test_without_the_replay_learning_goes_on_from_fresh_experience(tmp_path):
    require("torch")
    agent = make("sac", "torch", steps=60).learn()
    agent.save(tmp_path / "small")
    loaded = load(tmp_path / "small", backend="torch")
    assert len(loaded.replay) == 0
    before = loaded.flat.copy()
    assert loaded.learn(20).steps == 80 and len(loaded.replay) == 20
    assert (loaded.flat != before).any()
