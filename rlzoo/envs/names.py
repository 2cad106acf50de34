"""What environments are called: an id, or "package.module:EnvId", and what is known by it.

An id may be followed by arguments of the environment: "FrozenLake-v1,is_slippery=false,map_name=8x8". One is not its
own: `max_episode_steps` is the limit after which episodes are truncated, as in `gym.make`; none for no limit.
"""

from __future__ import annotations

import copy
import importlib
from contextlib import suppress
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import SyncVectorEnv, VectorEnv

from rlzoo.errors import UserError, installing, nearest, whole_number

MODULES = {"ALE": ("ale_py", "atari")}  # which register names that begin so, and the extra that has them
LIMIT = "max_episode_steps"


def arguments_of(env: str) -> dict[str, Any]:
    """What follows an id, by name: numbers, true, false, none, or else text.

    Raises UserError for what has no name, and for a name given twice.
    """
    found = {}
    for argument in env.split(",")[1:]:
        name, equals, value = argument.partition("=")
        if not name.strip().isidentifier() or not equals:
            raise UserError(f"environment {env!r}: {argument!r} is not NAME=VALUE, such as is_slippery=false")
        if name.strip() in found:
            raise UserError(f"environment {env!r}: {name.strip()} is given twice; leave one out")
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


def spec_of(env: Any) -> EnvSpec | None:
    """The Gymnasium spec of an id, an environment or copies of one; None for an object that was not made by an id.

    Raises UserError if the id is unknown, with the nearest known one.
    """
    if not isinstance(env, str):
        if not isinstance(env, gym.Env | VectorEnv):
            mend = ": call it, if it makes one" if callable(env) else ""
            raise UserError(f"env must be an id, a gymnasium.Env or a gymnasium.vector.VectorEnv, not {env!r}{mend}")
        if env.spec is None and isinstance(env, SyncVectorEnv):
            first, *others = (one.spec for one in env.envs)
            return first if all(other == first for other in others) else None
        return env.spec if isinstance(env.spec, EnvSpec) else None  # that of an EnvPool is of another kind
    arguments = arguments_of(env)
    module, name = module_and_id(env)
    space, slash, _ = name.partition("/")
    if slash and not module and space in MODULES:
        of_space, extra = MODULES[space]
        try:
            importlib.import_module(of_space)
        except ImportError as error:
            raise UserError(f"environment {env!r} needs {of_space} ({error}): {installing(extra)}") from None
    elif module:
        if not all(part.isidentifier() for part in module.split(".")):
            raise UserError(f"environment {env!r}: {module!r} is not the name of a module, such as package.module")
        try:
            importlib.import_module(module)
        except (ImportError, SyntaxError) as error:
            raise UserError(f"environment {env!r}: cannot import {module!r} ({error})") from None
        except SystemExit:
            mend = 'it ends Python: put what is not to be imported under if __name__ == "__main__":'
            raise UserError(f"environment {env!r}: cannot import {module!r} ({mend})") from None
    elif name not in gym.registry:
        register()  # it may be the older name of a game, PongNoFrameskip-v4, or near to one
    try:
        spec = gym.spec(name)
        if arguments:
            spec = copy.deepcopy(spec)
            if LIMIT in arguments:
                spec.max_episode_steps = _limit_of_argument(env, arguments.pop(LIMIT))
            spec.kwargs.update(arguments)
        return spec
    except gym.error.NamespaceNotFound:
        mend = f"{module!r} registers none" if module else f"name the module that does, package.module:{name}"
        raise UserError(f"unknown environment {env!r}: nothing registers names in {space}/; {mend}") from None
    except gym.error.Error as error:
        if isinstance(error, gym.error.DeprecatedEnv | gym.error.VersionNotFound) or name not in gym.registry:
            near = nearest(name, known(), 0.6) or f" ({error})"
            listed = "`rlzoo list envs` names those known"
            if isinstance(error, gym.error.NameNotFound) and not module:
                listed += f"; one that a package registers is package:{name}"
            raise UserError(f"unknown environment {env!r}{near}; {listed}") from None
        raise UserError(f"environment {env!r}: {error}") from None


def register() -> None:
    """Have the packages of `MODULES` that are installed register their names."""
    for module, _ in MODULES.values():
        with suppress(ImportError):
            importlib.import_module(module)


def known() -> dict[str, EnvSpec]:
    """What is registered, by its id; of Atari's games those in ALE/, for the others are the same by older names."""
    registered = gym.registry.items()
    return {name: spec for name, spec in registered if spec.namespace in MODULES or not is_game(spec)}


def newest_of(spec: EnvSpec) -> str:
    """The id of the newest version of an environment that is registered."""
    versions = [one for one in gym.registry.values() if (one.namespace, one.name) == (spec.namespace, spec.name)]
    return max([spec, *versions], key=lambda one: one.version or 0).id


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
    if spec is not None and is_game(spec):
        return None if spec.kwargs.get("obs_type") == "ram" else "atari"  # whose settings are for images
    return parts[2] if parts[:2] == ["gymnasium", "envs"] and len(parts) > 2 else None


def is_game(spec: EnvSpec) -> bool:
    """Whether it is one of Atari's, in the Arcade Learning Environment."""
    return str(spec.entry_point).startswith("ale_py.")


def is_harmless(env: str) -> bool:
    """Whether an id may be made on a file's word: it names no module to import, and no text that might be a path.

    Of an id such as ALE/Pong-v5 the module is one that is named here (MODULES), not in the file.
    """
    try:
        return ":" not in env and not any(isinstance(value, str) for value in arguments_of(env).values())
    except UserError:  # what is no name of an environment
        return False


def limit_of(env: Any) -> int:
    """Steps that an episode may have; 0 where that is not known."""
    spec = spec_of(env)
    if spec is not None:
        return limit_in(spec, env) or 0
    copies = env.unwrapped.envs if isinstance(env.unwrapped, SyncVectorEnv) else [env]
    limits = [_limit_by_wrapper(one) for one in copies]
    return max(limits) if all(limits) else 0


def limit_in(spec: EnvSpec, env: Any) -> int | None:
    """The limit in a spec; that which `gym.make_vec` was given stands among the arguments."""
    return (spec.kwargs.get(LIMIT) if isinstance(env, VectorEnv) else None) or spec.max_episode_steps


def _limit_by_wrapper(env: Any) -> int:
    while isinstance(env, gym.Wrapper):
        if isinstance(env, gym.wrappers.TimeLimit):
            return env._max_episode_steps
        env = env.env
    return 0
