"""The pages of docs/algorithms/ are what their script writes, and what their table says of an algorithm is so."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from engines import INSTALLED
from threadpoolctl import threadpool_limits

import rlzoo
from rlzoo.algorithms import ALGORITHMS, find
from rlzoo.errors import UserError
from rlzoo.training.actor_critic import ActorCriticAgent
from rlzoo.training.off_policy import OffPolicyAgent

DOCS = Path(__file__).parents[1] / "docs"
sys.path.insert(0, str(DOCS))

import combinations  # noqa: E402
import pages  # noqa: E402

# What each is meant to act in, written by hand.
ACTS_IN = dict.fromkeys(("ppo", "a2c", "reinforce", "trpo"), ("Discrete", "MultiDiscrete", "MultiBinary", "Box"))
ACTS_IN |= dict.fromkeys(("dqn", "rainbow", "qrdqn", "discrete_sac"), ("Discrete",))
ACTS_IN |= dict.fromkeys(("ddpg", "td3", "sac", "tqc"), ("Box",))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The products are small, and the weights of images are made by many of them."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="module")
def written():
    """What the script writes, by file."""
    return pages.pages()


def said(name):
    """A committed page."""
    return (DOCS / "algorithms" / name).read_text(encoding="utf-8")


def without_scores(text):
    return text.partition(pages.REACHED)[0]


def columns():
    """The committed table: the column, then the algorithm, and its mark."""
    rows = [line.strip("| ").split(" | ") for line in said("README.md").splitlines() if line.startswith("| ")]
    names, *marks = [row for row in rows[: len(ALGORITHMS) + 2] if row[0] != "---"]
    assert [row[0] for row in marks] == [f"[{kind}]({name}.md)" for name, kind in ALGORITHMS.items()]
    return {
        column: {name: marks[i][j] for i, name in enumerate(ALGORITHMS)} for j, column in enumerate(names) if j > 0
    }  # fmt: skip


def test_pages_are_what_the_script_writes(written):
    """`make docs` mends it."""
    committed = {file.name for file in (DOCS / "algorithms").glob("*.md")}
    assert committed == set(written) == {"README.md", *(f"{name}.md" for name in ALGORITHMS)}
    differs = [name for name, text in written.items() if without_scores(said(name)) != without_scores(text)]
    assert not differs, "run make docs, and commit what it writes"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_page_tells_what_the_file_tells(algorithm):
    text, kind = said(f"{algorithm}.md"), find(algorithm)
    assert pages.REACHED in text and f"rlzoo train --algo {algorithm} --env " in text
    assert sys.modules[kind.__module__].__doc__.strip().splitlines()[0] in text
    assert pages.CITATION.search(text.partition("## Equations")[2].partition("## ")[0])
    for name, field in kind.Config.model_fields.items():
        rows = re.findall(rf"^\| `{name}` \|.*$", text, re.M)
        assert len(rows) == (0 if name in pages.refused(algorithm) else 1)
        assert all(field.description in row.replace("\\|", "|") for row in rows)


def test_a_page_recommends_for_families_after_environments():
    """Acrobot has no table of its own for discrete SAC: what it takes stands under its family."""
    rows = [line.strip("| ").split(" | ") for line in pages.recommended("discrete_sac").splitlines() if line[:1] == "|"]
    found = {row[0]: row[1:] for row in rows[2:]}
    assert list(found) == ["CartPole-v1", "LunarLander-v3", "family classic_control", "family atari"]
    assert found["family classic_control"] == ["40,000", "those of CartPole-v1: not tuned for others"]
    assert pages.recommended("no such file").startswith("None: the defaults")


@pytest.mark.parametrize("algorithm, without", [
    ("discrete_sac", {"sde", "sde_sample_freq", "log_std_init"}), ("sac", {"action_masks"}), ("a2c", {"overlap"}),
    ("ppo", set()), ("dqn", set()), ("rainbow", set()), ("qrdqn", {"distributional", "n_atoms", "v_min", "v_max"}),
])  # fmt: skip
def test_a_page_lists_no_field_that_can_only_be_refused(algorithm, without):
    assert pages.refused(algorithm) & set(find(algorithm).Config.model_fields) == without


def test_an_equation_is_said_to_be_of_some_paper():
    class Nameless(find("sac")):
        def loss(self):
            """The loss of eq. 5."""

    Nameless.__module__ = "rlzoo.algorithms.sac"
    with pytest.raises(SystemExit, match=r"`Nameless.loss` cite an equation and not whose"):
        pages.equations(Nameless)


# ---- the table -------------------------------------------------------------------------------------------------------
def attempt(algorithm, action, part=None, needs=None):
    """Make the agent on a part's spaces, with each of its settings; the agents."""
    part = part or combinations.Part("")
    env = combinations.Tiny(part.observation, combinations.ACTIONS[action])
    common = {"backend": "numpy", "hidden": (4,), "recurrent_units": 4} | (needs or {})
    return [find(algorithm)(env, **common, **settings) for settings in part.settings]


