"""`rlzoo train`: train an agent, or go on with a run."""

from __future__ import annotations

import math
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from rlzoo.cli.output import say
from rlzoo.cli.settings import settings_of, whole
from rlzoo.errors import UserError, printable


def train(
    context: typer.Context,
    algo: Annotated[str | None, typer.Option(metavar="NAME", help="Algorithm; `rlzoo list algos`.")] = None,
    env: Annotated[str | None, typer.Option(metavar="ID", help="Gymnasium id, or package.module:EnvId.")] = None,
    backend: Annotated[
        str | None, typer.Option(metavar="NAME", help="Engine: auto, jax, torch, tensorflow or mindspore.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", parser=whole(1), help="Environment steps; with --resume, so many more.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", parser=whole(0), help="Seed of everything that is drawn; 0 if not given.")
    ] = None,
    n_envs: Annotated[int | None, typer.Option(metavar="N", parser=whole(1), help="Environments side by side.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE …", help="Hyperparameters; see `rlzoo show`.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Hyperparameters: a TOML file or another run. --set wins.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The run's folder; by default one in runs/.")] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda.")] = "auto",
    eval_every: Annotated[
        int | None, typer.Option(metavar="N", parser=whole(1), help="Steps between evaluations.")
    ] = None,
    stop_at: Annotated[
        float | None, typer.Option(metavar="RETURN", help="End at the first evaluation whose mean return reaches this.")
    ] = None,
    eager: Annotated[bool, typer.Option("--eager", help="Run without compiling: slower, for debugging.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but the run's folder.")] = False,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with the run in this folder.")] = None,
) -> None:
    """Train an agent in an environment, or go on with a run."""
    from rlzoo.training.run import Run

    if resume is None:
        _check_evaluations(eval_every, stop_at)
        hyperparameters = settings_of(settings, config, steps=steps, n_envs=n_envs)
        agent = _new_agent(algo, env, backend, device, seed, eager, hyperparameters)
        with Run.create(out, agent, context.obj, eval_every=eval_every, stop_at=stop_at) as run:
            _learn(agent, run, None, eval_every, stop_at, quiet, is_new=True)
    else:
        keeps = {
            "algorithm": ("--algo", algo and algo.lower()),
            "environment": ("--env", env),
            "seed": ("--seed", seed),
        }
        fixed = {"--set": settings, "--config": config, "--n-envs": n_envs, "--out": out}
        with Run.open(resume) as run:
            _check_unchanged(run, keeps, fixed)
            eval_every = run.option("eval_every") if eval_every is None else eval_every
            stop_at = run.option("stop_at") if stop_at is None else stop_at
            _check_evaluations(eval_every, stop_at)
            agent = _resumed_agent(run, env, backend, device, eager, steps)
            run.note_resumption(agent, context.obj, eval_every=eval_every, stop_at=stop_at)
            _learn(agent, run, steps, eval_every, stop_at, quiet, is_new=False)
    if quiet:
        say(run.folder)
    else:
        _print_outcome(agent, run)


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """The signal that ends jobs in queues and containers raises KeyboardInterrupt."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_evaluations(eval_every: int | None, stop_at: float | None) -> None:
    if stop_at is not None and eval_every is None:
        raise UserError("--stop-at needs evaluations: give --eval-every too, such as --eval-every 10000")
    if stop_at is not None and not math.isfinite(stop_at):
        raise UserError(f"--stop-at {stop_at} is not valid: give a finite number, such as --stop-at 475")


# ---- a new run -------------------------------------------------------------------------------------------------------
def _new_agent(
    algo: str | None, env: str | None, backend: str | None, device: str, seed: int | None, eager: bool,
    hyperparameters: dict[str, Any],
) -> Any:  # fmt: skip
    from rlzoo.algorithms import find
    from rlzoo.cli.agents import trust

    if algo is None or env is None:
        missing = " and ".join(name for name, value in (("--algo", algo), ("--env", env)) if value is None)
        raise UserError(f"{missing} missing: rlzoo train --algo ppo --env CartPole-v1, or rlzoo train --resume RUN")
    kind = find(algo)
    trust(env)
    agent = kind(env, backend=backend, device=device, seed=seed or 0, eager=eager, **hyperparameters)
    _check_learns(agent)
    return agent


def _check_learns(agent: Any) -> None:
    if not agent.engine.learns:
        mend = "use --backend jax, torch, tensorflow or mindspore"
        raise UserError(f"backend {agent.engine.name!r} acts but does not learn: {mend}")


# ---- going on with a run ---------------------------------------------------------------------------------------------
def _check_unchanged(run: Any, keeps: dict[str, tuple[str, Any]], fixed: dict[str, Any]) -> None:
    """Raises UserError if an option contradicts what the run was made with."""
    from rlzoo.cli.agents import quoted
    from rlzoo.envs import is_harmless
    from rlzoo.training.checkpoint_files import read_manifest

    folder = printable(run.folder)
    made_with = read_manifest(run.latest_checkpoint())
    if not made_with["environment_is_id"]:
        keeps.pop("environment")  # it was an object, and --env is how to name one like it
    for key, (option, value) in keeps.items():
        if value is not None and value != made_with[key]:
            has = f"{folder} has {printable(made_with[key])}"
            asked_again = key == "environment" and not is_harmless(made_with[key])
            mend = f"give --env {quoted(made_with[key])}, if you trust it" if asked_again else "leave it out"
            raise UserError(f"{option} {value} contradicts --resume: {has}; {mend}")
    for option, value in fixed.items():
        if value:
            raise UserError(f"{option} cannot be given with --resume: {folder} keeps its own; leave it out")


def _resumed_agent(run: Any, env: str | None, backend: str | None, device: str, eager: bool, more: int | None) -> Any:
    from rlzoo.cli.agents import load_agent, quoted, vouched
    from rlzoo.training.checkpoint_files import read_manifest

    backend = backend or read_manifest(run.latest_checkpoint())["backend"]
    agent = load_agent(run.folder, env, backend, device, eager, replay=True)
    _check_learns(agent)
    if agent.steps >= agent.total_steps and more is None:
        raise UserError(
            f"{quoted(run.folder)} is finished ({agent.steps:,} steps): to train it longer, "
            f"rlzoo train --resume {quoted(run.folder)}{vouched(agent, run.folder)} --steps {agent.config.steps}"
        )
    return agent


# ---- training --------------------------------------------------------------------------------------------------------
def _learn(
    agent: Any, run: Any, more: int | None, eval_every: int | None, stop_at: float | None, quiet: bool, is_new: bool
) -> None:
    """Train; a start that fails leaves no folder behind, and whatever else ends it early says how to go on."""
    begun = agent.steps
    try:
        from rlzoo.training.callbacks import Evaluate

        if not quiet:
            say(*map(printable, (_headline(agent, more), f"run: {run.folder}")))
        evaluations = [] if eval_every is None else [Evaluate(eval_every, stop_at=stop_at)]
        with _sigterm_as_ctrl_c():
            agent.learn(more, callbacks=[run, *evaluations], progress=not quiet)
        last = evaluations[0].last if evaluations else None
        if not quiet and stop_at is not None and last is not None and last.mean_return >= stop_at:
            say(f"stopped at step {agent.steps:,}: evaluation return {last.mean_return:.1f} reached {stop_at}")
    except KeyboardInterrupt:
        if is_new and not run.has_checkpoint:
            shutil.rmtree(run.folder, ignore_errors=True)
            print("stopped before the first step: nothing was kept", file=sys.stderr)
            raise typer.Exit(130) from None
        print(_how_to_go_on(agent, run), file=sys.stderr)
        raise typer.Exit(130) from None
    except Exception as error:
        if is_new and agent.steps == 0:
            shutil.rmtree(run.folder, ignore_errors=True)
        elif agent.steps > begun:
            error.add_note(_how_to_go_on(agent, run))
        raise


def _how_to_go_on(agent: Any, run: Any) -> str:
    from rlzoo.cli.agents import quoted, vouched

    kept = run.latest_checkpoint()
    return (
        f"stopped at step {agent.steps:,}; {quoted(kept)} has step {int(kept.name.removeprefix('step_')):,}; "
        f"go on with: rlzoo train --resume {quoted(run.folder)}{vouched(agent, run.folder)}"
    )


def _headline(agent: Any, more: int | None) -> str:
    from rlzoo.training.run import framework_version

    engine = agent.engine
    total = agent.total_steps if more is None else agent.steps + more
    parts = [
        f"{agent.name} on {agent.environment_name}",
        f"{engine.name} {framework_version(engine.name)} on {engine.device}{', eager' if engine.eager else ''}",
        f"seed {agent.seed}",
        f"{total:,} steps" if agent.steps == 0 else f"steps {agent.steps:,} to {total:,}",
        _environments(agent),
    ]
    return " · ".join(parts)


def _environments(agent: Any) -> str:
    from rlzoo.envs import form_of

    n = agent.config.n_envs
    return f"{n} environments, {form_of(agent.collector.stepper.env)}" if n > 1 else "1 environment"


def _print_outcome(agent: Any, run: Any) -> None:
    from rlzoo.cli.agents import quoted, vouched

    result, folder = agent.evaluate(20), quoted(run.folder)
    say(
        result,
        f"run:     {printable(run.folder)}",
        f"curves:  tensorboard --logdir {folder}",
        f"again:   rlzoo evaluate {folder}{vouched(agent, run.folder)}",
    )
