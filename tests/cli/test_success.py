"""The share of success on the command line: in metrics, in what is printed and in JSON; nowhere where none is told."""

from __future__ import annotations

import csv

import gymnasium as gym
import pytest
from counting import Counting

SETTINGS = ("--backend", "torch", "--set", "hidden=8", "n_steps=64", "batch_size=64", "n_epochs=1")


class Ordered(Counting):
    """Ends well in every second episode, the truncated ones; and only after `silent` of them does it say so."""

    silent = 0

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        if (terminated or truncated) and self.episode >= self.silent:
            info = {"is_success": truncated}
        return observation, reward, terminated, truncated, info


def register(monkeypatch, silent):
    kind = type("Late", (Ordered,), {"silent": silent})
    monkeypatch.setitem(gym.registry, "Ordered-v0", gym.envs.registration.EnvSpec("Ordered-v0", kind))


def rows_of(folder):
    with open(folder / "metrics.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_that_is_told_of_success_reports_it_everywhere(rlzoo, tmp_path, monkeypatch):
    """Told of from the episode 600 on, which begins at step 1,800, after the first row; half of all go well."""
    register(monkeypatch, 600)
    words = "train", "--algo", "ppo", "--env", "Ordered-v0", *SETTINGS, "--steps", 3072, "--out", "run"
    first = rlzoo(*words, "--eval-every", 1024)
    assert first.status == 0, first.err
    rows = rows_of(tmp_path / "run")
    early = [row["success_rate"] for row in rows if int(row["steps"]) <= 1750]
    assert early and set(early) == {""} and float(rows[-1]["success_rate"]) == pytest.approx(0.5, abs=0.02)
    assert {row["evaluation_success_rate"] for row in rows if "evaluation_success_rate" in row} <= {""}
    assert [float(row["episode_return"]) for row in rows] == [6.0] * len(rows)
    register(monkeypatch, 0)
    assert rlzoo("train", "--resume", "run", "--steps", 1024, "--eval-every", 512, "--quiet").status == 0
    more = rows_of(tmp_path / "run")
    assert [row["steps"] for row in more][: len(rows)] == [row["steps"] for row in rows]
    assert list(more[-1])[-2:] == ["success_rate", "evaluation_success_rate"]
    assert "0.5" in {row["evaluation_success_rate"] for row in more[len(rows) :]}
    assert rlzoo("evaluate", "run", "--json").json()["success_rate"] == 0.5
    assert "mean return 6.0 ± 0.0 over 20 episodes, 50% successful, from 6.0 to 6.0" in rlzoo("evaluate", "run").out


def test_the_outcome_of_a_run_says_it(rlzoo, monkeypatch):
    register(monkeypatch, 0)
    outcome = rlzoo("train", "--algo", "ppo", "--env", "Ordered-v0", *SETTINGS, "--steps", 64, "--out", "run")
    assert "mean return 6.0 ± 0.0 over 20 episodes, 50% successful" in outcome.out, outcome.err


def test_where_nothing_is_told_there_is_no_column_and_no_word_of_it(rlzoo, trained):
    assert not [name for name in rows_of(trained)[0] if "success" in name]
    assert rlzoo("evaluate", "run", "--json").json()["success_rate"] is None
    assert "success" not in rlzoo("evaluate", "run").out
