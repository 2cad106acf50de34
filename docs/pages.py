"""`make docs`: writes a page for each algorithm, made from its file, and the table of what can be used with what."""

from __future__ import annotations

import inspect
import json
import re
import sys
import tomllib
from pathlib import Path
from statistics import mean, median
from typing import Any

from combinations import ACTIONS, PARTS, acts_in, combines
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from rlzoo.algorithms import ALGORITHMS, find
from rlzoo.cli.output import as_text
from rlzoo.training.text import type_name

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "algorithms"
SCORES = ROOT / "docs" / "benchmarks" / "scores.json"
REACHED = "## What it reached"  # the section that comes from measurements, always the last
PAPER = re.compile(r"\b[A-Z]\w+ (19|20)\d\d\b")
CITATION = re.compile(r"\b(eq\. \d|[Aa]lgorithm S?\d|section \d|appendix [A-Z]\b)")


# ---- a page ----------------------------------------------------------------------------------------------------------
def page(algorithm: str) -> str:
    """The page of an algorithm."""
    kind = find(algorithm)
    module = sys.modules[kind.__module__]
    return "\n\n".join([
        f"# {kind.__name__}",
        inspect.cleandoc(module.__doc__),
        f"Code: [rlzoo/algorithms/{algorithm}.py](../../rlzoo/algorithms/{algorithm}.py). This page is made from it "
        "by `make docs`.",
        "## Equations", equations(kind),
        "## Train it", *training(kind),
        "## Where it acts, and what it combines with", *uses(algorithm),
        "## Hyperparameters", *hyperparameters(kind),
        "## Recommended hyperparameters", recommended(algorithm),
        REACHED, reached(algorithm),
    ]) + "\n"  # fmt: skip


def equations(kind: type) -> str:
    """What its methods compute, where they cite their source; and what a value network says of a return."""
    texts: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        if owner.__module__.startswith("rlzoo.algorithms."):
            texts |= {f".{name}": f"`{owner.__name__}.{name}`" for name in vars(owner) if name != "Config"}
    found = [(label, inspect.getdoc(getattr(kind, name[1:])) or "") for name, label in texts.items()]
    modules = [sys.modules[owner.__module__] for owner in kind.__mro__ if owner.__module__.startswith("rlzoo.")]
    found += [
        (f"`nn.returns.{name}`", inspect.getdoc(value) or "")
        for module in modules for name, value in vars(module).items()
        if getattr(value, "__module__", None) == "rlzoo.nn.returns"
    ]  # fmt: skip
    found += [
        (f"`nn.{name}.{method}`", inspect.getdoc(getattr(value, method)) or "")
        for name, value in return_distributions(kind).items() for method in ("backup", "error")
    ]  # fmt: skip
    cited = [(label, " ".join(text.split())) for label, text in found if CITATION.search(text)]
    bare = [label for label, text in cited if not PAPER.search(text)]
    if bare:  # a page shows what its algorithm inherits, too: an equation's number alone could be of any paper
        raise SystemExit(f"{kind.__name__}: {', '.join(bare)} cite an equation and not whose: write (Author year, …)")
    return "\n".join(f"- {label}: {text}" for label, text in cited)


def return_distributions(kind: Any) -> dict[str, type]:
    """The kinds of return distribution that its networks may learn; none for most."""
    owner = getattr(kind, "returns", None) or getattr(kind.Config, "returns", None)
    if owner is None:
        return {}
    names = vars(sys.modules[getattr(owner, "fget", owner).__module__])
    return {name: x for name, x in names.items() if getattr(x, "__module__", "") == "rlzoo.nn.return_distributions"}


def training(kind: Any) -> list[str]:
    """The command, and the same in Python."""
    env = next(iter(entries(kind.name)), "CartPole-v1" if "Discrete" in acts_in(kind.name) else "Pendulum-v1")
    python = (
        f"from rlzoo import {kind.__name__}\n"
        f'agent = {kind.__name__}("{env}", seed=0).learn()\n'
        "print(agent.evaluate(20).mean_return)"
    )
    return [f"```\nrlzoo train --algo {kind.name} --env {env}\n```", f"```python\n{python}\n```"]


def uses(algorithm: str) -> list[str]:
    """Its action spaces, and the parts it takes with the settings that ask for them."""
    acts, lines = acts_in(algorithm), []
    for name, part in PARTS.items():
        found = combines(algorithm, name)
        if not found:
            continue
        settings = " ".join(f"{key}={as_text(value)}" for key, value in next(iter(found.values())).items())
        where = "" if set(found) == set(acts) else f" Only in {' and '.join(found)}."
        lines.append(f"- {name}{f' (`--set {settings}`)' if settings else ''}: {part.text}{where}")
    without = [name for name in PARTS if not combines(algorithm, name)]
    return [
        f"Actions: {', '.join(acts)}.",
        "\n".join(lines),
        f"Not with: {', '.join(without)}." if without else "With everything there is.",
        "[The table of all algorithms](README.md).",
    ]


def hyperparameters(kind: Any) -> list[str]:
    """Two tables: the fields that its config has or sets anew, and the rest."""
    config, defaults = kind.Config, kind.Config().model_dump(mode="json")
    own = [name for name in config.model_fields if name in config.__annotations__]
    shown = [name for name in config.model_fields if name not in refused(kind.name)]
    rest, own = [name for name in shown if name not in own], [name for name in own if name in shown]
    bases = [base.__name__ for base in config.__mro__[1:] if base.__module__.startswith("rlzoo.")]

    def rows(names: list[str]) -> str:
        fields = ((name, config.model_fields[name]) for name in names)
        return table(["name", "type", "default", "what it is"], [
            [f"`{name}`", type_name(field.annotation), f"`{as_text(defaults[name])}`", field.description]
            for name, field in fields
        ])  # fmt: skip

    return [f"Its own (`{config.__name__}`):", rows(own), f"Those of {', '.join(bases)}:", rows(rest)]


