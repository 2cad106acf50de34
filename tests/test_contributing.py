"""The walk-throughs of CONTRIBUTING.md stay true: their code is taken from the page and run."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from engines import INSTALLED
from parity import assert_close, compiled, reference
from probes import GAMMA, STATES, ObservationMatters, environment

from rlzoo import UserError, load, nn
from rlzoo.algorithms import ALGORITHMS, find
from rlzoo.backend import Engine, ops
from rlzoo.nn import layers
from rlzoo.training.resolve import validate

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
sys.path.insert(0, str(Path(__file__).parent / "algorithms"))

import combinations
import loss_cases
import pages

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.S)


def block(path):
    """The one code block of the page that is headed by this path."""
    (code,) = [code for where, code in BLOCKS if where == path]
    return code


def test_every_file_that_is_named_exists():
    root = Path(__file__).parents[1]
    named = {where for where, _ in BLOCKS} | set(re.findall(r"`((?:rlzoo|tests|docs)/[\w/]+(?:\.\w+|/))`", PAGE))
    missing = {path for path in named if not (root / path).exists()}
    new = {"rlzoo/algorithms/awr.py", "rlzoo/hyperparams/awr.toml", "docs/algorithms/awr.md", "rlzoo/backend/NAME.py"}
    assert missing <= new


# ---- the layer -------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def highway():
    namespace = dict(vars(layers))
    exec(compile(block("rlzoo/nn/layers.py"), "CONTRIBUTING.md", "exec"), namespace)
    return namespace["Highway"]


def test_the_layer_computes_what_it_says(highway):
    x = np.array([[0.5, -1.0]])
    params = {"gate": np.eye(2), "gate_bias": np.zeros(2), "change": np.eye(2), "change_bias": np.ones(2)}
    gate, change = 1.0 / (1.0 + np.exp(-x)), np.tanh(x + 1.0)
    np.testing.assert_allclose(highway()(params, x), gate * change + (1.0 - gate) * x)
    assert highway().output_shape((7,)) == (7,)
    assert {array.dtype for array in highway().init(np.random.default_rng(0), (3,)).values()} == {np.dtype(np.float32)}


def test_the_layer_on_every_engine(engine, highway):
    network = nn.Sequential((nn.Dense(4), highway(), highway(gate_bias=0.5), nn.Dense(1)))
    rng = np.random.default_rng(0)
    params = network.init(rng, (3,))
    layout = nn.Layout(params)

    def value_and_gradient(flat, x):
        return layout.value_and_grad(lambda params: (ops.mean(ops.square(network(params, x))), None), flat)

    flat, x = layout.flatten(params).astype(np.float64), rng.standard_normal((5, 3))
    assert_close(compiled(engine, value_and_gradient, flat, x), reference(value_and_gradient, flat, x))


# ---- the algorithm ---------------------------------------------------------------------------------------------------
SETTINGS = eval(f"{{{block('tests/probes.py')}}}")["awr"] | dict(learning_rate=1e-2, gamma=GAMMA, seed=0)


def bandit():
    return environment(ObservationMatters, "discrete")


@pytest.fixture
def awr(monkeypatch, tmp_path):
    """The class, found by its name as after the page's steps 1 and 2."""
    path = tmp_path / "awr.py"
    path.write_text(block("rlzoo/algorithms/awr.py"), encoding="utf-8")
    spec = spec_from_file_location("rlzoo.algorithms.awr", path)
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(ALGORITHMS, "awr", "AWR")
    return find("AWR")


def test_the_layer_works_in_a_file_of_ones_own_with_the_imports_that_are_named():
    (imports,) = re.findall(r"```python\n(import numpy.*?)```", PAGE, re.S)
    names: dict = {}
    exec(imports + block("rlzoo/nn/layers.py"), names)
    layer = names["Highway"](gate_bias=0.0)
    params = layer.init(np.random.default_rng(0), (2,)) | {"gate": np.zeros((2, 2)), "change": np.zeros((2, 2))}
    np.testing.assert_allclose(layer(params, np.ones((1, 2))), [[0.5, 0.5]])


