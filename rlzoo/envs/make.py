"""Environments from what a user names: an id, "package.module:EnvId", or a Gymnasium Env or VectorEnv object.

An id may be followed by arguments of the environment: "FrozenLake-v1,is_slippery=false,map_name=8x8". One is not its
own: `max_episode_steps` is the limit after which episodes are truncated, as in `gym.make`; none for no limit.
"""

from __future__ import annotations

import copy
import copyreg
import importlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial, reduce
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv, VectorWrapper

from rlzoo.envs import native
from rlzoo.envs.masks import MaskedActions, MaskedActionsVector
from rlzoo.envs.mistakes import check_entry_point, check_reset
from rlzoo.envs.stack import stacked
from rlzoo.envs.sync import LeanSyncVectorEnv
from rlzoo.errors import UserError, nearest, whole_number

NATIVE_FROM = 8  # environments side by side; fewer CartPoles are faster one after another
MODULES = {"ALE": "ale_py"}  # which register names that begin so
LIMIT = "max_episode_steps"
OF_MAKE_VEC = ("num_envs", "vectorization_mode", "vector_kwargs", LIMIT)  # which it adds to a spec


def arguments_of(env: str) -> dict[str, Any]:
    """What follows an id, by name: numbers, true, false, none, or else text; raises UserError for what has no name."""
    found = {}
    for argument in env.split(",")[1:]:
        name, equals, value = argument.partition("=")
        if not name.strip().isidentifier() or not equals:
            raise UserError(f"environment {env!r}: {argument!r} is not NAME=VALUE, such as is_slippery=false")
        found[name.strip()] = _plain(value.strip())
    return found


