"""`rlzoo play`: watch a trained agent."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rlzoo.cli.agents import quoted
from rlzoo.cli.output import say
from rlzoo.cli.settings import whole
from rlzoo.errors import UserError, installing, printable


def play(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, a checkpoint's, or a saved agent's.")],
    episodes: Annotated[
        int | None, typer.Option(metavar="N", parser=whole(1), help="Episodes to show: 5, or 1 in a GIF.")
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", parser=whole(0), help="Seed of the first episode; the next has the next.")
    ] = 0,
    backend: Annotated[str | None, typer.Option(metavar="NAME", help="Engine, as for train; numpy acts too.")] = None,
    stochastic: Annotated[bool, typer.Option("--stochastic", help="Act as in training, not by the mode.")] = False,
    env: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Environment; needed if its id names a module or has text in its arguments."),
    ] = None,
    gif: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write an animation instead, which needs no display.")
    ] = None,
) -> None:
    """Show an agent in its environment, in a window or as a GIF."""
    from rlzoo.cli.agents import load_agent
    from rlzoo.cli.record import Recording, check_free
    from rlzoo.training.evaluate import evaluate, noise_beside

    if gif is not None:
        check_free(gif)
    agent = load_agent(run, env, backend)
    shown = _shown(agent, run, "human" if gif is None else "rgb_array")
    recording = None if gif is None else Recording(shown)
    for episode in range(episodes or (5 if gif is None else 1)):
        try:
            act = agent.player(1, noise_beside(seed + episode) if stochastic else None)
            result = evaluate(act if recording is None else recording.watched(act), shown, 1, seed + episode)
        except Exception as error:
            raise _explained(error) from error
        say(f"episode {episode + 1}: return {result.returns[0]:.1f} in {result.lengths[0]} steps")
    shown.close()
    if recording is not None and gif is not None:
        recording.write(gif)
        say(f"written: {printable(gif)}")


def _shown(agent: Any, run: Path, mode: str) -> Any:
    """The agent's environment, to be seen; raises UserError where it cannot be."""
    displays = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    if sys.platform == "linux" and not any(map(os.environ.get, displays)):
        if mode == "human":
            mend = f"`rlzoo play {quoted(run)} --gif FILE.gif` and `rlzoo evaluate {quoted(run)}` need none"
            raise UserError(f"no display to play on (DISPLAY is not set); {mend}")
        os.environ["SDL_VIDEODRIVER"] = "dummy"  # else SDL, which draws many environments, looks for one and complains
        os.environ.setdefault("MUJOCO_GL", "egl")  # and MuJoCo, which looks when it is imported, for a window
    try:
        shown = agent.separate_environment(render_mode=mode)
    except ValueError as error:
        if "render_fps" not in str(error):
            raise
        lacks = "cannot be shown: its metadata says no render_fps, such as 30"
        raise UserError(f"environment {agent.environment_name!r} {lacks}") from None
    except TypeError as error:
        if "render_mode" not in str(error):
            raise
        raise UserError(f"environment {agent.environment_name!r} cannot be shown: it takes no render_mode") from None
    modes = shown.metadata.get("render_modes", ())
    if mode not in modes:
        has = f"its render modes are {', '.join(modes) or 'none'}, without {mode}"
        raise UserError(f"environment {agent.environment_name!r} cannot be shown: {has}")
    return shown


def _explained(error: Exception) -> Exception:
    """The error to raise: what a person can mend in their own words, anything else as it was."""
    import gymnasium

    if isinstance(error, gymnasium.error.DependencyNotInstalled):
        return UserError(f"rendering needs the extra 'play' ({error}): {installing('play')}")
    if type(error).__module__.partition(".")[0] == "mujoco" or "MUJOCO_GL" in str(error):
        return UserError(f"MuJoCo cannot draw ({error}): set the variable MUJOCO_GL to egl, osmesa or glfw")
    if type(error).__module__.partition(".")[0] in ("pygame", "glfw"):
        return UserError(f"no window could be opened ({error}); `rlzoo evaluate` needs none")
    return error
