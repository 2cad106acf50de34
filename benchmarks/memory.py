"""Whether memory grows: PPO on CartPole-v1 for a million steps on one engine, resident set noted every tenth.

    python -m benchmarks.memory jax [steps]

Prints JSON: `resident_mib`, what the process holds at each tenth of the way, and `growth_mib`, from the second to the
last.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import rlzoo
from rlzoo.training.callbacks import Every


def resident_mib() -> float:
    """What the process holds in memory now (Linux)."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text("utf-8").splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) / 1024


def main(engine: str, steps: int = 1_000_000) -> None:
    found: list[float] = []

    def note(agent: Any) -> None:
        found.append(round(resident_mib(), 1))

    agent = rlzoo.PPO("CartPole-v1", backend=engine, seed=0, steps=steps)
    agent.learn(callbacks=[Every(max(steps // 10, 1), note)])
    print(json.dumps({"steps": agent.steps, "resident_mib": found, "growth_mib": round(found[-1] - found[1], 1)}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
