"""Speed of rlzoo on each engine beside Stable-Baselines3 and SBX, interleaved in one run, and beside the floor.

    python -m benchmarks.speed [--jobs ppo-cartpole ...] [--engines jax ...] [--repeats 3] [--skip memory ...]
    python -m benchmarks.speed --algorithms    # a row for each algorithm that has none among the other jobs, only
    python -m benchmarks.speed --page speed_xeon    # another machine's page

Each measurement is a process of its own; the contenders take turns, so a drift of the machine's speed meets all of
them. The steady rate counts from the end of the first update; what the first update costs beyond an ordinary one
(tracing and compiling) stands in a column of its own. Writes `docs/benchmarks/speed.md` and `.json` after every
round; what is not measured anew is kept as the JSON has it, each section and job under the date of its measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.jobs import ALGORITHMS, JOBS, Job
from benchmarks.report import page

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs/benchmarks"
ENGINES = ("jax", "tensorflow", "torch", "mindspore")
REFERENCE = "sb3"
BY_HAND = ("jax", "tensorflow", "torch")
PARTS = ("by-hand", "acting", "priorities", "solve", "floor", "jobs", "memory")
EVALUATE_EVERY, SOLVED = 10_000, 475  # steps, mean return of 20 episodes
SEEDS_TO_SOLVE = range(101, 112)  # none of those that settings were tuned on; eleven, for what a seed needs is luck


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--algorithms", action="store_true", help="only a job for each algorithm, and no other part")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--page", default="speed", help="the name of the page and its JSON: one for each machine")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--skip", nargs="*", choices=PARTS, default=[], help="parts to leave out")
    parser.add_argument("--peers-python", default=str(ROOT / ".venv-peers/bin/python"))
    options = parser.parse_args()
    if options.algorithms:
        options.jobs, options.skip = list(ALGORITHMS), [part for part in PARTS if part not in ("floor", "jobs")]
    parts = [part for part in PARTS if part not in options.skip]
    report = kept(options.page) | {"machine": machine(options.peers_python)}
    if "by-hand" in parts:
        keep(report, "by_hand", {e: beside_by_hand(e, options.repeats) for e in BY_HAND if e in options.engines})
    for name in ("acting", "priorities"):
        if name in parts:
            keep(report, name, medians([run(ours(name)) for _ in range(options.repeats)]))
            print(f"{name}: {report[name]}", flush=True)
    if "solve" in parts:
        keep(report, "solve", solving(options.engines, SEEDS_TO_SOLVE, options.peers_python))
    for job in options.jobs if "floor" in parts else ():
        keep(report["floor"], job, run(ours("floor", job)), report["dates"]["floor"])
    write(report, options.page)
    results: dict[str, dict[str, list[dict[str, Any]]]] = {job: {} for job in options.jobs}
    for repeat in range(options.repeats if "jobs" in parts else 0):
        for job in options.jobs:
            for name, command in contenders(job, options.engines, options.peers_python).items():
                measured = run(command)
                results[job].setdefault(name, []).append(measured)
                rate = measured.get("steps_per_second")
                shown = f"{rate:,.0f} steps/s" if rate else measured
                print(f"{repeat + 1}/{options.repeats} {job} {name}: {shown}", flush=True)
        for job, rows in results.items():
            keep(report["jobs"], job, summary(JOBS[job], rows), report["dates"]["jobs"])
        write(report, options.page)
    if "memory" in parts:
        keep(report, "memory", {engine: run(ours("memory", engine)) for engine in options.engines})
        write(report, options.page)


def kept(name: str = "speed") -> dict[str, Any]:
    """A page's last report, to which a run adds; with the date of each section and, in "floor" and "jobs", each job."""
    path = PAGES / f"{name}.json"
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for part in ("floor", "jobs"):
        report[part] = {job: figures for job, figures in report.get(part, {}).items() if job in JOBS}
    if "dates" not in report:  # written before sections had dates: all of one run
        date = report["machine"]["date"] if "machine" in report else ""
        report["dates"] = {part: date for part in ("by_hand", "acting", "solve", "memory") if part in report}
        report["dates"] |= {part: dict.fromkeys(report[part], date) for part in ("floor", "jobs")}
    return report


def keep(report: dict[str, Any], name: str, figures: dict[str, Any], dates: dict[str, Any] | None = None) -> None:
    """Put newly measured figures in the place of the old ones, under today's date."""
    report[name] = figures
    (report["dates"] if dates is None else dates)[name] = today()


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def write(report: dict[str, Any], name: str = "speed") -> None:
    path = PAGES / f"{name}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(page(report), encoding="utf-8")
    print(f"written: {path.with_suffix('.md')}", flush=True)


