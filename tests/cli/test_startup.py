"""The command line answers at once: no framework is imported before it is needed."""

from __future__ import annotations

import time

import pytest
from command_line import python

from rlzoo import __version__
from rlzoo.algorithms import ALGORITHMS
from rlzoo.backend import ENGINES

HEAVY = {*ENGINES, "keras", "jaxlib", "tensorboard"}


def fastest(times, *words):
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        assert python(*words).wait() == 0
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def test_import_takes_under_a_fifth_of_a_second():
    assert fastest(5, "-c", "import rlzoo") < 0.2


def test_help_takes_under_half_a_second():
    assert fastest(5, "-m", "rlzoo", "--help") < 0.5


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        ("import rlzoo", HEAVY | {"gymnasium", "pydantic", "typer", "rich", "numpy"}),
        ("from rlzoo.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass", HEAVY | {"gymnasium", "numpy"}),
        ("from rlzoo import PPO; PPO('CartPole-v1')", HEAVY),
    ],
    ids=["import", "help", "an agent made"],
)
def test_no_framework_is_imported_before_it_is_used(code, forbidden):
    loaded, _ = python("-c", f"{code}\nimport sys; print(*{{n.partition('.')[0] for n in sys.modules}})").communicate()
    assert "rlzoo" in loaded.split() and not forbidden & set(loaded.split())


def test_help_lists_the_commands_and_the_engines(rlzoo):
    for words in ([], ["--help"]):
        outcome = rlzoo(*words)
        assert outcome.status == 0
        assert all(command in outcome.out for command in ("train", "evaluate", "play", "list", "show"))
    options = rlzoo("train", "--help").out
    assert all(name in options for name in (*ENGINES, "rlzoo list algos", "--set", "--resume", "--eval-every"))
    assert all(name in rlzoo("list", "algos").out for name in ALGORITHMS)


def test_version(rlzoo):
    outcome = rlzoo("--version")
    assert (outcome.status, outcome.out) == (0, f"rlzoo {__version__}\n")
