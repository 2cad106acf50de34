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
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv, VectorWrapper

from rlzoo.envs import native
from rlzoo.envs.mistakes import check_entry_point
from rlzoo.envs.names import LIMIT, arguments_of, limit_in, name_of, newest_of, spec_of
from rlzoo.envs.processes import in_processes
from rlzoo.envs.sync import LeanSyncVectorEnv
from rlzoo.envs.views import Views
from rlzoo.errors import UserError

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

    `vectorization` is "sync", copies one after another; "async", copies in processes of their own; "native", the
    environment's own vector form; "envpool", EnvPool (C++); or "auto", the native form where it is known to be the same
    environment and to be faster, else "sync". Without `infos`, copies say what they have to say only of episodes that
    end. `preprocessing` is "atari" (`envs.atari`) or None, `frame_stack` observations are seen as one, and
    `action_masks` stand beside them (`envs.masks`). Raises UserError for an unknown id, a form it does not have, a
    missing dependency.
    """
    views = Views(preprocessing, frame_stack, action_masks)
    if isinstance(env, VectorEnv):
        return views.of_vector(env)
    if isinstance(env, gym.Env):
        return LeanSyncVectorEnv([lambda: views.of(env)], infos)
    spec = spec_of(env)
    assert spec is not None
    spec, views = views.asked_of(spec, arguments_of(env))
    form = _form(spec, n_envs, render_mode, vectorization, views)
    with _told(env, spec):
        check_entry_point(env, spec)
        if form == "native":
            return native.make(spec, n_envs, views, render_mode)
        if form == "envpool":
            from rlzoo.envs.pool import EnvPoolVectorEnv

            return EnvPoolVectorEnv(spec, n_envs)
        one = partial(_seen, spec, render_mode, views)
        return in_processes(spec, one, n_envs, infos) if form == "async" else LeanSyncVectorEnv([one] * n_envs, infos)


def _form(spec: EnvSpec, n_envs: int, render_mode: str | None, vectorization: str, views: Views) -> str:
    """The form in which environments are made. Raises UserError if it was asked for and cannot be seen through `views`.

    What is to be rendered are copies in this process, where EnvPool or processes of their own were asked for.
    """
    if render_mode is not None and vectorization in ("async", "envpool"):
        vectorization = "sync"
    if spec.entry_point is None and vectorization != "envpool":
        return "native"  # there is no other
    if vectorization == "auto":
        return "native" if render_mode is None and native.is_better(spec, n_envs, views) else "sync"
    in_copies = vectorization in ("sync", "async")
    if not in_copies and views and not (vectorization == "native" and native.shows(views, render_mode)):
        asked = "preprocessing, frame_stack and action_masks"
        raise UserError(f"{asked} need copies: set vectorization = sync, not {vectorization}")
    return vectorization


@contextmanager
def _told(env: str, spec: EnvSpec) -> Iterator[None]:
    """Raise as UserError what went wrong in making `env` where its name is at fault, or a package is missing."""
    try:
        yield
    except UserError:
        raise
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        newest = newest_of(spec)
        mend = f" — or take {newest}" if newest != spec.id else ""
        raise UserError(f"environment {env!r} needs more: {' '.join(str(error).split())}{mend}") from None
    except Exception as error:
        told = str(error).partition(" was raised from")[0]
        if isinstance(error, TypeError) and "argument" in told:
            raise UserError(f"environment {env!r}: {told} (arguments follow an id: {spec.id},NAME=VALUE)") from None
        if not arguments_of(env):
            raise
        mend = f"look at its arguments, or leave them out: {spec.id}"
        raise UserError(f"environment {env!r} cannot be made ({type(error).__name__}: {told}): {mend}") from None


def _seen(spec: EnvSpec, render_mode: str | None, views: Views) -> gym.Env:
    return views.of(_single(spec, render_mode))


def _single(spec: EnvSpec, render_mode: str | None) -> gym.Env:
    """An environment of a spec. Not all have a `render_mode` to be set."""
    return gym.make(spec) if render_mode is None else gym.make(spec, render_mode=render_mode)


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
    return LeanSyncVectorEnv([partial(Views(**views).of, one) for one in made], infos=False)


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
