"""The rules of the house, read off the source: who imports what, what is never done, what is documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import rlzoo
from rlzoo.algorithms import ALGORITHMS, find
from rlzoo.backend import ENGINES

ROOT = Path(rlzoo.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
FRAMEWORKS = {
    "jax", "jaxlib", "flax", "optax", "torch", "tensorflow", "keras", "mindspore", "numba", "cupy", "onnx",
    "onnxruntime",
}  # fmt: skip
BACKENDS = {"numpy", *ENGINES}
BELOW = {  # the rooms that each room may import; `errors` and the package itself are everybody's
    "backend": set(),
    "nn": {"backend"},
    "policies": {"backend", "nn"},
    "buffers": {"backend"},
    "envs": set(),
    "training": {"backend", "nn", "policies", "buffers", "envs", "hyperparams"},
    "algorithms": {"backend", "nn", "policies", "buffers", "envs", "training"},
    "distributed": {"backend", "nn", "policies", "buffers", "envs", "training", "algorithms"},
    "cli": {"backend", "nn", "policies", "buffers", "envs", "training", "algorithms", "distributed"},
    "hyperparams": set(),
    "errors": set(),
    "core": set(),
}
FRAMEWORK_FREE = {"algorithms", "nn", "policies", "buffers", "training"}
LONG = {"backend/ops.py": 330, "backend/mindspore.py": 360}  # in one piece for a reason


def name_of(file):
    return file.relative_to(ROOT).as_posix()


def room(file):
    """The room a file is in: its folder, or its own name at the top; "" for the package itself."""
    first = file.relative_to(ROOT).parts[0]
    return "" if first in ("__init__.py", "__main__.py") else first.removesuffix(".py")


@cache
def parsed(file):
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imports(file):
    """Every dotted module a file imports, also inside functions and by `import_module` of a literal."""
    package = ("rlzoo", *file.relative_to(ROOT).parts[:-1])
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__") and node.args:
            text = node.args[0]
            text = text.values[0] if isinstance(text, ast.JoinedStr) and text.values else text
            if isinstance(text, ast.Constant):
                yield node.lineno, str(text.value)


def called(node):
    """The last name of what is called: `load` of `pickle.load(…)`."""
    return getattr(node.func, "id", getattr(node.func, "attr", None))


def report(found):
    assert not found, "\n".join(found)


def test_there_is_something_to_read():
    assert len(FILES) > 40 and {room(file) for file in FILES} >= BELOW.keys() - {"distributed"}
    assert {room(file) for file in FILES} <= BELOW.keys() | {""}, "a new room: say in BELOW what it may stand on"
    assert "torch" in {module for _, module in imports(ROOT / "backend" / "torch.py")}


def test_only_the_backend_imports_a_framework():
    report([
        f"{name_of(file)}:{line} imports {module}"
        for file in FILES if room(file) != "backend"
        for line, module in imports(file) if module.split(".")[0] in FRAMEWORKS
    ])  # fmt: skip


def test_a_backend_imports_its_own_framework_alone():
    for file in (ROOT / "backend").glob("*.py"):
        used = {module.split(".")[0] for _, module in imports(file)} & FRAMEWORKS
        assert used <= {file.stem.split("_")[0]}, f"{name_of(file)} imports {used}"


def test_arrows_point_one_way():
    found = []
    for file in FILES:
        place = room(file)
        allowed = BELOW[place] | {place, "errors", "__version__"} if place else set(BELOW)
        if place in ("cli", "distributed"):
            allowed |= set(rlzoo.__all__)  # what stands on top may use what people import
        for line, module in imports(file):
            parts = module.split(".")
            if parts[0] == "rlzoo" and len(parts) > 1 and parts[1] not in allowed:
                found.append(f"{name_of(file)}:{line} imports {module}")
    report(found)


def test_training_knows_no_algorithm_by_name():
    names = {*ALGORITHMS, *ALGORITHMS.values()}
    report([
        f"{name_of(file)}:{node.lineno} says {node.value!r}"
        for file in FILES if room(file) in FRAMEWORK_FREE - {"algorithms"}
        for node in ast.walk(parsed(file)) if isinstance(node, ast.Constant) and node.value in names
    ])  # fmt: skip


def test_envs_stands_on_gymnasium_alone():
    allowed = {*sys.stdlib_module_names, "gymnasium", "numpy", "rlzoo"}
    # what one file alone may import, an extra of its own
    extras = {"envs/pool.py": {"envpool"}, "envs/atari.py": {"ale_py"}}
    report([
        f"{name_of(file)}:{line} imports {module}"
        for file in FILES if room(file) == "envs"
        for line, module in imports(file) if module.split(".")[0] not in allowed | extras.get(name_of(file), set())
    ])  # fmt: skip


def test_nobody_asks_which_backend_runs():
    found = []
    for file in (file for file in FILES if room(file) in FRAMEWORK_FREE):
        for node in ast.walk(parsed(file)):
            tests_something = isinstance(node, ast.Compare | ast.MatchValue) or (
                isinstance(node, ast.Call) and called(node) in ("startswith", "endswith", "is_installed")
            )
            for inner in ast.walk(node) if tests_something else ():
                if isinstance(inner, ast.Constant) and inner.value in BACKENDS:
                    found.append(f"{name_of(file)}:{node.lineno} asks for {inner.value!r}")
    report(found)


def test_nothing_is_pickled_or_evaluated():
    modules = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    calls = {"eval", "exec", "__import__"}
    found = []
    for file in FILES:
        used = {module.split(".")[0] for _, module in imports(file)} & modules
        found += [f"{name_of(file)} imports {module}" for module in used]
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in calls:
                found.append(f"{name_of(file)}:{node.lineno} calls {node.func.id}")
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                found.append(f"{name_of(file)} allows pickles")
    report(found)


def test_files_are_short():
    lengths = {name_of(file): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    report([f"{name} has {length} lines" for name, length in lengths.items() if length > LONG.get(name, 300)])


def test_importing_the_rooms_imports_no_framework():
    modules = [".".join(("rlzoo", *file.relative_to(ROOT).with_suffix("").parts)) for file in FILES]
    rooms = [name for name in modules if not name.startswith("rlzoo.backend.") and not name.endswith("__main__")]
    code = f"import sys, importlib\nfor name in {rooms}: importlib.import_module(name)\n"
    code += f"print(*sorted({FRAMEWORKS} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_hyperparameter_is_documented(algorithm):
    for name, field in find(algorithm).Config.model_fields.items():
        text = field.description or ""
        assert len(text) > 10 and text.endswith(".") and "\n" not in text, f"{algorithm}.{name}: {text!r}"


def public(module):
    """(name, object) of the public classes and functions that a module defines."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value) or inspect.isfunction(value):
            yield name, value


@pytest.mark.parametrize("place", ["nn", "policies", "envs", "training", "buffers", "algorithms"])
def test_what_is_public_has_a_docstring(place):
    found = []
    for file in (ROOT / place).glob("*.py"):
        parts = file.relative_to(ROOT.parent).with_suffix("").parts
        module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
        if not module.__doc__:
            found.append(f"{name_of(file)} has no docstring")
        # A dataclass or a model is given a docstring by its machinery: the source must have one.
        classes = [node for node in parsed(file).body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        documented = {node.name for node in classes if ast.get_docstring(node)}
        found += [f"{name_of(file)}: {name}" for name, _ in public(module) if name not in documented]
    report(found)
