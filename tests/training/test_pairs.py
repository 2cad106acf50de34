"""The parts that combine, in pairs: whatever two of them are on together, an agent learns, is saved and goes on.

Each algorithm is given a few combinations, so chosen that each pair of its parts is on together in one of them, and
each part is on where another is off. A part is what it changes of the config and what it asks of the environment.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from environments import BitFlipping, PartsOfAll
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from tiny_agents import assert_same, everything

from rlzoo import load
from rlzoo.algorithms import find
from rlzoo.training.callbacks import Callback

PARTS: dict[str, dict[str, Any]] = {
    "masks": dict(action_masks=True),
    "lstm": dict(recurrent="lstm", sequence_length=4, recurrent_units=4),
    "gru": dict(recurrent="gru", sequence_length=2, recurrent_units=4),
    "dict": {},
    "next step": {},
    "hindsight": dict(hindsight="future"),
    "n-step": dict(n_step=3),
    "prioritized": dict(prioritized=True),
    "sde": dict(sde=True),
    "normalize observation": dict(normalize_observation=True),
    "normalize reward": dict(normalize_reward=True),
    "frame stack": dict(frame_stack=2),
    "schedule": dict(learning_rate="linear(1e-2, 1e-3)"),
    "target kl": dict(target_kl=1e-3),
    "kl penalty": dict(objective="kl"),
    "several gradient steps": dict(gradient_steps=3),
    "noisy": dict(noisy=True),
    "dueling": dict(dueling=True),
    "distributional": dict(distributional=True),
}
ANY = ("lstm", "gru", "dict", "next step", "normalize observation", "normalize reward", "frame stack", "schedule")
REPLAYED = (*ANY, "hindsight", "n-step", "prioritized", "several gradient steps")
VALUES = (*REPLAYED, "masks", "noisy", "dueling")
HAS = {
    "a2c": (*ANY, "masks", "sde"), "reinforce": (*ANY, "masks", "sde"), "trpo": (*ANY, "masks", "sde"),
    "ppo": (*ANY, "masks", "sde", "target kl", "kl penalty"),
    "dqn": (*VALUES, "distributional"), "rainbow": VALUES, "qrdqn": VALUES, "discrete_sac": (*REPLAYED, "masks"),
    "sac": (*REPLAYED, "sde"), "tqc": (*REPLAYED, "sde"), "td3": REPLAYED, "ddpg": REPLAYED,
}  # fmt: skip
APART = [  # what does not go together: one memory, frames of arrays alone and of environments made here, …
    {"lstm", "gru"}, {"frame stack", "dict"}, {"frame stack", "hindsight"}, {"frame stack", "next step"},
    {"masks", "sde"},
]  # fmt: skip
CONTINUOUS = ("sac", "tqc", "td3", "ddpg")
COMMON = dict(hidden=(4,), steps=96, checkpoint_every=48)
ON = dict(n_steps=8)
OFF = dict(batch_size=8, buffer_size=64, learning_starts=8, train_freq=4)
OWN = {
    "ppo": ON | dict(batch_size=8, n_epochs=2), "trpo": ON | dict(batch_size=8, cg_steps=2, n_critic_epochs=2),
    "a2c": ON, "reinforce": ON, "qrdqn": OFF | dict(n_quantiles=3), "tqc": OFF,
}  # fmt: skip


def combined(parts: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Few sets of these parts, in which each pair that goes together is on together, and each part on and other off."""
    pairs = [set(pair) for pair in combinations(parts, 2)]
    wanted = [(pair, pair) for pair in pairs if pair not in APART]  # what is to be on, of which parts
    wanted += [({part}, {part, other}) for part in parts for other in parts if part != other]
    wanted = [wanted[i] for i in np.random.default_rng(0).permutation(len(wanted))]  # mixed, so that fewer sets do
    found: list[set[str]] = []
    while wanted:
        chosen: dict[str, bool] = {}
        for on, of in wanted:
            decided = chosen | {part: part in on for part in of}
            agrees = all(decided[part] == value for part, value in chosen.items())
            if agrees and not any(all(decided.get(part) for part in pair) for pair in APART):
                chosen = decided
        found.append({part for part, is_on in chosen.items() if is_on})
        wanted = [(on, of) for on, of in wanted if found[-1] & of != on]
    return [tuple(part for part in parts if part in case) for case in found]


