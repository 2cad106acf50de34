"""The Markdown page of `make bench`, made from its report alone: a number is never edited by hand."""

from __future__ import annotations

from typing import Any


def page(report: dict[str, Any]) -> str:
    """`docs/benchmarks/speed.md`."""
    m = report["machine"]
    versions = ", ".join(f"{name} {v}" for name, v in (m["versions"] | m["peers"]).items())
    lines = [
        "# Speed", "",
        f"Made by `make bench`, last on {m['date']}, each section on the date that it bears, on {m['cores']} cores",
        f"({m['cpu']}), no GPU, Python {m['python']};",
        f"{versions}.", "",
        "Steps a second of `learn` after the first update: median (lowest–highest) of the repeats, each in a process",
        "of its own, contenders taking turns. Ratio: to the faster row of Stable-Baselines3, or of its contrib.",
        "Target: the ratio that this project set itself, reached or not, where it set one. First:",
        "what the first update costs beyond an ordinary one (tracing, compiling), 0 where by noise it was the quicker",
        "one. JAX, TensorFlow and MindSpore read what they compiled from disk after the first repeat, so rows measured",
        "once may be cold. Whole: the process, from its start to its end. Floor: the environments alone and the matrix",
        "products of the updates alone, each shape at the best rate measured here, on one core and on all. With 8",
        "CartPoles, rlzoo steps CartPole's own vector form where `vectorization` chooses it (`auto` does); the peers",
        "step copies, one after another.", "",
    ]  # fmt: skip
    for job, part in report.get("jobs", {}).items():
        lines += _job(job, part, report.get("floor", {}).get(job), report["dates"])
    sections: tuple[tuple[str, Any], ...] = (
        ("solve", _solve), ("by_hand", _by_hand), ("acting", _acting), ("priorities", _priorities),
        ("memory", _memory), ("gpu", _gpu),
    )  # fmt: skip
    for name, section in sections:
        if report.get(name) or name == "gpu":
            lines += [*section(report.get(name)), ""]
            if date := report["dates"].get(name):
                lines += [f"Measured on {date}.", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _job(job: str, part: dict[str, Any], floor: dict[str, Any] | None, dates: dict[str, Any]) -> list[str]:
    known = floor if floor and "error" not in floor else None
    settings = ", ".join(f"{k} {v}" for k, v in part["settings"].items())
    repeats = max(row.get("repeats", 1) for row in part["results"].values())
    times = "once" if repeats == 1 else f"{repeats} times"
    lines = [f"## {job}", "", f"Measured {times} on {dates['jobs'][job]}: {settings}", ""]
    if known:
        lines += [
            f"Floor, of {dates['floor'][job]}: {known['one_core']['steps_per_second']:,.0f} steps/s on one core, "
            f"{known['all_cores']['steps_per_second']:,.0f} on all (environments {known['env_us']:.1f} µs a step, "
            f"products {known['one_core']['products_us']:,.1f} and {known['all_cores']['products_us']:,.1f} µs: "
            f"{known['megaflop_a_step']:.2f} Mflop at {known['one_core']['gflops']:.0f} and "
            f"{known['all_cores']['gflops']:.0f} Gflop/s).", "",
        ]  # fmt: skip
    columns = "steps/s", "ratio", "target", "of the floor: one core, all", "threads", "first, s", "whole, s", "peak MiB"
    lines.append(f"| | {' | '.join(columns)} |")
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for name, row in part["results"].items():
        if "error" in row:
            lines.append(f"| {name} | failed: {row['error']} | | | | | | | |")
            continue
        ratio = f"{row['ratio']:.2f}" if row["ratio"] else ""
        target = f"≥ {row['target']:g}" if row["target"] else ""
        rates = [known[cores]["steps_per_second"] for cores in ("one_core", "all_cores")] if known else []
        shares = ", ".join(f"{row['steps_per_second'] / rate:.0%}" for rate in rates)
        lines.append(
            f"| {name} | {_rate(row)} | {ratio} | {target} | {shares} | {row['threads']} "
            f"| {_first(row)} | {row['whole_seconds']:.1f} | {row['peak_mib']:.0f} |"
        )
    return [*lines, ""]


def _rate(row: dict[str, Any]) -> str:
    """Steps a second, with the lowest and highest where there were repeats."""
    spread = f" ({row['lowest']:,.0f}–{row['highest']:,.0f})" if row.get("repeats", 1) > 1 else ""
    return f"{row['steps_per_second']:,.0f}{spread}"


def _first(row: dict[str, Any]) -> str:
    """Seconds that the first update cost beyond an ordinary one: none where, by noise, it was the quicker one."""
    return f"{max(row['first_iteration_seconds'], 0.0):.1f}"


def _solve(rows: dict[str, Any]) -> list[str]:
    reference = rows["sb3"].get("median_seconds")  # none where it failed
    lines = [
        "## From the command to CartPole-v1 solved", "",
        "The whole process, imports and compiling included: `rlzoo train` with PPO, an evaluation of 20 episodes every",
        "10,000 steps, to the first of at least 475; beside Stable-Baselines3 with the same evaluations. Each has the",
        "settings published for it: RL Zoo's there, here those but n_envs and gae_lambda, tuned on seeds 0 to 47.",
        "How many steps a seed needs is luck on both sides, so there are eleven, others than those. What was compiled",
        "is found on disk from the second on. Seconds for all 100,000 steps stand under ppo-cartpole.",
        "", "| | median, s | of sb3 | each seed, s | steps |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for name, row in rows.items():
        if "error" in row:
            lines.append(f"| {name} | failed: {row['error']} | | | |")
            continue
        each = ", ".join(f"{s:.1f}" for s in row["seconds"])
        steps = ", ".join(f"{s:,}" for s in row["steps"])
        share = f"{row['median_seconds'] / reference:.2f}" if reference else ""
        lines.append(f"| {name} | {row['median_seconds']:.1f} | {share} | {each} | {steps} |")
    return lines


def _by_hand(rows: dict[str, Any]) -> list[str]:
    lines = [
        "## The layer API", "",
        "One PPO update on CartPole (20 gradient steps), ms, in turns in one process:", "",
        "| | rlzoo | written by hand | ratio |", "|---|---|---|---|",
    ]  # fmt: skip
    for engine, row in rows.items():
        shown = "failed | | " if "error" in row else f"{row['rlzoo']:.2f} | {row['by_hand']:.2f} | {row['ratio']:.3f}"
        lines.append(f"| {engine} | {shown} |")
    return lines


def _acting(row: dict[str, float]) -> list[str]:
    return [
        "## Acting and collecting", "",
        "Microseconds, in NumPy, one thread. The policy on 8 CartPole observations: by `act` "
        f"{row['deterministic']:.1f} deterministic and {row['sampling']:.1f} sampling,",
        f"inside the collector {row['in_collector']:.1f}. A step of 8 environments alone {row['vector_step']:.1f}, "
        f"in the collector without a policy {row['collected_step']:.1f}: the collector adds {row['collector']:.1f}.",
    ]  # fmt: skip


def _priorities(row: dict[str, float]) -> list[str]:
    if "error" in row:
        return ["## Prioritized replay", "", f"failed: {row['error']}"]
    shown = [f"{rate:.2f} with {int(rows):,} rows a call" for rows, rate in row.items() if rows.isdigit()]
    return [
        "## Prioritized replay", "",
        "Millions of priorities a second sampled and updated, of a million, in NumPy, on one core: "
        f"{', '.join(shown)}.",
    ]  # fmt: skip


def _memory(rows: dict[str, Any]) -> list[str]:
    lines = [
        "## Memory", "",
        "PPO on CartPole-v1 for a million steps: MiB resident at each tenth, growth from the second to the last.", "",
        "| | at each tenth | growth | peak |", "|---|---|---|---|",
    ]  # fmt: skip
    for engine, row in rows.items():
        if "error" in row:
            lines.append(f"| {engine} | failed: {row['error']} | | |")
            continue
        each = ", ".join(f"{x:.0f}" for x in row["resident_mib"])
        lines.append(f"| {engine} | {each} | {row['growth_mib']:+.1f} | {row['peak_mib']} |")
    return lines


def _gpu(part: dict[str, Any] | None) -> list[str]:
    if part is None:
        jobs = "PPO with the image network, SAC at batch 256 and 4,096, on jax and torch"
        return ["## On a GPU", "", f"{jobs}: not measured, no GPU at hand."]
    versions = ", ".join(f"{name} {v}" for name, v in part["versions"].items())
    lines = [
        "## On a GPU", "",
        f"By `python -m benchmarks.gpu` on one {part['device']} and {part['cores']} cores, Python {part['python']};",
        f"{versions}.",
        "The images are 84 × 84 × 4 bytes, drawn beforehand, so that it is learning that is measured. Repeats: how",
        "often a row was measured, each in a process of its own; with more than one, the median (lowest–highest).",
    ]  # fmt: skip
    for job, measured in part["jobs"].items():
        settings = ", ".join(f"{k} {v}" for k, v in measured["settings"].items())
        lines += ["", f"**{job}**: {settings}", "", "| | steps/s | repeats | ratio | first, s |"]
        lines.append("|---|---|---|---|---|")
        for name, row in measured["results"].items():
            if "error" in row:
                lines.append(f"| {name} | failed: {row['error']} | | | |")
                continue
            ratio = f"{row['ratio']:.2f}" if row["ratio"] else ""
            repeats = row.get("repeats", 1)
            lines.append(f"| {name} | {_rate(row)} | {repeats} | {ratio} | {_first(row)} |")
    return lines