@pytest.mark.parametrize("backend", INSTALLED[:1])
def test_the_algorithm_works_in_a_file_of_ones_own(backend, tmp_path, monkeypatch):
    """It learns, is saved and loads without a line in the library."""
    (tmp_path / "awr_of_ones_own.py").write_text(block("rlzoo/algorithms/awr.py"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    kind = import_module("awr_of_ones_own").AWR
    agent = kind(bandit(), backend=backend, **SETTINGS).learn(256)
    loaded = kind.load(agent.save(tmp_path / "agent"), env=bandit(), backend="numpy")
    assert "awr" not in ALGORITHMS and loaded.steps == 256
    np.testing.assert_array_equal(loaded.flat, agent.flat)


def test_a_class_that_calls_itself_otherwise_is_refused(awr, monkeypatch):
    """It would take the hyperparameters of another algorithm, and its checkpoints would be that one's."""
    monkeypatch.setattr(awr, "name", "sac")
    with pytest.raises(UserError, match=r"^AWR in awr\.py has name = 'sac': write name = 'awr'$"):
        find("awr")


@pytest.mark.parametrize("backend", INSTALLED[:2])
def test_the_algorithm_learns_which_action_pays(backend, awr, tmp_path):
    """`ObservationMatters` pays 1 or 2 for the action that the observation asks for, and nothing for the other two."""
    agent = awr(bandit(), backend=backend, **SETTINGS)
    wanted = [ObservationMatters("discrete").best[state] for state in range(2)]
    assert agent.evaluate(200, deterministic=False).mean_return < 0.8, "before learning, chance"
    agent.learn()
    np.testing.assert_array_equal(agent.act(STATES), wanted)
    assert agent.evaluate(200, deterministic=False).mean_return > 1.3, "the best there is pays 1.5 on average"
    assert list(agent.last_metrics) == list(awr.metrics)

    loaded = load(agent.save(tmp_path / "agent"), backend="numpy")
    np.testing.assert_array_equal(loaded.act(STATES), wanted)


@pytest.mark.skipif(len(INSTALLED) < 2, reason="needs two engines")
def test_the_algorithm_has_one_curve_on_two_engines(awr):
    runs = [awr(bandit(), backend=name, **SETTINGS).learn(256) for name in INSTALLED[:2]]
    np.testing.assert_allclose(runs[0].flat, runs[1].flat, atol=1e-4)
    assert np.max(np.abs(runs[0].flat - awr(bandit(), **SETTINGS).flat)) > 1e-2


def test_the_algorithm_weighs_what_it_did_by_what_came_of_it(awr):
    """Its loss, worked out by hand: two steps of one state, whose actions had the advantages 2 and −1."""
    agent = awr(bandit(), normalize_advantage=False, temperature=0.5, max_weight=20.0, **SETTINGS)
    state = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    batch = {"observation": state, "action": np.array([2, 0], np.int32),
             "advantage": np.array([2.0, -1.0], np.float32), "return": np.array([3.0, 1.0], np.float32)}  # fmt: skip
    policy, params = agent.policy, agent.params
    features = policy.features(params, state)
    logits, value = policy.parameters_of_action(params, features)[0], policy.value(params, features)
    log_prob = logits - np.log(np.sum(np.exp(logits)))
    expected = -0.5 * (20.0 * log_prob[2] + np.exp(-2.0) * log_prob[0])  # exp(2 / 0.5) = 54.6 is cut to 20
    error = 0.5 * ((value[0] - 3.0) ** 2 + (value[1] - 1.0) ** 2)
    loss, metrics = agent.loss(params, batch)
    np.testing.assert_allclose(metrics[:2], [expected, error], rtol=1e-5)
    np.testing.assert_allclose(loss, expected + 0.5 * error, rtol=1e-5)


@pytest.mark.parametrize("case", [loss_cases.loss_case, loss_cases.update_case])
@pytest.mark.parametrize("backend", INSTALLED[:1])
def test_the_parity_cases_take_the_algorithm(backend, awr, monkeypatch, case):
    """Step 5: its row in `CASES` is enough."""
    monkeypatch.setitem(loss_cases.CASES, "awr", ("awr", loss_cases.DISCRETE, loss_cases.PPO))
    _, function, arguments = case("awr")
    assert_close(compiled(Engine(backend), function, *arguments), reference(function, *arguments), 1e-4)


@pytest.mark.parametrize("part", ["masks", "recurrence", "Dict, Tuple", "images", "gSDE", "frame stack"])
def test_the_algorithm_combines_with_what_the_page_promises(awr, part):
    assert combinations.combines("awr", part)


def test_its_page_can_be_written(awr):
    """Step 6."""
    written = pages.page("awr")
    equations = written.partition("## Equations\n\n")[2].partition("\n\n")[0].splitlines()
    assert [line.partition(":")[0] for line in equations] == ["- `AWR.loss`", "- `nn.returns.generalized_advantage`"]
    assert "| `max_weight` | float | `20.0` | Most that a step may count. |" in written


def test_the_algorithm_documents_its_fields(awr):
    fields = awr.Config.model_fields
    assert all(field.description for field in fields.values())
    assert fields["max_weight"].description == "Most that a step may count."


def test_the_published_hyperparameters_are_valid(awr):
    (text,) = re.findall(r"```toml\n# rlzoo/hyperparams/awr.toml\n(.*?)```", PAGE, re.S)
    ((env, values),) = tomllib.loads(text)["environments"].items()
    config = validate("awr", awr.Config, {name: value for name, value in values.items() if name != "source"})
    assert env == "CartPole-v1" and (config.n_envs, config.n_steps) == (8, 128) and values["source"]