CASES = [(algorithm, case) for algorithm, parts in HAS.items() for case in combined(parts)]
QUICK = ("ppo", "dqn", "sac")  # of each the combination with the most parts is run always, the others at leisure


def cases():
    """Every case; all but the quick ones are marked."""
    largest = {name: max(combined(HAS[name]), key=len) for name in QUICK}
    for algorithm, parts in CASES:
        marks = () if largest.get(algorithm) == parts else pytest.mark.learning
        yield pytest.param(algorithm, parts, marks=marks, id=f"{algorithm}-{'+'.join(parts) or 'plain'}")


def test_each_pair_is_on_together_and_each_part_without_each_other():
    for parts in HAS.values():
        sets = [set(case) for case in combined(parts)]
        for pair in map(set, combinations(parts, 2)):
            assert any(pair <= case for case in sets) == (pair not in APART), pair
            for part in pair:
                assert any(case & pair == {part} for case in sets), (part, pair)


def environment(algorithm: str, parts: tuple[str, ...]) -> Any:
    """An environment with what the parts ask for: an Env for frames to be stacked, else two copies."""
    continuous = algorithm in CONTINUOUS or "sde" in parts

    def one() -> gym.Env:
        if "hindsight" in parts:
            return BitFlipping(3, continuous, masked="masks" in parts)
        return PartsOfAll("dict" in parts, continuous)

    if "frame stack" in parts:
        return one()
    mode = AutoresetMode.NEXT_STEP if "next step" in parts else AutoresetMode.SAME_STEP
    return SyncVectorEnv([one] * 2, autoreset_mode=mode)


class SavesOnTheWay(Callback):
    """Saves at the first checkpoint, and learns on."""

    def __init__(self, path):
        self.path = path

    def on_checkpoint(self, agent):
        if not self.path.exists():
            agent.save(self.path, replay=True)


@pytest.mark.parametrize("algorithm, parts", list(cases()))
def test_parts_together(algorithm, parts, tmp_path):
    settings = COMMON | OWN.get(algorithm, OFF)
    for part in parts:
        settings |= PARTS[part]
    env = environment(algorithm, parts)
    agent = find(algorithm)(env, backend="jax", seed=1, **settings)
    begun = agent.flat.copy()
    agent.learn(callbacks=[SavesOnTheWay(tmp_path / "half")])
    assert np.isfinite(agent.flat).all() and (agent.flat != begun).any()
    assert agent.last_metrics and np.isfinite(list(agent.last_metrics.values())).all(), agent.last_metrics

    resumed = load(tmp_path / "half", env=environment(algorithm, parts), backend="jax")
    assert 0 < resumed.steps < agent.steps
    resumed.compiled_update = agent.compiled_update  # pure, so that of one is that of the other
    resumed.learn()
    assert_same(everything(resumed), everything(agent))

    loaded = load(agent.save(tmp_path / "done"), env=env, backend="numpy")
    first, second = playing(agent), playing(loaded)
    assert len(first) > 8
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


def playing(agent: Any) -> list[Any]:
    """The actions of a few episodes, with memory and masks handed in as a user does."""
    env = agent.separate_environment()
    observation, _ = env.reset(seed=5)
    memory = agent.memory(env.num_envs) if agent.config.recurrent else None
    actions = []
    for _ in range(12):
        if agent.config.action_masks:
            action = agent.act(observation["observation"], memory=memory, action_mask=observation["action_mask"])
            assert observation["action_mask"][np.arange(env.num_envs), action].all()
        else:
            action = agent.act(observation, memory=memory)
        actions.append(np.copy(action))
        observation, _, terminated, truncated, _ = env.step(action)
        if memory is not None:
            memory.reset(terminated | truncated)
    return actions
