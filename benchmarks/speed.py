"""Steps a second of `learn`, rlzoo on each engine beside Stable-Baselines3 and SBX, interleaved in one run.

    python -m benchmarks.speed [--jobs ppo-cartpole ...] [--engines jax ...] [--repeats 3]

Each measurement is a process of its own; the contenders take turns, so a drift of the machine's speed meets all of
them. The steady rate counts from the end of the first update; what the first update costs beyond an ordinary one
(tracing and compiling) stands in a column of its own. Writes `docs/benchmarks/speed.md` and `.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.jobs import JOBS

ROOT = Path(__file__).resolve().parent.parent
PEERS = {"sb3 (1 thread)": ("sb3", "1"), "sb3 (2 threads)": ("sb3", "2"), "sbx": ("sbx", "2")}
ENGINES = ("jax", "tensorflow", "torch", "mindspore")
REFERENCE = "sb3"
BY_HAND = ("jax", "tensorflow", "torch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=["ppo-cartpole"])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers-python", default=str(ROOT / ".venv-peers/bin/python"))
    options = parser.parse_args()
    results: dict[str, dict[str, list[dict[str, Any]]]] = {job: {} for job in options.jobs}
    for repeat in range(options.repeats):
        for job in options.jobs:
            for name, command in contenders(job, options.engines, options.peers_python).items():
                measured = run(command)
                results[job].setdefault(name, []).append(measured)
                rate = measured.get("steps_per_second")
                shown = f"{rate:,.0f} steps/s" if rate else measured
                print(f"{repeat + 1}/{options.repeats} {job} {name}: {shown}", flush=True)
    report = {
        "machine": machine(options.peers_python),
        "jobs": {job: summary(job, rows) for job, rows in results.items()},
        "by_hand": {engine: beside_by_hand(engine, options.repeats) for engine in BY_HAND if engine in options.engines},
    }
    folder = ROOT / "docs/benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "speed.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (folder / "speed.md").write_text(page(report), encoding="utf-8")
    print(f"written: {folder / 'speed.md'}")


def beside_by_hand(engine: str, repeats: int) -> dict[str, float]:
    """PPO's update through the layer API and written by hand, ms: the medians over processes, and of their ratios."""
    measured = [run([sys.executable, "-m", "benchmarks.by_hand", engine]) for _ in range(repeats)]
    middle = {name: statistics.median(m[name] for m in measured) for name in ("rlzoo", "by_hand", "ratio")}
    print(f"{engine} beside the update by hand: {middle}", flush=True)
    return middle


def contenders(job: str, engines: list[str], peers_python: str) -> dict[str, list[str]]:
    """Who runs a job: name → command."""
    ours = {f"rlzoo {e}": [sys.executable, "-m", "benchmarks.rlzoo_worker", job, e] for e in engines}
    peers = {name: [peers_python, "-m", "benchmarks.peer_worker", job, *arguments] for name, arguments in PEERS.items()}
    return ours | peers


def run(command: list[str]) -> dict[str, Any]:
    """What a worker measured, with its peak resident memory; its last error line if it failed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    wrapped = [sys.executable, "-c", MEASURE, *command]
    done = subprocess.run(wrapped, capture_output=True, text=True, cwd=ROOT, env=environment)
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1]}


MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
sys.stderr.write(done.stderr)
for line in done.stdout.splitlines():
    print(json.dumps({**json.loads(line), "peak_mib": peak}) if line.startswith("{") else line)
"""


def summary(job: str, rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
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
            "target": JOBS[job].targets.get(name.removeprefix("rlzoo ")),
            "first_iteration_seconds": statistics.median(m["first_iteration_seconds"] for m in good),
            "whole_seconds": statistics.median(m["whole_seconds"] for m in good),
            "peak_mib": statistics.median(m["peak_mib"] for m in good),
            "repeats": len(good),
        }  # fmt: skip
    return {"settings": {"steps": JOBS[job].steps, **JOBS[job].peer, "hidden": JOBS[job].hidden}, "results": table}


def machine(peers_python: str) -> dict[str, Any]:
    names = ["numpy", "gymnasium", "jax", "tensorflow-cpu", "torch", "mindspore"]
    code = "import importlib.metadata as m; print(m.version('stable-baselines3'), m.version('sbx-rl'))"
    peers = subprocess.run([peers_python, "-c", code], capture_output=True, text=True).stdout.split()
    info = Path("/proc/cpuinfo")
    models = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    cpu = models[0].split(":")[1].strip() if models else platform.processor()
    return {
        "date": datetime.now(UTC).date().isoformat(), "cpu": cpu, "cores": os.cpu_count(),
        "python": platform.python_version(), "versions": {name: version(name) for name in names},
        "peers": dict(zip(("stable-baselines3", "sbx-rl"), peers)),
    }  # fmt: skip


def page(report: dict[str, Any]) -> str:
    """The Markdown page, made from the report alone."""
    m = report["machine"]
    versions = ", ".join(f"{name} {v}" for name, v in (m["versions"] | m["peers"]).items())
    lines = [
        "# Speed", "",
        f"Made by `make bench` on {m['date']}: {m['cores']} cores ({m['cpu']}), no GPU, Python {m['python']};",
        f"{versions}.", "",
        "Steps a second of `learn` after the first update: median (lowest–highest) of the repeats, each in a process",
        "of its own, contenders taking turns. Ratio: to the faster of Stable-Baselines3's rows. First: what the first",
        "update costs beyond an ordinary one (tracing, compiling). Whole: the process, from import to end.", "",
    ]  # fmt: skip
    for job, part in report["jobs"].items():
        lines += [f"## {job}", "", ", ".join(f"{k} {v}" for k, v in part["settings"].items()), ""]
        lines += ["| | steps/s | ratio | target | first, s | whole, s | peak MiB |", "|---|---|---|---|---|---|---|"]
        for name, row in part["results"].items():
            if "error" in row:
                lines.append(f"| {name} | failed: {row['error']} | | | | | |")
                continue
            ratio = f"{row['ratio']:.2f}" if row["ratio"] else ""
            target = f"≥ {row['target']:g}" if row["target"] else ""
            spread = f"{row['steps_per_second']:,.0f} ({row['lowest']:,.0f}–{row['highest']:,.0f})"
            lines.append(
                f"| {name} | {spread} | {ratio} | {target} "
                f"| {row['first_iteration_seconds']:.1f} | {row['whole_seconds']:.1f} | {row['peak_mib']:.0f} |"
            )
        lines.append("")
    lines += [
        "## The layer API",
        "",
        "One PPO update on CartPole (20 gradient steps), ms, in turns in one process:",
        "",
    ]
    lines += ["| | rlzoo | written by hand | ratio |", "|---|---|---|---|"]
    for engine, row in report["by_hand"].items():
        lines.append(f"| {engine} | {row['rlzoo']:.2f} | {row['by_hand']:.2f} | {row['ratio']:.3f} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