def _plain(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _limit_of_argument(env: str, value: Any) -> int | None:
    if value is None:
        return None
    try:
        return whole_number(LIMIT, value)
    except UserError as error:
        raise UserError(f"environment {env!r}: {error}, or none") from None


def module_and_id(env: str) -> tuple[str, str]:
    """The module that a name asks for, or "", and the id, without arguments."""
    module, _, name = env.partition(",")[0].rpartition(":")
    return module, name


def spec_of(env: Any) -> gym.envs.registration.EnvSpec | None:
    """The Gymnasium spec of an id, an environment or copies of one; None for an object that was not made by an id.

    Raises UserError if the id is unknown, with the nearest known one.
    """
    if not isinstance(env, str):
        if not isinstance(env, gym.Env | VectorEnv):
            raise UserError(f"env must be an id, a gymnasium.Env or a gymnasium.vector.VectorEnv, not {env!r}")
        if env.spec is None and isinstance(env, SyncVectorEnv):
            first, *others = (one.spec for one in env.envs)
            return first if all(other == first for other in others) else None
        return env.spec
    arguments = arguments_of(env)
    module, name = module_and_id(env)
    if module:
        if not all(part.isidentifier() for part in module.split(".")):
            raise UserError(f"environment {env!r}: {module!r} is not the name of a module, such as package.module")
        try:
            importlib.import_module(module)
        except (ImportError, SyntaxError) as error:
            raise UserError(f"environment {env!r}: cannot import {module!r} ({error})") from None
    try:
        spec = gym.spec(name)
        if arguments:
            spec = copy.deepcopy(spec)
            if LIMIT in arguments:
                spec.max_episode_steps = _limit_of_argument(env, arguments.pop(LIMIT))
            spec.kwargs.update(arguments)
        return spec
    except gym.error.NamespaceNotFound:
        space = name.partition("/")[0]
        of_space = MODULES.get(space, "package.module")
        mend = f"{module!r} registers none" if module else f"name the module that does, {of_space}:{name}"
        raise UserError(f"unknown environment {env!r}: nothing registers names in {space}/; {mend}") from None
    except gym.error.Error as error:
        if isinstance(error, gym.error.DeprecatedEnv | gym.error.VersionNotFound) or name not in gym.registry:
            near = nearest(name, gym.registry, 0.6) or f" ({error})"
            raise UserError(f"unknown environment {env!r}{near}; `rlzoo list envs` names those known") from None
        raise UserError(f"environment {env!r}: {error}") from None


def name_of(env: Any) -> str:
    """The id an environment is known by, or its class name."""
    if isinstance(env, str):
        return env
    spec = spec_of(env)
    return spec.id if spec is not None else type(getattr(env, "unwrapped", env)).__name__


def family_of(env: Any) -> str | None:
    """The group an environment's hyperparameters may share: classic_control, box2d, mujoco, toy_text, atari, …"""
    spec = spec_of(env)
    entry = spec.entry_point if spec is not None else type(getattr(env, "unwrapped", env)).__module__
    parts = str(entry).partition(":")[0].split(".")
    if parts[0] == "ale_py":
        return "atari"
    return parts[2] if parts[:2] == ["gymnasium", "envs"] and len(parts) > 2 else None


def is_harmless(env: str) -> bool:
    """Whether an id may be made on a file's word: it names no module to import, and no text that might be a path."""
    return ":" not in env and not any(isinstance(value, str) for value in arguments_of(env).values())


def limit_of(env: Any) -> int:
    """Steps that an episode may have; 0 where that is not known."""
    spec = spec_of(env)
    if spec is not None:
        return _limit_in(spec, env) or 0
    copies = env.unwrapped.envs if isinstance(env.unwrapped, SyncVectorEnv) else [env]
    limits = [_limit_by_wrapper(one) for one in copies]
    return max(limits) if all(limits) else 0


def _limit_in(spec: gym.envs.registration.EnvSpec, env: Any) -> int | None:
    """The limit in a spec; that which `gym.make_vec` was given stands among the arguments."""
    return (spec.kwargs.get(LIMIT) if isinstance(env, VectorEnv) else None) or spec.max_episode_steps


def _limit_by_wrapper(env: Any) -> int:
    while isinstance(env, gym.Wrapper):
        if isinstance(env, gym.wrappers.TimeLimit):
            return env._max_episode_steps
        env = env.env
    return 0


def insides(env: Any) -> list[Any]:
    """The environments within an object, without wrappers: a vector environment and those that it steps."""
    inner = env.unwrapped
    return [inner, *(one.unwrapped for one in getattr(inner, "envs", ()))]


def make(
    env: Any, n_envs: int = 1, render_mode: str | None = None, infos: bool = True, vectorization: str = "sync",
    frame_stack: int = 1, action_masks: bool = False,
) -> VectorEnv:  # fmt: skip
    """A vector environment: `n_envs` of an id, or the object that was given. An Env object becomes one of one.

    `vectorization` is "sync", copies one after another; "native", the environment's own vector form; "envpool", EnvPool
    (C++); or "auto", the native form where it is known to be the same environment and to be faster. Without `infos`,
    copies say what they have to say only of episodes that end. `frame_stack` observations are seen as one, and
    `action_masks` stand beside them (`envs.masks`). Raises UserError for an unknown id, a form it does not have, a
    missing dependency.
    """
    if isinstance(env, VectorEnv):
        if frame_stack > 1:
            raise UserError(f"frame_stack is for copies, made here: stack the frames of {name_of(env)} yourself")
        return MaskedActionsVector(env) if action_masks else env

    one = partial(_viewed, frame_stack=frame_stack, action_masks=action_masks)
    if isinstance(env, gym.Env):
        return LeanSyncVectorEnv([lambda: one(env)], infos)
    spec = spec_of(env)
    assert spec is not None
    if frame_stack > 1 or action_masks:
        if vectorization not in ("auto", "sync"):
            raise UserError(f"frame_stack and action_masks need copies: set vectorization = sync, not {vectorization}")
        vectorization = "sync"
    worthwhile = n_envs >= NATIVE_FROM and render_mode is None and native.same_as_copies(spec) is not None
    try:
        check_entry_point(env, spec)
        if vectorization == "envpool" and render_mode is None:  # windows show copies
            from rlzoo.envs.pool import EnvPoolVectorEnv

            return EnvPoolVectorEnv(spec, n_envs)
        if vectorization == "native" or spec.entry_point is None or (vectorization == "auto" and worthwhile):
            return make(native.make(spec, n_envs, render_mode), frame_stack=frame_stack, action_masks=action_masks)
        return LeanSyncVectorEnv([lambda: one(_single(spec, render_mode))] * n_envs, infos)
    except UserError:
        raise
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise UserError(f"environment {env!r} needs more: {' '.join(str(error).split())}") from None
    except Exception as error:
        told = str(error).partition(" was raised from")[0]
        if isinstance(error, TypeError) and "argument" in told:
            raise UserError(f"environment {env!r}: {told} (arguments follow an id: {spec.id},NAME=VALUE)") from None
        if not arguments_of(env):
            raise
        mend = f"look at its arguments, or leave them out: {spec.id}"
        raise UserError(f"environment {env!r} cannot be made ({type(error).__name__}: {told}): {mend}") from None


def _single(spec: gym.envs.registration.EnvSpec, render_mode: str | None) -> gym.Env:
    """An environment of a spec. Not all have a `render_mode` to be set."""
    return gym.make(spec) if render_mode is None else gym.make(spec, render_mode=render_mode)


def _viewed(env: gym.Env, frame_stack: int = 1, action_masks: bool = False) -> gym.Env:
    check_reset(env)
    env = stacked(env, frame_stack) if frame_stack > 1 else env
    return MaskedActions(env) if action_masks else env


def form_of(env: VectorEnv) -> str:
    """How the environments of a vector environment are stepped: "sync", "async", "envpool" or "native"."""
    kinds = {SyncVectorEnv: "sync", AsyncVectorEnv: "async"}
    found = (name for kind, name in kinds.items() if isinstance(env.unwrapped, kind))
    return next(found, getattr(env.unwrapped, "form", "native"))


def make_separate(env: Any, n_envs: int = 1, render_mode: str | None = None, **views: Any) -> VectorEnv:
    """An environment of the same kind that shares nothing with `env`: for evaluation. Raises UserError if it cannot.

    An id is made `n_envs` times. An object is copied as it is now, with what its wrappers have counted; one that cannot
    be copied, or is to be seen, is made again from its spec, if it was made by an id, as it was then. `views` are
    `frame_stack` and `action_masks` of `make`.
    """
    if isinstance(env, str):
        return make(env, n_envs, render_mode, infos=False, **views)
    spec = None if isinstance(env, VectorWrapper) else spec_of(env)  # a vector wrapper's is that of what it wraps
    ways = [lambda: make(copied(env, {}), infos=False, **views)]
    if spec is not None:
        ways.insert(0 if render_mode else 1, lambda: _remade(env, spec, n_envs, render_mode, views))
    reasons = []
    for way in ways:
        try:
            return way()
        except UserError:
            raise
        except Exception as error:
            reasons.append(str(error))
    name, reason = name_of(env), "; ".join(reasons)
    raise UserError(f"{name} cannot be copied ({reason}): pass an environment to evaluate in, env=…") from None


def _remade(env: Any, spec: Any, n_envs: int, render_mode: str | None, views: dict[str, Any]) -> VectorEnv:
    """Environments of an object's spec; raises ValueError where a wrapper keeps no record of its arguments."""
    spec, wrappers = copy.deepcopy(spec), ()
    if isinstance(env, VectorEnv):
        wrappers, spec.max_episode_steps = spec.kwargs.pop("wrappers", ()), _limit_in(spec, env)
        for keyword in OF_MAKE_VEC:
            spec.kwargs.pop(keyword, None)
    made = [_single(spec, render_mode) for _ in range(n_envs)]
    made = [reduce(lambda inner, wrapper: wrapper(inner), wrappers, one) for one in made]
    return LeanSyncVectorEnv([partial(_viewed, one, **views) for one in made], infos=False)


def copied(env: Any, memo: dict[int, Any]) -> Any:
    """A deep copy; of environments in other processes, new ones in this process. Raises what copying raises."""
    inner = getattr(env, "unwrapped", None)
    if isinstance(inner, AsyncVectorEnv):
        memo[id(inner)] = SyncVectorEnv(inner.env_fns, autoreset_mode=inner.autoreset_mode)
    with _connections_stay():
        return copy.deepcopy(env, memo)


@contextmanager
def _connections_stay() -> Iterator[None]:
    """Refuse copies of connections to other processes, which close the original's handle once they are dropped."""

    def refuse(connection: Connection) -> NoReturn:
        raise TypeError("it holds a connection to another process")

    before = copyreg.dispatch_table.get(Connection)
    copyreg.pickle(Connection, refuse)  # type: ignore[arg-type]
    try:
        yield
    finally:
        del copyreg.dispatch_table[Connection]
        if before is not None:
            copyreg.dispatch_table[Connection] = before