def ours(worker: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.{worker}", *arguments]


def medians(measured: list[dict[str, Any]]) -> dict[str, float]:
    """The median of each figure over processes; the last error if none of them worked."""
    good = [m for m in measured if "error" not in m]
    return {name: statistics.median(m[name] for m in good) for name in good[0]} if good else measured[-1]


def beside_by_hand(engine: str, repeats: int) -> dict[str, float]:
    """PPO's update through the layer API and written by hand, ms: the medians over processes, and of their ratios."""
    middle = medians([run(ours("by_hand", engine)) for _ in range(repeats)])
    print(f"{engine} beside the update by hand: {middle}", flush=True)
    return middle


def solving(engines: list[str], seeds: range, peers_python: str) -> dict[str, dict[str, Any]]:
    """Seconds of the whole process from its start to CartPole-v1 solved, seed by seed, contenders taking turns."""
    found: dict[str, dict[str, Any]] = {}
    for seed in seeds:
        for name in (*engines, REFERENCE):
            folder = Path(tempfile.mkdtemp())
            if name == REFERENCE:
                words = [peers_python, "-m", "benchmarks.solve_worker", seed, EVALUATE_EVERY, SOLVED, 2]
            else:
                words = [Path(sys.executable).with_name("rlzoo"), "train", "--algo", "ppo", "--env", "CartPole-v1"]
                words += ["--backend", name, "--seed", seed, "--eval-every", EVALUATE_EVERY, "--stop-at", SOLVED]
                words += ["--out", folder / "run"]
            measured = run([str(word) for word in words], any_output=True)
            shutil.rmtree(folder)
            steps = re.findall(r"^([\d,]+)(?:/[\d,]+)? steps", measured["output"], re.MULTILINE)
            row = found.setdefault(name, {"seconds": [], "steps": []})
            row["seconds"].append(round(measured["seconds"], 2))
            row["steps"].append(int(steps[-1].replace(",", "")) if steps else None)
            print(f"solved, seed {seed}, {name}: {measured['seconds']:.1f} s, {row['steps'][-1]} steps", flush=True)
    for name, row in found.items():
        failed = [seed for seed, steps in zip(seeds, row["steps"], strict=True) if steps is None]
        middle = {"median_seconds": statistics.median(row["seconds"])}
        found[name] = {"error": f"seed {failed[0]} did not end"} if failed else row | middle
    return found


def contenders(job: str, engines: list[str], peers_python: str) -> dict[str, list[str]]:
    """Who runs a job: name → command."""
    found = {f"rlzoo {engine}": ours("rlzoo_worker", job, engine) for engine in engines}
    library, peer = JOBS[job].library, [peers_python, "-m", "benchmarks.peer_worker", job]
    if library:
        name = "sb3" if library == "sb3" else "sb3-contrib"
        found |= {f"{name} (1 thread)": [*peer, library, "1"], f"{name} (2 threads)": [*peer, library, "2"]}
    return found | ({"sbx": [*peer, "sbx", "2"]} if JOBS[job].sbx else {})


def run(command: list[str], any_output: bool = False) -> dict[str, Any]:
    """What a worker printed as JSON, with its peak resident memory and seconds; its last error line if it failed.

    With `any_output`, what it printed stands under "output" instead.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
    wrapped = [sys.executable, "-c", MEASURE, *command]
    done = subprocess.run(wrapped, capture_output=True, text=True, cwd=ROOT, env=environment)
    *printed, measured = done.stdout.splitlines() or ["{}"]
    if any_output:
        return json.loads(measured) | {"output": "\n".join(printed)}
    for line in reversed(printed):
        if line.startswith("{"):
            return json.loads(line) | json.loads(measured)
    return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1]}


MEASURE = """
import json, resource, subprocess, sys, time
begun = time.perf_counter()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
seconds = time.perf_counter() - begun
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
sys.stderr.write(done.stderr)
print(done.stdout)
print(json.dumps({"peak_mib": peak, "seconds": seconds}))
"""


def summary(job: Job, rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians and spreads, and the ratio to the fastest Stable-Baselines3."""
    rates = {name: [m["steps_per_second"] for m in measured if "error" not in m] for name, measured in rows.items()}
    reference = max(
        (statistics.median(r) for name, r in rates.items() if name.startswith(REFERENCE) and r), default=None
    )
    table = {}
    for name, measured in rows.items():
        good = [m for m in measured if "error" not in m]
        if not good:
            table[name] = {"error": measured[-1]["error"]}
            continue
        middle = statistics.median(rates[name])
        table[name] = {
            "steps_per_second": middle, "lowest": min(rates[name]), "highest": max(rates[name]),
            "ratio": middle / reference if reference else None,
            "target": job.targets.get(name.removeprefix("rlzoo ")),
            "threads": good[-1]["threads"],
            "first_iteration_seconds": statistics.median(m["first_iteration_seconds"] for m in good),
            "whole_seconds": statistics.median(m["seconds"] for m in good),
            "peak_mib": statistics.median(m["peak_mib"] for m in good),
            "repeats": len(good),
        }  # fmt: skip
    shared = job.peer if job.library else job.rlzoo
    settings = {
        "steps": job.steps, "n_envs": job.n_envs, **shared, **job.policy_settings, "hidden": list(job.hidden)
    }  # fmt: skip
    return {"settings": settings, "results": table}


def machine(peers_python: str) -> dict[str, Any]:
    names = ["numpy", "gymnasium", "jax", "tensorflow-cpu", "torch", "mindspore"]
    peer_names = ("stable-baselines3", "sb3-contrib", "sbx-rl")
    code = f"import importlib.metadata as m; print(*(m.version(name) for name in {peer_names}))"
    peers = subprocess.run([peers_python, "-c", code], capture_output=True, text=True).stdout.split()
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    models = [line for line in lines if line.startswith("model name")]
    cpu = models[0].split(":")[1].strip() if models else platform.processor()
    return {
        "date": today(), "cpu": cpu, "cores": os.cpu_count(),
        "python": platform.python_version(), "versions": {name: version(name) for name in names},
        "peers": dict(zip(peer_names, peers)),
    }  # fmt: skip


if __name__ == "__main__":
    main()
