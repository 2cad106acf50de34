"""`rlzoo list`: the names that other commands take."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rlzoo.cli.output import print_table
from rlzoo.errors import UserError, installing, nearest

ADAPTERS = ("GymV21Environment", "GymV26Environment")  # ways to make old environments, which are none themselves


def list_names(what: Annotated[str, typer.Argument(metavar="algos|envs|backends", help="What to list.")]) -> None:
    """List algorithms, environments or engines."""
    lists = {"algos": _list_algorithms, "envs": _list_environments, "backends": _list_backends}
    if what not in lists:
        raise UserError(f"cannot list {what!r}{nearest(what, lists)} (valid: {', '.join(lists)})")
    lists[what]()


def _list_algorithms() -> None:
    from rlzoo.algorithms import ALGORITHMS, find

    rows = [[name, (find(name).__doc__ or "").partition("\n")[0]] for name in ALGORITHMS]
    print_table(["algorithm", "what it is"], rows)


def _list_environments() -> None:
    """Those with published hyperparameters first, then the newest version of every other that Gymnasium knows."""
    from rlzoo.algorithms import ALGORITHMS
    from rlzoo.envs.names import known, register
    from rlzoo.training.published import published_environments

    tuned: dict[str, list[str]] = {}
    for algorithm in ALGORITHMS:
        for env in published_environments(algorithm):
            tuned.setdefault(env, []).append(algorithm)
    rows = [[env, ", ".join(algorithms)] for env, algorithms in tuned.items()]
    newest: dict[tuple[str | None, str], Any] = {}
    register()
    for spec in sorted(known().values(), key=lambda spec: spec.version or 0):
        newest[spec.namespace, spec.name] = spec
    rows += sorted([spec.id, ""] for spec in newest.values() if spec.id not in tuned and spec.name not in ADAPTERS)
    print_table(["environment", "has hyperparameters of its own for"], rows)


def _list_backends() -> None:
    from rlzoo.backend import ENGINES, choose, is_installed
    from rlzoo.training.run import framework_version

    auto = choose("auto") if any(map(is_installed, ENGINES)) else None
    rows = [
        [name, framework_version(name) if is_installed(name) else "not installed", installing(name),
         "auto takes this one" if name == auto else ""] for name in ENGINES
    ]  # fmt: skip
    print_table(["backend", "version", "how to install it", ""], rows)
