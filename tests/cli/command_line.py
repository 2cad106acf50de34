"""Running the command line in a process of its own, and looking at what it left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# torch is the engine that compiles soonest
TINY = ["--env", "CartPole-v1", "--backend", "torch", "--set", "n_steps=16", "batch_size=32", "n_epochs=1", "hidden=8"]


def python(*words, cwd=ROOT):
    """A Python started with these words."""
    return subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=cwd, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def contents(folder):
    """Every file under a folder and its bytes."""
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
