"""The command line answers at once: no framework is imported before it is needed."""

from __future__ import annotations

import math
import time

import pytest
from command_line import python

from rlzoo import __version__
from rlzoo.algorithms import ALGORITHMS
from rlzoo.backend import ENGINES

HEAVY = {*ENGINES, "keras", "jaxlib", "tensorboard"}


def times_as_long(words, others, rounds=5):
    """How many times as long as the one the other process takes, the fastest of either, in turns."""
    best = dict.fromkeys((words, others), math.inf)
    for _ in range(rounds):
        for each in best:
            begun = time.perf_counter()
            assert python(*each).wait() == 0
            best[each] = min(best[each], time.perf_counter() - begun)
    return best[words] / best[others]


def test_import_takes_little_beside_python_itself():
    """1.3 times as long as nothing does; with NumPy it would be 5."""
    assert times_as_long(("-c", "import rlzoo"), ("-c", "pass")) < 2.0


def test_help_takes_little_beside_what_parses_the_command_line():
    """1.4 times as long as typer alone."""
    assert times_as_long(("-m", "rlzoo", "--help"), ("-c", "import typer")) < 2.0


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
