"""The floor of a job: its environments stepped alone, and the matrix products of its updates by themselves.

    python -m benchmarks.floor sac-pendulum

Prints JSON: microseconds per environment step of the environments and of the products, on one core and on all, and the
steps a second that these allow. The products are read off the recording of the job's own update, with those that its
gradients take; each shape is timed by itself in NumPy, torch (MKL and oneDNN) and XLA, and the fastest counts. No rlzoo
backend is used. On Linux alone, which can hold a process to one core.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.jobs import JOBS
from benchmarks.rlzoo_worker import agent_of
from rlzoo.backend import recorder, tree
from rlzoo.backend.recorder import Instruction, Node, Program

Shape = tuple[int, int, int]  # [m, k] @ [k, n]
PRODUCTS = ("matmul", "linear")


def products(program: Program, differentiated: bool = False) -> Counter[Shape]:
    """How often each product is computed, the gradients' with respect to what depends on the inputs included."""
    found: Counter[Shape] = Counter()
    moving = {id(node) for node in program.inputs} if differentiated else set()
    for instruction in program.instructions:
        moves = [id(node) in moving for node in recorder.nodes_of(instruction.arguments)]
        if any(moves) and instruction.op != "stop_gradient":
            moving.update(id(node) for node in instruction.outputs)
        if instruction.op in PRODUCTS:
            m, k, n = _shape(instruction)
            found[m, k, n] += 1
            found[m, n, k] += moves[0]  # the gradient of the left factor
            found[k, m, n] += moves[1]  # and of the right one
        elif instruction.op == "value_and_grad":
            found += products(instruction.body, differentiated=True)  # type: ignore[arg-type]
        elif instruction.op == "fold":
            times = len(recorder.value_of(next(_scanned(instruction))))
            found.update({shape: count * times for shape, count in products(instruction.body).items()})  # type: ignore[arg-type]
    return +found


def _shape(instruction: Instruction) -> Shape:
    left, right = (recorder.value_of(argument) for argument in instruction.arguments[:2])
    return left.size // left.shape[-1], left.shape[-1], right.shape[-1]


def _scanned(instruction: Instruction) -> Iterator[Node]:
    return recorder.nodes_of(instruction.arguments[1])


def update_of(agent: Any) -> tuple[Program, int]:
    """The recording of one update, and the environment steps that it follows."""
    state, scalars = agent.state, agent.scalars()
    config = agent.config
    if hasattr(config, "n_steps"):
        arguments: tuple[Any, ...] = (state, agent.rollout.arrays(), agent.noise_of_update(), scalars)
        steps = config.n_steps * config.n_envs
    else:
        agent.replay.add(agent.rollout.transitions())
        steps = config.train_freq * config.n_envs
        arguments = (state, agent._inputs(steps if config.gradient_steps < 0 else config.gradient_steps, 0), scalars)
    return recorder.record(agent.update, [tree.map(np.asarray, argument) for argument in arguments]), steps


def microseconds(call: Callable[[], Any], least: float = 0.05) -> float:
    """The shortest of a call's times, over at least so many seconds: a floor is what the machine can do."""
    times: list[float] = []
    call()
    while sum(times) < least or len(times) < 5:
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return min(times) * 1e6


def seconds_of_products(counts: Counter[Shape], threads: int) -> float:
    """All products of an update, each shape at the fastest of these libraries' rates, in seconds."""
    import jax
    import torch

    from rlzoo.backend.torch_script import HAS_ONEDNN

    torch.set_num_threads(threads)
    xla = jax.jit(lambda x, y: x @ y)
    total = 0.0
    with threadpool_limits(threads, user_api="blas"):
        for (m, k, n), count in counts.items():
            x, y = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
            tx, ty = torch.from_numpy(x), torch.from_numpy(y)
            jx, jy = jax.device_put(x), jax.device_put(y)
            calls = [lambda: x @ y, lambda: torch.mm(tx, ty), lambda: xla(jx, jy).block_until_ready()]  # noqa: B023
            if HAS_ONEDNN:
                linear = torch.ops.mkldnn._linear_pointwise
                calls.append(lambda: linear(tx, ty.t(), None, "none", [], ""))  # noqa: B023
            total += count * min(map(microseconds, calls)) * 1e-6
    return total


def env_microseconds(agent: Any, rounds: int = 2000) -> float:
    """One step of all environments alone, per environment step."""
    env, config = agent.vector_env, agent.config
    env.reset(seed=0)
    actions = agent.policy.head.to_env(agent.policy.head.random(agent.rng, (config.n_envs,)))
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        env.step(actions)
        times.append(time.perf_counter() - begun)
    return float(np.mean(times)) * 1e6 / config.n_envs


def main(job_name: str, *core: str) -> None:
    """Print what was measured, as JSON; with a core, of the products on that core alone."""
    if core:
        os.sched_setaffinity(0, {int(core[0])})  # before XLA counts the cores
    job = JOBS[job_name]
    agent = agent_of(job, "numpy")
    program, steps = update_of(agent)
    counts, env = products(program), env_microseconds(agent)
    flops = sum(2 * m * k * n * count for (m, k, n), count in counts.items())
    cores = sorted(os.sched_getaffinity(0))
    products_us = seconds_of_products(counts, len(cores)) * 1e6 / steps
    rates = {"gflops": flops / steps / products_us / 1e3, "steps_per_second": 1e6 / (env + products_us)}
    measured: dict[str, Any] = {"products_us": products_us} | rates
    if not core:
        words = [sys.executable, "-m", "benchmarks.floor", job_name, str(cores[0])]
        one = json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout)
        measured = {
            "env_us": env, "megaflop_a_step": flops / steps / 1e6, "one_core": one, "all_cores": measured,
        }  # fmt: skip
    print(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