def refused(algorithm: str) -> set[str]:
    """The fields that its config inherits for parts that it does not combine with, or can only refuse or leave idle."""
    parts = [part for name, part in PARTS.items() if not combines(algorithm, name)]
    fields = {field for part in parts for settings in part.settings for field in (*settings, *part.details)}
    kind = find(algorithm).Config
    config = kind()
    for name, value in config:
        if config.idle(name) == "" or (isinstance(value, bool) and refuses(kind, {name: not value})):
            fields.add(name)
    return fields


def refuses(kind: Any, values: dict[str, Any]) -> bool:
    """Whether a config cannot be made of these values and its defaults."""
    try:
        kind(**values)
    except ValidationError:
        return True
    return False


def entries(algorithm: str, group: str = "environments") -> dict[str, Any]:
    """The environments, or the families of environments, that it has hyperparameters of its own for."""
    file = ROOT / "rlzoo" / "hyperparams" / f"{algorithm}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8")).get(group, {}) if file.is_file() else {}


def recommended(algorithm: str) -> str:
    """For which environments and families of them, and where they are from."""
    found, families = entries(algorithm), entries(algorithm, "families")
    if not found and not families:
        return "None: the defaults above hold everywhere."
    named = found | {f"family {family}": values for family, values in families.items()}
    rows = [[env, f"{values['steps']:,}" if "steps" in values else "", values["source"]]
            for env, values in named.items()]  # fmt: skip
    told = "An environment's own values, or else those of another version of it, come first, then those of its family"
    shown = next(iter(found), "ENVIRONMENT")
    return table(["environment", "steps", "source"], rows) + f"\n\n{told}: `rlzoo show {algorithm} {shown}`"


def reached(algorithm: str) -> str:
    """What was measured, over seeds, beside peers."""
    scores = json.loads(SCORES.read_text(encoding="utf-8")) if SCORES.is_file() else []
    groups: dict[Any, list[dict[str, Any]]] = {}
    for score in (score for score in scores if score["algorithm"] == algorithm):
        groups.setdefault((score["env"], score["engine"], score["steps"], str(score["settings"])), []).append(score)
    if not groups:
        return "Not measured yet."
    rows = []
    for (env, engine, steps, _), runs in groups.items():
        means, settings, peers = [run["mean"] for run in runs], runs[0]["settings"], runs[0]["peers"]
        digits = ",.2f" if max(map(abs, means)) < 1.0 else ",.1f"
        rows.append([
            env, " ".join(f"`{name}={value}`" for name, value in settings.items()), engine, f"{steps:,}",
            " ".join(str(run["seed"]) for run in runs), *(f"{f(means):{digits}}" for f in (median, mean)),
            f"{peers['mean']:,.1f} ± {peers['std']:,.1f} ({peers['steps']} steps)" if peers else "",
        ])  # fmt: skip
    headings = ["environment", "settings", "engine", "steps", "seeds", "median of seeds", "mean of seeds", "peers"]
    return table(headings, rows) + "\n\nHow this was measured is said in [scores.md](../benchmarks/scores.md)."


# ---- the table of all ------------------------------------------------------------------------------------------------
def index() -> str:
    """Can I use it: every algorithm, the action spaces, and the parts."""
    rows = [
        [f"[{find(name).__name__}]({name}.md)", *(mark(name, column) for column in (*ACTIONS, *PARTS))]
        for name in ALGORITHMS
    ]  # fmt: skip
    parts = []
    for name, part in PARTS.items():
        asked = [" ".join(f"{key}={as_text(value)}" for key, value in one.items()) for one in part.settings]
        parts.append([name, ", ".join(f"`{text}`" for text in asked if text) or "by itself", part.text])
    return "\n\n".join([
        "# The algorithms, and what combines",
        "Made by `make docs`, by trying: ✓ says that the agent was made in NumPy on tiny spaces and acted there, ✗ "
        "that it was refused in one line. A part is ✓ if it is taken in at least one of the action spaces that the "
        "algorithm acts in; the algorithm's page says in which.",
        table(["algorithm", *ACTIONS, *PARTS], rows),
        "## The parts",
        table(["part", "setting", "what it is"], parts),
        "Schedules such as `linear(1e-3, 0)` are allowed wherever a page says \"number or schedule\". Off-policy "
        "algorithms take several gradient steps an update with `gradient_steps`.",
    ]) + "\n"  # fmt: skip


def mark(algorithm: str, column: str) -> str:
    """Whether an action space, or a part, is for this algorithm."""
    return "✓" if column in acts_in(algorithm) or (column in PARTS and combines(algorithm, column)) else "✗"


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in [headings, ["---"] * len(headings), *rows]]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def pages() -> dict[str, str]:
    """Every file of the folder by its name."""
    with threadpool_limits(1, user_api="blas"):  # small products
        return {f"{name}.md": page(name) for name in ALGORITHMS} | {"README.md": index()}


def main() -> None:
    """Write the pages, and take away those of algorithms that are gone."""
    made = pages()
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.glob("*.md"):
        if file.name not in made:
            file.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{len(made)} pages in {FOLDER.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
