"""Speed on a GPU, in steps a second, of rlzoo on each engine that sees one and is installed, and Stable-Baselines3.

    python -m benchmarks.gpu [--jobs ppo-images ...] [--repeats 3]

Each measurement is a process of its own, contenders taking turns. Written into `docs/benchmarks/speed.md` and `.json`,
with the device, the versions and the date.
"""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from benchmarks.jobs import ON_A_GPU
from benchmarks.speed import keep, kept, ours, run, summary, write

ENGINES = ("torch", "jax", "tensorflow")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", nargs="+", choices=ON_A_GPU, default=list(ON_A_GPU))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows: dict[str, dict[str, list[dict[str, Any]]]] = {job: {} for job in options.jobs}
    if (on := device()) is None:
        parser.error("PyTorch sees no GPU here")
    report = kept()
    before = report.get("gpu", {})
    jobs = before["jobs"] if before == before | on else {}  # what else was measured on the same
    for repeat in range(options.repeats):
        for job in options.jobs:
            for name, command in contenders(job).items():
                measured = run(command)
                rows[job].setdefault(name, []).append(measured)
                print(f"{repeat + 1}/{options.repeats} {job} {name}: {measured}", flush=True)
                jobs[job] = summary(ON_A_GPU[job], rows[job])
                keep(report, "gpu", on | {"jobs": jobs})
                write(report)  # what is measured is kept, whatever becomes of the rest


def contenders(job: str) -> dict[str, list[str]]:
    """Who runs a job: name → command."""
    found = {f"rlzoo {engine}": ours("rlzoo_worker", job, engine, "cuda") for engine in ENGINES if find_spec(engine)}
    if find_spec("stable_baselines3"):
        found["sb3"] = ours("peer_worker", job, "sb3", str(os.cpu_count()), "cuda")
    return found


def device() -> dict[str, Any] | None:
    """What it is measured on; None without a GPU."""
    import torch

    if not torch.cuda.is_available():
        return None
    names = ["numpy", "gymnasium", *ENGINES, "stable-baselines3"]
    return {
        "device": torch.cuda.get_device_name(), "cores": os.cpu_count(), "python": platform.python_version(),
        "versions": {name: version(name) for name in names if find_spec(name.replace("-", "_"))},
    }  # fmt: skip


if __name__ == "__main__":
    main()