@pytest.mark.parametrize("action", combinations.ACTIONS)
def test_action_spaces(action):
    for algorithm, mark in columns()[action].items():
        assert mark == ("✓" if action in ACTS_IN[algorithm] else "✗"), algorithm
        if mark == "✓":
            attempt(algorithm, action)
        else:
            with pytest.raises(UserError):
                attempt(algorithm, action)


@pytest.mark.parametrize("name", combinations.PARTS)
def test_parts(name):
    """✓ takes all of the part's settings in one of the action spaces; ✗ is refused in each of them."""
    part = combinations.PARTS[name]
    for algorithm, mark in columns()[name].items():
        taken = []
        for action in ACTS_IN[algorithm]:
            for needs in ({}, part.needs):
                try:
                    taken += attempt(algorithm, action, part, needs)
                except UserError as error:
                    assert len(str(error)) > 20
        assert bool(taken) == (mark == "✓"), f"{algorithm} and {name}"


def test_which_parts_are_whose():
    """Known beforehand, so that a part that every algorithm refuses by mistake does not go unseen."""
    off_policy = {name for name in ALGORITHMS if issubclass(find(name), OffPolicyAgent)}
    actor_critics = {name for name in ALGORITHMS if issubclass(find(name), ActorCriticAgent)}
    discrete = {name for name, spaces in ACTS_IN.items() if "Discrete" in spaces}
    expected = {
        "masks": discrete, "hindsight": off_policy, "n-step": off_policy, "prioritized": off_policy,
        "gSDE": actor_critics | {"sac", "tqc"}, "CVaR": {"dqn", "rainbow", "qrdqn", "tqc"}, "overlap": {"ppo"},
    }  # fmt: skip
    for part in ("recurrence", "Dict, Tuple", "images", "normalization", "frame stack"):
        expected[part] = set(ALGORITHMS)
    found = {name: {algorithm for algorithm, mark in columns()[name].items() if mark == "✓"} for name in expected}
    assert found == expected and set(expected) == set(combinations.PARTS)


# ---- what is measured, and the example -------------------------------------------------------------------------------
def test_scores_are_shown_over_seeds_beside_peers(monkeypatch, tmp_path):
    monkeypatch.setattr(pages, "SCORES", tmp_path / "scores.json")
    assert pages.reached("ppo") == "Not measured yet."
    common = '"env": "CartPole-v1", "engine": "jax", "steps": 1000, "settings": {"gamma": 0.9}, "std": 3.0, '
    peers = '"peers": {"mean": 50.0, "std": 1.25, "steps": "100k"}'
    rows = [f'{{"algorithm": "ppo", "seed": {seed}, "mean": {mean}, {common}{peers}}}'
            for seed, mean in ((101, 10.0), (102, 40.0), (103, 13.0))]  # fmt: skip
    rows.append(f'{{"algorithm": "dqn", "seed": 101, "mean": 99.0, {common}"peers": null}}')
    pages.SCORES.write_text(f"[{', '.join(rows)}]", encoding="utf-8")
    row = pages.reached("ppo").splitlines()[2]
    assert row == "| CartPole-v1 | `gamma=0.9` | jax | 1,000 | 101 102 103 | 13.0 | 21.0 | 50.0 ± 1.2 (100k steps) |"
    assert "| 101 | 99.0 | 99.0 |  |" in pages.reached("dqn")


@pytest.mark.skipif(not INSTALLED, reason="needs an engine")
def test_the_lines_of_python_run(monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", said("ppo.md"), re.S)
    learn = rlzoo.PPO.learn
    monkeypatch.setattr(rlzoo.PPO, "learn", lambda agent: learn(agent, 256))
    exec(compile(code, "ppo.md", "exec"), {})
    assert np.isfinite(float(capsys.readouterr().out))
