"""`rlzoo play`: watch a trained agent."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rlzoo.cli.agents import quoted
from rlzoo.cli.settings import whole
from rlzoo.errors import UserError, installing


def play(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, a checkpoint's, or a saved agent's.")],
    episodes: Annotated[int, typer.Option(metavar="N", parser=whole(1), help="Episodes to show.")] = 5,
    seed: Annotated[
        int, typer.Option(metavar="N", parser=whole(0), help="Seed of the first episode; the next has the next.")
    ] = 0,
    backend: Annotated[str | None, typer.Option(metavar="NAME", help="Engine, as for train; numpy acts too.")] = None,
    stochastic: Annotated[bool, typer.Option("--stochastic", help="Act as in training, not by the mode.")] = False,
    env: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Environment; needed if its id names a module or has text in its arguments."),
    ] = None,
) -> None:
    """Show an agent in its environment, in a window."""
    from rlzoo.cli.agents import load_agent
    from rlzoo.training.evaluate import evaluate, noise_beside

    agent = load_agent(run, env, backend)
    window = _window(agent, run)
    for episode in range(episodes):
        try:
            rng = noise_beside(seed + episode) if stochastic else None
            result = evaluate(agent.player(1, rng), window, 1, seed + episode)
        except Exception as error:
            raise _explained(error) from error
        print(f"episode {episode + 1}: return {result.returns[0]:.1f} in {result.lengths[0]} steps", flush=True)
    window.close()


def _window(agent: Any, run: Path) -> Any:
    displays = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    if sys.platform == "linux" and not any(map(os.environ.get, displays)):
        raise UserError(f"no display to play on (DISPLAY is not set); `rlzoo evaluate {quoted(run)}` needs none")
    try:
        window = agent.separate_environment(render_mode="human")
    except ValueError as error:
        if "render_fps" not in str(error):
            raise
        lacks = "has no window: its metadata says no render_fps, such as 30"
        raise UserError(f"environment {agent.environment_name!r} {lacks}") from None
    except TypeError as error:
        if "render_mode" not in str(error):
            raise
        raise UserError(f"environment {agent.environment_name!r} has no window: it takes no render_mode") from None
    if "human" not in window.metadata.get("render_modes", ()):
        raise UserError(f"environment {agent.environment_name!r} has no window: its render modes are "
                        f"{', '.join(window.metadata.get('render_modes', ())) or 'none'}")  # fmt: skip
    return window


def _explained(error: Exception) -> Exception:
    """The error to raise: what a person can mend in their own words, anything else as it was."""
    import gymnasium

    if isinstance(error, gymnasium.error.DependencyNotInstalled):
        return UserError(f"a window needs the extra 'play' ({error}): {installing('play')}")
    if type(error).__module__.partition(".")[0] in ("pygame", "glfw"):
        return UserError(f"no window could be opened ({error}); `rlzoo evaluate` needs none")
    return error
