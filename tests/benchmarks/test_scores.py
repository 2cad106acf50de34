"""The table of scores: what replaces what, what the page says, and that processes at once lose nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.peer_scores import score_of
from benchmarks.scores import change, replaced, score
from benchmarks.scores_page import page, reaches

ROOT = Path(__file__).resolve().parents[2]
PEERS = {"mean": 100.0, "std": 30.0, "steps": "1M", "episodes": 900, "env": "Cow-v0"}


def row(seed, mean, **changed):
    known = {"algorithm": "a2c", "env": "Cow-v1", "engine": "jax", "settings": {}, "steps": 1000, "std": 10.0,
             "episodes": 100, "seconds": 3.0, "date": "2026-01-01", "peers": PEERS}  # fmt: skip
    return known | {"seed": seed, "mean": mean} | changed


def test_peers_scores_are_found_whatever_the_version():
    assert score_of("ppo", "LunarLander-v3")["mean"] == 242.119
    assert score_of("ppo", "LunarLander-v3")["env"] == "LunarLander-v2"
    assert score_of("ppo", "LunarLanderContinuous-v3")["mean"] == 270.863
    assert score_of("trpo", "Swimmer-v5")["std"] == 2.087
    assert score_of("a2c", "MountainCar-v0")["episodes"] == 1348
    assert score_of("reinforce", "CartPole-v1") is None


def test_a_score_takes_the_place_of_an_older_one_of_the_same_run_only():
    rows = [row(1, 50.0), row(2, 60.0), row(1, 70.0, engine="torch"), row(1, 80.0, settings={"objective": "kl"})]
    assert sorted(r["mean"] for r in replaced(rows, row(1, 99.0, steps=2000))) == [60.0, 70.0, 80.0, 99.0]
    assert [r["mean"] for r in rows] == [50.0, 60.0, 70.0, 80.0]


def test_reached_is_no_worse_than_episodes_can_tell():
    """Standard error of the difference: √(10² / 100 + 30² / 900) = √2, so two of it are 2.828."""
    assert reaches(row(1, 97.2)) and reaches(row(1, 100.0)) and reaches(row(1, 400.0))
    assert not reaches(row(1, 97.1))


def test_the_page_says_what_the_rows_say():
    rows = [row(1, 90.0), row(2, 104.0, date="2026-01-03"), row(3, 97.3, date="2026-01-02")]
    rows.append(row(7, 5.0, env="Ant-v1", peers=None, settings={"gamma": "0.5"}))
    lines = page(rows).splitlines()
    cow = lines.index("## Cow-v1")
    assert lines.index("## Ant-v1") < cow
    assert lines[cow + 4] == (
        "| a2c | jax | 1,000 | 1 2 3 | 97.1 (90.0 to 104.0) | 100.0 ± 30.0 (1M steps, Cow-v0) | 2 of 3 | 3 "
        "| 2026-01-01 to 2026-01-03 |"
    )
    assert "| a2c (gamma = 0.5) | jax | 1,000 | 7 | 5.0 ± 10.0 |  |  | 3 | 2026-01-01 |" in lines
    assert "| 1 2 | 0.74 (0.73 to 0.75) |" in page([row(1, 0.73), row(2, 0.75)])


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    path = tmp_path / "scores.json"
    writer = (
        "import sys, pathlib\n"
        "from benchmarks.scores import change\n"
        "from test_scores import row\n"
        "for i in range(20):\n"
        "    change(pathlib.Path(sys.argv[1]), lambda rows: [*rows, row(100 * int(sys.argv[2]) + i, float(i))])\n"
    )
    paths = {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}", "PATH": ""}
    started = [subprocess.Popen([sys.executable, "-c", writer, str(path), str(n)], env=paths) for n in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    rows = json.loads(path.read_text())
    assert sorted(r["seed"] for r in rows) == [100 * n + i for n in range(3) for i in range(20)]
    assert path.with_suffix(".md").read_text() == page(rows)
    change(path, lambda rows: [])
    assert json.loads(path.read_text()) == []


def test_a_score_is_of_the_agent_that_was_trained():
    """An untrained policy of one step plays CartPole to what its own evaluation says."""
    from engines import require  # here, for this file is also imported by processes of its own

    require("jax")
    from rlzoo import A2C

    settings = {"steps": "40", "n_steps": 5, "n_envs": 8}
    found = score("a2c", "CartPole-v1", "jax", 3, settings)
    agent = A2C("CartPole-v1", backend="jax", seed=3, steps=40).learn()
    evaluation = agent.evaluate(100)
    assert (found["mean"], found["std"]) == (round(evaluation.mean_return, 3), round(evaluation.std_return, 3))
    assert (found["steps"], found["episodes"], found["peers"]["mean"]) == (40, 100, 500.0)
    assert found["settings"] == settings


def test_the_page_in_the_docs_is_made_from_the_rows_beside_it():
    rows = json.loads((ROOT / "docs/benchmarks/scores.json").read_text())
    assert (ROOT / "docs/benchmarks/scores.md").read_text() == page(rows)
