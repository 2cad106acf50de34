"""Environments from what a user names: an id, "package.module:EnvId", or a Gymnasium Env or VectorEnv object."""

from __future__ import annotations

import copy
import copyreg
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial, reduce
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv, VectorWrapper

from rlzoo.envs import atari, native
from rlzoo.envs.masks import MaskedActions, MaskedActionsVector
from rlzoo.envs.mistakes import check_entry_point, check_reset, check_spaces
from rlzoo.envs.names import LIMIT, arguments_of, limit_in, name_of, spec_of
from rlzoo.envs.stack import stacked
from rlzoo.envs.sync import LeanSyncVectorEnv
from rlzoo.errors import UserError

NATIVE_FROM = 8  # environments side by side; fewer CartPoles are faster one after another
OF_MAKE_VEC = ("num_envs", "vectorization_mode", "vector_kwargs", LIMIT)  # which it adds to a spec


def insides(env: Any) -> list[Any]:
    """The environments within an object, without wrappers: a vector environment and those that it steps."""
    inner = env.unwrapped
    return [inner, *(one.unwrapped for one in getattr(inner, "envs", ()))]


def make(
    env: Any, n_envs: int = 1, render_mode: str | None = None, infos: bool = True, vectorization: str = "sync",
    preprocessing: str | None = None, frame_stack: int = 1, action_masks: bool = False,
) -> VectorEnv:  # fmt: skip
    """A vector environment: `n_envs` of an id, or the object that was given. An Env object becomes one of one.

    `vectorization` is "sync", copies one after another; "native", the environment's own vector form; "envpool", EnvPool
    (C++); or "auto", the native form where it is known to be the same environment and to be faster. Without `infos`,
    copies say what they have to say only of episodes that end. `preprocessing` is "atari" (`envs.atari`) or None,
    `frame_stack` observations are seen as one, and `action_masks` stand beside them (`envs.masks`). Raises UserError
    for an unknown id, a form it does not have, a missing dependency.
    """
    if isinstance(env, VectorEnv):
        if preprocessing is not None:
            mend = f"wrap {name_of(env)} yourself, and set preprocessing = none"
            raise UserError(f"preprocessing is for copies, made here: {mend}")
        if frame_stack > 1:
            mend = f"stack the frames of {name_of(env)} yourself, and set frame_stack = 1"
            raise UserError(f"frame_stack is for copies, made here: {mend}")
        return MaskedActionsVector(env) if action_masks else env

    one = partial(_viewed, preprocessing=preprocessing, frame_stack=frame_stack, action_masks=action_masks)
    if isinstance(env, gym.Env):
        return LeanSyncVectorEnv([lambda: one(env)], infos)
    spec = spec_of(env)
    assert spec is not None
    of_games = False  # whether their own vector form is to be taken
    if preprocessing is not None:
        limit = spec.max_episode_steps
        spec, one = atari.raw(spec, arguments_of(env)), partial(one, limit=limit)
        alone = render_mode is None and not action_masks and limit is None
        of_games = alone and (vectorization == "native" or (vectorization == "auto" and atari.has_vector_form(spec)))
    if not of_games and (preprocessing is not None or frame_stack > 1 or action_masks):
        if vectorization not in ("auto", "sync"):
            views = "preprocessing, frame_stack and action_masks"
            raise UserError(f"{views} need copies: set vectorization = sync, not {vectorization}")
        vectorization = "sync"
    worthwhile = n_envs >= NATIVE_FROM and render_mode is None and native.same_as_copies(spec) is not None
    try:
        check_entry_point(env, spec)
        if of_games:
            return atari.AtariGames(spec, n_envs, frame_stack)
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


def _viewed(
    env: gym.Env, preprocessing: str | None = None, frame_stack: int = 1, action_masks: bool = False,
    limit: int | None = None,
) -> gym.Env:  # fmt: skip
    check_reset(env)
    check_spaces(env)
    env = env if preprocessing is None else atari.preprocessed(env, limit)
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
    `preprocessing`, `frame_stack` and `action_masks` of `make`.
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
        wrappers, spec.max_episode_steps = spec.kwargs.pop("wrappers", ()), limit_in(spec, env)
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
